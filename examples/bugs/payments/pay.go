// Package payments is a client that pays with go-retryablehttp.
package payments

import (
	"net/http"

	"github.com/google/uuid"
	"github.com/hashicorp/go-retryablehttp"
)

// twice sends a POST, which go-retryablehttp repeats after a 5xx or a broken connection,
// although the payment may have been made.
func twice(client *http.Client, url string) error {
	req, err := payment(url)
	if err != nil {
		return err
	}
	return send(client, req)
}

// once sends the same key with each attempt, so that the server recognizes a retry.
func once(client *http.Client, url string) error {
	req, err := payment(url)
	if err != nil {
		return err
	}
	req.Header.Set("Idempotency-Key", uuid.NewString())
	return send(client, req)
}

func payment(url string) (*retryablehttp.Request, error) {
	return retryablehttp.NewRequest(http.MethodPost, url, []byte(`{"amount": 42}`))
}

func send(client *http.Client, req *retryablehttp.Request) error {
	c := retryablehttp.NewClient()
	c.HTTPClient, c.Logger = client, nil
	res, err := c.Do(req)
	if err != nil {
		return err
	}
	return res.Body.Close()
}

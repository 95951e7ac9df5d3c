// Package retry is a payment client that retries.
package retry

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/go-retryablehttp"
)

// NewClient returns a client that gives each attempt 30 seconds and waits from one
// second to ten minutes between attempts.
func NewClient(c *http.Client) *retryablehttp.Client {
	client := retryablehttp.NewClient()
	client.HTTPClient = c
	client.HTTPClient.Timeout = 30 * time.Second
	client.RetryMax = 12
	client.RetryWaitMin, client.RetryWaitMax = time.Second, 10*time.Minute
	client.Logger = nil
	return client
}

// Pay makes one payment, in as many attempts as it takes. The key tells the server
// that the attempts are for the same payment.
func Pay(ctx context.Context, client *retryablehttp.Client, url, key string) error {
	req, err := retryablehttp.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(`{"amount": 42}`))
	if err != nil {
		return err
	}
	req.Header.Set("Idempotency-Key", key)
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("not paid: %s", res.Status)
	}
	return nil
}

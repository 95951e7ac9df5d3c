// Package bodies is a client that retries with cenkalti/backoff.
package bodies

import (
	"context"
	"fmt"
	"net/http"

	"github.com/cenkalti/backoff/v5"
)

// leaking returns before the body of a failed attempt is closed. Each retry then holds
// a connection.
func leaking(ctx context.Context, client *http.Client, url string) error {
	_, err := backoff.Retry(ctx, func() (int, error) {
		res, err := client.Get(url)
		if err != nil {
			return 0, err
		}
		if res.StatusCode != http.StatusOK {
			return 0, fmt.Errorf("no orders: %s", res.Status)
		}
		defer res.Body.Close()
		return res.StatusCode, nil
	})
	return err
}

// closing closes the body whatever the status.
func closing(ctx context.Context, client *http.Client, url string) error {
	_, err := backoff.Retry(ctx, func() (int, error) {
		res, err := client.Get(url)
		if err != nil {
			return 0, err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return 0, fmt.Errorf("no orders: %s", res.Status)
		}
		return res.StatusCode, nil
	})
	return err
}

// Package backoff is a client that retries with cenkalti/backoff.
package backoff

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// longest is what a user waits for at most between two attempts.
const longest = 30 * time.Second

// uncapped takes MaxInterval for the longest wait. It limits the interval before the
// jitter, which makes waits up to half as long again.
func uncapped() backoff.BackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = 20*time.Second, longest
	return b
}

// capped limits the waits after the jitter.
func capped() backoff.BackOff { return limit{uncapped(), longest} }

type limit struct {
	backoff.BackOff
	most time.Duration
}

func (l limit) NextBackOff() time.Duration { return min(l.BackOff.NextBackOff(), l.most) }

// poll asks until there is a report.
func poll(ctx context.Context, client *http.Client, url string, b backoff.BackOff) error {
	_, err := backoff.Retry(ctx, func() (int, error) {
		res, err := client.Get(url)
		if err != nil {
			return 0, err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return 0, fmt.Errorf("no report: %s", res.Status)
		}
		return res.StatusCode, nil
	}, backoff.WithBackOff(b), backoff.WithMaxElapsedTime(0))
	return err
}

// Package ratelimit is a client of a service that limits the rate, with resty.
package ratelimit

import (
	"net/http"
	"strconv"
	"time"

	"github.com/go-resty/resty/v2"
)

// hasty retries with resty's backoff, which does not look at Retry-After.
func hasty(client *http.Client) *resty.Client {
	return resty.NewWithClient(client).SetRetryCount(3).AddRetryCondition(limited)
}

// obedient waits as long as the server says. resty limits that wait too, to 2 s unless
// it is told otherwise.
func obedient(client *http.Client) *resty.Client {
	return hasty(client).SetRetryAfter(retryAfter).SetRetryMaxWaitTime(time.Hour)
}

func limited(res *resty.Response, err error) bool {
	return err == nil && res.StatusCode() == http.StatusTooManyRequests
}

// retryAfter reads both forms of Retry-After. 0 stands for resty's backoff.
func retryAfter(_ *resty.Client, res *resty.Response) (time.Duration, error) {
	value := res.Header().Get("Retry-After")
	if seconds, err := strconv.Atoi(value); err == nil {
		return time.Duration(seconds) * time.Second, nil
	}
	if at, err := http.ParseTime(value); err == nil {
		return time.Until(at), nil
	}
	return 0, nil
}

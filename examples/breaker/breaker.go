// Package breaker is a client that sends no requests while its server is down.
package breaker

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/sony/gobreaker/v2"
)

// Prices is a client with a circuit breaker.
type Prices struct {
	URL     string
	Client  *http.Client
	breaker *gobreaker.CircuitBreaker[int]
}

// NewPrices returns a client whose circuit opens after five failures in a row
// and lets one request through a minute later.
func NewPrices(url string, c *http.Client) *Prices {
	return &Prices{url, c, gobreaker.NewCircuitBreaker[int](gobreaker.Settings{
		Name: "prices", MaxRequests: 1, Timeout: time.Minute,
		ReadyToTrip: func(n gobreaker.Counts) bool { return n.ConsecutiveFailures >= 5 },
	})}
}

// Get sends one request, unless the circuit is open.
func (p *Prices) Get() error {
	_, err := p.breaker.Execute(func() (int, error) {
		res, err := p.Client.Get(p.URL)
		if err != nil {
			return 0, err
		}
		defer res.Body.Close()
		if _, err := io.Copy(io.Discard, res.Body); err != nil { // so that the connection is reused
			return 0, err
		}
		if res.StatusCode >= 500 {
			return 0, fmt.Errorf("no prices: %s", res.Status)
		}
		return res.StatusCode, nil
	})
	return err
}

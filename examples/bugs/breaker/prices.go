// Package breaker is a client with a circuit breaker of gobreaker.
package breaker

import (
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
)

// pause is how long the circuit stays open.
const pause = time.Minute

var errOpen = errors.New("no prices: the circuit is open")

// stuck remembers the state that OnStateChange was told. gobreaker notices that the
// pause is over only when it is called, and stuck does not call it any more.
func stuck(client *http.Client, url string) func() error {
	var open atomic.Bool
	b := gobreaker.NewCircuitBreaker[int](gobreaker.Settings{
		Timeout:       pause,
		OnStateChange: func(_ string, _, to gobreaker.State) { open.Store(to == gobreaker.StateOpen) },
	})
	return func() error {
		if open.Load() {
			return errOpen
		}
		_, err := b.Execute(func() (int, error) { return get(client, url) })
		return err
	}
}

// healing leaves the decision to the breaker.
func healing(client *http.Client, url string) func() error {
	b := gobreaker.NewCircuitBreaker[int](gobreaker.Settings{Timeout: pause})
	return func() error {
		_, err := b.Execute(func() (int, error) { return get(client, url) })
		if errors.Is(err, gobreaker.ErrOpenState) {
			return errOpen
		}
		return err
	}
}

func get(client *http.Client, url string) (int, error) {
	res, err := client.Get(url)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	if res.StatusCode >= 500 {
		return 0, fmt.Errorf("no prices: %s", res.Status)
	}
	return res.StatusCode, nil
}

package breaker

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/seed-4591fe7d/podinfo/podinfotest"
)

func TestCircuitOpensAndCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := podinfotest.StartInMemory(t)
		srv.Script("/prices",
			podinfotest.Fail(500, 4),
			podinfotest.Reset().Times(2), // one failure, because net/http sends a GET again when a connection in use breaks
			podinfotest.Fail(503, 1), podinfotest.OK())
		prices := NewPrices(srv.URL+"/prices", srv.Client())

		for range 5 { // these open the circuit
			if err := prices.Get(); err == nil || errors.Is(err, gobreaker.ErrOpenState) {
				t.Error(err)
			}
		}
		for range 100 { // these do not reach the server
			if err := prices.Get(); !errors.Is(err, gobreaker.ErrOpenState) {
				t.Error(err)
			}
		}
		srv.Requests("/prices").WantCount(t, 6)

		time.Sleep(time.Minute + time.Second) // the next request is let through and fails, so the circuit opens again
		if err := prices.Get(); err == nil || errors.Is(err, gobreaker.ErrOpenState) {
			t.Error(err)
		}
		if err := prices.Get(); !errors.Is(err, gobreaker.ErrOpenState) {
			t.Error(err)
		}
		time.Sleep(time.Minute + time.Second) // the next request succeeds and closes the circuit
		for range 3 {
			if err := prices.Get(); err != nil {
				t.Error(err)
			}
		}
		srv.Requests("/prices").WantAnswers(t, "500", "500", "500", "500", "cut", "cut", "503", "200", "200", "200")
	})
}

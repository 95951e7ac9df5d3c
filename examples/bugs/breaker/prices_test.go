package breaker

import (
	"net/http"
	"testing"
	"time"

	"example.com/bugs/internal/bugtest"
	"github.com/seed-4591fe7d/podinfo/podinfotest"
)

func TestBreakerHalfOpens(t *testing.T) {
	bugtest.Run(t, breakerHalfOpens, stuck, healing,
		"no request in the … after request 6 (503), want one within 1m1s; a circuit breaker that has opened must half-open and let a request through")
}

func breakerHalfOpens(t testing.TB, prices func(client *http.Client, url string) func() error) {
	srv := podinfotest.StartInMemory(t)
	srv.Script("GET /prices", podinfotest.Fail(503, 6), podinfotest.OK()) // these open the circuit
	call := prices(srv.Client(), srv.URL+"/prices")

	for range 75 { // callers do not stop because of the outage
		call() // fails while the circuit is open
		time.Sleep(time.Second)
	}

	srv.Requests("GET /prices").WantRecovery(t, pause+time.Second)
}

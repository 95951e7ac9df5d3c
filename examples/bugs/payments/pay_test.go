package payments

import (
	"net/http"
	"testing"

	"example.com/bugs/internal/bugtest"
	"github.com/seed-4591fe7d/podinfo/podinfotest"
)

func TestPaysOnce(t *testing.T) {
	bugtest.Run(t, paysOnce, twice, once,
		"request 2 repeats request 1 (cut), which may have been handled, and POST is not idempotent; send both with the same Idempotency-Key, or do not retry")
}

func paysOnce(t testing.TB, pay func(*http.Client, string) error) {
	srv := podinfotest.StartInMemory(t)
	srv.Script("POST /payments",
		podinfotest.Reset().Handled(), // the payment is made, and its response is lost
		podinfotest.Fail(504, 1),
		podinfotest.OK())

	if err := pay(srv.Client(), srv.URL+"/payments"); err != nil {
		t.Fatal(err)
	}

	payments := srv.Requests("POST /payments")
	payments.WantAnswers(t, "cut", "504", "200")
	payments.WantSafeRetries(t)
}

package bodies

import (
	"context"
	"net/http"
	"testing"

	"example.com/bugs/internal/bugtest"
	"github.com/seed-4591fe7d/podinfo/podinfotest"
)

func TestBodiesAreClosed(t *testing.T) {
	bugtest.Run(t, bodiesAreClosed, leaking, closing,
		"GET /orders #1: body never closed; call Body.Close on every response, also before a retry (sent at …)")
}

func bodiesAreClosed(t testing.TB, orders func(context.Context, *http.Client, string) error) {
	srv := podinfotest.StartInMemory(t)
	srv.Script("GET /orders", podinfotest.Fail(503, 2), podinfotest.OK())

	if err := orders(t.Context(), srv.Client(), srv.URL+"/orders"); err != nil {
		t.Fatal(err)
	}

	srv.Requests("GET /orders").WantAnswers(t, "503", "503", "200")
	// The server checks the bodies when the test ends.
}

package quickstart

import (
	"io"
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/seed-4591fe7d/podinfo/podinfotest"
)

// The handler of an httptest.Server works too: only the start changes.
func TestOwnHandler(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders/{id}", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "order "+r.PathValue("id"))
	})
	synctest.Test(t, func(t *testing.T) {
		srv := podinfotest.Config{Handler: mux, Strict: true}.StartInMemory(t)
		srv.Script("GET /orders/*", podinfotest.Truncate(3), podinfotest.OK())

		for _, complete := range []bool{false, true} {
			res, err := srv.Client().Get(srv.URL + "/orders/7")
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(res.Body)
			res.Body.Close()
			if (err == nil) != complete {
				t.Errorf("%q, %v", body, err)
			}
		}
		srv.Requests("GET /orders/*").WantAnswers(t, "cut", "200")
	})
}

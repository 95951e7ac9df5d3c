package backoff

import (
	"testing"

	"github.com/cenkalti/backoff/v5"

	"example.com/bugs/internal/bugtest"
	"github.com/seed-4591fe7d/podinfo/podinfotest"
)

func TestBackoffIsCapped(t *testing.T) {
	bugtest.Run(t, backoffIsCapped, uncapped, capped,
		"request … came … after the previous one: the backoff exceeds its cap of 30s; apply the cap after the jitter")
}

func backoffIsCapped(t testing.TB, newBackOff func() backoff.BackOff) {
	srv := podinfotest.StartInMemory(t)
	srv.Script("GET /report", podinfotest.Fail(503, 22), podinfotest.OK()) // half of the waits at the cap exceed it, so one of 21 does

	if err := poll(t.Context(), srv.Client(), srv.URL+"/report", newBackOff()); err != nil {
		t.Fatal(err)
	}

	srv.Requests("GET /report").WantBackoffAtMost(t, longest)
}

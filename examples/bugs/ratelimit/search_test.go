package ratelimit

import (
	"net/http"
	"testing"
	"time"

	"github.com/go-resty/resty/v2"

	"example.com/bugs/internal/bugtest"
	"github.com/seed-4591fe7d/podinfo/podinfotest"
)

func TestRetryAfterIsObeyed(t *testing.T) {
	bugtest.Run(t, retryAfterIsObeyed, hasty, obedient,
		"request 2 came … after a response with Retry-After: 30, want 30s and at most 0s more")
}

func retryAfterIsObeyed(t testing.TB, search func(*http.Client) *resty.Client) {
	srv := podinfotest.StartInMemory(t)
	inAMinute := time.Now().Add(time.Minute).UTC().Format(http.TimeFormat)
	srv.Script("GET /search",
		podinfotest.Fail(429, 1).Header("Retry-After", "30"),
		podinfotest.Fail(429, 1).Header("Retry-After", inAMinute),
		podinfotest.OK())

	if _, err := search(srv.Client()).R().Get(srv.URL + "/search"); err != nil {
		t.Fatal(err)
	}

	srv.Requests("GET /search").WantRetryAfter(t, 0)
}

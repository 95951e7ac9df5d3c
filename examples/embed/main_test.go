package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestServesBoth(t *testing.T) {
	h, stop, err := handler(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t.Context())
	srv := httptest.NewServer(h)
	defer srv.Close()
	for path, want := range map[string]string{
		"/":                   "200 the server's own page",
		"/podinfo/status/503": `503 {`,
		"/podinfo/readyz":     `200 {`,
		"/podinfo/env":        "404", // its module is off
		"/status/503":         "404",
	} {
		res, err := http.Get(srv.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if got := res.Status[:4] + string(body); err != nil || !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s", path, got)
		}
	}
}

package headers_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-4591fe7d/podinfo/endpoints/headers"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
)

func TestHeaders(t *testing.T) {
	s := registrytest.Serve(t, nil, new(headers.Module))
	for _, method := range []string{"GET", "POST"} {
		res, body := s.Call(t, method, "/headers", "", "x-one", "1", "X-Two", "a", "X-Two", "<b>", "Authorization", "Bearer t", "Cookie", "c=1", "User-Agent", "test")
		if res.StatusCode != 200 || res.Header.Get("Content-Type") != "application/json; charset=utf-8" {
			t.Errorf("%s: %d %v", method, res.StatusCode, res.Header)
		}
		var got map[string][]string
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatal(err)
		}
		delete(got, "Content-Length") // only a POST has it
		want := map[string][]string{
			"X-One": {"1"}, "X-Two": {"a", "<b>"}, "Authorization": {"Bearer t"}, "Cookie": {"c=1"},
			"User-Agent": {"test"}, "Accept-Encoding": {"gzip"}, "Connection": {"close"},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", method, diff)
		}
	}
	_, body := s.Call(t, "GET", "/headers", "", "User-Agent", "test")
	want := "{\n  \"Accept-Encoding\": [\n    \"gzip\"\n  ],\n  \"Connection\": [\n    \"close\"\n  ],\n  \"User-Agent\": [\n    \"test\"\n  ]\n}"
	if body != want {
		t.Errorf("%s, want %s", body, want)
	}
	if _, body := s.Call(t, "GET", "/headers", "", "X-Html", "<b>"); !strings.Contains(body, `\u003cb\u003e`) {
		t.Errorf("HTML is not escaped: %s", body)
	}
}

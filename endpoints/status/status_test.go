package status

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
)

func TestStatus(t *testing.T) {
	s := registrytest.Serve(t, nil, new(Module))
	outOfRange := "{\n  \"code\": 400,\n  \"message\": \"status out of range: want 200 to 999\"\n}"
	for _, c := range []struct {
		method, code string
		status       int
		body         string
	}{
		{"GET", "200", 200, "{\n  \"status\": 200\n}"},
		{"POST", "418", 418, "{\n  \"status\": 418\n}"},
		{"PUT", "999", 999, "{\n  \"status\": 999\n}"},
		{"GET", "00503", 503, "{\n  \"status\": 503\n}"},
		{"GET", "205", 205, "{\n  \"status\": 205\n}"},
		{"HEAD", "404", 404, ""},
		{"GET", "204", 204, ""},
		{"GET", "304", 304, ""},
		{"GET", "101", 400, outOfRange},
		{"GET", "199", 400, outOfRange},
		{"GET", "1000", 400, outOfRange},
		{"GET", "0", 400, outOfRange},
		{"GET", "18446744073709551816", 400, outOfRange}, // 2^64 + 200
		{"GET", "abc", 404, "{\n  \"code\": 404,\n  \"message\": \"page not found\"\n}"},
		{"GET", "-200", 404, "{\n  \"code\": 404,\n  \"message\": \"page not found\"\n}"},
		{"GET", "+200", 404, "{\n  \"code\": 404,\n  \"message\": \"page not found\"\n}"},
		{"DELETE", "200", 405, "{\n  \"code\": 405,\n  \"message\": \"method not allowed; use one of GET, HEAD, OPTIONS, POST, PUT\"\n}"},
	} {
		res, body := s.Call(t, c.method, "/status/"+c.code, "")
		if res.StatusCode != c.status || body != c.body {
			t.Errorf("%s %s: %d %q, want %d %q", c.method, c.code, res.StatusCode, body, c.status, c.body)
		}
		empty := c.status == 204 || c.status == 304
		if json := strings.HasPrefix(res.Header.Get("Content-Type"), "application/json"); json == empty {
			t.Errorf("%s %s: content type %q", c.method, c.code, res.Header.Get("Content-Type"))
		}
	}
}

func TestLabel(t *testing.T) {
	s := registrytest.Serve(t, map[string]string{"PODINFO_PREFIX": "/p"}, new(Module))
	for _, rt := range s.App.Mounted() {
		if rt.Label != "status" {
			t.Errorf("%s: %q", rt.Method, rt.Label)
		}
	}
}

// discard is a ResponseWriter that can be reused.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}

func TestNoAllocations(t *testing.T) {
	m := new(Module)
	r, _ := http.NewRequest("GET", "/status/404", nil)
	r.SetPathValue("code", "404")
	w := discard{http.Header{}}
	if n := testing.AllocsPerRun(100, func() { m.serve(w, r) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzStatusCode(f *testing.F) {
	for _, s := range []string{"200", "999", "1000", "099", "", "x", "-1", "99999999999999999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		code, ok := parse(s)
		digits := s != "" && strings.Trim(s, "0123456789") == ""
		if ok != digits || code < 0 {
			t.Fatalf("%q: %d, %v", s, code, ok)
		}
		n, err := strconv.ParseUint(s, 10, 64)
		if want := fmt.Sprint(min(n, highest+1)); ok && err == nil && fmt.Sprint(code) != want {
			t.Errorf("%q: %d, want %s", s, code, want)
		}
		if ok && err != nil && code <= highest {
			t.Errorf("%q: %d", s, code)
		}
	})
}

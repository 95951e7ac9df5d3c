package bodylimit_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/middleware/bodylimit"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/budget"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// reader has a route that reads the body, and one that does not.
type reader struct{}

func (reader) Info() registry.Info { return registry.Info{Name: "reader"} }

func (reader) Routes() []registry.Route {
	return []registry.Route{
		{Path: "/read", Handler: func(w http.ResponseWriter, r *http.Request) {
			if b, ok := reply.ReadBytes(w, r, new(budget.Buffer)); ok {
				reply.JSON(w, 202, len(b))
			}
		}},
		{Path: "/ignore", Handler: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }},
	}
}

const (
	tooLarge = "{\n  \"code\": 413,\n  \"message\": \"request body too large\"\n}"
	invalid  = "{\n  \"code\": 400,\n  \"message\": \"invalid request body\"\n}"
)

// hidden hides the length of a reader from net/http, which then sends the body
// chunked.
type hidden struct{ io.Reader }

// do sends req without "Connection: close".
func do(t *testing.T, req *http.Request) (*http.Response, string) {
	t.Helper()
	transport := new(http.Transport)
	defer transport.CloseIdleConnections()
	res, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

func TestLimit(t *testing.T) {
	for _, c := range []struct {
		env, path string
		size      int
		code      int
		body      string
	}{
		{"", "/read", 0, 202, "0"},
		{"", "/read", 10485760, 202, "10485760"},
		{"", "/read", 10485761, 413, tooLarge},
		{"", "/ignore", 10485761, 204, ""},
		{"7", "/read", 7, 202, "7"},
		{"7", "/read", 8, 413, tooLarge},
		{"7", "/read", 100_000, 413, tooLarge},
		{"7", "/ignore", 100_000, 204, ""},
	} {
		s := registrytest.Serve(t, map[string]string{"PODINFO_BODY_LIMIT_BYTES": c.env}, new(bodylimit.Module), reader{})
		for _, chunked := range []bool{false, true} {
			var body io.Reader = strings.NewReader(strings.Repeat("x", c.size))
			if chunked {
				body = hidden{body}
			}
			req, err := http.NewRequest("POST", s.URL+c.path, body)
			if err != nil {
				t.Fatal(err)
			}
			res, got := do(t, req)
			if res.StatusCode != c.code || got != c.body {
				t.Errorf("limit %q, %d bytes to %s, chunked %v: %d %q", c.env, c.size, c.path, chunked, res.StatusCode, got)
			}
		}
	}
}

// exchange sends only the raw bytes and returns the response.
func exchange(t *testing.T, s *registrytest.Server, raw string, hangUp bool) (*http.Response, string) {
	t.Helper()
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, raw); err != nil {
		t.Fatal(err)
	}
	if hangUp {
		conn.(*net.TCPConn).CloseWrite()
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

func TestCutShort(t *testing.T) {
	s := registrytest.Serve(t, nil, new(bodylimit.Module), reader{})
	for _, raw := range []string{
		"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc",
		"POST /read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
		"POST /read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
	} {
		if res, body := exchange(t, s, raw, true); res.StatusCode != 400 || body != invalid {
			t.Errorf("%q: %d %q", raw, res.StatusCode, body)
		}
	}
}

// TestRefusesBeforeTheBody checks that a body that is declared too large is
// rejected without waiting for it, with and without "Expect: 100-continue".
func TestRefusesBeforeTheBody(t *testing.T) {
	s := registrytest.Serve(t, nil, new(bodylimit.Module), reader{})
	raw := "POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 10485761\r\n"
	for _, rest := range []string{"Expect: 100-continue\r\n\r\n", "\r\nabc"} {
		if res, body := exchange(t, s, raw+rest, false); res.StatusCode != 413 || body != tooLarge {
			t.Errorf("%q: %d %q", rest, res.StatusCode, body)
		}
	}
}

// TestRefusalArrives checks that a client that is still sending receives the
// 413, also when the connection is closed after it.
func TestRefusalArrives(t *testing.T) {
	s := registrytest.Serve(t, nil, new(bodylimit.Module), reader{})
	for range 10 {
		req, err := http.NewRequest("POST", s.URL+"/read", strings.NewReader(strings.Repeat("x", 10485761)))
		if err != nil {
			t.Fatal(err)
		}
		req.Close = true
		if res, body := do(t, req); res.StatusCode != 413 || body != tooLarge {
			t.Errorf("%d %q", res.StatusCode, body)
		}
	}
}

// body records that it was closed.
type body struct {
	io.Reader
	closed bool
}

func (b *body) Close() error { b.closed = true; return nil }

func TestReplacedBody(t *testing.T) {
	m := &bodylimit.Module{Bytes: 7}
	original := &body{Reader: strings.NewReader("12345678")}
	r := httptest.NewRequest("POST", "/", nil)
	r.Body, r.ContentLength = original, 8
	m.ServeHTTP(httptest.NewRecorder(), r, func(_ http.ResponseWriter, inner *http.Request) {
		_, err := io.ReadAll(inner.Body)
		if e, ok := errors.AsType[*http.MaxBytesError](err); !ok || e.Limit != 7 {
			t.Errorf("read: %v", err)
		}
		if err := inner.Body.Close(); err != nil || !original.closed {
			t.Errorf("close: %v, closed %v", err, original.closed)
		}
	})
	if r.Body != io.ReadCloser(original) {
		t.Error("the original request was changed")
	}
}

func TestNoAllocations(t *testing.T) {
	m := &bodylimit.Module{Bytes: 7}
	r := httptest.NewRequest("POST", "/", strings.NewReader("1234567"))
	next := func(http.ResponseWriter, *http.Request) {}
	if n := testing.AllocsPerRun(100, func() { m.ServeHTTP(nil, r, next) }); n != 0 {
		t.Errorf("%v allocations a request", n)
	}
}

func TestSettings(t *testing.T) {
	for _, v := range []string{"0", "-1", "10MiB"} {
		_, err := registry.New([]registry.Module{new(bodylimit.Module)}, registry.Env(map[string]string{"PODINFO_BODY_LIMIT_BYTES": v}))
		want := "PODINFO_BODY_LIMIT_BYTES=\"" + v + "\": want a number of bytes, at least 1"
		if err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", v, err, want)
		}
	}
}

package main

import (
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/seed-4591fe7d/podinfo/podinfotest"
	"github.com/seed-4591fe7d/podinfo/registry"

	"example.com/thirdparty/caching"
	"example.com/thirdparty/compress"
	"example.com/thirdparty/deadline"
	"example.com/thirdparty/hello"
	"example.com/thirdparty/hello/hellopb"
	"example.com/thirdparty/tea"
)

// Each module keeps the contract of the registry.
func TestContract(t *testing.T) {
	podinfotest.Check(t, new(hello.Module), "PODINFO_HELLO_NAME=you")
	podinfotest.Check(t, new(tea.Module))
	podinfotest.Check(t, new(compress.Module))
	podinfotest.Check(t, new(deadline.Module))
	podinfotest.Check(t, new(caching.Module))
}

// send returns the status, the header and the body of the response to a GET.
// headers are name, value pairs.
func send(t *testing.T, srv *podinfotest.Server, path string, headers ...string) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body := io.Reader(res.Body)
	if res.Header.Get("Content-Encoding") == "gzip" {
		if body, err = gzip.NewReader(body); err != nil {
			t.Fatal(err)
		}
	}
	b, err := io.ReadAll(body)
	if err != nil {
		t.Error(err)
	}
	return res.StatusCode, res.Header, string(b)
}

// Both halves of hello greet.
func TestHello(t *testing.T) {
	srv := podinfotest.Config{Modules: []registry.Module{new(hello.Module)}}.StartInMemory(t, "PODINFO_HELLO_NAME=you")
	if code, _, body := send(t, srv, "/hello"); code != 200 || !strings.Contains(body, `"hello": "you"`) {
		t.Error(code, body)
	}
	if res, err := hellopb.NewHelloServiceClient(srv.GRPC()).Hello(t.Context(), new(hellopb.HelloRequest)); res.GetHello() != "you" {
		t.Error(res, err)
	}
}

// Coffee is refused on a stock route, and before the token is checked.
func TestTea(t *testing.T) {
	srv := podinfotest.Config{Modules: []registry.Module{new(tea.Module)}}.StartInMemory(t,
		"PODINFO_JWT_ENABLED=true", "PODINFO_JWT_PATHS=/*", "PODINFO_JWT_SECRET="+strings.Repeat("k", 32))
	for additions, want := range map[string]int{"": 401, "milk": 418} {
		if code, _, body := send(t, srv, "/version", "Accept-Additions", additions); code != want {
			t.Errorf("additions %q: %d %s", additions, code, body)
		}
	}
}

func TestCompress(t *testing.T) {
	srv := podinfotest.Config{Modules: []registry.Module{new(compress.Module)}}.StartInMemory(t, "PODINFO_UI_MESSAGE="+strings.Repeat("hello ", 100))
	for _, c := range []struct{ path, accept, coding string }{
		{"/api/info", "gzip", "gzip"},
		{"/api/info", "br, GZIP;q=0.5", "gzip"},
		{"/api/info", "gzip;q=0", ""},
		{"/api/info", "br", ""},
		{"/nothing", "gzip", "gzip"}, // 404
		{"/store/none", "identity", ""},
	} {
		_, h, body := send(t, srv, c.path, "Accept-Encoding", c.accept)
		if h.Get("Content-Encoding") != c.coding || h.Get("Vary") != "Accept-Encoding" || body == "" {
			t.Errorf("%+v: %v %.20q", c, h, body)
		}
	}
}

// Inside a testing/synctest bubble the waits take no time.
func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := podinfotest.Config{Modules: []registry.Module{new(deadline.Module)}}.StartInMemory(t, "PODINFO_DEADLINE_AFTER=10s")
		for path, want := range map[string]int{"/delay/9": 200, "/delay/11": 503} {
			if code, _, body := send(t, srv, path); code != want {
				t.Errorf("%s: %d %s", path, code, body)
			}
		}
	})
}

// Zero is the default for nil, and zero for a pointer to zero or a variable.
func TestCaching(t *testing.T) {
	for _, c := range []struct {
		module *caching.Module
		env    []string
		want   string
	}{
		{new(caching.Module), nil, "max-age=60"},
		{&caching.Module{MaxAge: new(0)}, nil, "max-age=0"},
		{&caching.Module{MaxAge: new(5)}, nil, "max-age=5"},
		{new(caching.Module), []string{"PODINFO_CACHING_MAX_AGE=0"}, "max-age=0"},
	} {
		srv := podinfotest.Config{Modules: []registry.Module{c.module}}.StartInMemory(t, c.env...)
		if _, h, _ := send(t, srv, "/version"); h.Get("Cache-Control") != c.want {
			t.Errorf("%v: %s, want %s", c.env, h.Get("Cache-Control"), c.want)
		}
	}
}

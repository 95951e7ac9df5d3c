package echo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/internal/wait/waittest"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/budget"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEchoesByteForByte(t *testing.T) {
	s := registrytest.Serve(t, map[string]string{"PODINFO_UI_COLOR": "Teal"}, new(Module))
	for _, body := range []string{"", "hello", "\x00\xff<script>\r\n", strings.Repeat("x", 100<<10)} {
		for _, method := range []string{"GET", "POST", "BREW", "OPTIONS"} {
			for _, path := range []string{"/echo", "/echo/a/b", "/echo/", "/api/echo", "/api/echo/c"} {
				res, got := s.Call(t, method, path, body, "Content-Type", "text/html")
				if res.StatusCode != 202 || got != body {
					t.Errorf("%s %s: %d and %d bytes, want %d", method, path, res.StatusCode, len(got), len(body))
				}
				for k, want := range map[string]string{"X-Color": "Teal", "Content-Type": "application/octet-stream",
					"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'"} {
					if v := res.Header.Get(k); v != want {
						t.Errorf("%s %s: %s is %q", method, path, k, v)
					}
				}
			}
		}
	}
	if res, body := s.Call(t, "HEAD", "/echo", ""); res.StatusCode != 202 || body != "" {
		t.Errorf("HEAD: %d %q", res.StatusCode, body)
	}
}

// limit is a module that limits bodies to 4 bytes.
type limit struct{}

func (limit) Info() registry.Info { return registry.Info{Name: "limit", Phase: registry.Guard} }
func (limit) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	r.Body = http.MaxBytesReader(w, r.Body, 4)
	next(w, r)
}

func TestBodyErrors(t *testing.T) {
	for _, backends := range []string{"", "http://127.0.0.1:1"} {
		s := registrytest.Serve(t, map[string]string{"PODINFO_BACKEND_URL": backends}, limit{}, new(Module))
		if res, body := s.Call(t, "POST", "/echo", "12345"); res.StatusCode != 413 || !strings.Contains(body, `"code": 413`) {
			t.Errorf("too large: %d %q", res.StatusCode, body)
		}
		conn, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n")
		reply := make([]byte, len("HTTP/1.1 400"))
		if _, err := io.ReadFull(conn, reply); string(reply) != "HTTP/1.1 400" {
			t.Errorf("malformed body: %q, %v", reply, err)
		}
		conn.Close()
	}
}

// backend serves a mux on loopback.
func backend(t *testing.T, handlers map[string]http.HandlerFunc) *httptest.Server {
	mux := http.NewServeMux()
	for path, h := range handlers {
		mux.HandleFunc(path, h)
	}
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// fanOut calls /echo with backends at urls and decodes the response.
func fanOut(t *testing.T, env map[string]string, urls []string, method string, header ...string) []string {
	t.Helper()
	all := map[string]string{"PODINFO_BACKEND_URL": strings.Join(urls, ",")}
	for k, v := range env {
		all[k] = v
	}
	s := registrytest.Serve(t, all, new(Module))
	res, body := s.Call(t, method, "/api/echo/x", "ping", header...)
	var out []string
	if err := json.Unmarshal([]byte(body), &out); err != nil || res.StatusCode != 200 || res.Header.Get("X-Color") != "#34577c" {
		t.Errorf("%d %q %v", res.StatusCode, body, err)
	}
	if want, _ := reply.Encode(out); string(want) != body {
		t.Errorf("%q, want %q", body, want)
	}
	return out
}

func TestFanOut(t *testing.T) {
	describe := func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s", r.Method, body)
	}
	met := make(chan struct{})
	b := backend(t, map[string]http.HandlerFunc{
		"/say":   describe,
		"/empty": func(http.ResponseWriter, *http.Request) {},
		"/code":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(418) },
		"/see":   func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/say", http.StatusFound) },
		"/keep": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/say", http.StatusTemporaryRedirect)
		},
		"/fits":  func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, strings.Repeat("x", 100)) },
		"/large": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, strings.Repeat("x", 101)) },
		"/cut": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9")
			w.Write([]byte("x"))
		},
		// Each of these two waits for the other, so both must be called in parallel.
		"/left":  func(w http.ResponseWriter, r *http.Request) { met <- struct{}{}; describe(w, r) },
		"/right": func(w http.ResponseWriter, r *http.Request) { <-met; describe(w, r) },
	})
	urls := func(paths ...string) (out []string) {
		for _, p := range paths {
			out = append(out, b.URL+p)
		}
		return out
	}
	env := map[string]string{"PODINFO_BACKEND_MAX_BYTES": "100"}
	for _, method := range []string{"GET", "PUT"} {
		got := fanOut(t, env, urls("/left", "/right", "/say", "/empty", "/code", "/see", "/keep", "/fits", "/large", "/cut"), method)
		want := []string{
			"POST ping", "POST ping", "POST ping", "",
			"backend " + b.URL + "/code response status code 418",
			"backend " + b.URL + "/see response status code 302, redirects are not followed",
			"backend " + b.URL + "/keep response status code 307, redirects are not followed",
			strings.Repeat("x", 100),
			"backend " + b.URL + "/large call failed response larger than 100 bytes",
			"backend " + b.URL + "/cut call failed unexpected EOF",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(method, diff)
		}
	}
}

// TestBackendPaths sends the body to another server, under paths that are clean or
// not.
func TestBackendPaths(t *testing.T) {
	b := registrytest.Serve(t, nil, new(Module))
	got := fanOut(t, nil, []string{b.URL + "/echo", b.URL + "//echo", b.URL + "/x/../echo", b.URL + "/none"}, "POST")
	want := []string{
		"ping",
		"backend " + b.URL + "//echo response status code 308, redirects are not followed",
		"backend " + b.URL + "/x/../echo response status code 308, redirects are not followed",
		"backend " + b.URL + "/none response status code 404",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestFailuresAreRedacted(t *testing.T) {
	closed := httptest.NewServer(nil)
	closed.Close()
	for _, c := range []struct{ url, want string }{
		{"http://user:hush@HOST", "http://user:REDACTED@HOST"},
		{"http://HOST/?api_key=hush&x=1", "http://HOST/?api_key=REDACTED&x=REDACTED"},
		{"http://user:hush@HOST/?a=hush", "http://user:REDACTED@HOST/?a=REDACTED"},
	} {
		got := fanOut(t, nil, []string{strings.Replace(c.url, "HOST", closed.Listener.Addr().String(), 1)}, "POST")[0]
		want := strings.Replace(c.want, "HOST", closed.Listener.Addr().String(), 1)
		if !strings.HasPrefix(got, "backend "+want+" call failed Post ") || !strings.HasSuffix(got, "connection refused") || strings.Contains(got, "hush") {
			t.Error(got)
		}
	}
	b := backend(t, map[string]http.HandlerFunc{"/": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }})
	if got, want := fanOut(t, nil, []string{b.URL + "/?api_key=hush"}, "POST")[0], "backend "+b.URL+"/?api_key=REDACTED response status code 500"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestRefusedURLIsNotShown gives backends with a password that is not
// percent-encoded. Some parse as a host and a port.
func TestRefusedURLIsNotShown(t *testing.T) {
	for _, url := range []string{"http://u:12#hush@h/", "http://u:12/hush@h/", "http://u:12?hush@h/", "http://u:hush#x@h/", "http://u:hu sh@h/", "u:hush@h", "ftp://u:hush@h"} {
		_, err := registry.New([]registry.Module{new(Module)}, registry.Env(map[string]string{"PODINFO_BACKEND_URL": url}))
		if err == nil || !strings.Contains(err.Error(), "REDACTED") || !strings.Contains(err.Error(), `": want a comma-separated list of http and https URLs; percent-encode`) || strings.Contains(err.Error(), "hu") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestUnparsableURLIsAnError(t *testing.T) {
	m := &Module{MaxBytes: 1}
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := m.call(t.Context(), "http://u:hush@a b", nil, new(budget.Buffer), new(budget.Buffer)).Error(); !strings.HasPrefix(got, "backend http://u:REDACTED@a b call failed ") || strings.Contains(got, "hush") {
		t.Error(got)
	}
}

func TestClientTimeout(t *testing.T) {
	b := backend(t, map[string]http.HandlerFunc{"/": func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}})
	got := fanOut(t, map[string]string{"PODINFO_HTTP_CLIENT_TIMEOUT": "20ms"}, []string{b.URL}, "POST")[0]
	if !strings.HasPrefix(got, "backend "+b.URL+" call failed ") || !strings.Contains(got, "Timeout exceeded") {
		t.Error(got)
	}
}

func TestHeaders(t *testing.T) {
	seen := make(chan http.Header, 1)
	b := backend(t, map[string]http.HandlerFunc{"/": func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header }})
	var sent []string
	want := http.Header{"X-Api-Version": {"1.2.3"}, "X-Api-Revision": {"abc"}}
	for _, k := range []string{"x-request-id", "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled", "x-b3-flags", "b3",
		"x-ot-span-context", "traceparent", "tracestate", "baggage"} {
		sent = append(sent, k, "1-"+k, k, "2-"+k)
		want[http.CanonicalHeaderKey(k)] = []string{"1-" + k, "2-" + k}
	}
	fanOut(t, nil, []string{b.URL}, "POST", append(sent, "Authorization", "Bearer x", "Cookie", "a=b", "Content-Type", "text/plain",
		"X-API-Version", "spoof")...)
	got := <-seen
	for _, transport := range []string{"User-Agent", "Content-Length", "Accept-Encoding"} {
		got.Del(transport)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestEndsWhenTheClientDisconnects(t *testing.T) {
	called, ended := make(chan struct{}), make(chan struct{})
	b := backend(t, map[string]http.HandlerFunc{"/": func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		close(called)
		<-r.Context().Done()
		close(ended)
	}})
	s := registrytest.Serve(t, map[string]string{"PODINFO_BACKEND_URL": b.URL}, new(Module))
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi")
	<-called
	conn.Close()
	<-ended
}

// slow is a module that replaces every call of a backend by a response after a
// minute.
type slow struct{}

func (slow) Info() registry.Info                                     { return registry.Info{Name: "slow"} }
func (slow) TraceTransport(next http.RoundTripper) http.RoundTripper { return slowTrip{next} }

type slowTrip struct{ next http.RoundTripper }

func (s slowTrip) RoundTrip(r *http.Request) (*http.Response, error) {
	defer r.Body.Close()
	if _, ok := s.next.(*http.Transport); !ok || !registry.Sleep(r.Context(), time.Minute) {
		return nil, errors.New("next is not the module's transport, or the call was canceled")
	}
	rec := httptest.NewRecorder()
	fmt.Fprint(rec, "late")
	return rec.Result(), nil
}

func TestRespondsAfterTheWriteTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app, _ := registrytest.New(t, map[string]string{"PODINFO_BACKEND_URL": "http://b"}, new(Module), slow{})
		res, err := waittest.Serve(t, app, 2*time.Second).Post("http://test/echo", "", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if body, err := io.ReadAll(res.Body); string(body) != "[\n  \"late\"\n]" {
			t.Errorf("%q, %v", body, err)
		}
	})
}

func TestSettings(t *testing.T) {
	for _, bad := range []string{
		"PODINFO_BACKEND_URL=backend:9898", "PODINFO_BACKEND_URL=ftp://backend", "PODINFO_BACKEND_URL=http://",
		"PODINFO_BACKEND_URL=http://:80", "PODINFO_BACKEND_URL=http://a,/b", "PODINFO_BACKEND_URL=http://a b",
		"PODINFO_HTTP_CLIENT_TIMEOUT=0s", "PODINFO_BACKEND_MAX_BYTES=0",
	} {
		key, value, _ := strings.Cut(bad, "=")
		_, err := registry.New([]registry.Module{new(Module)}, registry.Env(map[string]string{key: value}))
		if e, ok := errors.AsType[*registry.SettingError](err); !ok || e.Key != key {
			t.Errorf("%s: %v", bad, err)
		}
	}
	m := new(Module)
	registrytest.New(t, map[string]string{"PODINFO_BACKEND_URL": "http://a:9898/echo, https://[::1]/"}, m)
	if !slices.Equal(m.Backends, []string{"http://a:9898/echo", "https://[::1]/"}) {
		t.Error(m.Backends)
	}
}

// discard is a ResponseWriter that can be reused.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}

// TestAllocations compares an App with a plain handler.
func TestAllocations(t *testing.T) {
	app, _ := registrytest.New(t, nil, new(Module))
	plain := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Write(b)
	})
	body := bytes.NewReader([]byte("hello"))
	count := func(h http.Handler) float64 {
		w, r := discard{http.Header{}}, httptest.NewRequestWithContext(context.Background(), "POST", "/echo", body)
		return testing.AllocsPerRun(200, func() {
			body.Seek(0, io.SeekStart)
			h.ServeHTTP(w, r)
		})
	}
	if a, b := count(app), count(plain); a > b+2 {
		t.Errorf("%v allocations, a plain handler has %v", a, b)
	}
}

func BenchmarkEcho(b *testing.B) {
	app, _ := registrytest.New(b, nil, new(Module))
	body := bytes.NewReader([]byte("hello"))
	w, r := discard{http.Header{}}, httptest.NewRequest("POST", "/echo", body)
	b.ReportAllocs()
	for b.Loop() {
		body.Seek(0, io.SeekStart)
		app.ServeHTTP(w, r)
	}
}

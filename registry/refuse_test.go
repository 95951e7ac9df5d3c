package registry_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// send sends the head of a request as it is and returns the response.
func send(t *testing.T, addr, head string) (*http.Response, string) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, head+"\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
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

func TestTargetsThatAreNoPaths(t *testing.T) {
	s := registrytest.Serve(t, nil, endpoint("e", get("GET", "/a"), get("PUT", "/b"), get("", "/any/{x...}"), get("", "/")))
	for _, c := range []struct {
		head  string
		code  int
		allow string
	}{
		{"CONNECT example.com:443 HTTP/1.1", 405, "GET, HEAD, OPTIONS, PUT"},
		{"CONNECT /any/x HTTP/1.1", 405, "GET, HEAD, OPTIONS, PUT"},
		{"CONNECT / HTTP/1.1", 405, "GET, HEAD, OPTIONS, PUT"},
		{"PRI * HTTP/2.0", 405, "OPTIONS"},
		{"PRI * HTTP/1.1", 405, "OPTIONS"},
		{"GET * HTTP/1.1", 405, "OPTIONS"},
		{"OPTIONS * HTTP/1.1", 200, ""},
		{"GET http://x/a HTTP/1.1", 200, ""},
		{"BREW /any/x HTTP/1.1", 200, ""},
	} {
		res, body := send(t, s.Listener.Addr().String(), c.head)
		if res.StatusCode != c.code || res.Header.Get("Allow") != c.allow || res.Header.Get("Location") != "" {
			t.Errorf("%s: %d %v", c.head, res.StatusCode, res.Header)
		}
		if c.code == 405 && body != problem(405, "method not allowed; use one of "+c.allow) {
			t.Errorf("%s: %s", c.head, body)
		}
	}
}

// TestRedirectsKeepTheRequest follows path corrections with the client of
// net/http, which repeats the method and the body only after a 308.
func TestRedirectsKeepTheRequest(t *testing.T) {
	echo := func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s?%s ", r.Method, r.URL.Path, r.URL.RawQuery)
		io.Copy(w, r.Body)
	}
	for _, prefix := range []string{"", "/foo"} {
		s := registrytest.Serve(t, map[string]string{"PODINFO_PREFIX": prefix}, endpoint("e", registry.Route{Path: "/echo", Handler: echo}))
		for _, c := range []struct {
			method, path string
			code         int
			want         string
		}{
			{"GET", "//echo", 301, "GET " + prefix + "/echo?"},
			{"HEAD", "//echo", 301, ""},
			{"POST", "//echo?a=b//c", 308, "POST " + prefix + "/echo?a=b//c hello"},
			{"PUT", "/x/../echo", 308, "PUT " + prefix + "/echo? hello"},
			{"PATCH", "/./echo", 308, "PATCH " + prefix + "/echo? hello"},
			{"DELETE", "/x/..%2fecho", 308, "DELETE " + prefix + "/echo? hello"},
			{"OPTIONS", "//echo", 308, "OPTIONS " + prefix + "/echo? hello"},
			{"BREW", "//echo", 308, "BREW " + prefix + "/echo? hello"},
		} {
			var codes []int
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
				codes = append(codes, r.Response.StatusCode)
				return nil
			}}
			body := ""
			if c.code == 308 {
				body = "hello"
			}
			req, err := http.NewRequest(c.method, s.URL+prefix+c.path, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			res, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			got, _ := io.ReadAll(res.Body)
			res.Body.Close()
			if len(codes) != 1 || codes[0] != c.code || strings.TrimSpace(string(got)) != c.want {
				t.Errorf("%s %s: %v, %q", c.method, c.path, codes, got)
			}
		}
	}
}

// pager shows errors as pages to requests with the header Page.
type pager struct{ plain }

func (pager) ServeErrorPage(w http.ResponseWriter, r *http.Request, code int, message string) bool {
	if r.Header.Get("Page") == "" {
		return false
	}
	w.WriteHeader(code)
	fmt.Fprint(w, "page: ", message)
	return true
}

// breaker fails every request.
type breaker struct {
	plain
	host *registry.Host
}

func (b *breaker) Provision(h *registry.Host) error { b.host = h; return nil }
func (b *breaker) ServeHTTP(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
	b.host.Error(w, r, http.StatusTeapot, "broken")
}

func TestErrors(t *testing.T) {
	for state, page := range map[string]bool{"true": true, "standby": false, "false": false} {
		refusing := get("GET", "/when")
		refusing.When = func(r *http.Request) bool { return r.Header.Get("Accept") != "" }
		s := registrytest.Serve(t, map[string]string{"PODINFO_PAGER_ENABLED": state},
			&pager{plain{info: registry.Info{Name: "pager"}}}, newMark("see", registry.Observe, false),
			&breaker{plain: plain{info: registry.Info{Name: "breaker", Phase: registry.Fault}}}, endpoint("e", get("GET", "/a"), refusing))
		for _, c := range []struct {
			method, path string
			code         int
			message      string
		}{
			{"GET", "/a", 418, "broken"},
			{"GET", "/none", 404, "page not found"},
			{"GET", "/when", 404, "page not found"},
			{"POST", "/when", 405, "method not allowed; use one of GET, HEAD, OPTIONS"},
			{"POST", "/a", 405, "method not allowed; use one of GET, HEAD, OPTIONS"},
		} {
			res, body := s.Call(t, c.method, c.path, "")
			if res.StatusCode != c.code || body != problem(c.code, c.message) || res.Header.Get("Content-Type") != "application/json; charset=utf-8" ||
				res.Header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s %s: %d %q %v", c.method, c.path, res.StatusCode, body, res.Header)
			}
			if res.Header.Get("X-Chain") != "see" {
				t.Errorf("%s %s passed no middleware: %v", c.method, c.path, res.Header)
			}
			want := problem(c.code, c.message)
			if page {
				want = "page: " + c.message
			}
			if res, body := s.Call(t, c.method, c.path, "", "Page", "1"); res.StatusCode != c.code || body != want {
				t.Errorf("%s: %s %s: %d %q, want %q", state, c.method, c.path, res.StatusCode, body, want)
			}
		}
	}
}

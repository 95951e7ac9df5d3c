package proxy_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// breaking starts a service that closes the connection when /break arrives on it as a
// request other than the first one, as if the connection had been idle for too long, and
// always when /always arrives. It sends the paths of the requests.
func breaking(t *testing.T) (addr string, paths chan string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	paths = make(chan string, 20)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				in := bufio.NewReader(conn)
				for n := 0; ; n++ {
					r, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					io.Copy(io.Discard, r.Body)
					paths <- r.URL.Path
					if r.URL.Path == "/break" && n > 0 || r.URL.Path == "/always" {
						return
					}
					io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				}
			}()
		}
	}()
	return l.Addr().String(), paths
}

// TestReuse checks that a connection which the service closes when it is used again
// is to the client what it is behind a bare ReverseProxy. A request is sent again
// only then.
func TestReuse(t *testing.T) {
	for _, c := range []struct {
		requests string
		want     string // paths that arrive
		ends     string // how the requests end
		idle     string // the setting, "" for the default
	}{
		{"GET /keep,GET /break,GET /keep", "/keep /break /break /keep", "200 200 200", ""},
		{"GET /keep,HEAD /break", "/keep /break /break", "200 200", ""},
		{"GET /keep,POST /break", "/keep /break", "200 cut", ""},
		{"GET /keep,POST /break body", "/keep /break", "200 cut", ""},
		{"GET /always", "/always", "cut", ""},
		{"GET /keep,GET /always", "/keep /always /always", "200 cut", ""},
		{"GET /keep,GET /break", "/keep /break", "200 200", "0"},
		{"GET /keep,GET /always", "/keep /always", "200 cut", "0"},
	} {
		addr, paths := breaking(t)
		tr := &http.Transport{DisableKeepAlives: c.idle == "0"}
		defer tr.CloseIdleConnections()
		bare := httptest.NewServer(&httputil.ReverseProxy{
			Transport: tr,
			Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: addr}) },
			ErrorHandler: func(http.ResponseWriter, *http.Request, error) {
				panic(http.ErrAbortHandler)
			},
		})
		defer bare.Close()
		var env []string
		if c.idle != "" {
			env = []string{"PODINFO_PROXY_IDLE_TIMEOUT", c.idle}
		}
		for name, front := range map[string]string{"bare": bare.URL, "module": front(t, "http://"+addr, env...).URL} {
			var ends []string
			for request := range strings.SplitSeq(c.requests, ",") {
				method, rest, _ := strings.Cut(request, " ")
				path, body, _ := strings.Cut(rest, " ")
				ends = append(ends, bodyEnd(t, method, front+path, body))
			}
			var got []string
			for len(paths) > 0 {
				got = append(got, <-paths)
			}
			if diff := cmp.Diff([]string{c.want, c.ends}, []string{strings.Join(got, " "), strings.Join(ends, " ")}); diff != "" {
				t.Errorf("%s %s, idle timeout %q: %s", name, c.requests, c.idle, diff)
			}
		}
	}
}

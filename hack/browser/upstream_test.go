package browser

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
)

// upstreamInfo is what upstream 6.14.1 responded to GET /api/info.
const upstreamInfo = `{
  "hostname": "podinfo-upstream",
  "version": "6.14.1",
  "revision": "unknown",
  "color": "#34577c",
  "logo": "https://raw.githubusercontent.com/stefanprodan/podinfo/gh-pages/cuddle_clap.gif",
  "message": "greetings from podinfo v6.14.1",
  "goos": "linux",
  "goarch": "amd64",
  "runtime": "go1.26.8",
  "num_goroutine": "7",
  "num_cpu": "2"
}`

// upstream responds like upstream 6.14.1, as far as the page requests something.
func upstream(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/api/info" {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = io.WriteString(w, upstreamInfo)
}

// TestUpstreamResponds opens the page while a pod of upstream responds to every
// second request for data and for files, as during a migration, and then to all of
// them.
func TestUpstreamResponds(t *testing.T) {
	t.Parallel()
	ours, err := url.Parse(start(t).url)
	if err != nil {
		t.Fatal(err)
	}
	forward := httputil.NewSingleHostReverseProxy(ours)
	forward.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, err error) {
		http.Error(w, fmt.Sprint("no backend: ", err), http.StatusBadGateway)
	}
	var gone atomic.Bool // whether only upstream is left
	var count, files atomic.Int64
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if gone.Load() || r.URL.Path == "/api/info" && count.Add(1)%2 == 0 || strings.HasPrefix(r.URL.Path, "/ui/assets/") && files.Add(1)%2 == 1 {
			upstream(w, r)
			return
		}
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { front.CloseClientConnections(); front.Close() })

	p := open(t, front.URL, desktop)
	p.allowFailures()
	p.waitLoaded()
	p.waitText("pod-responses", "version 6.14.1 started responding")
	p.waitText("pod-responses", "6.15.0")

	gone.Store(true)
	front.CloseClientConnections() // the events end
	p.waitFor(`[...document.querySelectorAll('pod-responses [title]')].slice(-3).every((e) => e.title.includes('6.14.1 podinfo-upstream'))`)
	p.waitText("#connection", "no connection")
}

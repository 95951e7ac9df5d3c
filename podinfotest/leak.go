package podinfotest

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Watch returns rt with the bodies of its responses watched: one that is neither
// closed nor read to its end when the test ends fails it by name, and is closed, as
// it would otherwise hold its connection, and end a testing/synctest bubble in a
// deadlock. The clients that [Server.Client] returns are watched. Use Watch for a
// client with its own transport.
func (s *Server) Watch(rt http.RoundTripper) http.RoundTripper { return s.bodies.watch(rt) }

// bodies is a transport that watches the bodies of its responses.
type bodies struct {
	http.RoundTripper
	*watched
}

// watched are the bodies that have been handed out.
type watched struct {
	mu      sync.Mutex
	open    map[*body]struct{}
	numbers map[string]int // of the latest request, by method and path
	others  []http.RoundTripper
}

func newBodies(rt http.RoundTripper) *bodies {
	return &bodies{rt, &watched{open: map[*body]struct{}{}, numbers: map[string]int{}}}
}

func (b *bodies) watch(rt http.RoundTripper) http.RoundTripper {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.others = append(b.others, rt)
	return &bodies{rt, b.watched}
}

// RoundTrip implements http.RoundTripper.
func (b *bodies) RoundTrip(r *http.Request) (*http.Response, error) {
	what := r.Method + " " + r.URL.Path
	if r.Method == "" {
		what = "GET " + r.URL.Path
	}
	b.mu.Lock()
	b.numbers[what]++
	n := b.numbers[what]
	b.mu.Unlock()
	res, err := b.RoundTripper.RoundTrip(r)
	if err != nil || res.Body == http.NoBody || res.StatusCode == http.StatusSwitchingProtocols {
		return res, err
	}
	x := &body{ReadCloser: res.Body, what: fmt.Sprintf("%s #%d", what, n), by: caller(), of: b.watched}
	b.mu.Lock()
	b.open[x] = struct{}{}
	b.mu.Unlock()
	res.Body = x
	return res, nil
}

// CloseIdleConnections implements what http.Client.CloseIdleConnections calls.
func (b *bodies) CloseIdleConnections() { closeIdle(b.RoundTripper) }

func closeIdle(rt http.RoundTripper) {
	if c, ok := rt.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// body is the body of a response.
type body struct {
	io.ReadCloser
	what string // the request: "GET /orders #1"
	by   string // the line that sent it
	of   *watched
}

// Read implements io.Reader. After the end, or an error, net/http has let the
// connection go.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.done()
	}
	return n, err
}

// Close implements io.Closer.
func (b *body) Close() error {
	b.done()
	return b.ReadCloser.Close()
}

func (b *body) done() {
	b.of.mu.Lock()
	defer b.of.mu.Unlock()
	delete(b.of.open, b)
}

// caller returns the line outside of net/http and this file that sent a request.
func caller() string {
	pcs := make([]uintptr, 32)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)])
	for {
		f, more := frames.Next()
		if !strings.HasPrefix(f.Function, "net/http.") && f.File != "" {
			return fmt.Sprintf("%s:%d", f.File[strings.LastIndexByte(f.File, '/')+1:], f.Line)
		}
		if !more {
			return ""
		}
	}
}

// leakPatience is how long, over real time, goroutines of a client may take to close
// a body after the server has cut its connection.
const leakPatience = time.Second

// end reports the bodies that are open, and closes them.
func (b *bodies) end(t testing.TB, inBubble bool) {
	t.Helper()
	if inBubble {
		synctest.Wait() // until the goroutines that still read have seen the end
	}
	for wait := time.Millisecond; !inBubble && wait < leakPatience && len(b.left()) > 0; wait *= 2 {
		time.Sleep(wait)
	}
	left := b.left()
	for _, x := range left {
		t.Errorf("%s: body never closed; call Body.Close on every response, also before a retry (sent at %s)", x.what, x.by)
		x.Close()
	}
	b.mu.Lock()
	others := slices.Clone(b.others)
	b.mu.Unlock()
	for _, rt := range others {
		closeIdle(rt)
	}
}

// left returns the open bodies in the order of their requests.
func (w *watched) left() (out []*body) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for x := range w.open {
		out = append(out, x)
	}
	slices.SortFunc(out, func(a, b *body) int { return strings.Compare(a.what, b.what) })
	return out
}

package podinfotest

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"

	"github.com/seed-4591fe7d/podinfo/registry"
)

// resultKey is the key of the error of a handler, in the context of a request.
type resultKey struct{}

// flush responds in two parts.
func flush(w http.ResponseWriter, r *http.Request) {
	io.WriteString(w, "one\n")
	tell(r, http.NewResponseController(w).Flush())
	io.WriteString(w, "two\n")
}

// hijack takes the connection over, as a WebSocket does.
func hijack(w http.ResponseWriter, r *http.Request) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if tell(r, err); err == nil {
		conn.Close()
	}
}

// tell stores the error of a handler for [checker.writers].
func tell(r *http.Request, err error) {
	if result, ok := r.Context().Value(resultKey{}).(*error); ok {
		*result = err
	}
}

// whole is a response writer with everything that those of net/http have.
type whole struct{ *httptest.ResponseRecorder }

// Hijack implements http.Hijacker.
func (whole) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	client, server := net.Pipe()
	client.Close()
	return server, bufio.NewReadWriter(bufio.NewReader(server), bufio.NewWriter(server)), nil
}

// writers reports middleware whose response writer cannot be flushed or taken over.
// Middleware that needs the whole response leaves out streams and upgrades.
func (c *checker) writers(app *registry.App) {
	if !c.wraps() {
		return
	}
	for path, what := range map[string]string{flushedPath: "flushed", hijackedPath: "taken over (Hijack), as a WebSocket does"} {
		var result error
		c.safely("GET "+path, func() {
			ctx, cancel := context.WithTimeout(context.WithValue(context.Background(), resultKey{}, &result), glance)
			defer cancel()
			r := httptest.NewRequestWithContext(ctx, http.MethodGet, path, nil)
			if path == hijackedPath {
				r.Header.Set("Connection", "Upgrade")
				r.Header.Set("Upgrade", "websocket")
			}
			serve(app, whole{httptest.NewRecorder()}, r)
		})
		if errors.Is(result, http.ErrNotSupported) {
			c.errorf("GET %s: the ResponseWriter that it passes to next cannot be %s: add the method Unwrap() http.ResponseWriter, or wrap it by reply.NewWriter", path, what)
		}
	}
}

// atOnce is how many requests Check sends at the same time.
const atOnce = 4

// together sends the requests at the same time, for the race detector.
func (c *checker) together(app *registry.App) {
	var all sync.WaitGroup
	for _, q := range c.requests(app) {
		if c.skip[q] {
			continue
		}
		for range atOnce {
			all.Go(func() { c.sendOnce(app, q, "") })
		}
	}
	all.Wait()
}

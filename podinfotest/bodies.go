package podinfotest

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"

	"github.com/seed-4591fe7d/podinfo/registry"
)

// bodyRoutes serves the responses that middleware which changes bodies easily
// breaks.
type bodyRoutes struct{}

const (
	encodedPath   = "/podinfotest/encoded"
	emptyPath     = "/podinfotest/no-content"
	unchangedPath = "/podinfotest/not-modified"
	measuredPath  = "/podinfotest/plain"
	flushedPath   = "/podinfotest/flushed"
	hijackedPath  = "/podinfotest/hijacked"
)

// callsKey is the key of the number of calls of a handler, in the context of a
// request.
type callsKey struct{}

// Info describes the module.
func (*bodyRoutes) Info() registry.Info {
	return registry.Info{Name: "podinfotest-bodies", Doc: "Serve responses that are hard to change correctly."}
}

// Routes declares one route for each response.
func (*bodyRoutes) Routes() []registry.Route {
	route := func(path string, h http.HandlerFunc) registry.Route {
		return registry.Route{Method: http.MethodGet, Path: path, Handler: func(w http.ResponseWriter, r *http.Request) {
			if calls, ok := r.Context().Value(callsKey{}).(*atomic.Int64); ok {
				calls.Add(1)
			}
			h(w, r)
		}}
	}
	text := []byte(strings.Repeat("podinfotest ", 500)) // long enough to be worth compressing
	return []registry.Route{
		route(encodedPath, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Header().Set("Content-Type", "text/plain")
			z := gzip.NewWriter(w)
			z.Write(text)
			z.Close()
		}),
		route(measuredPath, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(text)))
			w.Header().Set("Content-Type", "text/plain")
			w.Write(text)
		}),
		route(emptyPath, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }),
		stream(route(flushedPath, flush)),
		stream(route(hijackedPath, hijack)),
		route(unchangedPath, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) }),
	}
}

// stream marks a route as one whose response must not be held back.
func stream(rt registry.Route) registry.Route {
	rt.Stream = true
	return rt
}

// bodies sends the requests of a client that accepts gzip, and compares each
// response's body with its header.
func (c *checker) bodies(app *registry.App) {
	all := append(c.requests(app), c.bodiless(app)...)
	if c.wraps() {
		for _, path := range []string{encodedPath, measuredPath, emptyPath, unchangedPath} {
			all = append(all, request{http.MethodGet, path, ""})
		}
	}
	for _, q := range all {
		rec := c.send(app, q, "gzip")
		if rec == nil {
			continue
		}
		if problem := mismatch(rec.Result().Header, rec.Code, rec.Body.Bytes(), q.path); problem != "" {
			c.errorf("%s: %s", q, problem)
		}
	}
}

// bodiless returns requests for the module's other routes that declare a response
// without a body.
func (c *checker) bodiless(app *registry.App) (out []request) {
	for _, rt := range app.Mounted() {
		_, none := rt.Returns[http.StatusNoContent]
		if rt.Module == c.name && none && (rt.Method != http.MethodGet || strings.Contains(rt.Pattern, "{")) {
			out = append(out, request{cmp.Or(rt.Method, http.MethodGet), wildcard.ReplaceAllString(rt.Pattern, "podinfotest"), ""})
		}
	}
	return out
}

var wildcard = regexp.MustCompile(`\{[^}]*\}`)

// mismatch says how the body of the response for a path contradicts its header,
// "" if it does not.
func mismatch(h http.Header, status int, body []byte, path string) string {
	if status == http.StatusNoContent || status == http.StatusNotModified {
		if len(body) > 0 {
			return fmt.Sprintf("a response with status %d and a body of %d bytes: write no body", status, len(body))
		}
		return ""
	}
	if length := h.Get("Content-Length"); length != "" && length != fmt.Sprint(len(body)) {
		return fmt.Sprintf("Content-Length %s and a body of %d bytes: remove Content-Length when you change the body", length, len(body))
	}
	coding := strings.Join(h.Values("Content-Encoding"), ", ")
	var err error
	if coding == "gzip" {
		body, err = gunzip(body)
	}
	switch {
	case err != nil:
		return fmt.Sprintf("the body does not match Content-Encoding %q: %v", coding, err)
	case coding == "" && isGzip(body) && (path == encodedPath || path == measuredPath):
		return "the body is encoded with gzip, and Content-Encoding does not say so: set the header, or leave it"
	case path == encodedPath && (coding != "" && coding != "gzip" || isGzip(body)):
		return fmt.Sprintf("a response that is encoded already is encoded again, with Content-Encoding %q: leave a response that has a Content-Encoding as it is", coding)
	}
	return ""
}

// isGzip reports whether b begins as a gzip file (RFC 1952, 2.3.1).
func isGzip(b []byte) bool { return bytes.HasPrefix(b, []byte{0x1f, 0x8b}) }

func gunzip(b []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

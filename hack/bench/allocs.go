package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"

	"github.com/sirupsen/logrus"

	"github.com/seed-4591fe7d/podinfo"
	"github.com/seed-4591fe7d/podinfo/internal/jsonlog"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// allocations returns a table of what the handlers allocate for a request, without
// net/http's server. The figures are exact.
func allocations() (string, error) {
	handlers := []http.Handler{bareMux()}
	for _, env := range []map[string]string{{}, {"PODINFO_ACCESS_LOG_LEVEL": "info"}} {
		log := logrus.New()
		log.SetFormatter(jsonlog.Formatter{})
		log.SetOutput(jsonlog.NewWriter(io.Discard))
		env["PODINFO_CACHE_ENABLED"] = "true"
		app, err := podinfo.New(registry.Env(env), registry.Logger(log))
		if err != nil {
			return "", err
		}
		handlers = append(handlers, app)
	}
	var b strings.Builder
	b.WriteString("| Request | Allocations of bare | podinfo | with the access log | Bytes of bare | podinfo | with the access log |\n|---|--:|--:|--:|--:|--:|--:|\n")
	for _, q := range requests() {
		var counts, bytes []string
		for _, h := range handlers {
			n, size := allocated(h, q)
			counts, bytes = append(counts, fmt.Sprint(n)), append(bytes, fmt.Sprint(size))
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", q.name, strings.Join(counts, " | "), strings.Join(bytes, " | "))
	}
	return b.String(), nil
}

// allocated returns how often the handler allocates for a request, and how many bytes.
func allocated(h http.Handler, q request) (n, bytes uint64) {
	w := &discard{header: http.Header{}}
	body := strings.NewReader(q.body)
	r := httptest.NewRequest(q.method, q.path, body)
	serve := func(times uint64) {
		for range times {
			clear(w.header)
			body.Reset(q.body)
			h.ServeHTTP(w, r)
		}
	}
	const times = 500
	serve(times) // fills the pools
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	serve(times)
	runtime.ReadMemStats(&after)
	return (after.Mallocs - before.Mallocs) / times, (after.TotalAlloc - before.TotalAlloc) / times
}

// discard is a response writer that keeps nothing.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}

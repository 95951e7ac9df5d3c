package record_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/urfave/negroni/v3"

	"github.com/seed-4591fe7d/podinfo/registry/record"
)

// plain is a writer without optional interfaces.
type plain struct{ http.ResponseWriter }

func TestOutcome(t *testing.T) {
	request := httptest.NewRequest("GET", "/", nil)
	for _, c := range []struct {
		what     string
		do       func(w http.ResponseWriter)
		returned bool
		status   int
		sent     int
	}{
		{"nothing written", func(http.ResponseWriter) {}, true, 200, 0},
		{"a status", func(w http.ResponseWriter) { w.WriteHeader(418); io.WriteString(w, "short") }, true, 418, 5},
		{"a panic", func(http.ResponseWriter) {}, false, 500, 0},
		{"a cut", func(w http.ResponseWriter) { io.WriteString(w, "short"); record.Cut(w, 3) }, false, record.StatusCut, 3},
		{"the last cut counts", func(w http.ResponseWriter) { record.Cut(w, 3); record.Cut(w, 1) }, true, record.StatusCut, 1},
		{"a cut below another writer", func(w http.ResponseWriter) { record.Cut(negroni.NewResponseWriter(w), 2) }, true, record.StatusCut, 2},
	} {
		w := negroni.NewResponseWriter(record.Wrap(httptest.NewRecorder()))
		c.do(w)
		if got, sent := record.Outcome(w, request, c.returned), record.Sent(w); got != c.status || sent != c.sent {
			t.Errorf("%s: %d and %d bytes, want %d and %d", c.what, got, sent, c.status, c.sent)
		}
	}
}

// Wrap must not add or hide optional interfaces.
func TestWrapKeepsTheFeaturesOfTheWriter(t *testing.T) {
	check := func(what string, w http.ResponseWriter) {
		t.Helper()
		wrapped := record.Wrap(w)
		for name, has := range map[string]func(http.ResponseWriter) bool{
			"Flusher":  func(w http.ResponseWriter) bool { _, ok := w.(http.Flusher); return ok },
			"Hijacker": func(w http.ResponseWriter) bool { _, ok := w.(http.Hijacker); return ok },
		} {
			if has(w) != has(wrapped) {
				t.Errorf("%s: %s is %v, want %v", what, name, has(wrapped), has(w))
			}
		}
	}
	check("plain", plain{httptest.NewRecorder()})
	check("recorder", httptest.NewRecorder())
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { check("HTTP/1.1", w) }))
	defer srv.Close()
	res, err := srv.Client().Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
}

func TestCutWithoutARecord(t *testing.T) {
	hidden := struct{ http.ResponseWriter }{record.Wrap(httptest.NewRecorder())}
	for _, w := range []http.ResponseWriter{httptest.NewRecorder(), hidden} {
		if record.Cut(w, 0) {
			t.Errorf("%T: a cut was recorded", w)
		}
	}
}

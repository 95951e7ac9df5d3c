package record_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/urfave/negroni/v3"

	"github.com/seed-4591fe7d/podinfo/registry/record"
)

// plain is a writer without optional interfaces.
type plain struct{ http.ResponseWriter }

// Serve must not add or hide optional interfaces.
func TestServeKeepsTheFeaturesOfTheWriter(t *testing.T) {
	check := func(what string, w http.ResponseWriter) {
		t.Helper()
		record.Serve(w, nil, func(wrapped http.ResponseWriter, _ *http.Request) {
			for name, has := range map[string]func(http.ResponseWriter) bool{
				"Flusher":  func(w http.ResponseWriter) bool { _, ok := w.(http.Flusher); return ok },
				"Hijacker": func(w http.ResponseWriter) bool { _, ok := w.(http.Hijacker); return ok },
			} {
				if has(w) != has(wrapped) {
					t.Errorf("%s: %s is %v, want %v", what, name, has(wrapped), has(w))
				}
			}
		})
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

// state is what a negroni.ResponseWriter tells about itself.
type state struct {
	Status, Size int
	Written      bool
}

func stateOf(w negroni.ResponseWriter) state { return state{w.Status(), w.Size(), w.Written()} }

// TestWriter checks that the writer behaves like negroni's.
func TestWriter(t *testing.T) {
	for what, do := range map[string]func(t *testing.T, w negroni.ResponseWriter, saw func(state)){
		"nothing":      func(*testing.T, negroni.ResponseWriter, func(state)) {},
		"status":       func(_ *testing.T, w negroni.ResponseWriter, _ func(state)) { w.WriteHeader(404) },
		"two statuses": func(_ *testing.T, w negroni.ResponseWriter, _ func(state)) { w.WriteHeader(404); w.WriteHeader(200) },
		"body":         func(_ *testing.T, w negroni.ResponseWriter, _ func(state)) { io.WriteString(w, "hello") },
		"status and body": func(_ *testing.T, w negroni.ResponseWriter, _ func(state)) {
			w.WriteHeader(201)
			io.WriteString(w, "hello")
		},
		"informational": func(_ *testing.T, w negroni.ResponseWriter, saw func(state)) {
			w.WriteHeader(103)
			saw(stateOf(w))
			w.WriteHeader(200)
		},
		"copy": func(t *testing.T, w negroni.ResponseWriter, _ func(state)) {
			if _, err := io.Copy(w, struct{ io.Reader }{strings.NewReader("copied")}); err != nil {
				t.Error(err)
			}
		},
		"flush": func(_ *testing.T, w negroni.ResponseWriter, saw func(state)) {
			w.(http.Flusher).Flush()
			saw(stateOf(w))
		},
		"before": func(_ *testing.T, w negroni.ResponseWriter, saw func(state)) {
			w.Before(func(w negroni.ResponseWriter) { w.Header().Add("Order", "first"); saw(stateOf(w)) })
			w.Before(func(w negroni.ResponseWriter) { w.Header().Add("Order", "second") })
			io.WriteString(w, "x")
		},
		"before sends": func(_ *testing.T, w negroni.ResponseWriter, _ func(state)) {
			w.Before(func(w negroni.ResponseWriter) { w.WriteHeader(418) })
			w.WriteHeader(200)
		},
	} {
		run := func(wrap func(http.ResponseWriter, func(negroni.ResponseWriter))) (all []state, sent []any) {
			rec := httptest.NewRecorder()
			wrap(rec, func(w negroni.ResponseWriter) {
				do(t, w, func(s state) { all = append(all, s) })
				all = append(all, stateOf(w))
			})
			return all, []any{rec.Code, rec.Body.String(), rec.Header(), rec.Flushed}
		}
		want, wantSent := run(func(w http.ResponseWriter, f func(negroni.ResponseWriter)) { f(negroni.NewResponseWriter(w)) })
		for range 2 { // the second time with a writer that was used before
			got, sent := run(func(w http.ResponseWriter, f func(negroni.ResponseWriter)) {
				record.Serve(w, nil, func(w http.ResponseWriter, _ *http.Request) { f(w.(negroni.ResponseWriter)) })
			})
			if diff := gocmp.Diff(want, got) + gocmp.Diff(wantSent, sent); diff != "" {
				t.Errorf("%s: %s", what, diff)
			}
		}
	}
}

// TestWriterIsNotUsedAgain checks that a writer is not used again while something may
// still use it: after a panic, and after the connection was taken over.
func TestWriterIsNotUsedAgain(t *testing.T) {
	var gone []http.ResponseWriter
	serve := func(do func(w http.ResponseWriter)) {
		defer func() { recover() }()
		record.Serve(hijackable{httptest.NewRecorder()}, nil, func(w http.ResponseWriter, _ *http.Request) {
			if slices.Contains(gone, w) {
				t.Error("a writer was used again")
			}
			do(w)
		})
	}
	for range 100 {
		serve(func(w http.ResponseWriter) { gone = append(gone, w); panic(http.ErrAbortHandler) })
		serve(func(w http.ResponseWriter) { gone = append(gone, w); hijack(w) })
		serve(func(http.ResponseWriter) {})
	}
}

func TestServeAllocatesNothing(t *testing.T) {
	for what, w := range map[string]http.ResponseWriter{"HTTP/1": hijackable{httptest.NewRecorder()}, "HTTP/2": httptest.NewRecorder(), "plain": plain{httptest.NewRecorder()}} {
		h := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }
		if n := testing.AllocsPerRun(1000, func() { record.Serve(w, nil, h) }); n != 0 {
			t.Errorf("%s: %v allocations", what, n)
		}
	}
}

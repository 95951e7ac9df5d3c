package record_test

import (
	"bufio"
	"cmp"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/urfave/negroni/v3"

	"github.com/seed-4591fe7d/podinfo/registry/record"
)

func TestOutcome(t *testing.T) {
	left, leave := context.WithCancel(t.Context())
	leave()
	cut, cutNow := context.WithCancelCause(t.Context())
	cutNow(record.ServerCut{})
	told, tell := context.WithCancelCause(t.Context())
	tell(record.ServerCut{Status: 503})
	write := func(w http.ResponseWriter) { w.WriteHeader(418); io.WriteString(w, "short") }
	for what, c := range map[string]struct {
		do        func(w http.ResponseWriter)
		method    string
		left      bool // the client left before the handler returned
		panics    bool
		unasked   bool // the client did not ask for another protocol
		ctx       context.Context
		want      record.Outcome
		label     int
		errorType string
	}{
		"nothing written": {want: record.Outcome{Status: 200}, label: 200},
		"a status":        {do: write, want: record.Outcome{Status: 418, Bytes: 5}, label: 418},
		"a body of HEAD":  {do: write, method: "HEAD", want: record.Outcome{Status: 418}, label: 418},
		"a server error":  {do: func(w http.ResponseWriter) { w.WriteHeader(503) }, want: record.Outcome{Status: 503}, label: 503, errorType: "503"},
		"a panic":         {panics: true, want: record.Outcome{Status: 500}, label: 500, errorType: "500"},
		"a late panic":    {do: write, panics: true, want: record.Outcome{Kind: record.KindCut, Status: 418, Bytes: 5, Class: record.Truncated}, label: 599, errorType: "truncated"},
		"an invalid status": {do: func(w http.ResponseWriter) { defer func() { recover() }(); w.WriteHeader(1000) }, panics: true,
			want: record.Outcome{Kind: record.KindUnanswered, Class: record.NoResponse}, label: 599, errorType: "no_response"},
		"a client that left":                 {left: true, want: record.Outcome{Kind: record.KindClientLeft}, label: 499},
		"a client that left later":           {do: write, left: true, want: record.Outcome{Status: 418, Bytes: 5, Left: true}, label: 418},
		"a panic after the client left":      {panics: true, left: true, want: record.Outcome{Kind: record.KindClientLeft}, label: 499},
		"a late panic after the client left": {do: write, panics: true, left: true, want: record.Outcome{Status: 418, Bytes: 5, Left: true}, label: 418},
		"a cut": {do: func(w http.ResponseWriter) { write(w); record.Cut(w, 418, 3, record.Truncated) }, panics: true,
			want: record.Outcome{Kind: record.KindCut, Status: 418, Bytes: 3, Class: record.Truncated}, label: 599, errorType: "truncated"},
		"a shutdown before the response":  {ctx: cut, want: record.Outcome{Kind: record.KindUnanswered, Class: record.NoResponse}, label: 599, errorType: "no_response"},
		"a shutdown within the response":  {ctx: cut, do: write, want: record.Outcome{Kind: record.KindCut, Status: 418, Bytes: 5, Class: record.Truncated}, label: 599, errorType: "truncated"},
		"a shutdown that told the client": {ctx: told, do: write, want: record.Outcome{Status: 503}, label: 503, errorType: "503"},
		"the last cut counts": {do: func(w http.ResponseWriter) {
			record.Cut(w, 200, 3, record.Truncated)
			record.Cut(w, 0, 0, record.ConnectionReset)
		}, want: record.Outcome{Kind: record.KindUnanswered, Class: record.ConnectionReset}, label: 599, errorType: "connection_reset"},
		"a cut below another writer": {do: func(w http.ResponseWriter) { record.Cut(negroni.NewResponseWriter(w), 0, 0, record.NoResponse) },
			want: record.Outcome{Kind: record.KindUnanswered, Class: record.NoResponse}, label: 599, errorType: "no_response"},
		"a connection taken over":         {do: hijack, want: record.Outcome{Kind: record.KindSwitched, Status: 101}, label: 101},
		"a connection taken over unasked": {do: hijack, unasked: true, want: record.Outcome{Status: 200}, label: 200},
		"a connection taken over to cut it": {do: func(w http.ResponseWriter) { hijack(w); record.Cut(w, 0, 0, record.NoResponse) },
			want: record.Outcome{Kind: record.KindUnanswered, Class: record.NoResponse}, label: 599, errorType: "no_response"},
	} {
		r := httptest.NewRequestWithContext(t.Context(), cmp.Or(c.method, "GET"), "/", nil)
		if !c.unasked {
			r.Header.Set("Upgrade", "any")
		}
		if c.left {
			r = r.WithContext(left)
		}
		if c.ctx != nil {
			r = r.WithContext(c.ctx)
		}
		record.Serve(hijackable{httptest.NewRecorder()}, r, func(rw http.ResponseWriter, r *http.Request) {
			w := rw.(negroni.ResponseWriter)
			if c.do != nil {
				c.do(w)
			}
			got := record.End(w, r, !c.panics)
			if diff := gocmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s: %s", what, diff)
			}
			if got.Label() != c.label || got.ErrorType() != c.errorType || got.Failed() != (c.errorType != "") {
				t.Errorf("%s: label %d, error type %q, failed %v", what, got.Label(), got.ErrorType(), got.Failed())
			}
			// What happens afterwards, such as a response to the panic, changes nothing.
			record.Cut(w, 500, 1, record.Malformed)
			if again := record.End(w, r.WithContext(left), true); again != got {
				t.Errorf("%s: %v, then %v", what, got, again)
			}
		})
	}
}

// hijackable is a recorder whose connection can be taken over.
type hijackable struct{ *httptest.ResponseRecorder }

func (hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) { return nil, nil, nil }

func hijack(w http.ResponseWriter) { http.NewResponseController(w).Hijack() }

func TestCutWithoutARecord(t *testing.T) {
	cut := func(w http.ResponseWriter) {
		t.Helper()
		if record.Cut(w, 0, 0, record.NoResponse) {
			t.Errorf("%T: a cut was recorded", w)
		}
	}
	cut(httptest.NewRecorder())
	record.Serve(httptest.NewRecorder(), nil, func(w http.ResponseWriter, _ *http.Request) { cut(struct{ http.ResponseWriter }{w}) })
}

package podinfotest_test

import (
	"bytes"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/seed-4591fe7d/podinfo/podinfotest"
)

// An upload is recorded up to a bound, whatever answers it, and even if nothing
// does.
func TestUploads(t *testing.T) {
	long := bytes.Repeat([]byte("x"), 100<<10)
	both(t, func(t *testing.T, start func(testing.TB, ...string) *Server) {
		srv := start(t)
		h2c := &http.Transport{DialContext: srv.DialContext, Protocols: new(http.Protocols)}
		h2c.Protocols.SetUnencryptedHTTP2(true)
		defer h2c.CloseIdleConnections()
		for what, step := range map[string]Step{
			"fail": Fail(503, 9), "reply": Reply(200, ""), "reset": Reset().Times(9), "empty": Empty().Times(9),
			"truncate": Truncate(0).Times(9), "garbage": Garbage().Times(9), "ok": OK(),
		} {
			srv.Script("/"+what, step)
			for _, body := range []struct {
				of   io.Reader
				want int
				cut  bool
			}{
				{io.MultiReader(bytes.NewReader(long[:10])), 10, false}, // of unknown length
				{io.MultiReader(bytes.NewReader(long)), 64 << 10, true},
				{bytes.NewReader(long), 64 << 10, true},
			} {
				res, err := srv.Client().Post(srv.URL+"/"+what, "", body.of)
				if err == nil {
					res.Body.Close()
				}
				n := len(srv.Requests("/" + what))
				r := srv.WaitAnswered(t.Context(), "/"+what, n)[n-1]
				if len(r.Body) != body.want || r.BodyCut != body.cut {
					t.Errorf("%s: %d bytes, cut %v; want %d", what, len(r.Body), r.BodyCut, body.want)
				}
			}
			if what == "truncate" { // which resets the stream after the response has begun
				continue
			}
			res, err := (&http.Client{Transport: h2c}).Post(srv.URL+"/"+what, "", bytes.NewReader(long))
			if err == nil {
				res.Body.Close()
			}
			n := len(srv.Requests("/" + what))
			if r := srv.WaitAnswered(t.Context(), "/"+what, n)[n-1]; r.Proto != "HTTP/2.0" || len(r.Body) < 64<<10-1 { // the first window has a byte less
				t.Errorf("%s over HTTP/2: %s, %d bytes", what, r.Proto, len(r.Body))
			}
		}
	})
}

// A client that stops in the middle of an upload delays what answers it by a second
// at most.
func TestUploadThatStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := StartInMemory(t)
		srv.Script("/a", Fail(503, 1), Reset())
		for _, want := range []string{"503", "cut"} {
			body, more := io.Pipe()
			go io.WriteString(more, "begun")
			time.AfterFunc(2*time.Second, func() { more.Close() }) // until then net/http waits for the body
			res, err := srv.Client().Post(srv.URL+"/a", "", body)
			if err == nil {
				res.Body.Close()
			}
			rs := srv.WaitAnswered(t.Context(), "/a", 1)
			if r := rs[len(rs)-1]; string(r.Body) != "begun" || !r.BodyCut || r.Took > time.Second {
				t.Errorf("%s: %q, cut %v, after %v", want, r.Body, r.BodyCut, r.Took)
			}
			more.Close()
		}
		srv.WaitAnswered(t.Context(), "/a", 2).WantAnswers(t, "503", "cut")
	})
}

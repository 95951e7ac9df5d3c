package faults_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/middleware/faults"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// stream sends the digits in two parts, the second when more is closed or the
// client has left.
type stream struct {
	more  chan struct{}
	ended chan error // result of writing the second part
}

func (*stream) Info() registry.Info { return registry.Info{Name: "stream"} }

func (s *stream) Routes() []registry.Route {
	return []registry.Route{{Path: "/stream", Handler: func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "0123")
		http.NewResponseController(w).Flush()
		select {
		case <-s.more:
		case <-r.Context().Done():
		}
		_, err := io.WriteString(w, "456789")
		s.ended <- err
	}}}
}

// A stream is cut while it is written, and its handler gets an error.
func TestCutStreams(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		for _, c := range []struct {
			fault string
			first string // received before the handler writes the second part
			all   string
			fails bool // writing the second part fails
		}{
			{"truncate: 7", "0123", "0123456", true},
			{"truncate: 4", "0123", "0123", true},
			{"truncate: 2", "01", "01", true},
			{"truncate: 10", "0123", "0123456789", false}, // only the end of the stream is missing
			{"truncate: 0", "", "", true},
			{"bad-chunk: true", "0123", "0123", true},
		} {
			e, s := new(endpoint), &stream{make(chan struct{}), make(chan error, 1)}
			app, _ := registrytest.New(t, rules("rules: [{name: r, fault: {"+c.fault+"}}]"), new(faults.Module), e, s)
			srv := httptest.NewUnstartedServer(app)
			srv.EnableHTTP2 = h2
			srv.StartTLS()
			res, err := srv.Client().Get(srv.URL + "/stream")
			must(t, err)
			first := make([]byte, len(c.first))
			_, err = io.ReadFull(res.Body, first)
			must(t, err)
			close(s.more)
			rest, err := io.ReadAll(res.Body)
			if got := string(first) + string(rest); got != c.all || err == nil {
				t.Errorf("%s over HTTP/2 %v: %q, %v", c.fault, h2, got, err)
			}
			if res.ContentLength != -1 {
				t.Errorf("%s: a stream with a length of %d bytes", c.fault, res.ContentLength)
			}
			if err := <-s.ended; (err != nil) != c.fails {
				t.Errorf("%s over HTTP/2 %v: the handler got %v", c.fault, h2, err)
			}
			if _, outcomes := e.seen(1); outcomes[0].Label() != 599 {
				t.Errorf("%s recorded as %v", c.fault, outcomes)
			}
			res.Body.Close()
			srv.Close()
		}
	}
}

// A response keeps the Content-Length that its handler has set, before the handler
// and after it, and ends before it.
func TestCutsKeepTheLength(t *testing.T) {
	for _, at := range []string{"", "at: after, "} {
		for _, h2 := range []bool{false, true} {
			for keep, want := range map[int]string{0: "", 10: text[:10], 20: text[:20], 36: text[:35], 100: text[:35]} {
				for _, path := range []string{"/doc", "/flushed"} {
					app, _ := registrytest.New(t, rules(fmt.Sprintf("rules: [{name: r, %sfault: {truncate: %d}}]", at, keep)), new(faults.Module), document{})
					srv := httptest.NewUnstartedServer(app)
					srv.EnableHTTP2 = h2
					srv.StartTLS()
					res, err := srv.Client().Get(srv.URL + path)
					must(t, err)
					got, err := io.ReadAll(res.Body)
					res.Body.Close()
					srv.Close()
					stream := h2 && err != nil && strings.Contains(err.Error(), "INTERNAL_ERROR")
					if string(got) != want || res.ContentLength != int64(len(text)) || !stream && !errors.Is(err, io.ErrUnexpectedEOF) || stream != h2 {
						t.Errorf("%struncate: %d of %s over HTTP/%d: Content-Length %d, %q, %v", at, keep, path, res.ProtoMajor, res.ContentLength, got, err)
					}
				}
			}
		}
	}
}

// The context of a handler is canceled when its response is cut.
func TestCutStreamsEndTheirHandler(t *testing.T) {
	s := &stream{make(chan struct{}), make(chan error, 1)}
	app, _ := registrytest.New(t, rules("rules: [{name: r, fault: {truncate: 2}}]"), new(faults.Module), s)
	srv := httptest.NewServer(app)
	defer srv.Close()
	if got, err := exchange(t, srv.Listener.Addr().String(), "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil || !strings.HasSuffix(got, "\r\n\r\n2\r\n01\r\n") {
		t.Errorf("%q %v", got, err)
	}
	if err := <-s.ended; err == nil {
		t.Error("the handler got no error")
	}
}

// openStream requests a stream over a new connection and reads its first part.
func openStream(t *testing.T, fault string, mods ...registry.Module) (net.Conn, *bufio.Reader) {
	t.Helper()
	s := registrytest.Serve(t, rules("rules: [{name: r, fault: {"+fault+"}}]"), append(mods, new(faults.Module))...)
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	_, err = io.WriteString(conn, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
	must(t, err)
	r := bufio.NewReader(conn)
	for line := ""; line != "0123\r\n"; {
		line, err = r.ReadString('\n')
		must(t, err)
	}
	return conn, r
}

// The handler of a stream that is cut later notices when its client leaves.
func TestCutStreamsNoticeTheClientLeave(t *testing.T) {
	s := &stream{make(chan struct{}), make(chan error, 1)}
	conn, _ := openStream(t, "truncate: 1000", s)
	conn.Close()
	<-s.ended
}

// panics is a module whose handler panics within a stream.
type panics struct{}

func (panics) Info() registry.Info { return registry.Info{Name: "panics"} }
func (panics) Routes() []registry.Route {
	return []registry.Route{{Path: "/stream", Handler: func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "0123")
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}}}
}

// The connection is closed when a handler panics.
func TestCutStreamsThatPanic(t *testing.T) {
	conn, r := openStream(t, "truncate: 1000", panics{})
	conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
		t.Errorf("%q %v", rest, err)
	}
}

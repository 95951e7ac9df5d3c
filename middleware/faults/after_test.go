package faults_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver/grpctest"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/middleware/faults"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// shop is a module that books an order, and says so in a stream of two parts.
type shop struct {
	booked chan string // body of each request, once its handler has written everything
	large  int         // bytes of a third part
}

func (*shop) Info() registry.Info { return registry.Info{Name: "shop"} }

func (s *shop) Routes() []registry.Route {
	return []registry.Route{{Method: "POST", Path: "/orders", Handler: func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			s.booked <- err.Error()
			return
		}
		w.Header().Set("Location", "/orders/1")
		w.WriteHeader(http.StatusCreated)
		_, err = io.WriteString(w, "booked ")
		if s.large == 0 {
			http.NewResponseController(w).Flush()
		}
		_, err2 := w.Write(append([]byte(string(b)), make([]byte, s.large)...))
		if err := errors.Join(err, err2, r.Context().Err()); err != nil {
			s.booked <- err.Error()
			return
		}
		s.booked <- string(b)
	}}}
}

const order = "POST /orders HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 3\r\n\r\ntea"

// After the handler the order is booked, the handler notices nothing, and the
// client gets something else.
func TestAfterTheHandler(t *testing.T) {
	for _, c := range []struct {
		fault, want string // status line and body; "" for nothing
		reset       bool
		outcome     int
	}{
		{"fault: {reset: true}", "", true, 599},
		{"fault: {empty: true}", "", false, 599},
		{"fault: {status: 504, headers: {Content-Type: text/plain}, body: lost}", "504 Gateway Timeout|lost", false, 504},
		{"fault: {truncate: 3}", "201 Created|boo", false, 599},
		{"fault: {truncate: 100, reset: true}", "201 Created|booked te", true, 599},
		{"fault: {bad-chunk: true}", "201 Created|5\r\nbooke\r\nno chunk\r\n", false, 599},
		{"fault: {http2: {rst: CANCEL}}", "", true, 599},
		{"fault: {http2: {goaway: ENHANCE_YOUR_CALM}}", "", false, 599},
		{"delay: 1ms", "201 Created|7\r\nbooked \r\n3\r\ntea\r\n0\r\n\r\n", false, 201},
		{"delay: 1ms, fault: {empty: true}", "", false, 599},
	} {
		e, s := new(endpoint), &shop{booked: make(chan string, 1)}
		srv := registrytest.Serve(t, rules("rules: [{name: r, at: after, "+c.fault+"}]"), new(faults.Module), e, s)
		got, err := exchange(t, srv.Listener.Addr().String(), order)
		if booked := <-s.booked; booked != "tea" {
			t.Errorf("%s: the handler got %q", c.fault, booked)
		}
		if reset := errors.Is(err, syscall.ECONNRESET); reset != c.reset || err != nil && !reset {
			t.Errorf("%s: ended with %v, want a reset: %v", c.fault, err, c.reset)
		}
		head, body, _ := strings.Cut(got, "\r\n\r\n")
		line, _, _ := strings.Cut(strings.TrimPrefix(head, "HTTP/1.1 "), "\r\n")
		if line != "" {
			line += "|" + body
		}
		if line != c.want && !(c.reset && line == "") { // a reset may discard bytes before it
			t.Errorf("%s: %q, want %q", c.fault, line, c.want)
		}
		if strings.HasPrefix(c.want, "504") != (strings.Contains(got, "Location") == false) && c.want != "" && line != "" {
			t.Errorf("%s: the lost response shows: %q", c.fault, got)
		}
		if hit, outcomes := e.seen(1); !slices.Equal(labels(outcomes), []int{c.outcome}) || !slices.Equal(hit, []string{"faults/r"}) {
			t.Errorf("%s: recorded as %v with %v", c.fault, outcomes, hit)
		}
	}
}

// A response that is delayed is held back until its handler returns, flushes, or
// has written a large part, and keeps its framing.
func TestDelayAfterTheHandler(t *testing.T) {
	const large = 3 << 20
	for _, c := range []struct {
		large  int
		booked time.Duration // when the handler has returned
	}{{100, 0}, {large, 10 * time.Second}} {
		synctest.Test(t, func(t *testing.T) {
			s := &shop{booked: make(chan string, 1), large: c.large}
			app, _ := registrytest.New(t, rules("rules: [{name: r, at: after, delay: 10s}]"), new(faults.Module), s)
			l := make(pipes)
			srv := &http.Server{Handler: app, WriteTimeout: 2 * time.Second, ReadTimeout: 2 * time.Second}
			go srv.Serve(l)
			defer srv.Close()
			client, server := net.Pipe()
			defer client.Close()
			l <- server
			began := time.Now()
			go io.WriteString(client, order)
			go func() {
				<-s.booked
				if d := time.Since(began); d != c.booked {
					t.Errorf("%d bytes: booked after %v, want %v", c.large, d, c.booked)
				}
			}()
			res, err := http.ReadResponse(bufio.NewReader(client), nil)
			if err != nil {
				t.Error(err)
				return
			}
			if d := time.Since(began); d != 10*time.Second {
				t.Errorf("%d bytes: the header came after %v", c.large, d)
			}
			b, err := io.ReadAll(res.Body)
			want := int64(10 + c.large)
			if int64(len(b)) != want || err != nil || res.StatusCode != 201 || res.Header.Get("Location") != "/orders/1" {
				t.Errorf("%d bytes: %s, %d bytes, %v", c.large, res.Status, len(b), err)
			}
			if known := c.large < large; known != (res.ContentLength == want) {
				t.Errorf("%d bytes: Content-Length %d", c.large, res.ContentLength)
			}
		})
	}
}

// Without room in the budget a response that would be held back is sent when its
// delay ends, and the handler waits. No memory stays reserved.
func TestDelayAfterTheHandlerWithoutMemory(t *testing.T) {
	s := &shop{booked: make(chan string, 1), large: 900 << 10}
	env := rules("rules: [{name: r, at: after, delay: 10ms}]")
	env["PODINFO_MEMORY_BUDGET"] = "256KiB"
	srv := registrytest.Serve(t, env, new(faults.Module), s)
	if res, body := srv.Call(t, "POST", "/orders", "tea"); res.StatusCode != 201 || len(body) != 10+s.large {
		t.Errorf("%s, %d bytes", res.Status, len(body))
	}
}

// The handler of a call runs, and the client gets another end.
func TestAfterTheHandlerOfACall(t *testing.T) {
	for fault, want := range map[string]codes.Code{
		"fault: {grpc: UNAVAILABLE}":                 codes.Unavailable,
		"fault: {reset: true}":                       codes.Internal,
		"fault: {empty: true}":                       codes.Unavailable,
		"fault: {http2: {rst: ENHANCE_YOUR_CALM}}":   codes.ResourceExhausted,
		"delay: 1ms, fault: {grpc: {code: ABORTED}}": codes.Aborted,
		"delay: 1ms": codes.OK,
		"fault: {status: 503, grpc: {code: DATA_LOSS}}":      codes.DataLoss,
		"fault: {http2: {goaway: INADEQUATE_SECURITY}}":      codes.Unavailable,
		"match: {grpc: 'other.Service/*'}, fault: {grpc: 5}": codes.OK,
	} {
		e, done := new(recorder), make(chan error, 4)
		service := &grpctest.Service{}
		s := grpctest.Serve(t, rules("rules: [{name: r, at: after, "+fault+"}]"), e, new(faults.Module), service, counting{done})
		_, err := pb.NewTestServiceClient(s.Conn).UnaryCall(t.Context(), &pb.SimpleRequest{})
		if status.Code(err) != want {
			t.Errorf("%s: %v", fault, err)
		}
		if err := <-done; err != nil {
			t.Errorf("%s: the handler got %v", fault, err)
		}
		if got := e.codes(1); len(got) != 1 || codes.Code(got[0]) != want {
			t.Errorf("%s: recorded as %v", fault, got)
		}
		// The messages of a stream are dropped, and its handler does not notice.
		stream, err := pb.NewTestServiceClient(s.Conn).StreamingOutputCall(t.Context(), &pb.StreamingOutputCallRequest{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = stream.Recv()
		if status.Code(err) != want {
			t.Errorf("%s: the stream got %v", fault, err)
		}
		if err := <-done; err != nil {
			t.Errorf("%s: the handler of the stream got %v", fault, err)
		}
	}
}

// What a request to a client that left does not count as, and at: after by header.
func TestAfterByHeader(t *testing.T) {
	s := &shop{booked: make(chan string, 1)}
	srv := registrytest.Serve(t, rules("true", "BY_HEADER", "true"), new(faults.Module), s)
	res, _ := srv.Call(t, "POST", "/orders", "tea", "x-podinfo-fault", "{at: after, fault: {status: 503}}")
	if res.StatusCode != 503 || <-s.booked != "tea" || res.Header.Get("X-Podinfo-Fault") != "x-podinfo-fault" {
		t.Error(res.Status)
	}
}

// A hanging request waits until its client leaves, or until the App drains, and is
// bounded by MaxHeld only.
func TestHang(t *testing.T) {
	for _, c := range []struct {
		rule, method, body string
		booked             int
		want               string
	}{
		{"fault: {hang: true}", "GET", "", 0, ""},
		{"fault: {hang: true}", "POST", "tea", 0, ""},
		{"at: after, fault: {hang: true}", "POST", "tea", 1, ""},
		{"fault: {stall: {after: 3, hang: true}}", "POST", "tea", 1, "012"},
	} {
		for _, leaves := range []bool{true, false} {
			m, e := new(faults.Module), new(endpoint)
			s := registrytest.Serve(t, rules("rules: [{name: r, "+c.rule+"}]", "MAX_DELAY", "1ms", "MAX_HELD", "1"), m, e)
			conn, err := net.Dial("tcp", s.Listener.Addr().String())
			must(t, err)
			fmt.Fprintf(conn, "%s /a HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", c.method, len(c.body), c.body)
			until(t, "the request hangs", func() bool { e.mu.Lock(); defer e.mu.Unlock(); return len(e.faults) == 1 && e.hits == c.booked })
			if res, body := s.Call(t, "GET", "/a", ""); body != text { // no place is free
				t.Errorf("%s: %s", c.rule, res.Status)
			}
			want := 499
			if leaves {
				conn.Close()
			} else {
				must(t, m.Drain(t.Context()))
				want = 599
				got, err := io.ReadAll(conn)
				_, body, _ := strings.Cut(string(got), "\r\n\r\n")
				if body != c.want || err != nil {
					t.Errorf("%s: %q %v", c.rule, got, err)
				}
				conn.Close()
			}
			if c.want != "" && leaves {
				want = 200 // the header was sent
			}
			_, outcomes := e.seen(2)
			got := labels(outcomes)
			slices.Sort(got)
			if diff := cmp.Diff([]int{200, want}, got); diff != "" {
				t.Errorf("%s: %s", c.rule, diff)
			}
		}
	}
}

// A client that has left when the App drains has left, whichever the fault notices
// first.
func TestLeftWhileDraining(t *testing.T) {
	for _, fault := range []string{"hang: true", "stall: {after: 0, hang: true}"} {
		m := new(faults.Module)
		app, _ := registrytest.New(t, rules("rules: [{name: r, fault: {"+fault+"}}]"), m, new(endpoint))
		must(t, m.Drain(t.Context()))
		for range 50 {
			ctx, leave := context.WithCancel(t.Context())
			handler := func(context.Context) error { leave(); return nil }
			if err := m.ServeRPC(ctx, &rpc.Call{FullMethod: "/a.B/C"}, handler); strings.Contains(fault, "stall") && rpc.CodeOf(err) != rpc.Canceled {
				t.Fatalf("%s: a call: %v", fault, err)
			}
			leave()
			// It would panic to end the connection of a client that is there.
			app.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, "GET", "/a", nil))
		}
	}
}

// counting is a middleware behind the faults that reports how handlers end.
type counting struct{ done chan error }

func (counting) Info() registry.Info { return registry.Info{Name: "counting", Phase: registry.Fault} }

func (counting) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) { next(w, r) }

func (c counting) ServeRPC(ctx context.Context, _ *rpc.Call, next func(context.Context) error) error {
	err := next(ctx)
	c.done <- err
	return err
}

// A stall keeps the Content-Length and the type of the response, over HTTP/2 too.
func TestPausesKeepTheFraming(t *testing.T) {
	for _, rule := range []string{"delay: 1us", "fault: {stall: 1ms}", "fault: {stall: {after: 10, for: 1ms}}", "fault: {bandwidth: 100000}", "at: after, delay: 1ms"} {
		for _, h2 := range []bool{false, true} {
			for path, length := range map[string]int64{"/a": int64(len(text)), "/three": 3, "/empty": 0, "/stream": -1} {
				app, _ := registrytest.New(t, rules("rules: [{name: r, "+rule+"}]"), new(faults.Module), new(endpoint), &stream{closedChan(), make(chan error, 1)})
				srv := httptest.NewUnstartedServer(app)
				srv.EnableHTTP2 = h2
				srv.StartTLS()
				res, err := srv.Client().Get(srv.URL + path)
				must(t, err)
				b, err := io.ReadAll(res.Body)
				res.Body.Close()
				kind := res.Header.Get("Content-Type")
				if res.ContentLength != length || err != nil || length > 0 && int64(len(b)) != length || length != 0 && kind != "text/plain; charset=utf-8" {
					t.Errorf("%s: %s over HTTP/%d: Content-Length %d, %q, %q, %v", rule, path, res.ProtoMajor, res.ContentLength, kind, b, err)
				}
				srv.Close()
			}
		}
	}
}

func closedChan() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

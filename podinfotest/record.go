package podinfotest

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/urfave/negroni/v3"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/record"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// What is kept of the requests.
const (
	maxRequests = 10_000   // the last ones
	maxBody     = 64 << 10 // bytes of one
	maxBodies   = 32 << 20 // bytes of all
)

const recorderName = "podinfotest"

// recorder writes down every request and call. It is the outermost middleware,
// so that what it sees is what goes over the wire.
type recorder struct {
	prefix  string
	replies *replies
	exact   bool // the clock is a bubble's

	mu      sync.Mutex
	all     []*Request
	dropped int
	bodies  int           // bytes kept
	pending int           // requests and calls being handled
	changed chan struct{} // closed when something of the above changes
	waiters map[*waiter]struct{}
	numbers map[string]int // of connections, by the client's address
	opened  int            // connections
}

func newRecorder() *recorder {
	return &recorder{exact: bubble() != "", changed: make(chan struct{}), waiters: map[*waiter]struct{}{}, numbers: map[string]int{}}
}

// Info describes the module.
func (*recorder) Info() registry.Info {
	return registry.Info{Name: recorderName, Doc: "Record what arrives.", Phase: registry.Edge, Before: "recovery"}
}

// Provision keeps the prefix.
func (m *recorder) Provision(h *registry.Host) error { m.prefix = h.Prefix(); return nil }

// number makes l number its connections. A client's address means the latest
// connection from it.
func (m *recorder) number(l net.Listener) net.Listener { return &numbering{l, m} }

type numbering struct {
	net.Listener
	m *recorder
}

func (l *numbering) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.m.mu.Lock()
		defer l.m.mu.Unlock()
		l.m.opened++
		l.m.numbers[c.RemoteAddr().String()] = l.m.opened
	}
	return c, err
}

// change calls f and wakes who waits for a change.
func (m *recorder) change(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
	close(m.changed)
	m.changed = make(chan struct{})
}

// begin enters a request.
func (m *recorder) begin(r *Request, remote string) {
	m.change(func() {
		r.Conn, r.At, r.exact = m.numbers[remote], time.Now(), m.exact
		m.pending++
		if m.all = append(m.all, r); len(m.all) > maxRequests {
			first := m.all[0]
			first.dropped = true
			m.bodies -= len(first.Body)
			m.all = m.all[1:]
			m.dropped++
			m.count(first, false, -1)
			if first.Done {
				m.count(first, true, -1)
			}
		}
		m.count(r, false, 1)
	})
}

// end enters how a request ended.
func (m *recorder) end(r *Request, f func()) {
	m.change(func() {
		f()
		r.finish()
		r.Done = true
		m.pending--
		if !r.dropped {
			m.count(r, true, 1)
		}
	})
}

// waiter waits for n requests that a pattern is about to arrive, or to be
// answered.
type waiter struct {
	pattern
	answered bool
	n, have  int
	enough   chan struct{} // closed when there are as many
}

// count tells the waiters of a request. It is for those who hold mu.
func (m *recorder) count(r *Request, answered bool, by int) {
	for w := range m.waiters {
		if w.answered != answered || !w.matches(r.Method, r.Path) {
			continue
		}
		if w.have += by; w.have >= w.n {
			close(w.enough)
			delete(m.waiters, w)
		}
	}
}

// await makes a waiter, who counts what there is already.
func (m *recorder) await(p pattern, answered bool, n int) *waiter {
	m.mu.Lock()
	defer m.mu.Unlock()
	w := &waiter{pattern: p, answered: answered, n: n, enough: make(chan struct{})}
	for _, r := range m.all {
		if (r.Done || !answered) && p.matches(r.Method, r.Path) {
			w.have++
		}
	}
	if w.have >= n {
		close(w.enough)
	} else {
		m.waiters[w] = struct{}{}
	}
	return w
}

// leave is for a waiter who waits no more, and says how many there were.
func (m *recorder) leave(w *waiter) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.waiters, w)
	return w.have
}

// keep appends to a body what there is room for. whole is that it ends there.
func (m *recorder) keep(r *Request, b []byte, whole bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := max(0, min(len(b), maxBody-len(r.Body), maxBodies-m.bodies))
	if r.dropped { // nobody will look at it
		n = 0
	}
	r.Body = append(r.Body, b[:n]...)
	m.bodies += n
	r.lost, r.whole = r.lost || n < len(b), r.whole || whole
	r.BodyCut = r.lost
}

// find returns copies of those that a pattern is about.
func (m *recorder) find(p pattern) Requests {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out Requests
	for _, r := range m.all {
		if p.matches(r.Method, r.Path) {
			c := *r
			c.Body, c.Rules = slices.Clip(r.Body), slices.Clip(r.Rules)
			out = append(out, c)
		}
	}
	return out
}

// lost is how many requests are not kept any more.
func (m *recorder) lost() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.dropped
}

// wait waits until nothing is being handled, and returns what still is when
// ctx is done.
func (m *recorder) wait(ctx context.Context) (left Requests) {
	for {
		m.mu.Lock()
		pending, changed := m.pending, m.changed
		m.mu.Unlock()
		if pending == 0 {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return slices.DeleteFunc(m.find(everything), func(r Request) bool { return r.Done })
		}
	}
}

// below is a path without the server's prefix.
func (m *recorder) below(path string) string {
	rest, ok := strings.CutPrefix(path, m.prefix)
	if !ok || m.prefix == "" {
		return path
	}
	return cmp.Or(rest, "/")
}

type requestKey struct{}

// FaultInjected notes which rule hit a request.
func (m *recorder) FaultInjected(ctx context.Context, fault string) {
	m.hit(ctx, strings.TrimPrefix(fault, "faults/"))
}

func (m *recorder) hit(ctx context.Context, rule string) {
	if r, ok := ctx.Value(requestKey{}).(*Request); ok {
		m.mu.Lock()
		defer m.mu.Unlock()
		r.Rules = append(r.Rules, rule)
	}
}

// ServeHTTP records a request.
func (m *recorder) ServeHTTP(rw http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	rec := &Request{
		Proto: r.Proto, Method: r.Method, Path: m.below(r.URL.Path), Query: r.URL.RawQuery, Host: r.Host, Header: r.Header.Clone(),
		whole: r.ContentLength == 0,
	}
	m.begin(rec, r.RemoteAddr)
	w := &writer{ResponseWriter: rw.(negroni.ResponseWriter), m: m, rec: rec, r: r}
	w.Before(func(negroni.ResponseWriter) {
		if status := w.Status(); status >= 200 { // those before it only announce it
			w.note(status)
		}
	})
	returned := false
	defer func() {
		m.end(rec, func() {
			if w.taken {
				return
			}
			rec.settle()
			if rec.late { // the end of the context is not the client's then
				r = r.WithContext(context.WithoutCancel(r.Context()))
			}
			rec.Status = record.Outcome(w, r, returned)
			rec.Left = returned && r.Context().Err() != nil
			if rec.Reply == nil {
				rec.Reply = w.Header().Clone()
			}
		})
	}()
	r = r.WithContext(context.WithValue(r.Context(), requestKey{}, rec))
	m.read(rec, r)
	next(w, r)
	returned = true
}

// read records the body of r. One whose length is known and not large is read
// at once, so that it is seen even if no handler reads it. Of others, which a
// client may send for as long as it likes, that is seen which handlers read.
func (m *recorder) read(rec *Request, r *http.Request) {
	body, length := r.Body, r.ContentLength
	if length == 0 {
		return
	}
	if length < 0 || length > maxBody || r.Header.Get("Expect") != "" {
		r.Body = &tee{body, m, rec, length}
		return
	}
	b := make([]byte, length)
	n, err := io.ReadFull(body, b)
	m.keep(rec, b[:n], err == nil)
	m.expire(rec, err)
	again := io.Reader(bytes.NewReader(b[:n]))
	if err != nil { // the client broke off: so it does for who reads
		again = io.MultiReader(again, broken{err})
	}
	r.Body = struct {
		io.Reader
		io.Closer
	}{again, body}
}

// expire notes that the server waits no longer for a body.
func (m *recorder) expire(rec *Request, err error) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		m.change(func() { rec.late = true })
	}
}

type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }

// tee records what is read.
type tee struct {
	io.ReadCloser
	m    *recorder
	rec  *Request
	left int64 // to be read, negative when that is not known
}

func (t *tee) Read(b []byte) (int, error) {
	n, err := t.ReadCloser.Read(b)
	t.left -= int64(n)
	t.m.keep(t.rec, b[:n], t.left == 0 || err == io.EOF)
	t.m.expire(t.rec, err)
	return n, err
}

// writer notes the answer before the client can see it.
type writer struct {
	negroni.ResponseWriter
	m     *recorder
	rec   *Request
	r     *http.Request
	taken bool // over by a handler that speaks something else
}

// Unwrap is for http.ResponseController.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Flush sends what was written.
func (w *writer) Flush() { http.NewResponseController(w.ResponseWriter).Flush() }

// note enters the status and the header that are about to be sent.
func (w *writer) note(status int) {
	w.m.change(func() {
		w.rec.Status, w.rec.Reply = status, w.Header().Clone()
		w.rec.answered = time.Now()
		w.rec.settle()
	})
}

// Hijack is what a WebSocket does, and a fault that cuts the connection.
func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return conn, rw, err
	}
	status := record.Outcome(w, w.r, true)
	if w.taken = status != record.StatusCut; w.taken {
		status = http.StatusSwitchingProtocols
	}
	w.note(status)
	w.m.change(w.rec.finish) // the handler may wait until the client has closed too
	return conn, rw, nil
}

// ServeRPC records a call.
func (m *recorder) ServeRPC(ctx context.Context, call *rpc.Call, next func(context.Context) error) (err error) {
	rec := &Request{Proto: "gRPC", RPC: true, Path: call.FullMethod, Header: http.Header{}, Code: codes.Unknown}
	md, _ := metadata.FromIncomingContext(ctx)
	for name, values := range md {
		rec.Header[http.CanonicalHeaderKey(name)] = slices.Clone(values)
	}
	if msg, ok := call.Request.(proto.Message); ok {
		rec.Message = proto.Clone(msg) // handlers may change it
	}
	m.begin(rec, call.Peer())
	defer func() {
		m.end(rec, func() {
			rec.Code, rec.retry = codes.Code(rpc.CodeOf(err)), retryInfo(err)
			rec.Left = ctx.Err() != nil && (rec.Code == codes.Canceled || rec.Code == codes.DeadlineExceeded)
		})
	}()
	ctx = context.WithValue(ctx, requestKey{}, rec)
	if w, ok := call.Client.(wire); ok {
		call.Client = &naming{call.Client, w, func(rule string) { m.hit(ctx, rule) }, m.replies}
	}
	return next(ctx)
}

// retryInfo is when an error tells to come back, nil when it does not.
func retryInfo(err error) *time.Duration {
	if e, ok := errors.AsType[*rpc.Error](err); ok && e.Details != nil && e.Details.RetryDelay != nil {
		return e.Details.RetryDelay
	}
	s, _ := status.FromError(err)
	for _, d := range s.Details() {
		if info, ok := d.(*errdetails.RetryInfo); ok {
			return new(info.GetRetryDelay().AsDuration())
		}
	}
	return nil
}

// wire is what package faults wants of a call's Client.
type wire interface {
	SetTrailer(name, value string)
	GoAway(why string)
	Reset()
	Close()
}

// naming notes the steps that are no fault, of which nobody else tells.
type naming struct {
	rpc.Client
	wire
	hit     func(rule string)
	replies *replies
}

// SetTrailer names the rules that hit.
func (n *naming) SetTrailer(name, value string) {
	if s, rule, ok := n.replies.hit(value); ok && rule == value && s.passes() {
		n.hit(rule)
		return
	}
	n.wire.SetTrailer(name, value)
}

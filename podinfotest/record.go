package podinfotest

import (
	"bufio"
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

	"github.com/seed-4591fe7d/podinfo/internal/glob"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/budget"
	"github.com/seed-4591fe7d/podinfo/registry/record"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// Limits of the record.
const (
	maxRequests = 10_000   // the latest are kept
	maxBody     = 64 << 10 // bytes of one body
	maxBodies   = 32 << 20 // bytes of all bodies
)

const recorderName = "podinfotest"

// recorder records every request and call. It is the outermost middleware, so
// that it sees what the client sends and receives.
type recorder struct {
	prefix  string
	budget  *budget.Budget
	replies *replies
	exact   bool // the clock is that of a bubble

	mu      sync.Mutex
	all     []*Request
	dropped int           // number of requests that are no longer kept
	bodies  int           // bytes of all bodies that are kept
	pending int           // number of requests and calls being handled
	changed chan struct{} // closed when a field above changes
	waiters map[*waiter]struct{}
	numbers map[string]int // number of the latest connection from a client's address
	opened  int            // number of connections
	wires   map[string]*opened
	used    map[int]bool // connections that had a request
	scripts []script     // as of now

	internal func() []glob.Pattern // paths of probes and metrics
}

func newRecorder() *recorder {
	return &recorder{exact: bubble() != "", changed: make(chan struct{}), waiters: map[*waiter]struct{}{}, numbers: map[string]int{}, used: map[int]bool{}, wires: map[string]*opened{}}
}

// Info describes the module.
func (*recorder) Info() registry.Info {
	return registry.Info{Name: recorderName, Doc: "Record requests and calls.", Phase: registry.Edge, Before: "recovery"}
}

// Provision stores the prefix and the memory budget.
func (m *recorder) Provision(h *registry.Host) error {
	m.prefix, m.budget = h.Prefix(), h.Budget()
	return nil
}

// change calls f and wakes the goroutines that wait for a change.
func (m *recorder) change(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
	close(m.changed)
	m.changed = make(chan struct{})
}

// begin adds a request to the record.
func (m *recorder) begin(r *Request, remote string) {
	m.change(func() {
		r.Conn, r.At, r.exact = m.numbers[remote], time.Now(), m.exact
		m.arrivedLocked(remote)
		r.reused, m.used[r.Conn] = m.used[r.Conn], true
		m.pending++
		if m.all = append(m.all, r); len(m.all) > maxRequests {
			first := m.all[0]
			first.dropped = true
			m.bodies -= len(first.Body)
			m.all = m.all[1:]
			m.dropped++
			if first.Failed == "" {
				m.count(first, false, -1)
			}
			if first.Done && first.Failed == "" {
				m.count(first, true, -1)
			}
		}
		m.count(r, false, 1)
	})
}

// end marks a request as done, after f has set its result.
func (m *recorder) end(r *Request, f func()) {
	m.change(func() {
		f()
		r.finish()
		r.Done = true
		m.settleScripts(r)
		m.pending--
		if !r.dropped {
			m.count(r, true, 1)
		}
	})
}

// waiter waits until n requests that match a pattern have arrived, or have been
// answered.
type waiter struct {
	pattern
	answered bool
	n, have  int
	enough   chan struct{} // closed when have reaches n
}

// count adds by to the waiters that r matches. The caller must hold m.mu.
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

// await returns a new waiter, which has counted the requests in the record.
func (m *recorder) await(p pattern, answered bool, n int) *waiter {
	m.mu.Lock()
	defer m.mu.Unlock()
	w := &waiter{pattern: p, answered: answered, n: n, enough: make(chan struct{})}
	for _, r := range m.all {
		if (r.Done || !answered) && r.Failed == "" && p.matches(r.Method, r.Path) {
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

// leave removes a waiter and returns its count.
func (m *recorder) leave(w *waiter) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.waiters, w)
	return w.have
}

// keep appends b to a request's body, as far as the limits allow. whole says that
// the body ends with b.
func (m *recorder) keep(r *Request, b []byte, whole bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := max(0, min(len(b), maxBody-len(r.Body), maxBodies-m.bodies))
	if r.dropped {
		n = 0
	}
	r.Body = append(r.Body, b[:n]...)
	m.bodies += n
	r.lost, r.whole = r.lost || n < len(b), r.whole || whole
	r.BodyCut = r.lost
}

// find returns copies of the requests that match a pattern.
func (m *recorder) find(p pattern) Requests { return m.filter(p, false) }

// filter is find that also returns the connections that failed if connections is set.
func (m *recorder) filter(p pattern, connections bool) Requests {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out Requests
	for _, r := range m.all {
		if (r.Failed == "" || connections) && p.matches(r.Method, r.Path) {
			c := *r
			c.Body, c.Rules = slices.Clip(r.Body), slices.Clip(r.Rules)
			out = append(out, c)
		}
	}
	return out
}

// lost returns how many requests are no longer kept.
func (m *recorder) lost() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.dropped
}

// wait waits until no request is being handled. If ctx ends first, it returns the
// requests that still are.
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

// below returns a path without the server's prefix.
func (m *recorder) below(path string) string {
	rest, ok := strings.CutPrefix(path, m.prefix)
	if !ok || m.prefix == "" {
		return path
	}
	return cmp.Or(rest, "/")
}

// internalOf returns the paths of probes and metrics.
func internalOf(routes []registry.Mounted) (out []glob.Pattern) {
	for _, rt := range routes {
		if p, err := glob.Parse(rt.Path); err == nil && rt.Internal {
			out = append(out, p)
		}
	}
	return out
}

func (m *recorder) isInternal(path string) bool {
	return slices.ContainsFunc(m.internal(), func(p glob.Pattern) bool { return p.Match(path) })
}

// follow replaces the scripts.
func (m *recorder) follow(scripts []script) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.scripts = slices.Clone(scripts)
}

// settleScripts records which scripts match a request that has ended. The caller
// must hold m.mu.
func (m *recorder) settleScripts(r *Request) {
	applied := false
	for i := range m.scripts {
		sc := &m.scripts[i]
		if r.RPC != sc.call && (r.RPC || sc.call) && !sc.both || !selects(sc.matcher, r) {
			continue
		}
		r.scripted = true
		switch won := slices.ContainsFunc(r.Rules, func(rule string) bool { _, ok := sc.steps[rule]; return ok }); {
		case won:
			applied = true
		case applied:
			r.Over = append(r.Over, sc.name+" "+sc.String())
		}
	}
}

// codeOf returns the code of a call's error. The server learns in either order that
// the deadline has passed and that the client has left therefore, which are one thing.
// Over real time the client may leave a little before the server's deadline.
func (m *recorder) codeOf(ctx context.Context, rec *Request, err error) codes.Code {
	code := codes.Code(rpc.CodeOf(err))
	deadline, ok := ctx.Deadline()
	if !ok || code != codes.Canceled || ctx.Err() == nil {
		return code
	}
	slack := deadline.Sub(rec.At) / 10
	if m.exact {
		slack = 0
	}
	if time.Until(deadline) <= slack {
		return codes.DeadlineExceeded
	}
	return code
}

type requestKey struct{}

// of returns a copy of the request of a context, nil for none.
func (m *recorder) of(ctx context.Context) *Request {
	r, ok := ctx.Value(requestKey{}).(*Request)
	if !ok {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	c := *r
	return &c
}

// FaultInjected records the rule that hit a request.
func (m *recorder) FaultInjected(ctx context.Context, fault string) {
	m.hit(ctx, strings.TrimPrefix(fault, "faults/"))
}

func (m *recorder) hit(ctx context.Context, rule string) {
	if r, ok := ctx.Value(requestKey{}).(*Request); ok {
		m.mu.Lock()
		defer m.mu.Unlock()
		r.Rules = append(r.Rules, rule)
		if s, _, ok := m.replies.hit(rule); ok && s.fault != nil && s.fault.HTTP2 != nil && r.Proto != "HTTP/1.1" {
			r.Ended = s.fault.HTTP2.Ending()
		}
	}
}

// ServeHTTP records a request.
func (m *recorder) ServeHTTP(rw http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	rec := &Request{
		Proto: r.Proto, Method: r.Method, Path: m.below(r.URL.Path), Query: r.URL.RawQuery, Host: r.Host, Header: r.Header.Clone(),
		whole: r.ContentLength == 0, internal: m.isInternal(m.below(r.URL.Path)),
	}
	m.begin(rec, r.RemoteAddr)
	w := &writer{ResponseWriter: rw.(negroni.ResponseWriter), m: m, rec: rec, r: r}
	w.Before(func(negroni.ResponseWriter) {
		m.replies.addValues(w.Header())
		if status := w.Status(); status >= 200 { // 1xx precedes the final status
			w.note(status)
		}
	})
	returned := false
	defer func() {
		w.upload.readOn()
		m.end(rec, func() {
			if w.taken {
				return
			}
			rec.settle()
			outcome := record.End(w, r, returned)
			if outcome.Kind == record.KindClientLeft && rec.late { // the server ended the context, not the client
				outcome = record.Outcome{Status: http.StatusOK}
			}
			rec.Status, rec.cut = outcome.Label(), outcome.Class != ""
			rec.silent = outcome.Kind == record.KindUnanswered && outcome.Class != record.Malformed
			rec.Left = returned && !rec.late && r.Context().Err() != nil
			if rec.Reply == nil {
				rec.Reply = w.Header().Clone()
			}
		})
	}()
	r = r.WithContext(context.WithValue(r.Context(), requestKey{}, rec))
	buf := m.budget.Buffer()
	defer buf.Close()
	w.upload = m.read(rec, w, r, buf)
	next(w, r)
	returned = true
}

// read records the body of r. A body with a known, small length is read
// immediately, so that it is recorded even if no handler reads it. Other bodies
// may never end, so only the part that handlers read is recorded.
func (m *recorder) read(rec *Request, w http.ResponseWriter, r *http.Request, buf *budget.Buffer) *tee {
	length := r.ContentLength
	if length == 0 {
		return nil
	}
	body := &tee{ReadCloser: r.Body, m: m, rec: rec, left: length, w: w, r: r}
	r.Body = body
	if length < 0 || length > maxBody || r.Header.Get("Expect") != "" {
		return body
	}
	_, err := buf.ReadFrom(body)
	again := buf.Reader()
	if err != nil { // the handler gets the error that ended the body
		again = io.MultiReader(again, failing{err})
	}
	r.Body = struct {
		io.Reader
		io.Closer
	}{again, body}
	return body
}

// expire records that the server's read timeout ended the body.
func (m *recorder) expire(rec *Request, err error) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		m.change(func() { rec.late = true })
	}
}

// failing is a reader that fails.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// writer records the response's status and header before the client can see them.
type writer struct {
	negroni.ResponseWriter
	m      *recorder
	rec    *Request
	r      *http.Request
	upload *tee // the request's body, nil for none
	taken  bool // a handler has taken over the connection to speak another protocol
}

// Unwrap implements the convention of http.ResponseController.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Flush implements http.Flusher.
func (w *writer) Flush() { http.NewResponseController(w.ResponseWriter).Flush() }

// note records the status and the header that are about to be sent.
func (w *writer) note(status int) {
	w.m.change(func() {
		w.rec.Status, w.rec.Reply = status, w.Header().Clone()
		w.rec.answered = time.Now()
		w.rec.settle()
	})
}

// Hijack implements http.Hijacker. WebSockets use it, and faults that cut the
// connection.
func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.upload.readOn() // later the body cannot be read
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return conn, rw, err
	}
	status := record.LabelFailed
	if w.taken = !record.IsCut(w); w.taken {
		status = http.StatusSwitchingProtocols
	}
	w.note(status)
	w.m.change(func() { // the handler itself may return much later
		w.rec.cut = !w.taken
		w.rec.finish()
	})
	if o := w.m.wireOf(w.r.RemoteAddr); o != nil && w.taken {
		o.change(func() { o.mute = w.mute })
	}
	return conn, rw, nil
}

// mute records that the handler has closed the connection without a response.
func (w *writer) mute() {
	w.m.change(func() { w.rec.Status, w.rec.cut, w.rec.silent = record.LabelFailed, true, true })
}

// ServeRPC records a call.
func (m *recorder) ServeRPC(ctx context.Context, call *rpc.Call, next func(context.Context) error) (err error) {
	rec := &Request{Proto: "gRPC", RPC: true, Path: cmp.Or(call.Original, call.FullMethod), Header: http.Header{}, Code: codes.Unknown, internal: call.Internal}
	md, _ := metadata.FromIncomingContext(ctx)
	for name, values := range md {
		rec.Header[http.CanonicalHeaderKey(name)] = slices.Clone(values)
	}
	if msg, ok := call.Request.(proto.Message); ok {
		rec.Message = proto.Clone(msg) // a handler may change the original
	}
	m.begin(rec, call.Peer())
	defer func() {
		m.end(rec, func() {
			rec.Code, rec.retry = m.codeOf(ctx, rec, err), retryInfo(err)
			rec.Left = ctx.Err() != nil && (rec.Code == codes.Canceled || rec.Code == codes.DeadlineExceeded)
		})
	}()
	ctx = context.WithValue(ctx, requestKey{}, rec)
	if w, ok := call.Client.(rpc.Connection); ok {
		call.Client = &naming{call.Client, w, func(rule string) { m.hit(ctx, rule) }, m.replies, m.wireOf(call.Peer())}
	}
	return next(ctx)
}

// retryInfo returns the delay of an error's RetryInfo, nil if it has none.
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

// naming records the steps that are not faults. The faults module reports only
// faults.
type naming struct {
	rpc.Client
	rpc.Connection
	hit     func(rule string)
	replies *replies
	wire    *opened // nil if it is closed
}

// SetTrailer records the rule of a step that lets the call pass, and sets any
// other trailer.
func (n *naming) SetTrailer(name, value string) {
	if s, rule, ok := n.replies.hit(value); ok && rule == value && s.passes() {
		n.hit(rule)
		if s.called != nil && n.wire != nil {
			s.called(n.wire.wire)
		}
		return
	}
	n.Connection.SetTrailer(name, value)
}

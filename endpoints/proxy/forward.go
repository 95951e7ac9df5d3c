package proxy

import (
	"context"
	"errors"
	"io"
	"log"
	"maps"
	"net/http"
	"sync"
	"syscall"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/hangup"
	"github.com/seed-4591fe7d/podinfo/internal/serve"
	"github.com/seed-4591fe7d/podinfo/registry/record"
)

// discard drops what ReverseProxy would log: the metrics and the access log tell
// the same.
var discard = log.New(io.Discard, "", 0)

// exchange is a request on its way through the proxy, in its context, and the
// writer of its response.
type exchange struct {
	http.ResponseWriter
	own    http.Header // that the chain had set
	hops   http.Header // hop-by-hop headers of the response that pass
	status int         // of the response
	empty  bool        // the response has neither a body nor trailers
	sent   int         // bytes of the response's body
	left   int64       // bytes that are still to come, negative if the length is unknown
	err    error       // that ended the response's body too early

	mu   sync.Mutex // of the writer, which the module may flush
	over bool       // the writer must not be used any more
}

type exchangeKey struct{}

// call calls the handler that replaces the service.
func (m *Module) call(w http.ResponseWriter, r *http.Request) {
	unlimited(w)
	r = r.WithContext(r.Context()) // a copy, because an http.ServeMux sets Pattern
	r.Pattern = ""
	m.Handler.ServeHTTP(w, r)
}

// unlimited removes the time limits of the server: the service decides how long a
// request may take. It fails where there is nothing to set.
func unlimited(w http.ResponseWriter) *http.ResponseController {
	ctl := http.NewResponseController(w)
	_ = ctl.SetReadDeadline(time.Time{})
	_ = ctl.SetWriteDeadline(time.Time{})
	return ctl
}

// serve forwards a request. What the service does to a connection happens to that of
// the client: a response that it cuts is cut, and one that it resets is reset.
func (m *Module) serve(w http.ResponseWriter, r *http.Request) {
	_ = unlimited(w).EnableFullDuplex() // the service may respond before the body has arrived
	x := &exchange{ResponseWriter: w, own: maps.Clone(w.Header())}
	defer func() {
		p := recover()
		x.end()
		if p == nil {
			return
		}
		if p == http.ErrAbortHandler && x.err != nil && r.Context().Err() == nil {
			m.breakOff(w, r, x.status, x.sent, x.err)
		}
		panic(p)
	}()
	m.proxy.ServeHTTP(x, r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x)))
}

// Write sends a part of the body.
func (x *exchange) Write(b []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	n, err := x.ResponseWriter.Write(b)
	x.sent += n
	return n, err
}

// FlushError sends what has arrived. The header of a response without a body is left
// to the server, which ends the stream with it over HTTP/2: a gRPC client takes the
// status from such a header only (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#responses).
func (x *exchange) FlushError() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.over || x.empty {
		return nil
	}
	return http.NewResponseController(x.ResponseWriter).Flush()
}

// restore sets the headers of the chain again, which ReverseProxy clears after an
// interim response.
func (x *exchange) restore() {
	header := x.Header()
	for name, values := range x.own {
		if _, ok := header[name]; !ok {
			header[name] = values
		}
	}
}

// end waits for a flush, and prevents further ones.
func (x *exchange) end() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.over = true
}

// Unwrap implements the convention of http.ResponseController.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

// errStatus reports a status that net/http reads and does not send.
var errStatus = errors.New("the status is not between 100 and 999")

// observe keeps net/http from adding headers that the service did not send, and
// follows the body.
func (m *Module) observe(res *http.Response) error {
	if res.StatusCode < 100 || res.StatusCode > 999 {
		return errStatus
	}
	x, ok := res.Request.Context().Value(exchangeKey{}).(*exchange)
	if !ok || res.StatusCode == http.StatusSwitchingProtocols {
		return nil
	}
	x.restore()
	maps.Copy(res.Header, x.hops)
	added := addedHeaders
	if res.Request.ProtoMajor < 2 { // HTTP/1.1 needs the length of a body that has no other end
		added = added[:2]
	}
	header := x.Header()
	for _, name := range added {
		if res.Header[name] == nil {
			header[name] = nil
		}
	}
	x.status, x.left, x.empty = res.StatusCode, res.ContentLength, res.ContentLength == 0 && len(res.Trailer) == 0
	res.Body = &body{res.Body, x, &m.headers}
	return nil
}

// addedHeaders are the headers that net/http adds to responses without them.
var addedHeaders = []string{"Content-Type", "Date", "Content-Length"}

// body is the body of a response.
type body struct {
	io.ReadCloser
	exchange *exchange
	headers  *headers
}

// Read reads a part of the body. Before it waits for one, it sends what the server
// has buffered. ReverseProxy does that for bodies of unknown length only, unless it
// flushes every part: then a small response would be sent in pieces.
func (b *body) Read(p []byte) (n int, err error) {
	x := b.exchange
	switch {
	case x.left <= 0:
		n, err = b.ReadCloser.Read(p)
	case x.sent > 0:
		_ = x.FlushError() // the next Write fails too
		n, err = b.ReadCloser.Read(p)
	default:
		b.headers.add(x)
		n, err = b.ReadCloser.Read(p)
		b.headers.remove(x)
	}
	x.left -= min(x.left, int64(n))
	if err != nil && err != io.EOF {
		x.err = err
	}
	return n, err
}

// headers sends the headers of responses whose bodies are late. There is one timer
// for all of them, because a timer for each response costs more than the rest of
// the module: it wakes a thread.
type headers struct {
	mu      sync.Mutex
	waiting map[*exchange]bool // whether it was there at the previous tick
	running bool
}

// lateness is the interval of the ticks, at the second of which a header is sent.
const lateness = 5 * time.Millisecond

func (h *headers) add(x *exchange) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.waiting == nil {
		h.waiting = map[*exchange]bool{}
	}
	h.waiting[x] = false
	if !h.running {
		h.running = true
		time.AfterFunc(lateness, h.tick)
	}
}

func (h *headers) remove(x *exchange) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.waiting, x)
}

func (h *headers) tick() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for x, late := range h.waiting {
		if !late {
			h.waiting[x] = true
			continue
		}
		delete(h.waiting, x)
		go x.FlushError() // the client may not read
	}
	if h.running = len(h.waiting) > 0; h.running {
		time.AfterFunc(lateness, h.tick)
	}
}

// fail responds to a request that got no response from the service. A connection
// that broke after the request was sent breaks for the client too; what fails
// before that is an error of the proxy.
func (m *Module) fail(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil { // the client has left
		panic(http.ErrAbortHandler)
	}
	if x, ok := w.(*exchange); ok {
		x.restore()
	}
	why := reasonOf(err)
	m.failures.add(why.label)
	m.host.Log.WithContext(r.Context()).WithError(err).WithField("reason", why.label).Warn("the service did not respond")
	if why.broken {
		m.breakOff(w, r, 0, 0, err)
		panic(http.ErrAbortHandler)
	}
	m.host.Error(w, r, why.status, "the service behind the proxy "+why.text)
}

// BreaksConnections makes the HTTP ports follow the frames of their connections, for
// streams that the service ends by a code.
func (*Module) BreaksConnections() {}

// breakOff ends the client's connection as the service's ended: with a reset, or
// without one. Over HTTP/2 the stream is reset, with the code of the service's if
// that was one of HTTP/2.
func (m *Module) breakOff(w http.ResponseWriter, r *http.Request, status, sent int, err error) {
	end, _ := endOf(err)
	class := record.Truncated
	reset := end.reset || errors.Is(err, syscall.ECONNRESET)
	switch {
	case reset:
		class = record.ConnectionReset
	case status == 0:
		class = record.NoResponse
	}
	ctl := http.NewResponseController(w)
	if status != 0 {
		_ = ctl.Flush() // what has arrived
	}
	switch conn, _, err := ctl.Hijack(); {
	case err != nil:
		class = record.StreamReset
		if c, stream := serve.HTTP2Of(w, r); c != nil && stream != 0 && end.code >= 0 {
			c.ResetAs(stream, uint32(end.code))
		}
	case reset:
		hangup.Reset(conn)
	default:
		hangup.Close(conn)
	}
	record.Cut(w, status, sent, class)
}

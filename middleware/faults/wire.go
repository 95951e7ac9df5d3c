package faults

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/urfave/negroni/v3"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// linger is how long a client has to close after the server closed its side:
// to close over bytes that were not read would be a reset.
const linger = 500 * time.Millisecond

const garbage = 64 // bytes

// abort ends the request without an answer. Over HTTP/2, where one stream must
// not break the others, that is RST_STREAM.
func (m *Module) abort(w http.ResponseWriter, s *scenario.Strike) {
	registry.Cut(w)
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	switch f := s.Fault; {
	case f.Reset:
		reset(conn)
	case f.Garbage:
		conn.SetWriteDeadline(time.Now().Add(linger))
		conn.Write(s.Garbage(garbage))
		hangUp(conn)
	default:
		hangUp(conn)
	}
	panic(http.ErrAbortHandler)
}

// raw is the connection below TLS.
func raw(conn net.Conn) net.Conn {
	if t, ok := conn.(interface{ NetConn() net.Conn }); ok {
		return t.NetConn()
	}
	return conn
}

// reset closes with a TCP RST in place of FIN.
func reset(conn net.Conn) {
	conn = raw(conn)
	if t, ok := conn.(interface{ SetLinger(sec int) error }); ok {
		t.SetLinger(0)
	}
	conn.Close()
}

// hangUp closes with FIN.
func hangUp(conn net.Conn) {
	defer conn.Close()
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
	under := raw(conn)
	if half, ok := under.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
	under.SetReadDeadline(time.Now().Add(linger))
	io.CopyN(io.Discard, under, 1<<20)
}

// capture keeps the beginning of a reply and counts the rest.
type capture struct {
	http.ResponseWriter // the deadlines are the real one's
	header              http.Header
	status              int
	keep, total         int
	body                bytes.Buffer
}

func (c *capture) Header() http.Header         { return c.header }
func (c *capture) Unwrap() http.ResponseWriter { return c.ResponseWriter }
func (c *capture) Flush()                      {}

func (c *capture) WriteHeader(status int) {
	if c.status == 0 && status >= 200 {
		c.status = status
	}
}

func (c *capture) Write(b []byte) (int, error) {
	c.WriteHeader(http.StatusOK)
	c.total += len(b)
	c.body.Write(b[:min(len(b), max(0, c.keep-c.body.Len()))])
	return len(b), nil
}

// enough is how much of a body is kept for a chunk that breaks.
const enough = 4 << 10

// cut lets the handler answer, sends the beginning of that and breaks off.
func (m *Module) cut(w http.ResponseWriter, r *http.Request, next http.HandlerFunc, s *scenario.Strike) {
	f := s.Fault
	c := &capture{ResponseWriter: w, header: w.Header().Clone(), keep: enough}
	if f.Truncate != nil {
		c.keep = *f.Truncate
	}
	next(negroni.NewResponseWriter(c), r)
	if r.Context().Err() != nil {
		return // the client left first
	}
	c.WriteHeader(http.StatusOK)
	bodiless := r.Method == http.MethodHead || c.status == http.StatusNoContent || c.status == http.StatusNotModified
	if bodiless { // nothing could be missing
		m.abort(w, s)
	}
	if f.Truncate != nil && c.total <= *f.Truncate {
		c.body.Truncate(max(0, c.total-1))
		c.total = max(1, c.total)
	}
	if r.ProtoMajor > 1 {
		c.cutStream(w)
	}
	registry.Cut(w)
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	conn.SetWriteDeadline(time.Now().Add(m.MaxDelay))
	conn.Write(c.reply(f))
	if f.Reset {
		reset(conn)
	} else {
		hangUp(conn)
	}
	panic(http.ErrAbortHandler)
}

// cutStream sends the beginning over HTTP/2 and then RST_STREAM.
func (c *capture) cutStream(w http.ResponseWriter) {
	to := w.Header()
	clear(to)
	for name, value := range c.header {
		to[name] = value
	}
	to.Set("Content-Length", strconv.Itoa(c.total))
	w.WriteHeader(c.status)
	w.Write(c.body.Bytes())
	http.NewResponseController(w).Flush()
	registry.Cut(w)
	panic(http.ErrAbortHandler)
}

// reply is the beginning of the reply as HTTP/1.1 writes it.
func (c *capture) reply(f *scenario.Fault) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", c.status, http.StatusText(c.status))
	h := c.header
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", http.DetectContentType(c.body.Bytes()))
	}
	h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	h.Set("Connection", "close")
	h.Del("Content-Length")
	if !f.BadChunk {
		h.Set("Content-Length", strconv.Itoa(c.total))
		h.Write(&b)
		fmt.Fprintf(&b, "\r\n%s", c.body.Bytes())
		return b.Bytes()
	}
	h.Set("Transfer-Encoding", "chunked")
	h.Write(&b)
	b.WriteString("\r\n")
	if half := c.body.Bytes()[:(c.body.Len()+1)/2]; len(half) > 0 {
		fmt.Fprintf(&b, "%x\r\n%s\r\n", len(half), half)
	}
	b.WriteString("no chunk\r\n")
	return b.Bytes()
}

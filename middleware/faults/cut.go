package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/urfave/negroni/v3"

	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
	"github.com/seed-4591fe7d/podinfo/registry/record"
)

// enough is how much of a body is kept for a chunk that breaks.
const enough = 4 << 10

var errCut = errors.New("the reply was cut")

// capture keeps the beginning of a reply and counts the rest, until the handler
// returns or sends what it has so far. From then on it is a stream.
type capture struct {
	http.ResponseWriter // the real one, whose deadlines are the handler's
	r                   *http.Request
	fault               *scenario.Fault
	patience            time.Duration // for one write
	stop                func()        // ends the handler's context

	header      http.Header
	status      int
	keep, total int
	body        bytes.Buffer

	streams bool
	conn    net.Conn // of a stream over HTTP/1, nil over HTTP/2
	sent    int
	over    bool
}

// cut lets the handler answer, sends the beginning of that and breaks off.
func (m *Module) cut(w http.ResponseWriter, r *http.Request, next http.HandlerFunc, s *scenario.Strike) {
	ctx, stop := context.WithCancel(r.Context())
	defer stop()
	defer context.AfterFunc(m.closing, stop)()
	c := &capture{ResponseWriter: w, r: r, fault: s.Fault, patience: m.MaxDelay, stop: stop, header: w.Header().Clone(), keep: enough}
	if s.Fault.Truncate != nil {
		c.keep = *s.Fault.Truncate
	}
	defer func() { // also when the handler panics: net/http has not the connection any more
		if c.streams {
			c.end()
		}
	}()
	next(negroni.NewResponseWriter(c), r.WithContext(ctx))
	if r.Context().Err() != nil && !c.streams {
		return // the client left first
	}
	c.WriteHeader(http.StatusOK)
	switch {
	case c.streams:
		c.end()
	case c.bodiless(): // nothing could be missing
		m.abort(w, s)
	default:
		c.whole()
	}
	panic(http.ErrAbortHandler)
}

func (c *capture) Header() http.Header         { return c.header }
func (c *capture) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func (c *capture) WriteHeader(status int) {
	if c.status == 0 && status >= 200 {
		c.status = status
	}
}

func (c *capture) Write(b []byte) (int, error) {
	c.WriteHeader(http.StatusOK)
	part := b[:min(len(b), max(0, c.keep-c.total))]
	c.total += len(b)
	if !c.streams {
		c.body.Write(part)
		return len(b), nil
	}
	if c.send(part); len(part) < len(b) {
		c.end()
	}
	if c.over {
		return len(part), errCut
	}
	return len(b), nil
}

func (c *capture) bodiless() bool {
	return c.r.Method == http.MethodHead || c.status == http.StatusNoContent || c.status == http.StatusNotModified
}

// Flush makes a stream of the reply, as its client gets now what there is. A
// client of HTTP/1.0, which knows no chunks, would not see what is missing of
// one.
func (c *capture) Flush() {
	c.WriteHeader(http.StatusOK)
	if c.streams || c.bodiless() || !c.r.ProtoAtLeast(1, 1) {
		return
	}
	c.streams = true
	c.begin("")
	if c.conn != nil {
		go c.watch(c.conn)
	}
	if c.send(c.body.Bytes()); c.total > c.keep || c.fault.BadChunk {
		c.end()
	}
}

// begin sends the header. Without a length what follows comes in chunks.
func (c *capture) begin(length string) {
	to := c.header
	if c.r.ProtoMajor > 1 {
		to = c.ResponseWriter.Header()
		clear(to)
		maps.Copy(to, c.header)
	}
	to.Del("Content-Length")
	if length != "" {
		to.Set("Content-Length", length)
	}
	if c.r.ProtoMajor > 1 {
		c.ResponseWriter.WriteHeader(c.status)
		http.NewResponseController(c.ResponseWriter).Flush()
		return
	}
	record.Cut(c.ResponseWriter, c.body.Len())
	conn, _, err := http.NewResponseController(c.ResponseWriter).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if to.Get("Content-Type") == "" {
		to.Set("Content-Type", http.DetectContentType(c.body.Bytes()))
	}
	to.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	to.Set("Connection", "close")
	if length == "" {
		to.Set("Transfer-Encoding", "chunked")
	}
	c.conn = conn
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", c.status, http.StatusText(c.status))
	to.Write(&b)
	b.WriteString("\r\n")
	c.raw(b.Bytes())
}

// watch ends the handler of a stream over HTTP/1 when its client leaves, which
// net/http does not see any more. It ends with the connection.
func (c *capture) watch(conn net.Conn) {
	io.Copy(io.Discard, conn)
	c.stop()
}

// raw writes to the connection of a stream over HTTP/1.
func (c *capture) raw(b []byte) error {
	c.conn.SetWriteDeadline(time.Now().Add(c.patience))
	_, err := c.conn.Write(b)
	return err
}

// send sends a part of the body, unless it is over. When that fails, it is.
func (c *capture) send(b []byte) {
	if c.over || len(b) == 0 {
		return
	}
	var err error
	switch {
	case c.conn == nil:
		if _, err = c.ResponseWriter.Write(b); err == nil {
			err = http.NewResponseController(c.ResponseWriter).Flush()
		}
	case c.header.Get("Transfer-Encoding") != "":
		err = c.raw(fmt.Appendf(nil, "%x\r\n%s\r\n", len(b), b))
	default:
		err = c.raw(b)
	}
	if err != nil {
		c.end()
		return
	}
	c.sent += len(b)
}

// end breaks off, over HTTP/2 when the handler returns.
func (c *capture) end() {
	if c.over {
		return
	}
	c.over = true
	c.stop()
	record.Cut(c.ResponseWriter, c.sent)
	if c.conn == nil {
		return
	}
	if c.fault.BadChunk {
		c.raw([]byte("no chunk\r\n"))
	}
	if c.fault.Reset {
		reset(c.conn)
	} else {
		hangUp(c.conn)
	}
}

// whole sends the beginning of a reply that the handler has finished, shorter
// than it says.
func (c *capture) whole() {
	if c.fault.BadChunk {
		c.body.Truncate(c.body.Len() / 2)
	} else if c.total <= c.keep {
		c.body.Truncate(max(0, c.total-1))
	}
	length := strconv.Itoa(max(1, c.total))
	if c.fault.BadChunk && c.r.ProtoMajor == 1 && c.r.ProtoAtLeast(1, 1) {
		length = ""
	}
	c.begin(length)
	c.send(c.body.Bytes())
	c.end()
}

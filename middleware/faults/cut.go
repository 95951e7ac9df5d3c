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

	"github.com/seed-4591fe7d/podinfo/internal/hangup"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
	"github.com/seed-4591fe7d/podinfo/registry/record"
)

// badChunkKeep is how many bytes of a body the kind bad-chunk keeps.
const badChunkKeep = 4 << 10

var errCut = errors.New("response cut by a fault")

// capture buffers the beginning of a response and counts the rest, until the
// handler returns or flushes. After a flush it streams.
type capture struct {
	http.ResponseWriter // the client's, whose deadlines the handler may set
	r                   *http.Request
	strike              *scenario.Strike
	seen                string // what the client sees at the end
	module              *Module
	writeTimeout        time.Duration // of one write
	stop                func()        // cancels the handler's context

	header      http.Header
	status      int
	keep, total int // bytes of the body to send at most, and written
	body        bytes.Buffer

	unaware bool // the handler does not notice
	streams bool
	conn    net.Conn // of a stream over HTTP/1, nil over HTTP/2
	sent    int
	over    bool
}

// cut applies the kinds truncate and bad-chunk: it calls the handler and sends
// only the beginning of its response.
func (m *Module) cut(w http.ResponseWriter, r *http.Request, next http.HandlerFunc, s *scenario.Strike) {
	ctx, stop := context.WithCancel(r.Context())
	defer stop()
	defer context.AfterFunc(m.closing, stop)()
	c := &capture{
		ResponseWriter: w, r: r, strike: s, seen: connClosed, module: m, writeTimeout: m.MaxDelay, stop: stop,
		header: w.Header().Clone(), keep: badChunkKeep, unaware: s.After(),
	}
	if s.Fault.Reset {
		c.seen = connReset
	}
	if s.Fault.Truncate != nil {
		c.keep = *s.Fault.Truncate
	}
	defer func() { // also after a panic, as net/http no longer closes the connection
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
	case c.bodiless(): // there is no body to cut
		c.close(takeOver(c.module, w, s, c.seen, c.class()))
	default:
		c.sendCut()
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

// class returns what a client calls the error.
func (c *capture) class() record.Class {
	switch {
	case c.strike.Fault.Reset && c.r.ProtoMajor == 1:
		return record.ConnectionReset
	case c.bodiless():
		return record.NoResponse
	case c.strike.Fault.BadChunk && c.header.Get("Transfer-Encoding") != "":
		return record.Malformed
	}
	return record.Truncated
}

// bodiless reports whether the response has no body.
func (c *capture) bodiless() bool {
	return c.r.Method == http.MethodHead || c.status == http.StatusNoContent || c.status == http.StatusNotModified
}

// Flush sends what was buffered and starts to stream. Responses to HTTP/1.0 stay
// buffered: without chunks the client could not tell that a stream was cut. So do
// those that are cut after the handler.
func (c *capture) Flush() {
	c.WriteHeader(http.StatusOK)
	if c.streams || c.unaware || c.bodiless() || !c.r.ProtoAtLeast(1, 1) {
		return
	}
	c.streams = true
	c.begin(c.declared())
	if c.conn != nil {
		go c.watch(c.conn)
	}
	if c.send(c.body.Bytes()); c.total > c.keep || c.strike.Fault.BadChunk {
		c.end()
	}
}

// declared returns the Content-Length that the handler has set, "" for none. The
// response is cut before it at the latest.
func (c *capture) declared() string {
	n, err := strconv.Atoi(c.header.Get("Content-Length"))
	if err != nil || c.strike.Fault.BadChunk {
		return ""
	}
	n = max(1, n)
	c.keep = min(c.keep, n-1)
	c.body.Truncate(min(c.body.Len(), c.keep))
	return strconv.Itoa(n)
}

// begin sends the header. Without a length the body is chunked.
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
	c.module.recordCut(c.ResponseWriter, c.status, c.body.Len(), c.class())
	conn, _, err := http.NewResponseController(c.ResponseWriter).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if to.Get("Content-Type") == "" {
		to.Set("Content-Type", http.DetectContentType(c.body.Bytes()))
	}
	if to.Get("Date") == "" {
		to.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	}
	to.Set("Connection", "close")
	if length == "" {
		to.Set("Transfer-Encoding", "chunked")
	}
	c.conn = conn
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", c.status, http.StatusText(c.status))
	to.Write(&b)
	b.WriteString("\r\n")
	c.writeRaw(b.Bytes())
}

// watch cancels the handler of a stream over HTTP/1 when the client leaves, which
// net/http does not notice on a hijacked connection. It returns when the
// connection is closed.
func (c *capture) watch(conn net.Conn) {
	io.Copy(io.Discard, conn)
	c.stop()
}

// writeRaw writes to the connection of a stream over HTTP/1.
func (c *capture) writeRaw(b []byte) error {
	c.conn.SetWriteDeadline(time.Now().Add(c.writeTimeout))
	_, err := c.conn.Write(b)
	return err
}

// send sends a part of the body, unless the response was cut already. It cuts the
// response when that fails.
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
		err = c.writeRaw(fmt.Appendf(nil, "%x\r\n%s\r\n", len(b), b))
	default:
		err = c.writeRaw(b)
	}
	if err != nil {
		c.end()
		return
	}
	c.sent += len(b)
}

// end cuts the response, over HTTP/2 when the handler returns.
func (c *capture) end() {
	if c.over {
		return
	}
	c.over = true
	c.stop()
	c.module.recordCut(c.ResponseWriter, c.status, c.sent, c.class())
	if c.conn == nil {
		c.module.saw(c.strike, streamReset)
		return
	}
	c.module.saw(c.strike, c.seen)
	if c.strike.Fault.BadChunk {
		c.writeRaw([]byte("no chunk\r\n"))
	}
	c.close(c.conn)
}

// close closes the connection, by a reset when the fault has one.
func (c *capture) close(conn net.Conn) {
	if c.strike.Fault.Reset {
		hangup.Reset(conn)
	} else {
		hangup.Close(conn)
	}
}

// sendCut sends the beginning of a response that the handler has finished,
// shorter than its header declares.
func (c *capture) sendCut() {
	if c.strike.Fault.BadChunk {
		c.body.Truncate(c.body.Len() / 2)
	} else if c.total <= c.keep {
		c.body.Truncate(max(0, c.total-1))
	}
	length := strconv.Itoa(max(1, c.total))
	if c.strike.Fault.BadChunk && c.r.ProtoMajor == 1 && c.r.ProtoAtLeast(1, 1) {
		length = ""
	}
	c.begin(length)
	c.send(c.body.Bytes())
	c.end()
}

package proxy

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/seed-4591fe7d/podinfo/registry/record"
)

// discard drops what ReverseProxy would log: the metrics and the access log tell
// the same.
var discard = log.New(io.Discard, "", 0)

// exchange is a request on its way through the proxy, in its context.
type exchange struct {
	header http.Header // of the response to the client
	status int         // of the response
	err    error       // that ended the response's body too early
}

type exchangeKey struct{}

// serve forwards a request. What the service does to a connection happens to that of
// the client: a response that it cuts is cut, and one that it resets is reset.
func (m *Module) serve(w http.ResponseWriter, r *http.Request) {
	ctl := http.NewResponseController(w)
	// The service decides how long a request may take, and whether to respond
	// before the body has arrived. They fail where there is nothing to set.
	_ = ctl.SetReadDeadline(time.Time{})
	_ = ctl.SetWriteDeadline(time.Time{})
	_ = ctl.EnableFullDuplex()
	x := &exchange{header: w.Header()}
	sent := &counter{ResponseWriter: w}
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if p == http.ErrAbortHandler && x.err != nil && r.Context().Err() == nil {
			m.breakOff(w, x.status, sent.n, x.err)
		}
		panic(p)
	}()
	m.proxy.ServeHTTP(sent, r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x)))
}

// counter counts the bytes of a response's body.
type counter struct {
	http.ResponseWriter
	n int
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.ResponseWriter.Write(b)
	c.n += n
	return n, err
}

// Unwrap implements the convention of http.ResponseController.
func (c *counter) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// observe keeps net/http from adding headers that the service did not send, and notes
// how the body ends.
func observe(res *http.Response) error {
	x, ok := res.Request.Context().Value(exchangeKey{}).(*exchange)
	if !ok || res.StatusCode == http.StatusSwitchingProtocols {
		return nil
	}
	for _, name := range []string{"Content-Type", "Date"} {
		if res.Header[name] == nil {
			x.header[name] = nil
		}
	}
	x.status = res.StatusCode
	res.Body = &body{res.Body, x}
	return nil
}

// body is the body of a response.
type body struct {
	io.ReadCloser
	exchange *exchange
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		b.exchange.err = err
	}
	return n, err
}

// fail responds to a request that got no response from the service. A connection
// that broke after the request was sent breaks for the client too; what fails
// before that is an error of the proxy.
func (m *Module) fail(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil { // the client has left
		panic(http.ErrAbortHandler)
	}
	why := reasonOf(err)
	m.failures.add(why.label)
	m.host.Log.WithContext(r.Context()).WithError(err).WithField("reason", why.label).Warn("the service did not respond")
	if why.broken {
		m.breakOff(w, 0, 0, err)
		panic(http.ErrAbortHandler)
	}
	m.host.Error(w, r, why.status, "the service behind the proxy "+why.text)
}

// breakOff ends the client's connection as the service's ended: with a reset, or
// without one. Over HTTP/2 the stream is reset.
func (m *Module) breakOff(w http.ResponseWriter, status, sent int, err error) {
	class := record.Truncated
	reset := errors.Is(err, syscall.ECONNRESET)
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
	if conn, _, err := ctl.Hijack(); err == nil {
		if t, ok := raw(conn).(interface{ SetLinger(int) error }); ok && reset {
			_ = t.SetLinger(0)
		}
		conn.Close()
	} else {
		class = record.StreamReset
	}
	record.Cut(w, status, sent, class)
}

// raw returns the connection below TLS.
func raw(conn net.Conn) net.Conn {
	if t, ok := conn.(interface{ NetConn() net.Conn }); ok {
		return t.NetConn()
	}
	return conn
}

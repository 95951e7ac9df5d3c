package faults

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"github.com/seed-4591fe7d/podinfo/internal/rpcstatus"
	"github.com/seed-4591fe7d/podinfo/internal/serve"
	"github.com/seed-4591fe7d/podinfo/registry/fault"
	"github.com/seed-4591fe7d/podinfo/registry/record"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// proxied is the middleware of routes to another service. gRPC calls to it are HTTP
// requests here, which the rules about calls break without knowing the service
// (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md).
type proxied struct{ *Module }

func (m proxied) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	switch {
	case m.engine.Idle() && !m.ByHeader:
		next(w, r)
	case record.IsCall(r):
		m.serveCall(w, r, next)
	default:
		m.serve(w, r, next, false)
	}
}

// serveCall serves a call to another service.
func (m proxied) serveCall(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	c := &proxiedCall{w: w, r: r, m: m.Module}
	call := &rpc.Call{FullMethod: r.URL.Path, Kind: rpc.BidiStream, Client: c}
	err := m.ServeRPC(r.Context(), call, c.forward(next))
	switch {
	case c.broken:
		panic(http.ErrAbortHandler)
	case err != nil && r.Context().Err() == nil:
		c.fail(err)
	default:
		c.begin()
	}
}

// proxiedCall is a call to another service, and its response. It implements
// rpc.Client and rpc.Connection.
type proxiedCall struct {
	w http.ResponseWriter
	r *http.Request
	m *Module

	status  int         // of the response, 0 if none came
	header  http.Header // of the response
	begun   bool        // the header was sent
	broken  bool        // below gRPC
	trailer http.Header // of the proxy's own
	hook    fault.Messages
	err     error              // of hook, which ends the call
	prefix  []byte             // of the message that comes next, while it is incomplete
	left    int                // bytes of the current message that are still to come
	drop    bool               // the current message is lost
	ctx     context.Context    // of the call
	cancel  context.CancelFunc // of the request to the service
}

// prefixLen is the length of what precedes a message: a flag and its length.
const prefixLen = 5

// forward returns what calls the service.
func (c *proxiedCall) forward(next http.HandlerFunc) func(context.Context) error {
	return func(ctx context.Context) (err error) {
		c.ctx, c.hook = ctx, fault.MessagesOf(ctx)
		within, cancel := context.WithCancel(ctx)
		defer cancel()
		c.cancel = cancel
		c.header = c.w.Header().Clone()
		defer func() {
			if p := recover(); p != nil {
				hooked := c.err != nil || ctx.Err() != nil && c.r.Context().Err() == nil // by a message, or by its time
				if err = c.err; !hooked || p != http.ErrAbortHandler {
					panic(p)
				}
			}
		}()
		next(c, c.r.WithContext(within))
		return c.err
	}
}

// Header implements http.ResponseWriter.
func (c *proxiedCall) Header() http.Header {
	if c.begun || c.header == nil {
		return c.w.Header()
	}
	return c.header
}

// WriteHeader implements http.ResponseWriter. The header is sent with the first
// message, or at the end: until then the call may end with another status.
func (c *proxiedCall) WriteHeader(status int) {
	if c.status == 0 && status >= 200 {
		c.status = status
	}
}

// begin sends the header.
func (c *proxiedCall) begin() {
	if c.begun || c.status == 0 {
		return
	}
	c.begun = true
	to := c.w.Header()
	clear(to)
	maps.Copy(to, c.header)
	c.addTrailer()
	c.w.WriteHeader(c.status)
}

// Write implements http.ResponseWriter. It calls the hook before each message.
func (c *proxiedCall) Write(b []byte) (n int, err error) {
	c.WriteHeader(http.StatusOK)
	if c.hook == nil {
		c.begin()
		return c.w.Write(b)
	}
	for len(b) > 0 {
		if c.left == 0 {
			k := min(prefixLen-len(c.prefix), len(b))
			c.prefix, b, n = append(c.prefix, b[:k]...), b[k:], n+k
			if len(c.prefix) < prefixLen {
				return n, nil
			}
			if err := c.beginMessage(); err != nil {
				return n, err
			}
			continue
		}
		k := min(c.left, len(b))
		if !c.drop {
			if _, err := c.w.Write(b[:k]); err != nil {
				return n, err
			}
		}
		c.left, b, n = c.left-k, b[k:], n+k
	}
	return n, nil
}

// beginMessage calls the hook for a message whose prefix has come.
func (c *proxiedCall) beginMessage() error {
	c.left = int(binary.BigEndian.Uint32(c.prefix[1:]))
	prefix := c.prefix
	c.prefix = c.prefix[:0]
	err := c.hook.Send(c.ctx)
	if c.drop = errors.Is(err, fault.ErrLost); c.drop {
		return nil
	}
	if err != nil {
		c.err = err
		c.cancel() // closing the service's response would wait for the client's next message
		return err
	}
	c.begin()
	_, err = c.w.Write(prefix)
	return err
}

// Flush implements http.Flusher.
func (c *proxiedCall) Flush() {
	if c.begun {
		_ = http.NewResponseController(c.w).Flush()
	}
}

// Unwrap implements the convention of http.ResponseController.
func (c *proxiedCall) Unwrap() http.ResponseWriter { return c.w }

// fail ends the call with a status, in the header if nothing was sent.
func (c *proxiedCall) fail(err error) {
	code, message := rpc.CodeOf(err), err.Error()
	var details []byte
	if e, ok := errors.AsType[*rpc.Error](err); ok {
		message = e.Message
		details = rpcstatus.Encode(code, message, e.Details)
	}
	h, place := c.w.Header(), http.TrailerPrefix
	if !c.begun {
		clear(h)
		h.Set("Content-Type", "application/grpc")
		place = ""
	}
	for _, name := range []string{"Grpc-Status", "Grpc-Message", "Grpc-Status-Details-Bin"} {
		h.Del(http.TrailerPrefix + name)
		h.Del(name)
	}
	h.Set(place+"Grpc-Status", fmt.Sprint(uint32(code)))
	h.Set(place+"Grpc-Message", strings.ReplaceAll(url.QueryEscape(message), "+", "%20"))
	if details != nil {
		h.Set(place+"Grpc-Status-Details-Bin", base64.RawStdEncoding.EncodeToString(details))
	}
	if !c.begun {
		for name, values := range c.trailer {
			h[name] = values
		}
		c.begun = true
		c.w.WriteHeader(http.StatusOK)
	}
}

// Peer implements rpc.Client.
func (c *proxiedCall) Peer() string { return c.r.RemoteAddr }

// Metadata implements rpc.Client.
func (c *proxiedCall) Metadata(key string) []string {
	if key == ":authority" {
		return []string{c.r.Host}
	}
	return c.r.Header[http.CanonicalHeaderKey(key)]
}

// SetHeader implements rpc.Connection. The headers are those of the server behind
// the proxy.
func (*proxiedCall) SetHeader(_, _ string) {}

// SetTrailer implements rpc.Connection.
func (c *proxiedCall) SetTrailer(name, value string) {
	if c.trailer == nil {
		c.trailer = http.Header{}
	}
	c.trailer.Add(name, value)
	if c.begun {
		c.addTrailer()
	}
}

// addTrailer adds the proxy's own metadata to that which ends the call. If the status
// is in the header, nothing may follow it.
func (c *proxiedCall) addTrailer() {
	place := http.TrailerPrefix
	if c.header["Grpc-Status"] != nil && c.header["Trailer"] == nil {
		place = ""
	}
	for name, values := range c.trailer {
		c.w.Header()[place+http.CanonicalHeaderKey(name)] = values
	}
}

// GoAway implements rpc.Connection. net/http translates the header.
func (c *proxiedCall) GoAway(code uint32, _ string) {
	if conn, _ := serve.HTTP2Of(c.w, c.r); conn != nil && code != 0 {
		conn.GoAway(code, serve.LastStream)
		return
	}
	c.w.Header().Set("Connection", "close")
}

// Refuse implements rpc.Connection.
func (c *proxiedCall) Refuse(code uint32, _ string) {
	if conn, stream := serve.HTTP2Of(c.w, c.r); conn != nil && stream != 0 {
		conn.GoAway(code, max(stream, 2)-2) // clients have the odd numbers
	}
	c.Close()
}

// Reset implements rpc.Connection.
func (c *proxiedCall) Reset(code uint32) {
	c.cut(record.StreamReset)
	if conn, stream := serve.HTTP2Of(c.w, c.r); conn != nil && stream != 0 {
		conn.ResetAs(stream, code)
	}
}

// Close implements rpc.Connection.
func (c *proxiedCall) Close() {
	c.cut(record.NoResponse)
	if conn, _ := serve.HTTP2Of(c.w, c.r); conn != nil {
		conn.End()
	}
}

func (c *proxiedCall) cut(class record.Class) {
	c.broken = true
	status := 0
	if c.begun {
		status = c.status
	}
	c.m.recordCut(c.w, status, 0, class)
}

// Code returns the status of the service's response.
func (c *proxiedCall) Code() rpc.Code { return record.CodeOf(c.status, c.Header()) }

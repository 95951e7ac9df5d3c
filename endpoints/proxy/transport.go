package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/watch"
)

// maxCA is the size limit of a file of certificate authorities, in bytes.
const maxCA = 1 << 20

// tlsConfig returns the configuration of connections to an https service.
func (m *Module) tlsConfig() (*tls.Config, error) {
	conf := &tls.Config{InsecureSkipVerify: m.Insecure}
	if m.CAFile == "" {
		return conf, nil
	}
	pem, err := watch.ReadFile(m.CAFile, maxCA)
	if err != nil {
		return nil, err
	}
	conf.RootCAs = x509.NewCertPool()
	if !conf.RootCAs.AppendCertsFromPEM(pem) {
		return nil, errors.New("no certificate in the file")
	}
	return conf, nil
}

// transports sends requests over the protocol that the service speaks.
type transports struct {
	http *http.Transport // HTTP/1.1, or HTTP/2 if TLS agrees on it
	h2c  *http.Transport // HTTP/2 without TLS
	hops []string        // hop-by-hop headers of responses that pass
}

func newTransports(m *Module, conf *tls.Config) transports {
	dialer := &net.Dialer{Timeout: m.Connect}
	dial := dialer.DialContext
	if m.target.Scheme == "unix" {
		path := m.target.Path
		dial = func(ctx context.Context, _, _ string) (net.Conn, error) { return dialer.DialContext(ctx, "unix", path) }
	}
	newTransport := func() *http.Transport {
		return &http.Transport{
			DialContext: dial, TLSClientConfig: conf, TLSHandshakeTimeout: m.Connect, ResponseHeaderTimeout: m.Response,
			MaxIdleConnsPerHost: 256, IdleConnTimeout: m.Idle, DisableKeepAlives: m.Idle == 0, ExpectContinueTimeout: time.Second,
			DisableCompression: true, Protocols: new(http.Protocols),
		}
	}
	t := transports{newTransport(), newTransport(), m.hops}
	t.http.Protocols.SetHTTP1(true)
	t.http.Protocols.SetHTTP2(m.target.Scheme == "https")
	t.h2c.Protocols.SetUnencryptedHTTP2(true)
	return t
}

// RoundTrip sends a request, and notes the hop-by-hop headers of the response that
// pass, because ReverseProxy removes them.
func (t transports) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := t.choose(r).RoundTrip(r)
	if x, ok := r.Context().Value(exchangeKey{}).(*exchange); ok && err == nil && t.hops != nil {
		x.hops = http.Header{}
		for _, name := range t.hops {
			if values := res.Header[name]; values != nil && (r.ProtoMajor == 1 || !slices.Contains(notHTTP2, name)) {
				x.hops[name] = values
			}
		}
	}
	return res, err
}

// notHTTP2 are the headers that responses over HTTP/2 must not have (RFC 9113,
// section 8.2.2), without those of ofTransport.
var notHTTP2 = []string{"Keep-Alive", "Proxy-Connection"}

// choose returns the transport for a request. One that asks for another protocol
// needs HTTP/1.1, which servers of h2c often speak too: HTTP/2 has no Upgrade. A gRPC
// call to an http service needs HTTP/2, which only the client's request tells
// (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md).
func (t transports) choose(r *http.Request) *http.Transport {
	switch {
	case r.URL.Scheme == "h2c":
		r.URL.Scheme = "http" // of a request of the proxy's own
		if r.Header.Get("Upgrade") != "" {
			return t.http
		}
		return t.h2c
	case r.URL.Scheme == "http" && r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc"):
		return t.h2c
	}
	return t.http
}

func (t transports) close() {
	t.http.CloseIdleConnections()
	t.h2c.CloseIdleConnections()
}

// buffers is a pool of the buffers that copy bodies.
type buffers struct{ sync.Pool }

// bufferSize is the size of such a buffer, in bytes.
const bufferSize = 32 << 10

// Get implements httputil.BufferPool.
func (p *buffers) Get() []byte {
	if b, ok := p.Pool.Get().(*[bufferSize]byte); ok {
		return b[:]
	}
	return make([]byte, bufferSize)
}

// Put implements httputil.BufferPool.
func (p *buffers) Put(b []byte) { p.Pool.Put((*[bufferSize]byte)(b)) }

package faults

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/seed-4591fe7d/podinfo/internal/hangup"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/capability"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// ConnectionFaults implements [capability.ConnectionFaulter].
func (m *Module) ConnectionFaults() capability.ConnectionFaults { return connections{m} }

// connections implements capability.ConnectionFaults.
type connections struct{ m *Module }

// connValues implements scenario.Values for a connection.
type connValues struct{ net.Conn }

func (connValues) Header(string) []string { return nil }
func (connValues) Query(string) []string  { return nil }
func (v connValues) Client() string {
	addr := v.RemoteAddr().String()
	if host, _, err := net.SplitHostPort(addr); err == nil {
		return host
	}
	return addr
}

// decideBelow returns what a rule does to a connection or its handshake, nil for nothing.
func (m *Module) decideBelow(c net.Conn, req scenario.Request) (*scenario.Strike, breaker) {
	if m.engine.Idle() {
		return nil, breaker{}
	}
	req.Values = connValues{c}
	d := m.engine.Decide(&req)
	if d == nil {
		return nil, breaker{}
	}
	defer d.Done()
	s := d.Broken()
	kind, b := breakerOf(s, req.Scope())
	if kind == nil {
		return nil, breaker{}
	}
	m.report(context.Background(), d, req.Scope())
	m.logBelow(s, kind.Name, req.Client())
	return s, b
}

// belowLog limits the log lines about one rule for connections or handshakes, which
// have no line in the access log.
type belowLog struct {
	seldom
	hits atomic.Uint64 // since the last line
}

// logBelow logs the hits of a rule on connections or handshakes, at most once a
// second.
func (m *Module) logBelow(s *scenario.Strike, kind, client string) {
	l, _ := m.below.LoadOrStore(s.Rule, new(belowLog))
	b := l.(*belowLog)
	b.hits.Add(1)
	b.do(time.Second, func() {
		m.host.Log.WithFields(logrus.Fields{"rule": s.Rule, "kind": kind, "fault": s.Describe(kind), "client": client, "hits": b.hits.Swap(0)}).
			Info("a fault rule hit connections")
	})
}

// Accept implements capability.ConnectionFaults.
func (c connections) Accept(conn net.Conn) net.Conn {
	s, b := c.m.decideBelow(conn, scenario.Request{Connection: true})
	if s == nil {
		return conn
	}
	return b.connection(c.m, conn, s)
}

// TLS implements capability.ConnectionFaults.
func (c connections) TLS(conf *tls.Config, protocols ...string) *tls.Config {
	out := conf.Clone()
	out.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		var own *tls.Config
		if conf.GetConfigForClient != nil {
			var err error
			if own, err = conf.GetConfigForClient(hello); err != nil {
				return nil, err
			}
		}
		s, b := c.m.decideBelow(hello.Conn, scenario.Request{Handshake: true})
		if s == nil {
			return own, nil
		}
		if own == nil {
			own = conf.Clone()
			own.NextProtos = protocols
		}
		return b.handshake(c.m, hello, own, s)
	}
	return out
}

// breakConnection applies the kind connection.
func breakConnection(m *Module, conn net.Conn, s *scenario.Strike) net.Conn {
	switch f := s.Fault.Connection; {
	case f.Refuse:
		m.saw(s, connReset)
		hangup.Reset(conn)
	case f.Silent:
		if !m.engine.Hold() {
			m.skip(s.Rule)
			return conn
		}
		go func() {
			defer m.engine.Release()
			defer conn.Close()
			defer context.AfterFunc(m.draining, func() { conn.Close() })()
			io.Copy(io.Discard, conn)
		}()
	default:
		c := &idleConn{leaving: leaving{conn, func() {}}, limit: time.Duration(f.Idle)}
		c.timer = time.AfterFunc(c.limit, func() {
			m.saw(s, connClosed)
			hangup.Close(conn)
		})
		c.leave = func() { c.timer.Stop() }
		return c
	}
	return nil
}

// idleConn is a connection that is closed after a time without data.
type idleConn struct {
	leaving
	limit time.Duration
	timer *time.Timer
}

// Read implements net.Conn.
func (c *idleConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.seen(n)
	return n, err
}

// Write implements net.Conn.
func (c *idleConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.seen(n)
	return n, err
}

// seen starts the time anew, unless it is over.
func (c *idleConn) seen(n int) {
	if n > 0 && c.timer.Stop() {
		c.timer.Reset(c.limit)
	}
}

// handshakeTimeout is the time for the rest of a handshake that was delayed.
const handshakeTimeout = 10 * time.Second

// breakHandshake applies the kind tls.
func breakHandshake(m *Module, hello *tls.ClientHelloInfo, conf *tls.Config, s *scenario.Strike) (*tls.Config, error) {
	f := s.Fault.TLS
	if f.Delay > 0 {
		if !m.engine.Hold() {
			m.skip(s.Rule)
		} else {
			defer m.engine.Release()
			hello.Conn.SetDeadline(time.Time{})
			ctx, cancel := context.WithCancel(hello.Context())
			defer cancel()
			defer context.AfterFunc(m.draining, cancel)()
			if !registry.Sleep(ctx, min(time.Duration(f.Delay), m.MaxDelay)) {
				return nil, ctx.Err()
			}
			hello.Conn.SetDeadline(time.Now().Add(handshakeTimeout)) // net/http removes it afterwards
		}
	}
	switch {
	case f.Stall:
		if !m.engine.Hold() {
			m.counts.add(s.Rule, "skipped")
			return conf, nil
		}
		defer m.engine.Release()
		defer context.AfterFunc(m.draining, func() { hello.Conn.Close() })()
		hello.Conn.SetDeadline(time.Time{})
		io.Copy(io.Discard, hello.Conn)
		m.saw(s, connClosed)
		return nil, errHandshake
	case f.Break == scenario.ResetTLS:
		m.saw(s, connReset)
		hangup.Reset(hello.Conn)
		return nil, errHandshake
	case f.Break == scenario.CloseTLS:
		m.saw(s, connClosed)
		hangup.Close(hello.Conn)
		return nil, errHandshake
	case f.Break == scenario.AlertTLS:
		return nil, errHandshake // which crypto/tls sends as an alert
	case f.Certificate == "" && !f.ClientCertificate:
		return conf, nil
	}
	return presenting(conf, hello, f)
}

// errHandshake ends a handshake.
var errHandshake = errors.New("a fault rule breaks the handshake")

// presenting returns a copy of conf that presents an invalid certificate, or requires
// one of the client.
func presenting(conf *tls.Config, hello *tls.ClientHelloInfo, f *scenario.TLS) (*tls.Config, error) {
	valid, err := conf.GetCertificate(hello)
	if err != nil {
		return nil, err
	}
	conf = conf.Clone()
	conf.SessionTicketsDisabled = true // a client that resumes a session sees no certificate
	if f.ClientCertificate {
		own, err := x509.ParseCertificate(valid.Certificate[0])
		if err != nil {
			return nil, err
		}
		conf.ClientCAs, conf.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		conf.ClientCAs.AddCert(own)
	}
	if f.Certificate != "" {
		wrong, err := invalidCertificate(f.Certificate, valid, hello.ServerName)
		if err != nil {
			return nil, err
		}
		conf.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return wrong, nil }
	}
	return conf, nil
}

// BreakConnection applies a fault of the kind connection to a connection that was
// accepted. It returns the connection to serve, or nil after it has taken c over.
func (m *Module) BreakConnection(rule string, f *scenario.Connection, c net.Conn) net.Conn {
	m.counts.add(rule, "connection")
	return breakConnection(m, c, &scenario.Strike{Rule: rule, Fault: &scenario.Fault{Connection: f}})
}

// BreakHandshake applies a fault of the kind tls to a handshake. It returns what takes
// the place of the server's conf, which must have GetCertificate.
func (m *Module) BreakHandshake(rule string, f *scenario.TLS, hello *tls.ClientHelloInfo, conf *tls.Config) (*tls.Config, error) {
	m.counts.add(rule, "tls")
	return breakHandshake(m, hello, conf, &scenario.Strike{Rule: rule, Fault: &scenario.Fault{TLS: f}})
}

// wrongHost is the host that a certificate for another host names.
const wrongHost = "wrong-host.invalid"

// invalidCertificate returns a certificate in place of a valid one. It is signed by
// the valid one if that is an authority.
func invalidCertificate(what scenario.Certificate, valid *tls.Certificate, host string) (*tls.Certificate, error) {
	leaf, err := x509.ParseCertificate(valid.Certificate[0])
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "fault " + string(what)},
		NotBefore: now.Add(-48 * time.Hour), NotAfter: now.Add(24 * time.Hour),
		DNSNames: leaf.DNSNames, IPAddresses: leaf.IPAddresses,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	if len(template.DNSNames)+len(template.IPAddresses) == 0 && host != "" {
		template.DNSNames = []string{host}
	}
	parent, signer := leaf, valid.PrivateKey
	switch what {
	case scenario.Expired:
		template.NotAfter = now.Add(-24 * time.Hour)
	case scenario.NotYetValid:
		template.NotBefore, template.NotAfter = now.Add(24*time.Hour), now.Add(48*time.Hour)
	case scenario.WrongHost:
		template.DNSNames, template.IPAddresses = []string{wrongHost}, nil
	}
	chain := valid.Certificate
	switch {
	case what == scenario.UnknownAuthority:
		if parent, signer, err = newAuthority(now); err != nil {
			return nil, err
		}
		chain = [][]byte{parent.Raw}
	case what == scenario.SelfSigned || !leaf.IsCA:
		parent, signer, chain = template, key, nil
	}
	if _, ok := signer.(crypto.Signer); !ok {
		return nil, errors.New("the key of the certificate cannot sign")
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: append([][]byte{der}, chain...), PrivateKey: key}, nil
}

// newAuthority returns a certificate authority that no client knows, and its key.
func newAuthority(now time.Time) (*x509.Certificate, crypto.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "fault authority"},
		NotBefore: now.Add(-48 * time.Hour), NotAfter: now.Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return cert, key, err
}

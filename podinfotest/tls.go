package podinfotest

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// StartTLS is like [Start], or inside a testing/synctest bubble like [StartInMemory],
// and serves HTTPS and gRPC over TLS, with HTTP/2 by ALPN. The certificate is that of
// an authority of the server's own, which [Server.Client] and [Server.GRPC] trust. For
// other clients see [Server.TLSConfig].
func StartTLS(t testing.TB, env ...string) *Server {
	t.Helper()
	c := Config{TLS: true}
	if bubble() != "" {
		return c.StartInMemory(t, env...)
	}
	return c.Start(t, env...)
}

func handshake(name string, f scenario.TLS) Step { return broken(name, scenario.Fault{TLS: &f}) }

// ExpiredCertificate presents a certificate that has expired.
func ExpiredCertificate() Step { return certificate(scenario.Expired) }

// NotYetValidCertificate presents a certificate that will be valid tomorrow.
func NotYetValidCertificate() Step { return certificate(scenario.NotYetValid) }

// WrongHostCertificate presents a certificate for another host.
func WrongHostCertificate() Step { return certificate(scenario.WrongHost) }

// SelfSignedCertificate presents a certificate that is signed by itself.
func SelfSignedCertificate() Step { return certificate(scenario.SelfSigned) }

// UnknownAuthority presents a certificate of an authority that the client does not know.
func UnknownAuthority() Step { return certificate(scenario.UnknownAuthority) }

func certificate(c scenario.Certificate) Step {
	return handshake(string(c), scenario.TLS{Certificate: c})
}

// SlowHandshake delays the TLS handshake by d.
func SlowHandshake(d time.Duration) Step {
	s := handshake("slow-handshake", scenario.TLS{Delay: scenario.Duration(d)})
	if d <= 0 {
		s.wrong = fmt.Sprintf("a handshake delayed by %v: want a duration above zero", d)
	}
	return s
}

// StallHandshake does not answer the TLS handshake until the client leaves.
func StallHandshake() Step { return handshake("stall-handshake", scenario.TLS{Stall: true}) }

// BreakHandshake closes the connection in the middle of the TLS handshake: the client
// gets io.EOF. Use [Fault] to reset it, or to send an alert.
func BreakHandshake() Step {
	return handshake("break-handshake", scenario.TLS{Break: scenario.CloseTLS})
}

// AskForCertificate requires a certificate of the client (mTLS), which the server's
// authority must have signed, as [Server.ClientCertificate] is.
func AskForCertificate() Step {
	return handshake("ask-for-certificate", scenario.TLS{ClientCertificate: true})
}

// outcomeOf returns how a handshake fails.
func outcomeOf(f *scenario.TLS) string {
	switch {
	case f.Stall:
		return outcomeStalled
	case f.Break != "":
		return outcomeBroken
	case f.ClientCertificate:
		return outcomeUncertified
	}
	return cmp.Or(string(f.Certificate), outcomeSlow)
}

// authority is the certificate of a server, which is an authority too, as that of
// package httptest is: faults sign with it.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// validity is how long the certificates are valid. Tests in a bubble may sleep long.
const validity = 100 * 365 * 24 * time.Hour

func newAuthority(host string) (*authority, error) {
	template := certificateTemplate("podinfotest")
	template.IsCA = true
	template.KeyUsage |= x509.KeyUsageCertSign
	template.DNSNames = []string{"localhost", host, "*.test", "*.example", "example.com", "*.example.com"}
	template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback, serverIP}
	return new(authority).sign(template)
}

func certificateTemplate(name string) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(validity), BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
}

// sign returns a certificate with a new key, signed by a or, without one, by itself.
func (a *authority) sign(template *x509.Certificate) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &authority{cert, key}, err
}

func (a *authority) pair() tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{a.cert.Raw}, PrivateKey: a.key, Leaf: a.cert}
}

// secure prepares the server for TLS.
func (s *Server) secure() (*tls.Config, error) {
	host, _, err := net.SplitHostPort(s.entrances[web].addr)
	if err != nil {
		return nil, err
	}
	if s.authority, err = newAuthority(host); err != nil {
		return nil, err
	}
	s.pool = x509.NewCertPool()
	s.pool.AddCert(s.authority.cert)
	s.URL = "https://" + s.entrances[web].addr
	s.transport.TLSClientConfig, s.transport.ForceAttemptHTTP2 = s.TLSConfig(), true
	pair := s.authority.pair()
	conf := &tls.Config{
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &pair, nil },
		MinVersion:     tls.VersionTLS12,
	}
	served := conf.Clone()
	served.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) { return s.shake(hello, conf) }
	return served, nil
}

// shake breaks a handshake as the script says.
func (s *Server) shake(hello *tls.ClientHelloInfo, conf *tls.Config) (*tls.Config, error) {
	o := s.record.wireOf(hello.Conn.RemoteAddr().String())
	if o == nil || o.plan.fault == nil || o.plan.fault.TLS == nil {
		return nil, nil
	}
	f := o.plan.fault.TLS
	failed := s.record.connecting(outcomeOf(f), o.plan.rule)
	s.record.change(func() { o.failed = failed })
	conf = conf.Clone()
	conf.NextProtos = []string{"h2", "http/1.1"}
	defer s.record.failed(failed)
	return s.faults.BreakHandshake(o.plan.rule, f, hello, conf)
}

// TLSConfig returns the configuration of a client that trusts the server. It is nil
// unless the server uses TLS.
func (s *Server) TLSConfig() *tls.Config {
	if s.pool == nil {
		return nil
	}
	return &tls.Config{RootCAs: s.pool}
}

// CertPool returns the authority of the server, nil unless it uses TLS.
func (s *Server) CertPool() *x509.CertPool { return s.pool }

// ClientCertificate returns a certificate for a client, which the server accepts when it
// asks for one (mTLS).
func (s *Server) ClientCertificate() tls.Certificate {
	s.t.Helper()
	if s.authority == nil {
		s.t.Fatal("podinfotest: a client certificate without TLS: start the server with StartTLS or Config.TLS")
	}
	c, err := s.authority.sign(certificateTemplate("podinfotest client"))
	if err != nil {
		s.t.Fatal(err)
	}
	return c.pair()
}

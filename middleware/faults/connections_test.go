package faults_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/seed-4591fe7d/podinfo/endpoints/httpserver"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/middleware/faults"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// ports is a server with an HTTP and an HTTPS port.
type ports struct {
	m             *faults.Module
	set           *metrics.Set
	log           *registrytest.Log
	plain, secure string
	dir           string // of the certificate and its key
	trust         *tls.Config
}

func servePorts(t *testing.T, rulesText string, more ...string) *ports {
	t.Helper()
	dir := t.TempDir()
	pool := registrytest.WriteCert(t, dir, "server")
	plain, secure := registrytest.FreePort(t), registrytest.FreePort(t)
	env := rules(rulesText, more...)
	maps.Copy(env, map[string]string{
		"PODINFO_HOST": "127.0.0.1", "PODINFO_PORT": fmt.Sprint(plain), "PODINFO_SECURE_PORT": fmt.Sprint(secure), "PODINFO_CERT_PATH": dir,
	})
	p := &ports{m: new(faults.Module), set: metrics.NewSet(), dir: dir, trust: &tls.Config{RootCAs: pool, ServerName: "localhost"}}
	_, log := registrytest.New(t, env, p.m, new(endpoint), new(httpserver.Module))
	p.m.ContributeMetrics(p.set)
	p.log = log
	p.plain, p.secure = fmt.Sprint("127.0.0.1:", plain), fmt.Sprint("127.0.0.1:", secure)
	return p
}

// greet opens a connection and returns the response to a request that is not HTTP.
func (p *ports) greet(t *testing.T, patience time.Duration) (string, error) {
	t.Helper()
	conn, err := net.Dial("tcp", p.plain)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	io.WriteString(conn, "x\r\n\r\n") // fails if the server has reset the connection
	b, err := io.ReadAll(conn)
	return string(b), err
}

// shake returns the error of a TLS handshake.
func (p *ports) shake() error {
	conn, err := tls.Dial("tcp", p.secure, p.trust)
	if err != nil {
		return err
	}
	return conn.Close()
}

func TestConnections(t *testing.T) {
	for _, c := range []struct {
		rule  string
		wants []string
	}{
		{"fault: {connection: {refuse: true}}", []string{"reset", "reset", "reset"}},
		{"fault: {connection: {refuse: true}}, when: {every: 2}", []string{"served", "reset", "served"}},
		{"fault: {connection: {refuse: true}}, match: {per: client}, when: {first: 1}", []string{"reset", "served", "served"}},
		{"fault: {connection: {refuse: true}}, match: {percent: 0}", []string{"served"}},
		{"fault: {connection: {refuse: true}}, limit: {rate: 0.001, burst: 2}", []string{"served", "served", "reset"}},
		{"fault: {connection: {silent: true}}, when: {first: 1}", []string{"silent", "served"}},
		{"fault: {tls: {certificate: expired}}", []string{"served"}},
	} {
		p := servePorts(t, "rules: [{name: r, "+c.rule+"}]")
		for i, want := range c.wants {
			patience := 10 * time.Second
			if want == "silent" {
				patience = 100 * time.Millisecond
			}
			text, err := p.greet(t, patience)
			got := "?"
			timeout, _ := errors.AsType[net.Error](err)
			switch {
			case errors.Is(err, syscall.ECONNRESET):
				got = "reset"
			case strings.HasPrefix(text, "HTTP/1.1 400 "):
				got = "served"
			case text == "" && timeout != nil && timeout.Timeout():
				got = "silent"
			}
			if got != want {
				t.Errorf("%s, %d: %s, want %s: %q %v", c.rule, i, got, want, text, err)
			}
		}
	}
}

// A connection is closed between requests, and while a request waits.
func TestIdleConnections(t *testing.T) {
	p := servePorts(t, "rules: [{name: r, fault: {connection: {idle: 50ms}}}, {name: slow, match: {path: /api/*}, delay: 10m}]", "MAX_DELAY", "10m")
	for _, path := range []string{"/a", "/api/x"} {
		conn, err := net.Dial("tcp", p.plain)
		must(t, err)
		conn.SetDeadline(time.Now().Add(20 * time.Second))
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
		b, err := io.ReadAll(conn)
		if served := strings.Contains(string(b), text); err != nil || served != (path == "/a") {
			t.Errorf("%s: %q %v", path, b, err)
		}
		conn.Close()
	}
	if want := `podinfo_fault_cuts_total{rule="r",seen="connection closed"} 2`; !strings.Contains(page(p.set), want) {
		t.Error(page(p.set))
	}
}

// A handshake breaks, stalls until the client leaves, or requires a certificate of the
// client. The next one succeeds.
func TestHandshakes(t *testing.T) {
	own := func(p *ports) { // the server's certificate is its own authority
		cert, err := tls.LoadX509KeyPair(filepath.Join(p.dir, "tls.crt"), filepath.Join(p.dir, "tls.key"))
		must(t, err)
		p.trust.Certificates = []tls.Certificate{cert}
	}
	for _, c := range []struct {
		fault  string
		client func(*ports) // nil for one without a certificate
		want   func(error) bool
	}{
		{"break: close", nil, func(err error) bool { return errors.Is(err, io.EOF) }},
		{"break: reset", nil, func(err error) bool { return errors.Is(err, syscall.ECONNRESET) }},
		{"break: alert", nil, func(err error) bool { return strings.Contains(err.Error(), "remote error: tls: internal error") }},
		{"stall: true", nil, func(err error) bool { return errors.Is(err, context.DeadlineExceeded) }},
		{"client-certificate: true", nil, func(err error) bool { return strings.Contains(err.Error(), "certificate required") }},
		{"client-certificate: true", own, nil},
	} {
		p := servePorts(t, "rules: [{name: r, when: {first: 1}, fault: {tls: {"+c.fault+"}}}]")
		if c.client != nil {
			c.client(p)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for i := range 2 {
			err := p.shakeAndRead(ctx)
			if succeeds := i > 0 || c.want == nil; succeeds && err != nil || !succeeds && (err == nil || !c.want(err)) {
				t.Errorf("%s, handshake %d: %v", c.fault, i, err)
			}
			ctx = t.Context()
		}
	}
}

// shakeAndRead is shake that also reads: with TLS 1.3 the server's verdict on a client's
// certificate comes after the handshake.
func (p *ports) shakeAndRead(ctx context.Context) error {
	conn, err := (&tls.Dialer{Config: p.trust}).DialContext(ctx, "tcp", p.secure)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"); err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 1))
	return err
}

func TestCertificates(t *testing.T) {
	isExpired := func(err error) bool {
		e, ok := errors.AsType[x509.CertificateInvalidError](err)
		return ok && e.Reason == x509.Expired
	}
	isOther := func(err error) bool { _, ok := errors.AsType[x509.HostnameError](err); return ok }
	isUnknown := func(err error) bool { _, ok := errors.AsType[x509.UnknownAuthorityError](err); return ok }
	for what, is := range map[string]func(error) bool{"expired": isExpired, "not-yet-valid": isExpired, "wrong-host": isOther, "self-signed": isUnknown, "unknown-authority": isUnknown} {
		p := servePorts(t, "rules: [{name: r, when: {every: 2}, fault: {tls: {certificate: "+what+"}}}]")
		p.trust.ClientSessionCache = tls.NewLRUClientSessionCache(8)
		for i := range 4 {
			if err := p.shake(); i%2 == 0 && err != nil || i%2 == 1 && !is(err) {
				t.Errorf("%s, handshake %d: %v", what, i, err)
			}
		}
		if want := `podinfo_fault_hits_total{rule="r",kind="tls"} 2`; !strings.Contains(page(p.set), want) {
			t.Error(page(p.set))
		}
		if text, err := p.greet(t, 10*time.Second); text == "" {
			t.Errorf("the HTTP port: %v", err)
		}
	}
	insecure := servePorts(t, "rules: [{name: r, fault: {tls: {certificate: expired}}}]")
	insecure.trust.InsecureSkipVerify = true
	for _, http2 := range []bool{false, true} { // served as usual to a client that does not verify
		transport := &http.Transport{TLSClientConfig: insecure.trust.Clone(), ForceAttemptHTTP2: http2}
		res, err := (&http.Client{Transport: transport}).Get("https://" + insecure.secure + "/a")
		must(t, err)
		res.Body.Close()
		transport.CloseIdleConnections()
		if (res.ProtoMajor == 2) != http2 || res.StatusCode != 200 {
			t.Errorf("%s %s", res.Proto, res.Status)
		}
	}
}

// A delayed handshake succeeds, and counts in MAX_HELD.
func TestDelayedHandshakes(t *testing.T) {
	p := servePorts(t, "rules: [{name: r, when: {first: 2}, fault: {tls: {delay: 1m}}}]", "MAX_DELAY", "300ms", "MAX_HELD", "1")
	done := make(chan error)
	go func() { done <- p.shake() }()
	until(t, "a delayed handshake", func() bool { return strings.Contains(page(p.set), "podinfo_fault_held_requests 1") })
	must(t, p.shake())
	if !strings.Contains(page(p.set), `{rule="r",kind="skipped"} 1`) {
		t.Error(page(p.set))
	}
	must(t, <-done)
}

// Each rule that hits connections or handshakes is told in the log, at most once a
// second, with what it did to whom, and every hit is counted.
func TestConnectionsAreLogged(t *testing.T) {
	for _, c := range []struct{ fault, kind, does string }{
		{"connection: {refuse: true}", "connection", `{\"refuse\":true}`},
		{"connection: {idle: 1ms}", "connection", `{\"idle\":\"1ms\"}`},
		{"tls: {certificate: expired}", "tls", `{\"certificate\":\"expired\"}`},
		{"tls: {delay: 1ms}", "tls", `{\"delay\":\"1ms\"}`},
	} {
		p := servePorts(t, "rules: [{name: r, fault: {"+c.fault+"}}]")
		const n = 20
		began := time.Now()
		for range n {
			if c.kind == "tls" {
				p.shake()
			} else {
				p.greet(t, 10*time.Second)
			}
		}
		most := 1 + int(time.Since(began)/time.Second)
		lines := 0
		for line := range strings.SplitSeq(p.log.String(), "\n") {
			if strings.Contains(line, `"rule":"r"`) {
				lines++
				for _, want := range []string{`"kind":"` + c.kind + `"`, `"fault":"` + c.does + `"`, `"client":"127.0.0.1"`, `"hits":`} {
					if !strings.Contains(line, want) {
						t.Errorf("%s: no %s in %s", c.fault, want, line)
					}
				}
			}
		}
		if lines < 1 || lines > most {
			t.Errorf("%s: %d lines, want 1 to %d\n%s", c.fault, lines, most, p.log)
		}
		if want := fmt.Sprintf(`podinfo_fault_hits_total{rule="r",kind="%s"} %d`, c.kind, n); !strings.Contains(page(p.set), want) {
			t.Errorf("want %s\n%s", want, page(p.set))
		}
	}
}

// Stopping the server ends silent connections and delayed handshakes.
func TestStopEndsConnections(t *testing.T) {
	p := servePorts(t, "rules: [{name: s, fault: {connection: {silent: true}}, when: {first: 1}}, {name: t, fault: {tls: {delay: 1m}}}]")
	silent, err := net.Dial("tcp", p.plain)
	must(t, err)
	defer silent.Close()
	until(t, "a silent connection", func() bool { return strings.Contains(page(p.set), "podinfo_fault_held_requests 1") })
	go p.shake()
	until(t, "a delayed handshake", func() bool { return strings.Contains(page(p.set), "podinfo_fault_held_requests 2") })
	must(t, p.m.Drain(t.Context()))
	until(t, "no connection", func() bool { return strings.Contains(page(p.set), "podinfo_fault_held_requests 0") })
	if _, err := io.ReadAll(silent); err != nil {
		t.Error(err)
	}
}

// observeConnections observes the scopes of connections and handshakes.
func observeConnections(t *testing.T, rulesText string, patience time.Duration, record func(*metrics.Set, scenario.Scope, ...any)) {
	p := servePorts(t, rulesText)
	text, err := p.greet(t, patience)
	record(p.set, scenario.Connections, text, err)
	if strings.Contains(rulesText, "connection:") {
		rulesText = "true" // the connection of a handshake is hit before it
	}
	p = servePorts(t, rulesText)
	record(p.set, scenario.Handshakes, p.shake())
}

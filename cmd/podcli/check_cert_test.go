package main

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"slices"
	"testing"
	"time"
)

// serveTLS runs a server that completes TLS handshakes.
func serveTLS(t *testing.T, cert tls.Certificate) (addr string) {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { io.Copy(io.Discard, conn); conn.Close() }()
		}
	}()
	return l.Addr().String()
}

func TestCheckCert(t *testing.T) {
	now, long := time.Now(), 365*day
	ca := newAuthority(t, "the authority", distant, nil)
	expiring := newAuthority(t, "expiring", now.Add(5*day), ca)
	good := serveTLS(t, ca.issue(t, "podinfo", now.Add(-day), now.Add(long)))
	soon := serveTLS(t, ca.issue(t, "podinfo", now.Add(-day), now.Add(10*day+time.Hour)))
	expired := serveTLS(t, ca.issue(t, "podinfo", now.Add(-long), now.Add(-day)))
	early := serveTLS(t, ca.issue(t, "podinfo", now.Add(day), now.Add(long)))
	chained := serveTLS(t, expiring.issue(t, "podinfo", now.Add(-day), now.Add(long)))
	trust := "--cacert=" + ca.file
	for _, c := range []struct {
		addr string
		args []string
		code int
		want string
	}{
		{good, []string{trust}, 0, `subject=podinfo issuer="the authority"`},
		{"https://" + good + "/", []string{trust}, 0, "days_left=36"},
		{good, []string{trust, "--warn-days=30"}, 0, "check succeed"},
		{good, nil, 1, "unknown authority"},
		{good, []string{"--insecure-skip-verify"}, 0, "check succeed"},
		{good, []string{trust, "--server-name=example.org"}, 1, "not example.org"},
		{good, []string{"--insecure", "--server-name=example.org"}, 0, "check succeed"},
		{soon, []string{trust}, 0, "days_left=10"},
		{soon, []string{trust, "--warn-days=10"}, 0, "check succeed"},
		{soon, []string{trust, "--warn-days=11"}, 1, `the certificate of \"podinfo\", issued by \"the authority\", expires in 10 days, on 20`},
		{soon, []string{"--insecure", "--warn-days=11"}, 1, "expires in 10 days"},
		{expired, []string{trust}, 1, "has expired"},
		{expired, []string{"--insecure"}, 1, "expired on 20"},
		{early, []string{trust}, 1, "not yet valid"},
		{early, []string{"--insecure"}, 1, "is not valid before 20"},
		{chained, []string{trust}, 0, "check succeed"},
		{chained, []string{trust, "--warn-days=30"}, 1, `the certificate of \"expiring\"`},
		{refused(t), []string{"--retry=1", "--delay=1ms"}, 1, "attempts=2"},
		{silent(t), []string{"--timeout=50ms"}, 1, "no response within 50ms"},
	} {
		r := run(t, slices.Concat([]string{"check", "cert", c.addr}, c.args)...)
		r.expect(t, c.code, c.want)
	}
	o := run(t, "check", "cert", soon, trust, "-o", "json").object(t)
	if _, err := time.Parse(time.RFC3339, o["not_after"].(string)); err != nil || o["days_left"] != 10.0 || o["ok"] != true {
		t.Errorf("%v %v", o, err)
	}
}

// TestFirstToExpire checks that of several chains the one that is valid longest
// counts.
func TestFirstToExpire(t *testing.T) {
	cert := func(name string, days int) *x509.Certificate {
		return &x509.Certificate{Subject: pkix.Name{CommonName: name}, NotAfter: time.Unix(0, 0).Add(time.Duration(days) * day)}
	}
	own := cert("own", 90)
	got := firstToExpire(tls.ConnectionState{
		PeerCertificates: []*x509.Certificate{own},
		VerifiedChains: [][]*x509.Certificate{
			{own, cert("cross", 10), cert("root", 900)},
			{own, cert("between", 60), cert("root", 900)},
		},
	})
	if got.Subject.CommonName != "between" {
		t.Errorf("got %s", got.Subject.CommonName)
	}
}

func TestHostPort(t *testing.T) {
	for arg, want := range map[string]string{
		"example.org": "example.org:443", "example.org:8443": "example.org:8443",
		"https://example.org": "example.org:443", "https://example.org:1/a?b": "example.org:1",
		"::1": "[::1]:443", "[::1]": "[::1]:443", "[::1]:7": "[::1]:7", "": "", ":443": "", "a:b:c": "", "a/b": "",
	} {
		got, err := hostPort(arg, "443")
		if got != want || (err != nil) != (want == "") {
			t.Errorf("%q: %q %v, want %q", arg, got, err, want)
		}
	}
}

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

const day = 24 * time.Hour

func checkCert() *command {
	c := newCommand("cert", "HOST[:PORT]", "Check the certificate of a TLS server: its chain, names and dates.")
	c.details = "PORT defaults to 443."
	c.examples = []string{"podcli check cert localhost:9899 --cacert ca.crt --warn-days 30"}
	flags := addTLS(c.flags)
	warn := c.flags.Int("warn-days", 0, "fail when the certificate expires within this many days")
	return newCheck(c, func(arg string) (string, probe, error) {
		if *warn < 0 {
			return "", nil, errors.New("--warn-days must not be negative")
		}
		conf, err := flags.config()
		if err != nil {
			return "", nil, err
		}
		address, err := hostPort(arg, "443")
		if err != nil {
			return "", nil, err
		}
		dialer := &tls.Dialer{Config: conf}
		return address, func(ctx context.Context) (facts, error) {
			conn, err := dialer.DialContext(ctx, "tcp", address)
			if err != nil {
				return nil, err
			}
			defer conn.Close()
			return inspect(conn.(*tls.Conn).ConnectionState(), *warn, time.Now())
		}, nil
	})
}

// inspect checks the dates: of the whole chain when it was verified, otherwise of
// the server's own certificate.
func inspect(state tls.ConnectionState, warnDays int, now time.Time) (facts, error) {
	own := state.PeerCertificates[0]
	first := firstToExpire(state)
	left := first.NotAfter.Sub(now)
	found := facts{
		{"subject", own.Subject.CommonName}, {"issuer", own.Issuer.CommonName},
		{"not_before", own.NotBefore.UTC()}, {"not_after", own.NotAfter.UTC()},
		{"days_left", int(left / day)},
	}
	name := fmt.Sprintf("the certificate of %q, issued by %q,", first.Subject.CommonName, first.Issuer.CommonName)
	switch date := first.NotAfter.UTC().Format(time.RFC3339); {
	case left < 0:
		return found, fmt.Errorf("%s expired on %s", name, date)
	case now.Before(own.NotBefore):
		return found, fmt.Errorf("%s is not valid before %s", name, own.NotBefore.UTC().Format(time.RFC3339))
	case left < time.Duration(warnDays)*day:
		return found, fmt.Errorf("%s expires in %d days, on %s, within --warn-days=%d", name, int(left/day), date, warnDays)
	}
	return found, nil
}

// firstToExpire returns the certificate of the chain that expires first. If there
// are several chains, it uses the one that is valid longest, because a client may
// choose among them.
func firstToExpire(state tls.ConnectionState) *x509.Certificate {
	var best *x509.Certificate
	for _, chain := range state.VerifiedChains {
		first := chain[0]
		for _, c := range chain {
			if c.NotAfter.Before(first.NotAfter) {
				first = c
			}
		}
		if best == nil || first.NotAfter.After(best.NotAfter) {
			best = first
		}
	}
	if best == nil {
		return state.PeerCertificates[0]
	}
	return best
}

// hostPort returns arg as host:port, with port when arg has none. arg may also be
// an https:// URL or an IPv6 address without brackets.
func hostPort(arg, port string) (string, error) {
	if rest, ok := strings.CutPrefix(arg, "https://"); ok {
		arg, _, _ = strings.Cut(rest, "/")
	}
	if host, p, err := net.SplitHostPort(arg); err == nil && p != "" && host != "" {
		return arg, nil
	}
	host := strings.TrimSuffix(strings.TrimPrefix(arg, "["), "]")
	if host == "" || strings.Contains(host, "/") || (strings.Contains(host, ":") && net.ParseIP(host) == nil) {
		return "", fmt.Errorf("address %q: want HOST or HOST:PORT", arg)
	}
	return net.JoinHostPort(host, port), nil
}

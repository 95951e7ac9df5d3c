package forwarded_test

import (
	"crypto/tls"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-4591fe7d/podinfo/internal/forwarded"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

func proxies(t testing.TB, list string) (out forwarded.Proxies) {
	t.Helper()
	for s := range strings.FieldsSeq(list) {
		var n forwarded.Network
		if err := n.UnmarshalText([]byte(s)); err != nil {
			t.Fatal(err)
		}
		out = append(out, n)
	}
	return out
}

// call is the client of a gRPC call.
type call struct {
	peer     string
	metadata http.Header
}

func (c call) Peer() string { return c.peer }
func (c call) Metadata(key string) []string {
	if key != strings.ToLower(key) {
		return nil
	}
	return c.metadata[http.CanonicalHeaderKey(key)]
}

func TestClient(t *testing.T) {
	const trusted = "10.0.0.0/8 192.0.2.7 fd00::/8"
	for _, c := range []struct{ what, trusted, remote, headers, addr, scheme string }{
		{"no header", trusted, "10.0.0.1:4000", "", "10.0.0.1", "http"},
		{"nobody is trusted", "", "10.0.0.1:4000", "X-Forwarded-For: 203.0.113.9|X-Forwarded-Proto: https", "10.0.0.1", "http"},
		{"a stranger", trusted, "203.0.113.1:4000", "X-Forwarded-For: 203.0.113.9|X-Forwarded-Proto: https|Forwarded: for=203.0.113.9;proto=https", "203.0.113.1", "http"},
		{"a proxy", trusted, "10.0.0.1:4000", "X-Forwarded-For: 203.0.113.9|X-Forwarded-Proto: https", "203.0.113.9", "https"},
		{"an address as a network", trusted, "192.0.2.7:4000", "X-Forwarded-For: 203.0.113.9", "203.0.113.9", "http"},
		{"a forged element", trusted, "10.0.0.1:4000", "X-Forwarded-For: 198.51.100.1, 203.0.113.9", "203.0.113.9", "http"},
		{"a forged line", trusted, "10.0.0.1:4000", "X-Forwarded-For: 198.51.100.1|X-Forwarded-For: 203.0.113.9", "203.0.113.9", "http"},
		{"two proxies", trusted, "10.0.0.1:4000", "X-Forwarded-For: 198.51.100.1, 203.0.113.9,10.9.9.9|X-Forwarded-Proto: ftp, https, http", "203.0.113.9", "https"},
		{"two proxies, one protocol", trusted, "10.0.0.1:4000", "X-Forwarded-For: 203.0.113.9, 10.9.9.9|X-Forwarded-Proto: HTTPS", "203.0.113.9", "https"},
		{"only proxies", trusted, "10.0.0.1:4000", "X-Forwarded-For: 10.1.1.1, 10.2.2.2", "10.1.1.1", "http"},
		{"a port", trusted, "10.0.0.1:4000", "X-Forwarded-For: 203.0.113.9:1234", "203.0.113.9", "http"},
		{"IPv6", trusted, "[fd00::1]:4000", "X-Forwarded-For: 2001:db8::2", "2001:db8::2", "http"},
		{"IPv6 with a port", trusted, "[fd00::1%eth0]:4000", "X-Forwarded-For: [2001:DB8::2]:80", "2001:db8::2", "http"},
		{"IPv4 in IPv6", trusted, "[::ffff:10.0.0.1]:4000", "X-Forwarded-For: ::ffff:203.0.113.9", "203.0.113.9", "http"},
		{"no address", trusted, "10.0.0.1:4000", "X-Forwarded-For: 203.0.113.9, unknown", "10.0.0.1", "http"},
		{"empty", trusted, "10.0.0.1:4000", "X-Forwarded-For: ", "10.0.0.1", "http"},
		{"an unknown protocol", trusted, "10.0.0.1:4000", "X-Forwarded-Proto: gopher", "10.0.0.1", "http"},
		{"only the protocol", trusted, "10.0.0.1:4000", "X-Forwarded-Proto: https", "10.0.0.1", "https"},
		{"Forwarded", trusted, "10.0.0.1:4000", "Forwarded: for=203.0.113.9;proto=https", "203.0.113.9", "https"},
		{"Forwarded by two", trusted, "10.0.0.1:4000", `Forwarded: for=198.51.100.1;proto=http, For="[2001:db8::2]:80" ; Proto=https, for=10.1.1.1;proto=http`, "2001:db8::2", "https"},
		{"Forwarded, hidden", trusted, "10.0.0.1:4000", "Forwarded: for=_secret;proto=https", "10.0.0.1", "https"},
		{"Forwarded by the client", trusted, "10.0.0.1:4000", "Forwarded: for=198.51.100.1;proto=https|X-Forwarded-For: 203.0.113.9", "203.0.113.9", "http"},
		{"a socket without an address", trusted, "@", "X-Forwarded-For: 203.0.113.9", "@", "http"},
		{"everybody is trusted", "0.0.0.0/0 ::/0", "203.0.113.1:4000", "X-Forwarded-For: 198.51.100.1, 203.0.113.9", "198.51.100.1", "http"},
	} {
		r := &http.Request{RemoteAddr: c.remote, Header: http.Header{}}
		for line := range strings.SplitSeq(c.headers, "|") {
			if name, value, ok := strings.Cut(line, ":"); ok {
				r.Header.Add(name, strings.TrimSpace(value))
			}
		}
		p := proxies(t, c.trusted)
		if diff := cmp.Diff(forwarded.Client{Addr: c.addr, Scheme: c.scheme}, p.OfRequest(r)); diff != "" {
			t.Errorf("%s: %s", c.what, diff)
		}
		if got := p.OfCall(&rpc.Call{Client: call{c.remote, r.Header}}).Addr; got != c.addr {
			t.Errorf("%s: a call of %q", c.what, got)
		}
	}
	if got := proxies(t, "").OfRequest(&http.Request{RemoteAddr: "10.0.0.1:1", TLS: new(tls.ConnectionState)}); got.Scheme != "https" {
		t.Errorf("%+v with TLS", got)
	}
}

func TestNetwork(t *testing.T) {
	for text, want := range map[string]string{
		"10.1.2.3/8": "10.0.0.0/8", "10.1.2.3": "10.1.2.3/32", "fd00::1": "fd00::1/128", "::/0": "::/0",
		"": "", "10.0.0.0/33": "", "proxy": "", "10.0.0.1:80": "",
	} {
		var n forwarded.Network
		if err := n.UnmarshalText([]byte(text)); (err == nil) != (want != "") || want != "" && n.String() != want {
			t.Errorf("%q: %v %v, want %q", text, n, err, want)
		}
	}
}

func FuzzClient(f *testing.F) {
	f.Add("10.0.0.1, 1.2.3.4", "for=\"[::1]:80\";proto=https")
	p := proxies(f, "0.0.0.0/0 ::/0")
	f.Fuzz(func(t *testing.T, one, two string) {
		r := &http.Request{RemoteAddr: "10.0.0.1:1", Header: http.Header{"X-Forwarded-For": {one}, "Forwarded": {two}}}
		got := p.OfRequest(r)
		var n forwarded.Network
		if err := n.UnmarshalText([]byte(got.Addr)); err != nil || got.Scheme != "http" && got.Scheme != "https" {
			t.Errorf("%+v", got)
		}
	})
}

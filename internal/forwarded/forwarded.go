// Package forwarded decides which client a request or a call comes from, by the
// headers of trusted proxies. Everything else in a request can be forged.
package forwarded

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// Network is an element of the setting for trusted proxies: a network in CIDR
// notation or an address.
type Network struct{ netip.Prefix }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (n *Network) UnmarshalText(text []byte) (err error) {
	if n.Prefix, err = netip.ParsePrefix(string(text)); err == nil {
		n.Prefix = n.Masked()
		return nil
	}
	addr, err := netip.ParseAddr(string(text))
	if err == nil {
		n.Prefix, err = addr.Prefix(addr.BitLen())
	}
	return err
}

// Proxies are the networks of the trusted proxies.
type Proxies []Network

// Client is the client of a request or a call.
type Client struct {
	Addr   string // without a port
	Scheme string // http or https
}

// OfRequest returns the client of a request.
//
// The header X-Forwarded-For names the client of each proxy on the way, the last
// one at the end (https://www.rfc-editor.org/rfc/rfc7239#section-7.4). OfRequest
// reads it from the end as long as the proxy that added an element is trusted.
// Forwarded is read only if X-Forwarded-For is absent: most proxies do not remove
// it, so a client could choose its address by it.
func (p Proxies) OfRequest(r *http.Request) Client {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return p.client(r.RemoteAddr, scheme, func(name string) []string { return r.Header[name] })
}

// OfCall returns the client of a gRPC call, see OfRequest.
func (p Proxies) OfCall(c *rpc.Call) Client {
	return p.client(c.Peer(), "", func(name string) []string { return c.Metadata(strings.ToLower(name)) })
}

// Host returns an address without its port.
func Host(addr string) string {
	if host, _, err := net.SplitHostPort(addr); err == nil {
		return host
	}
	return addr
}

func (p Proxies) client(peer, scheme string, header func(string) []string) Client {
	c := Client{Host(peer), scheme}
	if len(p) == 0 || !p.trusts(c.Addr) {
		return c
	}
	protos := header("X-Forwarded-Proto")
	elements, parse := header("X-Forwarded-For"), withoutPort
	if len(elements) == 0 && len(protos) == 0 {
		elements, parse = header("Forwarded"), forwardedFor
	}
	var first string // the element about the client, or about the last proxy that can be trusted
	back := -1       // its place, counted from the end
	for e := range backwards(elements) {
		first = e
		back++
		addr, err := netip.ParseAddr(parse(e))
		if err != nil { // hidden on purpose, or unknown
			break
		}
		if c.Addr = addr.Unmap().WithZone("").String(); !p.trusts(c.Addr) {
			break
		}
	}
	proto := parameter(first, "proto")
	if len(protos) > 0 {
		proto = protoAt(protos, back)
	}
	if proto = strings.ToLower(proto); proto == "http" || proto == "https" {
		c.Scheme = proto
	}
	return c
}

func (p Proxies) trusts(host string) bool {
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	addr = addr.Unmap().WithZone("")
	for _, n := range p {
		if n.Contains(addr) {
			return true
		}
	}
	return false
}

// backwards yields the elements of a header's list, the last one first.
func backwards(lines []string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for i := len(lines) - 1; i >= 0; i-- {
			for rest, more := lines[i], true; more; {
				at := strings.LastIndexByte(rest, ',')
				if !yield(strings.TrimSpace(rest[at+1:])) {
					return
				}
				if more = at >= 0; more {
					rest = rest[:at]
				}
			}
		}
	}
}

// protoAt returns the element of X-Forwarded-Proto at a place counted from the
// end. Most proxies send one element for all places.
func protoAt(lines []string, back int) (proto string) {
	for e := range backwards(lines) {
		proto = e
		if back <= 0 {
			break
		}
		back--
	}
	return proto
}

// withoutPort returns an element of X-Forwarded-For without the port, which some
// proxies add.
func withoutPort(element string) string { return strings.Trim(Host(element), "[]") }

// forwardedFor returns the address in an element of Forwarded.
func forwardedFor(element string) string { return withoutPort(parameter(element, "for")) }

// parameter returns a parameter of an element of Forwarded, without quotes.
func parameter(element, name string) string {
	for pair := range strings.SplitSeq(element, ";") {
		if key, value, ok := strings.Cut(strings.TrimSpace(pair), "="); ok && strings.EqualFold(key, name) {
			return strings.Trim(value, `"`)
		}
	}
	return ""
}

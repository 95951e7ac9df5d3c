package serve

import (
	"cmp"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/seed-4591fe7d/podinfo/registry/capability"
)

// Address returns the address of a port. An IPv6 address may be in brackets.
func Address(host string, port int) string {
	return net.JoinHostPort(strings.Trim(host, "[]"), strconv.Itoa(port))
}

// ComesBack reports whether connections to target end at one of the ports: at one
// for the App's routes, or at one that passes them on to itself.
func ComesBack(target string, ports []capability.OwnPort) bool {
	for range len(ports) + 1 {
		i := slices.IndexFunc(ports, func(p capability.OwnPort) bool { return reaches(target, p.Listen) })
		if i < 0 {
			return false
		}
		if target = ports[i].Target; target == "" {
			return true
		}
	}
	return true
}

// reaches reports whether connections to target arrive at a port that this process
// has opened on listen. Both are a host and a port, such as "localhost:9898" and
// ":9898". It knows the addresses of the machine and its name, and resolves no others.
func reaches(target, listen string) bool {
	targetHost, targetPort, err := net.SplitHostPort(target)
	listenHost, listenPort, err2 := net.SplitHostPort(listen)
	if err != nil || err2 != nil || targetPort != listenPort {
		return false
	}
	own := addressesOf(cmp.Or(listenHost, "0.0.0.0"))
	for _, a := range addressesOf(cmp.Or(targetHost, "localhost")) {
		if a.IsUnspecified() { // the kernel takes it for the loopback address
			a = loopbacks[0]
		}
		for _, b := range own {
			if a == b || b.IsUnspecified() && isLocal(a) {
				return true
			}
		}
	}
	return false
}

var loopbacks = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}

// addressesOf returns the addresses of a host without asking a name server, nil if
// that would be needed.
func addressesOf(host string) []netip.Addr {
	if a, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return []netip.Addr{a.Unmap()}
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return loopbacks
	}
	if name, err := os.Hostname(); err == nil && strings.EqualFold(host, name) {
		return localAddresses()
	}
	return nil
}

func isLocal(a netip.Addr) bool {
	if a.IsLoopback() {
		return true
	}
	for _, b := range localAddresses() {
		if a.WithZone("") == b {
			return true
		}
	}
	return false
}

// localAddresses returns the addresses of the machine's network interfaces.
func localAddresses() []netip.Addr {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return loopbacks
	}
	var out []netip.Addr
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, p.Addr().Unmap())
		}
	}
	return out
}

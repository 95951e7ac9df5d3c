// Package origin decides which web pages may change a server or open a
// connection to it, and under which host names its admin APIs respond.
package origin

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"

	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

// Format says which origins New accepts.
const Format = "a comma-separated list of origins such as https://demo.example.com"

// Policy recognizes requests of other sites' pages, by the algorithm of
// [http.CrossOriginProtection]. Clients other than browsers send neither
// Sec-Fetch-Site nor Origin and pass. The zero Policy trusts no other origin.
type Policy struct{ trusted map[string]bool }

// New returns a Policy that accepts the pages of the trusted origins. It
// accepts them in upper case and with the default port, which browsers omit.
func New(trusted []string) (*Policy, error) {
	p := &Policy{map[string]bool{}}
	for _, s := range trusted {
		o := strings.ToLower(strings.TrimSpace(s))
		if err := http.NewCrossOriginProtection().AddTrustedOrigin(o); err != nil {
			return nil, err
		}
		p.trusted[withoutDefaultPort(o)] = true
	}
	return p, nil
}

func withoutDefaultPort(origin string) string {
	for scheme, port := range map[string]string{"http://": ":80", "https://": ":443"} {
		if strings.HasPrefix(origin, scheme) {
			return strings.TrimSuffix(origin, port)
		}
	}
	return origin
}

// CheckMethod is Check for requests whose method may change something. Other
// requests pass (RFC 9110, 9.2.1).
func (p *Policy) CheckMethod(r *http.Request) error {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return nil
	}
	return p.Check(r)
}

// Check returns an error for a request of another site's page, which says why
// and how to let the page in. The method does not matter: WebSockets are opened
// with GET.
func (p *Policy) Check(r *http.Request) error {
	site, origins := r.Header.Get("Sec-Fetch-Site"), r.Header["Origin"]
	switch {
	case site == "same-origin" || site == "none":
		return nil
	case site == "" && sameHost(origins, r.Host):
		return nil
	case len(origins) == 1 && p.trusted[strings.ToLower(origins[0])]:
		return nil
	}
	return refusal(site, origins, r.Host)
}

// sameHost reports whether all origins have the host and the port of the
// request. The scheme is unknown behind a proxy.
func sameHost(origins []string, host string) bool {
	for _, o := range origins {
		if u, err := url.Parse(o); err != nil || u.Host == "" || !strings.EqualFold(u.Host, host) {
			return false
		}
	}
	return true
}

// refusal says why a request is refused.
func refusal(site string, origins []string, host string) error {
	const trust = "add the origin to PODINFO_CROSS_ORIGIN_TRUSTED to allow it"
	switch {
	case len(origins) > 1:
		return errors.New("cross-origin request: it has several Origin headers")
	case len(origins) == 0:
		return fmt.Errorf("cross-origin request: Sec-Fetch-Site is %q; %s", site, trust)
	case site != "":
		return fmt.Errorf("cross-origin request: Sec-Fetch-Site is %q and the origin is %q; %s", site, origins[0], trust)
	}
	return fmt.Errorf("cross-origin request: the origin %q does not match the host %q; let the proxy pass Host unchanged, or %s", origins[0], host, trust)
}

// HostsFormat says which names NewHosts accepts.
const HostsFormat = "a comma-separated list of host names without ports, such as podinfo.default.svc"

// Hosts are the host names by which an admin API may be called without a
// token. Checking them stops DNS rebinding: another site's page can make its
// own name resolve to this server and then counts as the same origin, but its
// requests have that name in the header Host.
type Hosts struct{ names map[string]bool }

// NewHosts returns Hosts with these names, localhost and the host name of this
// machine, which is the name of the pod.
func NewHosts(names []string) (*Hosts, error) {
	h := &Hosts{map[string]bool{"localhost": true}}
	if own, err := os.Hostname(); err == nil {
		h.names[strings.ToLower(own)] = true
	}
	for _, s := range names {
		name := strings.ToLower(strings.TrimSpace(s))
		if name == "" || strings.ContainsAny(name, "/:*@? \t") {
			return nil, fmt.Errorf("%q is not a host name", s)
		}
		h.names[strings.TrimSuffix(name, ".")] = true
	}
	return h, nil
}

// Has reports whether the value of a header Host is an IP address or one of the
// names, with or without a port.
func (h *Hosts) Has(header string) bool {
	host := header
	if name, _, err := net.SplitHostPort(header); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return true
	}
	return h.names[host]
}

// Require returns a handler that calls next only for requests to these hosts.
// setting and token are the variables that the response suggests.
func (h *Hosts) Require(setting, token string, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !h.Has(r.Host) {
			reply.Error(w, http.StatusMisdirectedRequest, fmt.Sprintf("the admin API does not respond under the host name %q: use an IP address or localhost, add the name to %s, or set %s", r.Host, setting, token))
			return
		}
		next(w, r)
	}
}

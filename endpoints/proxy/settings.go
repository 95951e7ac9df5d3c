package proxy

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/seed-4591fe7d/podinfo/internal/glob"
	"github.com/seed-4591fe7d/podinfo/registry"
)

const (
	hostOfClient, hostOfService               = "client", "service"
	forwardAppend, forwardKeep, forwardRemove = "append", "keep", "remove"
)

const format = "a URL such as http://localhost:8080, https://example.com, h2c://localhost:9999 or unix:///run/app.sock, without a query and with a port from 1 to 65535"

// Validate checks the settings.
func (m *Module) Validate() error {
	var errs []error
	if _, err := parseTarget(m.URL); err != nil && (m.Handler == nil || m.URL != "") {
		errs = append(errs, registry.Invalid("URL", format))
	}
	if want := wantedPatterns(m.Patterns); want != "" {
		errs = append(errs, registry.Invalid("Patterns", want))
	}
	if m.Host != hostOfClient && m.Host != hostOfService {
		errs = append(errs, registry.Invalid("Host", "client or service"))
	}
	if !slices.Contains([]string{forwardAppend, forwardKeep, forwardRemove}, m.Forwarded) {
		errs = append(errs, registry.Invalid("Forwarded", "append, keep or remove"))
	}
	if m.Connect <= 0 {
		errs = append(errs, registry.Invalid("Connect", "a duration above zero"))
	}
	if m.Response < 0 {
		errs = append(errs, registry.Invalid("Response", "0, or a duration"))
	}
	if m.Idle < 0 {
		errs = append(errs, registry.Invalid("Idle", "0, or a duration"))
	}
	for _, name := range m.Hops {
		if !httpguts.ValidHeaderFieldName(name) || slices.Contains(ofTransport, http.CanonicalHeaderKey(name)) {
			errs = append(errs, registry.Invalid("Hops", "names of headers, without "+strings.Join(ofTransport, ", ")+", which belong to the connection"))
			break
		}
	}
	return errors.Join(errs...)
}

// wantedPatterns returns what the setting Patterns should be, "" if it is.
func wantedPatterns(patterns []string) string {
	seen := map[string]bool{}
	for _, text := range patterns {
		p, err := glob.Parse(text)
		switch {
		case err != nil || !strings.HasPrefix(text, "/") || strings.ContainsAny(text, "*?#"):
			return "patterns such as /orders/{id} or /files/{rest...}, without a query"
		case seen[p.Shape()]:
			return fmt.Sprintf("each pattern once, and %s is there twice", text)
		}
		seen[p.Shape()] = true
	}
	return ""
}

// ofTransport are the headers that net/http reads and writes itself.
var ofTransport = []string{"Connection", "Content-Length", "Host", "Trailer", "Transfer-Encoding", "Upgrade"}

// parseTarget parses the setting URL.
func parseTarget(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, err
	case u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("a query")
	case u.Scheme == "unix" && u.Host == "" && u.Path != "":
		return u, nil
	case slices.Contains([]string{"http", "https", "h2c"}, u.Scheme) && u.Hostname() != "" && validPort(u.Port()):
		return u, nil
	}
	return nil, fmt.Errorf("%q is not a URL of a service", text)
}

// validPort reports whether port is one, or empty for that of the scheme.
func validPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0 || port == ""
}

// addressOf returns the host and the port of a target.
func addressOf(u *url.URL) string {
	port := "80"
	if u.Scheme == "https" {
		port = "443"
	}
	return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), port))
}

// Package jwt guards routes and gRPC methods: it rejects requests and calls without
// a valid JSON Web Token.
//
// It guards whole routes with all their methods, not paths. However a client
// spells a path, it cannot reach the handler of a guarded route without passing the
// guard, neither below the route nor at another path of the same handler, which the
// module declares in Route.SameAs. The metrics port has no routes, and the gRPC services for health and
// reflection are never guarded.
package jwt

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/seed-4591fe7d/podinfo/internal/bearer"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/capability"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

const (
	name      = "jwt"
	ownIssuer = "podinfo"
	minSecret = 32 // bytes, RFC 7518, 3.2
)

// Module is the jwt middleware.
type Module struct {
	Paths         []string `env:"PATHS" doc:"routes and gRPC methods to guard; * matches any text, a leading ! excludes" accepts:"patterns such as /cache/*, /echo.EchoService/* or /*,!/api/info" enables:"true" takes:"PATTERN,…"`
	PublicKeyFile string   `env:"PUBLIC_KEY_FILE" secret:"false" doc:"public keys of the token issuer, reloaded when the file changes; empty accepts tokens issued by /token" accepts:"a PEM file or a JSON Web Key Set with RSA (RS256), P-256 (ES256) or Ed25519 (EdDSA) keys" takes:"FILE"`
	Issuer        string   `env:"ISSUER" envDefault:"podinfo" doc:"issuer (iss) that tokens must have"`
	Audience      []string `env:"AUDIENCE" doc:"audiences (aud) of this server, one of which tokens must have; empty accepts only tokens without an audience" accepts:"text, or several separated by commas" takes:"NAME,…"`

	host     *registry.Host
	guard    guard
	rpcs     map[string]bool // by full method: whether it is guarded
	guarded  []string        // routes and gRPC methods
	open     []string        // those that are not guarded, of modules with some that are
	verifier verifier
}

// A verifier checks a token. The error tells why the token is not valid.
type verifier interface {
	Verify(token string) (name string, expires time.Time, err error)
}

// Info returns the module's name, purpose and phase.
func (*Module) Info() registry.Info {
	return registry.Info{Name: name, Doc: "Refuse requests without a valid JSON Web Token.", Phase: registry.Guard, OptIn: true}
}

// Validate checks the settings.
func (m *Module) Validate() error {
	var errs []error
	if _, err := parse(m.Paths); err != nil {
		errs = append(errs, err)
	}
	if m.PublicKeyFile == "" && m.Issuer != ownIssuer {
		errs = append(errs, registry.Invalid("Issuer", ownIssuer+", unless PODINFO_JWT_PUBLIC_KEY_FILE has the key of another issuer"))
	}
	if m.PublicKeyFile == "" && len(m.Audience) > 0 {
		errs = append(errs, registry.Invalid("Audience", "PODINFO_JWT_PUBLIC_KEY_FILE as well, because tokens of /token have no audience"))
	}
	if slices.Contains(m.Audience, "") {
		errs = append(errs, registry.Invalid("Audience", "audiences that are not empty"))
	}
	return errors.Join(errs...)
}

// Provision resolves the patterns and, without a public key, finds the issuer.
func (m *Module) Provision(h *registry.Host) error {
	m.host = h
	rules, err := parse(m.Paths)
	if err == nil {
		err = m.resolve(rules)
	}
	if m.PublicKeyFile == "" { // otherwise Start reads the key
		return errors.Join(err, m.trustOwn(h))
	}
	return err
}

// resolve applies the rules to the routes and gRPC methods of the App.
func (m *Module) resolve(rules []rule) error {
	rpcs, err := declaredRPCs(m.host)
	if err != nil {
		return err
	}
	m.rpcs = map[string]bool{}
	routes := append(m.host.Declared(), rpcs...)
	m.guard, err = resolve(rules, routes)
	for _, rt := range rpcs {
		m.rpcs[rt.Path] = m.guard.covers(rt)
	}
	m.guarded, m.open = m.guard.divide(routes)
	return err
}

// trustOwn accepts the tokens of this App. It refuses a secret that others know or
// can guess, because anyone could then forge tokens.
func (m *Module) trustOwn(h *registry.Host) error {
	issuer, err := registry.Use(h, capability.TokenIssuers)
	if errors.Is(err, registry.ErrAbsent) {
		want := "the public keys of the token issuer, because module token is off; or PODINFO_TOKEN_ENABLED=true, which accepts the tokens of every podinfo with the same PODINFO_JWT_SECRET"
		return &registry.SettingError{Key: registry.EnvPrefix + "JWT_PUBLIC_KEY_FILE", Want: want}
	}
	if err != nil {
		return err
	}
	own := issuer.IssuedTokens()
	m.verifier = own
	if own.WellKnownSecret() || own.SecretLen() < minSecret {
		return weakSecret(h)
	}
	return nil
}

// weakSecret returns the error for the secret in effect.
func weakSecret(h *registry.Host) error {
	bad := &registry.SettingError{
		Key: registry.EnvPrefix + "JWT_SECRET", Value: registry.Redacted,
		Want: fmt.Sprintf("a secret of at least %d bytes that is not the public default, so that module %s can trust its tokens", minSecret, name),
	}
	for _, s := range h.Settings() {
		if s.Key == bad.Key {
			bad.Source = s.Source
		}
	}
	return bad
}

// Start reads the public key and logs the guarded routes and gRPC methods, and those
// of the same modules that are open.
func (m *Module) Start(context.Context) error {
	if m.PublicKeyFile != "" {
		v, err := m.openKeys()
		if err != nil {
			return fmt.Errorf("PODINFO_JWT_PUBLIC_KEY_FILE: %w", err)
		}
		m.verifier = v
	}
	m.host.Log.WithFields(logrus.Fields{
		"routes": strings.Join(m.guarded, ", "),
		"open":   strings.Join(m.open, ", "), // logged even when empty, so that a reader can rely on it
	}).Info("routes guarded")
	return nil
}

// Covers reports whether the route is guarded. The paths of one that is proxied are
// looked at one by one, because the service may read them in another way.
func (m *Module) Covers(rt registry.Route) bool { return rt.Proxied || m.guard.covers(rt) }

// Bind returns the middleware of a guarded route.
func (m *Module) Bind(rt registry.Route) registry.Middleware {
	if rt.Proxied {
		return proxied{m}
	}
	return m
}

// DescribeRoute documents that the route needs a token.
func (m *Module) DescribeRoute(rt *registry.Route) {
	if !m.guard.covers(*rt) || m.guard.parts(*rt) != nil {
		return
	}
	rt.Bearer = true
	rt.Returns[http.StatusUnauthorized] = reply.Problem{}
}

// proxied is the middleware of a route to another service.
type proxied struct{ *Module }

func (m proxied) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	if !m.guard.coversPath(r.URL.Path) {
		next(w, r)
		return
	}
	m.Module.ServeHTTP(w, r, next)
}

// VerifyToken returns why a token is not valid, nil if it is.
func (m *Module) VerifyToken(token string) error {
	_, _, err := m.verifier.Verify(token)
	return err
}

// authorize checks the values of an Authorization header.
func (m *Module) authorize(values []string) error {
	token, err := bearer.FromValues(values)
	if err == nil {
		err = m.VerifyToken(token)
	}
	return err
}

// ServeHTTP rejects a request without a valid token.
func (m *Module) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	if err := m.authorize(r.Header["Authorization"]); err != nil {
		bearer.Refuse(w, err)
		return
	}
	next(w, r)
}

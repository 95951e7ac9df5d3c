// Package env serves /env, which shows the environment of the process.
package env

import (
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

// Module is the env module.
type Module struct {
	// Environ is the environment to show, in the form of os.Environ. If it is nil,
	// the module shows the one that New was given.
	Environ []string `env:"-"`

	Redact []string `env:"REDACT" envDefault:"*_SECRET,*_TOKEN,*_PASSWORD,*_PASS,*_KEY,*_CREDENTIALS" doc:"patterns of the variables whose values are redacted" accepts:"a comma-separated list of glob patterns; case does not matter; *_TOKEN also matches TOKEN"`
	Reveal bool     `env:"REVEAL" doc:"show all values without redaction"`

	redacted []string
	reply    []byte
}

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "env", Doc: "Show the environment of the process with secrets redacted."}
}

// Validate checks the settings.
func (m *Module) Validate() error {
	for _, p := range m.Redact {
		if _, err := path.Match(p, ""); err != nil {
			return registry.Invalid("Redact", "a comma-separated list of glob patterns such as *_TOKEN")
		}
	}
	return nil
}

// Provision encodes the response, which never changes.
func (m *Module) Provision(h *registry.Host) (err error) {
	secret := map[string]bool{}
	for _, s := range h.Settings() {
		secret[s.Key] = s.Secret
	}
	environ := m.Environ
	if environ == nil {
		environ = h.Environ()
	}
	m.redacted = make([]string, 0, len(environ))
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		switch {
		case m.Reveal || value == "":
		case secret[name] || m.matchesRedact(name):
			kv = name + "=" + registry.Redacted
		default:
			kv = name + "=" + registry.RedactURL(value)
		}
		m.redacted = append(m.redacted, kv)
	}
	m.reply, err = reply.Encode(m.redacted)
	return err
}

// matchesRedact reports whether a pattern matches name. A pattern such as
// *_TOKEN also matches TOKEN.
func (m *Module) matchesRedact(name string) bool {
	name = strings.ToUpper(strings.ReplaceAll(name, "/", "_")) // path.Match does not match a slash with *
	return slices.ContainsFunc(m.Redact, func(p string) bool {
		p = strings.ToUpper(p)
		matches, _ := path.Match(p, name)
		matchesBare, _ := path.Match(p, "_"+name)
		return matches || matchesBare && strings.HasPrefix(p, "*_")
	})
}

// Redacted returns the environment with secrets redacted, each variable as K=V,
// in the order of the environment.
func (m *Module) Redacted() []string { return slices.Clone(m.redacted) }

// Routes declares /env.
func (m *Module) Routes() []registry.Route {
	var out []registry.Route
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		out = append(out, registry.Route{
			Method: method, Path: "/env", Handler: m.serve,
			Summary: "Environment of the process with secrets redacted", Tag: "HTTP API",
			Returns: map[int]any{http.StatusOK: []string{"HOME=/home/app"}},
		})
	}
	return out
}

func (m *Module) serve(w http.ResponseWriter, _ *http.Request) {
	reply.Encoded(w, http.StatusOK, m.reply)
}

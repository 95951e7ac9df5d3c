// Package env serves /env.
package env

import (
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

// Module is env.
type Module struct {
	// Environ is the environment to show, as os.Environ gives it. The module
	// does not look at the process's own.
	Environ []string `env:"-"`

	Redact []string `env:"REDACT" envDefault:"*_SECRET,*_TOKEN,*_PASSWORD,*_PASS,*_KEY,*_CREDENTIALS" doc:"variables whose values are hidden" accepts:"a comma-separated list of glob patterns, in any case; *_TOKEN also means TOKEN"`
	Reveal bool     `env:"REVEAL" doc:"show every value as it is"`

	shown []string
	reply []byte
}

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "env", Doc: "Show the process's environment, without its secrets."}
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

// Provision encodes the reply, which never changes.
func (m *Module) Provision(h *registry.Host) (err error) {
	secret := map[string]bool{}
	for _, s := range h.Settings() {
		secret[s.Key] = s.Secret
	}
	m.shown = make([]string, 0, len(m.Environ))
	for _, kv := range m.Environ {
		name, value, _ := strings.Cut(kv, "=")
		switch {
		case m.Reveal || value == "":
		case secret[name] || m.hidden(name):
			kv = name + "=" + registry.Redacted
		default:
			kv = name + "=" + registry.RedactURL(value)
		}
		m.shown = append(m.shown, kv)
	}
	m.reply, err = reply.Encode(m.shown)
	return err
}

// hidden reports whether a pattern matches name. A pattern that starts with
// *_ also matches without the underscore.
func (m *Module) hidden(name string) bool {
	name = strings.ToUpper(strings.ReplaceAll(name, "/", "_")) // a star stops at a slash
	return slices.ContainsFunc(m.Redact, func(p string) bool {
		p = strings.ToUpper(p)
		plain, _ := path.Match(p, name)
		word, _ := path.Match(p, "_"+name)
		return plain || word && strings.HasPrefix(p, "*_")
	})
}

// Redacted is the environment as people may see it, each variable as K=V, in
// process order.
func (m *Module) Redacted() []string { return slices.Clone(m.shown) }

// Routes declares /env.
func (m *Module) Routes() []registry.Route {
	var out []registry.Route
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		out = append(out, registry.Route{
			Method: method, Path: "/env", Handler: m.serve,
			Summary: "Environment of the process, without its secrets", Tag: "HTTP API",
			Returns: map[int]any{http.StatusOK: []string{"HOME=/home/app"}},
		})
	}
	return out
}

func (m *Module) serve(w http.ResponseWriter, _ *http.Request) {
	reply.Encoded(w, http.StatusOK, m.reply)
}

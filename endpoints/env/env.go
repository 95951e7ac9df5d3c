// Package env serves /env, which shows the environment of the process.
package env

import (
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/seed-4591fe7d/podinfo/internal/redact"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

// Module is the env module.
type Module struct {
	// Environ is the environment to show, in the form of os.Environ. If it is nil,
	// the module shows the one that New was given.
	Environ []string `env:"-"`

	Redact []string `env:"REDACT" envDefault:"default" doc:"patterns of the variables whose values are redacted; default stands for names with words such as PASSWORD, TOKEN, KEY or DSN" accepts:"a comma-separated list of default and glob patterns; case does not matter; *_TOKEN also matches TOKEN" takes:"PATTERN,…"`
	Reveal bool     `env:"REVEAL" doc:"show all values without redaction"`

	redacted []string
	reply    func() ([]byte, error)
}

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "env", Doc: "Show the environment of the process with secrets redacted."}
}

// Validate checks the settings.
func (m *Module) Validate() error {
	for _, p := range m.Redact {
		if _, err := path.Match(p, ""); err != nil {
			return registry.Invalid("Redact", "a comma-separated list of default and of glob patterns such as *_TOKEN")
		}
	}
	return nil
}

// Provision redacts the environment, which never changes.
func (m *Module) Provision(h *registry.Host) error {
	environ := m.Environ
	if environ == nil {
		environ = h.Environ()
	}
	var settings []registry.Setting
	if len(environ) > 0 {
		settings = h.Settings()
	}
	m.redacted = make([]string, 0, len(environ))
	for _, kv := range environ {
		if name, value, _ := strings.Cut(kv, "="); value != "" && !m.Reveal {
			var s registry.Setting
			i := slices.IndexFunc(settings, func(s registry.Setting) bool { return s.Key == name })
			if i >= 0 {
				s = settings[i]
			}
			kv = name + "=" + m.shown(name, value, s, i >= 0)
		}
		m.redacted = append(m.redacted, kv)
	}
	m.reply = sync.OnceValues(func() ([]byte, error) { return reply.Encode(m.redacted) })
	return nil
}

// shown returns the value of a variable with its secrets redacted. Of a variable
// that is a setting, the declaration decides rather than the name.
func (m *Module) shown(name, value string, s registry.Setting, declared bool) string {
	switch {
	case m.matchesRedact(name):
		return registry.Redacted
	case declared:
		s.Value = value
		return s.Shown()
	case slices.Contains(m.Redact, defaultNames):
		return redact.Variable(name, value)
	}
	return redact.Text(value)
}

// defaultNames stands in Redact for the names that package redact knows.
const defaultNames = "default"

// matchesRedact reports whether a pattern matches name. A pattern such as
// *_TOKEN also matches TOKEN.
func (m *Module) matchesRedact(name string) bool {
	name = strings.ToUpper(strings.ReplaceAll(name, "/", "_")) // path.Match does not match a slash with *
	return slices.ContainsFunc(m.Redact, func(p string) bool {
		if p == defaultNames {
			return false
		}
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
	b, err := m.reply()
	if err != nil {
		reply.Error(w, http.StatusInternalServerError, err.Error())
		return
	}
	reply.Encoded(w, http.StatusOK, b)
}

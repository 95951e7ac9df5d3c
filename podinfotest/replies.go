package podinfotest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/seed-4591fe7d/podinfo/internal/glob"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

const repliesName = "podinfotest-replies"

// replies is the innermost middleware, inside the faults module. It sends the
// responses that scripts define, and serves the paths that only scripts use.
type replies struct {
	host   *registry.Host
	record *recorder
	header string // response header that names the rules that hit

	mu     sync.Mutex
	steps  map[string]Step // by the rule's name
	routes []registry.Route
}

// Info describes the module.
func (*replies) Info() registry.Info {
	return registry.Info{Name: repliesName, Doc: "Send the responses that scripts define.", Phase: registry.Fault}
}

// Provision finds the recorder.
func (m *replies) Provision(h *registry.Host) (err error) {
	m.host = h
	m.record, err = registry.Use(h, registry.Capability[*recorder]{})
	return err
}

// Routes declares the paths of scripts that no other module serves.
func (m *replies) Routes() []registry.Route {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.routes)
}

// replace replaces the steps of a script.
func (m *replies) replace(old, steps map[string]Step) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := map[string]Step{}
	for name, s := range m.steps {
		if _, gone := old[name]; !gone {
			all[name] = s
		}
	}
	for name, s := range steps {
		all[name] = s
	}
	m.steps = all
}

// hit returns the step that one of the rules belongs to, and that rule.
func (m *replies) hit(rules string) (Step, string, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name := range strings.SplitSeq(rules, ",") {
		if s, ok := m.steps[name]; ok {
			return s, name, true
		}
	}
	return Step{}, "", false
}

// ServeHTTP responds in place of the handler if the step has a response.
func (m *replies) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	s, rule, ok := m.hit(w.Header().Get(m.header))
	if !ok {
		next(w, r)
		return
	}
	if s.passes() { // the faults module reports only faults
		m.record.hit(r.Context(), rule)
		w.Header().Del(m.header)
	}
	if s.reply == nil {
		next(w, r)
		return
	}
	for name, value := range s.reply.header {
		w.Header().Set(name, value)
	}
	w.WriteHeader(s.reply.status)
	w.Write([]byte(s.reply.body))
}

// respond is the handler of the paths that only scripts use.
func respond(w http.ResponseWriter, _ *http.Request) {
	reply.JSON(w, http.StatusOK, map[string]string{"status": "OK"})
}

// routeLocked serves a path for the methods that no module serves. The caller
// must hold s.mu.
func (s *Server) routeLocked(p pattern) error {
	path, some := p.path.String(), false
	loose := strings.Contains(path, "*")
	for _, rt := range s.App.Mounted() {
		route, err := glob.Parse(rt.Path)
		known := err == nil && (route.Covers(p.path) || p.many() && p.path.Meets(route))
		if !known {
			continue
		}
		if rt.Method == "" || rt.Method == p.method || rt.Method == http.MethodGet && p.method == http.MethodHead {
			return nil
		}
		some = some || p.method == ""
	}
	switch {
	case loose && some:
		return nil
	case loose:
		return fmt.Errorf("no route matches: remove the wildcard to add a route")
	}
	err := s.replies.add(registry.Route{Method: p.method, Path: path, Handler: respond})
	if some {
		return nil // the script matches requests even without the other methods
	}
	return err
}

// add adds a route.
func (m *replies) add(rt registry.Route) error {
	m.mu.Lock()
	m.routes = append(m.routes, rt)
	m.mu.Unlock()
	err := m.host.Reload()
	if err != nil {
		m.mu.Lock()
		m.routes = m.routes[:len(m.routes)-1]
		m.mu.Unlock()
	}
	return err
}

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

// replies is the innermost middleware, behind faults: it gives the answers
// that scripts have of their own, and serves the paths that only scripts know.
type replies struct {
	host   *registry.Host
	record *recorder
	header string // that names the rules that hit

	mu     sync.Mutex
	steps  map[string]Step // by the rule's name
	routes []registry.Route
}

// Info describes the module.
func (*replies) Info() registry.Info {
	return registry.Info{Name: repliesName, Doc: "Answer as scripts say.", Phase: registry.Fault}
}

// Provision finds the recorder.
func (m *replies) Provision(h *registry.Host) (err error) {
	m.host = h
	m.record, err = registry.Use(h, registry.Capability[*recorder]{})
	return err
}

// Routes are the paths of scripts that nobody else serves.
func (m *replies) Routes() []registry.Route {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.routes)
}

// replace takes the steps of a script in place of those of the one before it.
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

// hit is the step of the rules that hit a request, if one has.
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

// ServeHTTP answers for the handler if the step says so.
func (m *replies) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	s, rule, ok := m.hit(w.Header().Get(m.header))
	if !ok {
		next(w, r)
		return
	}
	if s.passes() { // nobody else tells, as it is no fault
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

// answer is the handler of the paths that only scripts know.
func answer(w http.ResponseWriter, _ *http.Request) {
	reply.JSON(w, http.StatusOK, map[string]string{"status": "OK"})
}

// route serves a path for the methods that nothing else does. It is for those
// who hold mu.
func (s *Server) route(p pattern) error {
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
		return fmt.Errorf("no route matches")
	}
	err := s.replies.add(registry.Route{Method: p.method, Path: path, Handler: answer})
	if some {
		return nil // the script has something to be about, also without the other methods
	}
	return err
}

// add serves one more path.
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

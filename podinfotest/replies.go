package podinfotest

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/seed-4591fe7d/podinfo/internal/glob"
	"github.com/seed-4591fe7d/podinfo/internal/panicked"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
	"github.com/seed-4591fe7d/podinfo/registry/record"
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
	steps  map[string]Step    // by the rule's name
	paths  map[string]pattern // of the scripts, by the rule's name
	routes []registry.Route
	mounts []*scenario.Matcher // of the requests without a route that get a response
	failed func(format string, args ...any)
}

// Info describes the module.
func (*replies) Info() registry.Info {
	return registry.Info{Name: repliesName, Doc: "Send the responses that scripts define.", Phase: registry.Fault, Unmatched: true}
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

// mount replaces the scripts, and the scenario's rules. The paths of both are served
// where no module serves them.
func (m *replies) mount(scripts []script, given []*scenario.Rule) {
	steps, paths, mounts := map[string]Step{}, map[string]pattern{}, []*scenario.Matcher{}
	for _, sc := range scripts {
		for name, s := range sc.steps {
			steps[name], paths[name] = s, sc.path
		}
		if !sc.call {
			mounts = append(mounts, sc.matcher)
		}
	}
	for _, r := range given {
		if r.Match.Path != "" {
			mounts = append(mounts, scenario.NewMatcher(r.Match))
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.steps, m.paths, m.mounts = steps, paths, mounts
}

// mounted reports whether a request without a route is for a path that a script or
// a scenario names.
func (m *replies) mounted(r *http.Request) bool {
	m.mu.Lock()
	mounts := m.mounts
	m.mu.Unlock()
	if r.Pattern != "" || len(mounts) == 0 || !strings.HasPrefix(r.URL.Path, m.host.Prefix()) {
		return false
	}
	rec := m.record.of(r.Context())
	return rec != nil && slices.ContainsFunc(mounts, func(x *scenario.Matcher) bool { return selects(x, rec) })
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

// ServeHTTP responds in place of the handler if the step has a response, and where
// there is no handler.
func (m *replies) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	s, rule, ok := m.hit(w.Header().Get(m.header))
	if ok && s.passes() { // the faults module reports only faults
		m.record.hit(r.Context(), rule)
		w.Header().Del(m.header)
	}
	if o := m.record.wireOf(r.RemoteAddr); o != nil && s.wired != nil {
		changed, end := s.wired(o.wire, w)
		defer end()
		w = changed
	}
	defer m.aborted(w, r)
	switch {
	case (ok && s.reply != nil || m.mounted(r)) && !readSlowly(w, r):
	case ok && s.reply != nil:
		if err := s.reply.send(w, m.pathOf(rule), m.record.of(r.Context())); err != nil {
			m.failed("podinfotest: %s: %v", rule, err)
		}
	case m.mounted(r):
		respond(w, r)
	default:
		next(w, r)
	}
}

// aborted records that a handler has aborted the request before a response.
func (m *replies) aborted(w http.ResponseWriter, r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if rec := m.record.of(r.Context()); panicked.Abort(p) && rec != nil && rec.Status == 0 && r.Context().Err() == nil && !record.IsCut(w) {
		record.Cut(w, 0, 0, record.NoResponse)
	}
	panic(p)
}

// readSlowly reads the body of a request whose upload a step slows, because no handler
// does. It returns false if that failed, after a response.
func readSlowly(w http.ResponseWriter, r *http.Request) bool {
	if _, slow := r.Body.(interface{ Slow() }); !slow {
		return true
	}
	_, err := io.Copy(io.Discard, r.Body)
	if err != nil && r.Context().Err() == nil {
		reply.BodyError(w, r, err)
	}
	return err == nil
}

// addValues adds the further values that a failure's headers have.
func (m *replies) addValues(h http.Header) {
	s, _, ok := m.hit(h.Get(m.header))
	if !ok {
		return
	}
	for name, values := range s.more {
		h[name] = append(h[name][:1:1], values...)
	}
}

func (m *replies) pathOf(rule string) pattern {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.paths[rule]
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
	if loose { // the replies serve what no route matches
		return nil
	}
	err := s.replies.add(registry.Route{Method: p.method, Path: path, Handler: func(w http.ResponseWriter, r *http.Request) {
		if readSlowly(w, r) {
			respond(w, r)
		}
	}})
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

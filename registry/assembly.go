package registry

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/urfave/negroni/v3"

	"github.com/seed-4591fe7d/podinfo/registry/reply"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// An Assembly is everything that depends on which modules are linked: the
// routes, the HTTP chains and the gRPC chain. It never changes. A Switch
// builds another one aside and replaces this one with a single atomic store,
// so an Assembly is a consistent snapshot, and two snapshots
// are the same assembly if the pointers are equal.
type Assembly struct {
	modules   []Status // in list order
	chain     []Status // in the order a request meets them
	linked    map[string]bool
	mounted   func() []Mounted
	calls     []rpc.Middleware
	unmatched []rpc.Middleware // the part of calls for methods that no module serves
	pagers    []ErrorPager
	router    *router
}

// Status is the state of a listed module, and what decided it.
type Status struct {
	Module Module
	Info   Info
	State  State  // as it is now
	Why    string // what decided it: "default", "code", "switch" or a variable
}

// Modules lists every module in list order, listeners last. The caller must
// not modify the result.
func (s *Assembly) Modules() []Status { return s.modules }

// InChain lists every module the way a request meets them: middleware in chain
// order, then the endpoints, then the listeners. The caller must not modify
// the result.
func (s *Assembly) InChain() []Status { return s.chain }

// Mounted lists the routes that are served, in list order. The caller must not
// modify the result.
func (s *Assembly) Mounted() []Mounted { return s.mounted() }

// Calls returns the gRPC half of the chain, outermost first. The caller must
// not modify the result.
func (s *Assembly) Calls() []rpc.Middleware { return s.calls }

// UnmatchedCalls returns the part of Calls for calls of methods that no module
// serves: the phases before Guard. The caller must not modify the result.
func (s *Assembly) UnmatchedCalls() []rpc.Middleware { return s.unmatched }

// Linked reports whether the module of this name is linked.
func (s *Assembly) Linked(name string) bool { return s.linked[name] }

// assemble builds the assembly in which the entries that linked accepts are
// linked.
func (a *App) assemble(linked func(*entry) bool) (*Assembly, error) {
	s := &Assembly{linked: map[string]bool{}}
	s.router = newRouter(s.respondError)
	var on []*entry
	for _, e := range a.entries {
		is := linked(e)
		s.modules = append(s.modules, e.status(is))
		if is {
			on = append(on, e)
			s.linked[e.info.Name] = true
			if p, ok := e.Module.(ErrorPager); ok {
				s.pagers = append(s.pagers, p)
			}
		}
	}
	for _, e := range a.chain {
		s.chain = append(s.chain, e.status(s.linked[e.info.Name]))
	}
	chain := slices.DeleteFunc(slices.Clone(a.chain), func(e *entry) bool { return !s.linked[e.info.Name] })
	for _, e := range chain {
		if mw, ok := e.Module.(rpc.Middleware); ok {
			s.calls = append(s.calls, mw)
			if e.info.Phase <= Enrich {
				s.unmatched = append(s.unmatched, mw)
			}
		}
	}
	chain = slices.DeleteFunc(chain, func(e *entry) bool { return !handles(e.Module) })
	if err := a.mountAll(s, on, chain); err != nil {
		return nil, err
	}
	s.router.unmatched, _ = chainOf(chain, unmatched, s.router.refuse, nil)
	return s, nil
}

// mountAll mounts the routes of the modules that are on behind the chain.
func (a *App) mountAll(s *Assembly, on, chain []*entry) error {
	routes, err := a.routes(on)
	if err != nil {
		return err
	}
	byPath := map[[2]string]*mount{}
	routes = alone(routes)
	mounts := make([]*mount, 0, len(routes))
	chains, names := make([][]string, len(routes)), []string(nil)
	s.mounted = sync.OnceValue(func() []Mounted { return a.describeAll(routes, chains) })
	for i, rt := range routes {
		var linked linkedRoute
		linked, names = chainOf(chain, rt, rt.Handler, names)
		chains[i] = names
		if rt.Proxied && rt.Path == everything {
			s.router.fallback = &linked
			continue
		}
		for _, pattern := range spellings(rt.Pattern, a.core.Prefix) {
			key := [2]string{rt.Method, pattern}
			m := byPath[key]
			if m == nil {
				m = &mount{method: rt.Method, pattern: pattern, publish: rt.Pattern, module: rt.Module}
				byPath[key] = m
				mounts = append(mounts, m)
			}
			m.routes = append(m.routes, linked)
		}
	}
	return s.router.mountAll(mounts)
}

// alone returns the routes of the module that wants to be alone, or all of them.
func alone(routes []Route) []Route {
	i := slices.IndexFunc(routes, func(rt Route) bool { return rt.Alone })
	if i < 0 {
		return routes
	}
	return slices.DeleteFunc(slices.Clone(routes), func(rt Route) bool { return rt.Module != routes[i].Module })
}

// chainOf links the chain that covers rt in front of its handler. It returns the names
// of the modules in it: those of another chain, if they are the same, as for most
// routes.
func chainOf(chain []*entry, rt Route, handler http.HandlerFunc, other []string) (linked linkedRoute, names []string) {
	handlers, names := link(chain, rt, make([]negroni.Handler, 0, usualChain), make([]string, 0, usualChain))
	if !slices.Equal(names, other) || other == nil {
		other = slices.Clone(names)
	}
	for _, h := range slices.Backward(handlers) {
		next := handler
		handler = func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(w, r, next) }
	}
	return linkedRoute{rt.When, handler}, other
}

// describeAll returns the routes as clients see them behind their chains.
func (a *App) describeAll(routes []Route, chains [][]string) []Mounted {
	out := make([]Mounted, len(routes))
	for i, rt := range routes {
		out[i] = Mounted{a.described(rt, chains[i]), chains[i]}
	}
	return out
}

// described returns rt as clients see it behind the middleware of these names.
func (a *App) described(rt Route, chain []string) Route {
	for _, name := range chain {
		d, ok := a.entry(name).Module.(Describer)
		if !ok {
			continue
		}
		rt.Returns, rt.Headers = maps.Clone(rt.Returns), maps.Clone(rt.Headers) // routes may share them
		if rt.Returns == nil {
			rt.Returns = map[int]any{}
		}
		if rt.Headers == nil {
			rt.Headers = map[string]string{}
		}
		d.DescribeRoute(&rt)
	}
	return rt
}

// status describes the module, given whether it is linked.
func (e *entry) status(linked bool) Status {
	s := Status{e.Module, e.info, e.state, e.why}
	if e.state != Off && linked != (e.state == On) {
		s.State, s.Why = Standby, "switch"
		if linked {
			s.State = On
		}
	}
	return s
}

// routes collects what the linked modules serve, and refuses two routes of
// which one could never be reached.
func (a *App) routes(on []*entry) ([]Route, error) {
	var out []Route
	taken := map[[2]string]string{} // the module that serves a method and pattern whatever the request
	for _, e := range on {
		ep, ok := e.Module.(Endpoint)
		if !ok {
			continue
		}
		for _, rt := range ep.Routes() {
			if rt.Handler == nil {
				return nil, fmt.Errorf("module %s: route %s %s has no handler", e.info.Name, rt.Method, rt.Path)
			}
			if !strings.HasPrefix(rt.Path, "/") || !isClean(rt.Path) {
				return nil, fmt.Errorf("module %s: path %q is not clean and absolute", e.info.Name, rt.Path)
			}
			rt = a.place(e, rt)
			key := [2]string{rt.Method, rt.Pattern}
			if other, ok := taken[key]; ok {
				return nil, fmt.Errorf("modules %s and %s both serve %s %s", other, rt.Module, rt.Method, rt.Path)
			}
			if rt.When == nil {
				taken[key] = rt.Module
			}
			out = append(out, rt)
		}
	}
	return out, nil
}

// place fills in the fields of a route that are set at assembly.
func (a *App) place(e *entry, rt Route) Route {
	rt.Module, rt.Pattern = e.info.Name, a.core.Prefix+rt.Path
	switch {
	case rt.Proxied && rt.Path == everything: // with and without the prefix
		rt.Pattern = everything
	case a.core.Prefix != "" && rt.Path == "/":
		rt.Pattern = a.core.Prefix
	}
	if rt.Label == "" {
		rt.Label = label(rt.Pattern)
	}
	return rt
}

// spellings returns the paths a pattern is mounted at: the root of a prefix is
// served with and without a trailing slash.
func spellings(pattern, prefix string) []string {
	if prefix != "" && pattern == prefix {
		return []string{pattern, pattern + "/"}
	}
	return []string{pattern}
}

// handles reports whether a module may be in the chain of a route. Only those are
// considered for each route: others may be as many as the routes.
func handles(m Module) bool {
	_, handles := m.(Middleware)
	_, binds := m.(Binder)
	return handles || binds
}

// usualChain is the length of a chain for which chainOf allocates no scratch space.
const usualChain = 24

// link appends the middleware that covers rt, and its names.
func link(chain []*entry, rt Route, handlers []negroni.Handler, names []string) ([]negroni.Handler, []string) {
	for _, e := range chain {
		if rt.Label == unmatched.Label && e.info.Phase > Enrich && !e.info.Unmatched {
			continue
		}
		if s, ok := e.Module.(Selective); ok && !s.Covers(rt) {
			continue
		}
		mw, ok := e.Module.(Middleware)
		if b, binds := e.Module.(Binder); binds {
			mw, ok = b.Bind(rt), true
		}
		if !ok || mw == nil {
			continue
		}
		handlers, names = append(handlers, mw), append(names, e.info.Name)
	}
	return handlers, names
}

// ServeHTTP serves a request with the routes and chains of this assembly.
func (s *Assembly) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if isClean(r.URL.Path) {
		if h, ps := s.router.find(r.Method, r.URL.Path); h != nil {
			h(w, r, ps)
			return
		}
	}
	s.router.other(w, r)
}

// respondError responds with an error, see [Host.Error].
func (s *Assembly) respondError(w http.ResponseWriter, r *http.Request, code int, message string) {
	for _, p := range s.pagers {
		if p.ServeErrorPage(w, r, code, message) {
			return
		}
	}
	reply.Error(w, code, message)
}

// Switch links or unlinks a module that is on or on standby. Requests in
// flight finish on the assembly they started on. Switching a module that is
// off or opens a port is an error. After an error nothing has changed.
func (a *App) Switch(name string, on bool) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	target := a.entry(name)
	switch {
	case target == nil:
		return fmt.Errorf("unknown module %s", name)
	case target.state == Off:
		return fmt.Errorf("module %s is off and was not started: set %s=standby to switch it later", name, target.info.EnabledKey())
	case target.listens():
		return fmt.Errorf("module %s opens a port and cannot be switched", name)
	}
	return a.replaceLocked(func(now *Assembly, e *entry) bool {
		if e == target {
			return on
		}
		return now.Linked(e.info.Name)
	})
}

// reload assembles again, because a module's Routes have changed.
func (a *App) reload() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.replaceLocked(func(now *Assembly, e *entry) bool { return now.Linked(e.info.Name) })
}

// errNotAssembled is the error of a Switch or Reload during Provision.
var errNotAssembled = errors.New("the App is not assembled yet: call Switch and Reload after Provision")

// replaceLocked assembles anew what linked accepts, given the current assembly,
// and publishes the result. The caller must hold a.mu.
func (a *App) replaceLocked(linked func(now *Assembly, e *entry) bool) error {
	now := a.Assembly()
	if now == nil {
		return errNotAssembled
	}
	next, err := a.assemble(func(e *entry) bool { return linked(now, e) })
	if err != nil {
		return err
	}
	a.current.Store(next)
	return nil
}

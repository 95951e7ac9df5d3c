package registry

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/julienschmidt/httprouter"
	"github.com/seed-4591fe7d/podinfo/registry/record"
	"github.com/urfave/negroni/v3"
)

// anyMethod is the tree of the routes that take every method. No request has
// this method: it is not a token.
const anyMethod = "*/*"

// table is one assembly of the modules that are linked. It never changes.
type table struct {
	router    *httprouter.Router
	methods   []string // those with a tree, sorted, without anyMethod
	unmatched *negroni.Negroni
	mounted   []Mounted
}

// spot is a method and a pattern, with the routes that share them.
type spot struct {
	method, pattern string
	publish         string // what http.Request.Pattern becomes
	routes          []linkedRoute
}

type linkedRoute struct {
	when  func(*http.Request) bool
	chain *negroni.Negroni
}

// assemble builds the table of what is linked and swaps it in. Requests in
// flight finish on the one they started on.
func (a *App) assemble() error {
	var on []*entry
	for _, e := range a.entries {
		if e.linked.Load() {
			on = append(on, e)
		}
	}
	chain := slices.Clone(on)
	slices.SortStableFunc(chain, func(x, y *entry) int { return int(x.info.Phase - y.info.Phase) })

	t := &table{router: httprouter.New()}
	routes, err := a.routes(on)
	if err != nil {
		return err
	}
	var spots []*spot
	for _, rt := range routes {
		handlers, names := link(chain, rt)
		t.mounted = append(t.mounted, Mounted{rt, names})
		n := negroni.New(handlers...)
		n.UseHandlerFunc(rt.Handler)
		for _, pattern := range spellings(rt.Pattern, a.core.Prefix) {
			i := slices.IndexFunc(spots, func(s *spot) bool { return s.method == rt.Method && s.pattern == pattern })
			if i < 0 {
				i, spots = len(spots), append(spots, &spot{method: rt.Method, pattern: pattern, publish: rt.Pattern})
			}
			spots[i].routes = append(spots[i].routes, linkedRoute{rt.When, n})
		}
	}
	for _, s := range spots {
		if err := t.mount(s); err != nil {
			return t.blame(s, err)
		}
	}
	handlers, _ := link(chain, unmatched)
	t.unmatched = negroni.New(handlers...)
	t.unmatched.UseHandlerFunc(t.refuse)
	a.table.Store(t)
	a.generation.Add(1)
	return nil
}

// routes collects what the linked modules serve, and refuses two routes of
// which one could never be reached.
func (a *App) routes(on []*entry) ([]Route, error) {
	var out []Route
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
			for _, x := range out {
				if x.Method == rt.Method && x.Pattern == rt.Pattern && x.When == nil {
					return nil, fmt.Errorf("modules %s and %s both serve %s %s", x.Module, rt.Module, rt.Method, rt.Path)
				}
			}
			out = append(out, rt)
		}
	}
	return out, nil
}

// place fills in what a route gets at assembly.
func (a *App) place(e *entry, rt Route) Route {
	rt.Module, rt.Pattern = e.info.Name, a.core.Prefix+rt.Path
	if a.core.Prefix != "" && rt.Path == "/" {
		rt.Pattern = a.core.Prefix
	}
	if rt.Label == "" {
		rt.Label = label(rt.Pattern)
	}
	return rt
}

// spellings are the paths a pattern is mounted at: the root of a prefix is
// served with and without a trailing slash.
func spellings(pattern, prefix string) []string {
	if prefix != "" && pattern == prefix {
		return []string{pattern, pattern + "/"}
	}
	return []string{pattern}
}

// link picks the middleware that covers rt.
func link(chain []*entry, rt Route) (handlers []negroni.Handler, names []string) {
	for _, e := range chain {
		if rt.Label == unmatched.Label && e.info.Phase > Enrich {
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

// mount enters a spot into the router, whose panics about conflicts become
// errors.
func (t *table) mount(s *spot) (err error) {
	path, err := treePath(s.pattern)
	if err != nil {
		return err
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	method := s.method
	if method == "" {
		method = anyMethod
	} else if !slices.Contains(t.methods, method) {
		t.methods = append(t.methods, method)
		slices.Sort(t.methods)
	}
	t.router.Handle(method, path, s.serve)
	return nil
}

// blame names both modules of a conflict.
func (t *table) blame(s *spot, err error) error {
	module := func(s *spot) string {
		for _, m := range t.mounted {
			if m.Method == s.method && slices.Contains(spellings(m.Pattern, s.pattern), s.pattern) {
				return m.Module
			}
		}
		return ""
	}
	for _, m := range t.mounted {
		other := &spot{method: m.Method, pattern: m.Pattern}
		if m.Method != s.method || m.Pattern == s.pattern {
			continue
		}
		pair := &table{router: httprouter.New()}
		if pair.mount(other) == nil && pair.mount(s) != nil {
			return fmt.Errorf("modules %s and %s: routes %q and %q conflict: %w", module(other), module(s), other.pattern, s.pattern, err)
		}
	}
	return fmt.Errorf("module %s: route %s %s: %w", module(s), s.method, s.pattern, err)
}

// serve publishes what was matched in the request and runs the chain of the
// first route that accepts it.
func (s *spot) serve(w http.ResponseWriter, r *http.Request, ps httprouter.Params) {
	r.Pattern = s.publish
	for _, p := range ps {
		r.SetPathValue(p.Key, p.Value)
	}
	for i := range s.routes {
		if when := s.routes[i].when; when == nil || when(r) {
			s.routes[i].chain.ServeHTTP(w, r)
			return
		}
	}
	http.NotFound(w, r)
}

func (t *table) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w = record.Wrap(w)
	if path := r.URL.Path; isClean(path) {
		if h, ps := t.find(r.Method, path); h != nil {
			h(w, r, ps)
			return
		}
	}
	t.unmatched.ServeHTTP(w, r)
}

// find looks a route up. HEAD is served wherever GET is (RFC 9110, 9.3.2).
func (t *table) find(method, path string) (httprouter.Handle, httprouter.Params) {
	h, ps, _ := t.router.Lookup(method, path)
	if h == nil && method == http.MethodHead {
		h, ps, _ = t.router.Lookup(http.MethodGet, path)
	}
	if h == nil {
		h, ps, _ = t.router.Lookup(anyMethod, path)
	}
	return h, ps
}

// refuse answers what matches no route.
func (t *table) refuse(w http.ResponseWriter, r *http.Request) {
	if !isClean(r.URL.Path) {
		clean := *r.URL
		clean.Path, clean.RawPath = cleanPath(r.URL.Path), ""
		w.Header().Set("Location", clean.RequestURI())
		w.WriteHeader(http.StatusMovedPermanently)
		return
	}
	allowed := t.allowed(r.URL.Path)
	if allowed == "" {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Allow", allowed)
	if r.Method == http.MethodOptions {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.WriteHeader(http.StatusMethodNotAllowed)
}

// allowed is the Allow header for a path (RFC 9110, 10.2.1), "" if no method
// has a route there.
func (t *table) allowed(path string) string {
	var out []string
	for _, m := range t.methods {
		if h, _, _ := t.router.Lookup(m, path); h != nil {
			out = append(out, m)
			if m == http.MethodGet {
				out = append(out, http.MethodHead)
			}
		}
	}
	if out == nil {
		return ""
	}
	out = append(out, http.MethodOptions)
	slices.Sort(out)
	return strings.Join(slices.Compact(out), ", ")
}

// Switch links or unlinks a module that is on or on standby, and assembles
// anew. Switching what is off, or opens a port, is an error.
func (a *App) Switch(name string, on bool) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := a.index(name)
	switch {
	case i < 0:
		return fmt.Errorf("module %s is not listed", name)
	case a.entries[i].state == Off:
		return fmt.Errorf("module %s is off: it was not started", name)
	case a.entries[i].listens() > 0:
		return fmt.Errorf("module %s opens a port and cannot be switched", name)
	}
	old := a.entries[i].linked.Swap(on)
	if err := a.assemble(); err != nil {
		a.entries[i].linked.Store(old)
		return err
	}
	return nil
}

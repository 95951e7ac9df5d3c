package registry

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/julienschmidt/httprouter"
	"github.com/seed-4591fe7d/podinfo/internal/glob"
	"github.com/seed-4591fe7d/podinfo/registry/record"
)

// anyMethod is the tree of the routes that accept every method. No request has
// this method: it is not a token.
const anyMethod = "*/*"

// giving ends the names of the trees of mounts that give way to the fallback.
const giving = "?"

// router finds the mount of a request. httprouter refuses a wildcard beside a
// static segment (/users/{id} and /users/me), so patterns that it cannot hold
// in one tree go to further layers, the more specific ones first. Almost every
// router has one layer.
type router struct {
	layers    []*layer
	at, below map[string][]*mount // by the longest of literalPrefixes, and by all of them

	unmatched linkedRoute   // for requests that no route accepts
	fallback  *linkedRoute  // for paths that no route has, nil for none; set before the mounts
	gives     bool          // there are mounts that give way to fallback
	methods   []string      // those with a tree, sorted, without anyMethod
	respond   errorResponse // to requests without a route
}

// errorResponse responds with an error.
type errorResponse func(w http.ResponseWriter, r *http.Request, code int, message string)

// layer is a set of patterns that httprouter holds together.
type layer struct {
	*httprouter.Router
	trees map[string]*segmentNode // by method, to know what fits
}

// segmentNode is a place in the tree of segments of a layer's patterns.
type segmentNode struct {
	static map[string]*segmentNode
	wild   string // "{id}", "" for none
	below  *segmentNode
}

// mount is a method and a pattern, with the routes that share them.
type mount struct {
	method, pattern string
	publish         string // what http.Request.Pattern becomes
	module          string // that declared the first of the routes
	rank            string // of the pattern, see specificity
	rest            string // name of the {rest...} wildcard, "" for none
	glob            glob.Pattern
	layer           int
	router          *router
	routes          []linkedRoute
}

type linkedRoute struct {
	when  func(*http.Request) bool
	chain http.HandlerFunc
}

func newRouter(respond errorResponse) *router {
	return &router{layers: []*layer{newLayer()}, at: map[string][]*mount{}, below: map[string][]*mount{}, respond: respond}
}

func newLayer() *layer {
	return &layer{Router: httprouter.New(), trees: map[string]*segmentNode{}}
}

// mountAll mounts more specific patterns first, so that they stand in earlier
// layers.
func (rt *router) mountAll(mounts []*mount) error {
	for _, m := range mounts {
		m.rank = specificity(m.pattern)
	}
	slices.SortStableFunc(mounts, func(x, y *mount) int { return strings.Compare(x.rank, y.rank) })
	for _, m := range mounts {
		if err := rt.mount(m); err != nil {
			return err
		}
	}
	return nil
}

// specificity ranks the segments of a pattern, one digit each: static before {name}
// before {rest...}.
func specificity(pattern string) string {
	var out []byte
	for seg := range strings.SplitSeq(pattern, "/") {
		switch {
		case strings.HasSuffix(seg, "...}"):
			out = append(out, '2')
		case strings.HasPrefix(seg, "{"):
			out = append(out, '1')
		default:
			out = append(out, '0')
		}
	}
	return string(out)
}

// mount enters m into the first layer that can hold it and comes after every
// pattern that takes precedence over m.
func (rt *router) mount(m *mount) error {
	path, err := treePath(m.pattern)
	if err == nil {
		m.glob, err = glob.Parse(m.pattern)
	}
	if err != nil {
		return fmt.Errorf("module %s: route %s %s: %w", m.module, m.method, m.pattern, err)
	}
	if _, name, ok := strings.Cut(path, "*"); ok {
		m.rest = name
	}
	method := m.method
	if method == "" {
		method = anyMethod
	}
	switch {
	case rt.fallback != nil && m.givesWay():
		method += giving
		rt.gives = true
	case method != anyMethod && !slices.Contains(rt.methods, method):
		rt.methods = append(rt.methods, method)
		slices.Sort(rt.methods)
	}
	at, err := rt.layerAfter(m)
	if err != nil {
		return err
	}
	segs := strings.Split(m.pattern, "/")
	for at < len(rt.layers) && !rt.layers[at].fits(method, segs) {
		at++
	}
	if at == len(rt.layers) {
		rt.layers = append(rt.layers, newLayer())
	}
	m.layer, m.router = at, rt
	rt.enter(m)
	return rt.layers[at].add(m, method, path, segs)
}

// layerAfter returns the layer after the last one with a pattern that takes
// precedence over m: patterns that overlap cannot be in one layer. A pattern that
// matches some of the same paths as another and is neither more nor less specific
// is a conflict, as in net/http.
func (rt *router) layerAfter(m *mount) (int, error) {
	if m.glob.Literal() { // sorted before every pattern with a wildcard
		return 0, nil
	}
	after := 0
	for _, x := range rt.neighbours(m) {
		wider, narrower := m.glob.Covers(x.glob), x.glob.Covers(m.glob)
		switch {
		case !sharesMethods(x.method, m.method) || !x.glob.Meets(m.glob):
		case wider && narrower && x.method != m.method: // then the method decides
		case !wider || narrower:
			return 0, conflictError(x, m)
		default:
			after = max(after, x.layer+1)
		}
	}
	return after, nil
}

// givesWay reports whether the routes accept some requests only. Behind a fallback,
// all other requests for their path are for that: their methods are not among those
// of the path.
func (m *mount) givesWay() bool {
	return !slices.ContainsFunc(m.routes, func(rt linkedRoute) bool { return rt.when == nil })
}

// sharesMethods reports whether a request may be for both routes. HEAD is served
// wherever GET is.
func sharesMethods(x, y string) bool {
	get := func(method string) string {
		if method == http.MethodHead {
			return http.MethodGet
		}
		return method
	}
	return x == "" || y == "" || get(x) == get(y)
}

// literalPrefixes returns the segments of a pattern before its first wildcard, after
// all shorter ones: "", "/api" and "/api/v1" of /api/v1/{id}.
func literalPrefixes(pattern string) []string {
	if i := strings.IndexByte(pattern, '{'); i >= 0 {
		pattern = pattern[:strings.LastIndexByte(pattern[:i], '/')]
	}
	var all []string
	for i := range len(pattern) {
		if pattern[i] == '/' {
			all = append(all, pattern[:i])
		}
	}
	return append(all, pattern)
}

// enter makes m a neighbour of those mounted later.
func (rt *router) enter(m *mount) {
	prefixes := literalPrefixes(m.pattern)
	last := prefixes[len(prefixes)-1]
	rt.at[last] = append(rt.at[last], m)
	for _, p := range prefixes {
		rt.below[p] = append(rt.below[p], m)
	}
}

// neighbours returns the mounts that may overlap with m: of two patterns that match
// the same path, the literal prefix of one begins with that of the other.
func (rt *router) neighbours(m *mount) []*mount {
	prefixes := literalPrefixes(m.pattern)
	last := len(prefixes) - 1
	all := slices.Clone(rt.below[prefixes[last]])
	for _, p := range prefixes[:last] {
		all = append(all, rt.at[p]...)
	}
	return all
}

// conflictError names both modules of a conflict.
func conflictError(x, y *mount) error {
	return fmt.Errorf("modules %s and %s: routes %q and %q conflict: neither is more specific; rename a path or turn one module off", x.module, y.module, x.pattern, y.pattern)
}

// fits reports whether httprouter can hold a pattern beside those of the
// layer: at each place there are static segments or one wildcard, not both.
func (l *layer) fits(method string, segs []string) bool {
	n := l.trees[method]
	for _, seg := range segs {
		switch wild := strings.HasPrefix(seg, "{"); {
		case n == nil:
			return true
		case wild && (len(n.static) > 0 || n.wild != "" && n.wild != seg), !wild && n.wild != "":
			return false
		case wild:
			n = n.below
		default:
			n = n.static[seg]
		}
	}
	return true
}

// add enters m, which fits. A panic of httprouter would be a mistake of fits
// and is returned as an error.
func (l *layer) add(m *mount, method, path string, segs []string) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("module %s: route %s %s: %v", m.module, m.method, m.pattern, p)
		}
	}()
	l.Handle(method, path, m.serve)
	n := l.trees[method]
	if n == nil {
		n = new(segmentNode)
		l.trees[method] = n
	}
	for _, seg := range segs {
		n = n.child(seg)
	}
	return nil
}

// child returns the place of a segment below n, which it makes if need be.
func (n *segmentNode) child(seg string) *segmentNode {
	if strings.HasPrefix(seg, "{") {
		if n.below == nil {
			n.wild, n.below = seg, new(segmentNode)
		}
		return n.below
	}
	if n.static == nil {
		n.static = map[string]*segmentNode{}
	}
	if n.static[seg] == nil {
		n.static[seg] = new(segmentNode)
	}
	return n.static[seg]
}

// serve publishes what was matched in the request and runs the chain of the
// first route that accepts it.
func (m *mount) serve(w http.ResponseWriter, r *http.Request, ps httprouter.Params) {
	r.Pattern = m.publish
	for _, p := range ps {
		if p.Key == m.rest { // httprouter includes the slash before it, net/http does not
			p.Value = strings.TrimPrefix(p.Value, "/")
		}
		r.SetPathValue(p.Key, p.Value)
	}
	for i := range m.routes {
		if rt := &m.routes[i]; rt.when == nil || rt.when(r) {
			rt.serve(w, r)
			return
		}
	}
	if m.router.fallback != nil {
		r.Pattern = everything
		m.router.fallback.serve(w, r)
		return
	}
	r.Pattern = ""
	m.router.unmatched.serve(w, r)
}

// serve runs the chain.
func (rt *linkedRoute) serve(w http.ResponseWriter, r *http.Request) {
	record.Serve(w, r, rt.chain)
}

// other serves a request that no route matches.
func (rt *router) other(w http.ResponseWriter, r *http.Request) {
	if rt.fallback == nil || r.Method == http.MethodConnect || r.URL.Path == "*" || isClean(r.URL.Path) && rt.allowed(r.URL.Path) != "" {
		rt.unmatched.serve(w, r)
		return
	}
	r.Pattern = everything
	rt.fallback.serve(w, r)
}

// find looks a route up: the most specific path decides, then the method. HEAD is
// served wherever GET is (RFC 9110, 9.3.2). CONNECT is served nowhere: clients and
// proxies take a response of 2xx for a tunnel (RFC 9110, 9.3.6).
func (rt *router) find(method, path string) (httprouter.Handle, httprouter.Params) {
	for _, l := range rt.layers {
		h, ps := rt.lookup(l, method, path)
		if h == nil && method == http.MethodHead {
			h, ps = rt.lookup(l, http.MethodGet, path)
		}
		if h == nil && method != http.MethodConnect {
			h, ps = rt.lookup(l, anyMethod, path)
		}
		if h != nil {
			return h, ps
		}
	}
	return nil, nil
}

// lookup looks a route of this method up in a layer.
func (rt *router) lookup(l *layer, method, path string) (httprouter.Handle, httprouter.Params) {
	h, ps, _ := l.Lookup(method, path)
	if h == nil && rt.gives {
		h, ps, _ = l.Lookup(method+giving, path)
	}
	return h, ps
}

// serves reports whether a route of this method matches the path.
func (rt *router) serves(method, path string) bool {
	return slices.ContainsFunc(rt.layers, func(l *layer) bool {
		h, _, _ := l.Lookup(method, path)
		return h != nil
	})
}

// refuse replies to a request that matches no route. A path that is not clean
// is corrected by a redirect, which lets clients repeat the method and the body
// unless they asked to read only (RFC 9110, 15.4.9).
func (rt *router) refuse(w http.ResponseWriter, r *http.Request) {
	switch path := r.URL.Path; {
	case path == "*": // of OPTIONS alone (RFC 9112, 3.2.4), which net/http handles
		rt.refuseMethod(w, r, http.MethodOptions)
	case r.Method == http.MethodConnect: // its target is no path
		rt.refuseMethod(w, r, allow(rt.methods))
	case !isClean(path):
		clean := *r.URL
		clean.Path, clean.RawPath = cleanPath(path), ""
		w.Header().Set("Location", clean.RequestURI())
		code := http.StatusPermanentRedirect
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			code = http.StatusMovedPermanently
		}
		w.WriteHeader(code)
	default:
		rt.refuseClean(w, r)
	}
}

// refuseClean replies to a request with a clean path.
func (rt *router) refuseClean(w http.ResponseWriter, r *http.Request) {
	allowed := rt.allowed(r.URL.Path)
	route, _ := rt.find(r.Method, r.URL.Path) // that did not accept the request
	switch {
	case allowed == "" || route != nil:
		rt.respond(w, r, http.StatusNotFound, "page not found")
	case r.Method == http.MethodOptions:
		w.Header().Set("Allow", allowed)
		w.WriteHeader(http.StatusNoContent)
	default:
		rt.refuseMethod(w, r, allowed)
	}
}

// refuseMethod replies 405. allowed becomes the header Allow.
func (rt *router) refuseMethod(w http.ResponseWriter, r *http.Request, allowed string) {
	w.Header().Set("Allow", allowed)
	rt.respond(w, r, http.StatusMethodNotAllowed, "method not allowed; use one of "+allowed)
}

// allowed returns the Allow header for a path (RFC 9110, 10.2.1), "" if no
// method has a route there.
func (rt *router) allowed(path string) string {
	var methods []string
	for _, m := range rt.methods {
		if rt.serves(m, path) {
			methods = append(methods, m)
		}
	}
	if methods == nil {
		return ""
	}
	return allow(methods)
}

// allow returns the Allow header for the methods of routes, to which it adds
// those that need no route.
func allow(methods []string) string {
	out := append(slices.Clone(methods), http.MethodOptions)
	if slices.Contains(out, http.MethodGet) {
		out = append(out, http.MethodHead)
	}
	slices.Sort(out)
	return strings.Join(slices.Compact(out), ", ")
}

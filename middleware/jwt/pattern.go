package jwt

import (
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/seed-4591fe7d/podinfo/internal/glob"
	"github.com/seed-4591fe7d/podinfo/internal/lazyregexp"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// A rule is one pattern of the setting Paths.
type rule struct {
	paths    glob.Pattern // matches paths
	shape    glob.Pattern // matches the shapes of routes
	literal  bool         // without *
	exclude  bool
	prefixed bool // an exclusion of paths that begin with the server's prefix
	rpc      bool // it looks like a gRPC method; other exclusions do not apply to calls
}

// likeRPC matches patterns that begin with the name of a gRPC service. It does not
// match !/info*, which is not meant for /info.InfoService/Info.
var likeRPC = lazyregexp.New(`^/[^/]*\.[^/]*/`)

// parse reads the setting.
func parse(paths []string) ([]rule, error) {
	var out []rule
	for _, p := range paths {
		text, exclude := strings.CutPrefix(strings.TrimSpace(p), "!")
		if !strings.HasPrefix(text, "/") {
			return nil, registry.Invalid("Paths", "patterns that start with / or !/, such as /cache/*")
		}
		pattern, err := glob.Parse(text)
		if err != nil {
			return nil, registry.Invalid("Paths", "patterns in which {name} is a whole segment, unlike in "+text)
		}
		out = append(out, rule{
			paths: pattern.AllowEmpty(), shape: glob.Text(pattern.Shape()),
			literal: !strings.Contains(text, "*"), exclude: exclude, rpc: likeRPC().MatchString(text),
		})
	}
	if !slices.ContainsFunc(out, func(r rule) bool { return !r.exclude }) {
		return nil, registry.Invalid("Paths", "the routes to guard, such as /cache/* or /*,!/api/info")
	}
	return out, nil
}

// compile returns the pattern of a route's path. A path that is not valid matches
// only itself; New refuses it with a better error.
func compile(path string) glob.Pattern {
	p, err := glob.Parse(path)
	if err != nil {
		return glob.Text(path)
	}
	return p
}

// readings returns the paths of the route that the rule may refer to. An inclusion
// may refer to a route with or without the server's prefix. An exclusion refers to
// only one of the two, so that it never leaves out too much.
func (r rule) readings(rt registry.Route) []string {
	switch {
	case !r.exclude:
		return []string{rt.Path, rt.Pattern}
	case rt.Method == grpc && !r.rpc:
		return nil
	case r.prefixed:
		return []string{rt.Pattern}
	}
	return []string{rt.Path}
}

// names reports whether the rule refers to the whole route. {name} in a rule is
// the {name} of a route, whatever it is called: /box/{id} does not name /box/new.
func (r rule) names(rt registry.Route) bool {
	return slices.ContainsFunc(r.readings(rt), func(path string) bool { return r.shape.Match(compile(path).Shape()) })
}

// spans reports whether the rule is for the whole route. An exclusion is for the
// routes that it names. An inclusion is also for every path below one that it
// names, and for the paths at which the module does the same.
func (r rule) spans(rt registry.Route) bool {
	if r.exclude {
		return r.names(rt)
	}
	prefix := prefixOf(rt)
	return slices.ContainsFunc(append([]string{rt.Path}, rt.SameAs...), func(path string) bool { return r.reaches(prefix, path) })
}

// reaches reports whether the inclusion names the path or one above it, with or
// without the server's prefix. The root is not above other paths: / means the root
// alone and /* means everything.
func (r rule) reaches(prefix, path string) bool {
	names := func(path string) bool { return r.shape.Match(compile(path).Shape()) }
	if names(path) || names(placed(prefix, path)) {
		return true
	}
	for above := parent(path); above != ""; above = parent(above) {
		if names(above) || names(prefix+above) {
			return true
		}
	}
	return false
}

// parent returns the path without its last segment.
func parent(path string) string { return path[:strings.LastIndexByte(path, '/')] }

// prefixOf returns the server's prefix, which the pattern of a route begins with.
func prefixOf(rt registry.Route) string {
	if rt.Path == "/" && rt.Pattern != "/" { // the root of the prefix has no slash at the end
		return rt.Pattern
	}
	return strings.TrimSuffix(rt.Pattern, rt.Path)
}

// placed returns the pattern of a path below the server's prefix.
func placed(prefix, path string) string {
	if prefix != "" && path == "/" {
		return prefix
	}
	return prefix + path
}

// touches reports whether the rule refers to the route or to a part of it.
func (r rule) touches(rt registry.Route) bool {
	return slices.ContainsFunc(r.readings(rt), func(path string) bool { return r.paths.Meets(compile(path).AllowEmpty()) })
}

// includes reports whether the rule puts the route under guard. A probe is put
// there only by its full path.
func (r rule) includes(rt registry.Route) bool {
	if rt.Probe {
		return !r.exclude && r.literal && r.names(rt)
	}
	return !r.exclude && r.spans(rt)
}

// A guard decides which routes need a token.
type guard []rule

// covers reports whether a rule includes the route and none excludes it.
func (g guard) covers(rt registry.Route) bool {
	excluded := func(r rule) bool { return r.exclude && r.names(rt) }
	return !slices.ContainsFunc(g, excluded) && slices.ContainsFunc(g, func(r rule) bool { return r.includes(rt) })
}

// meets reports whether a rule includes a part of the route.
func (g guard) meets(rt registry.Route) bool {
	return slices.ContainsFunc(g, func(r rule) bool { return !r.exclude && r.touches(rt) })
}

// coversPath reports whether a path of another service is guarded, however the
// service reads it. An inclusion is also for every path below its own.
func (g guard) coversPath(p string) bool {
	all := readings(p)
	if all == nil {
		return true
	}
	included := func(r rule) bool { return !r.exclude && slices.ContainsFunc(all, r.includesPath) }
	excluded := func(r rule) bool {
		missed := func(p string) bool { return !r.paths.Match(p) || !r.paths.Match(path.Clean("/"+p)) }
		return r.exclude && !slices.ContainsFunc(all, missed)
	}
	return slices.ContainsFunc(g, included) && !slices.ContainsFunc(g, excluded)
}

// includesPath reports whether the inclusion is for a path or one above it, as it is
// or cleaned.
func (r rule) includesPath(p string) bool {
	for above := path.Clean("/" + p); above != ""; above = parent(above) {
		if r.paths.Match(above) || r.paths.Match(above+"/") {
			return true
		}
	}
	return r.paths.Match(p)
}

// maxDecodings is how many times a path may be encoded within itself.
const maxDecodings = 4

// parameters matches the parameters of a segment of a path (RFC 3986, section 3.3).
var parameters = lazyregexp.New(`;[^/]*`)

// rest matches what is no part of the path of a URL: a query or a fragment.
var rest = lazyregexp.New(`(?s)[#?].*`)

// readings returns how servers may read a decoded path: without the parameters of its
// segments, which makes /a;x/b the path /a/b, with backslashes as slashes, only up to
// a # or ?, as nginx reads /a#b, or decoded once more. It returns nil for a path that is
// encoded too many times.
func readings(p string) []string {
	if !strings.ContainsAny(p, `;\%#?`) {
		return []string{p}
	}
	var all []string
	for range maxDecodings {
		for _, q := range []string{p, rest().ReplaceAllString(p, "")} {
			for _, q := range []string{q, parameters().ReplaceAllString(q, "")} {
				all = append(all, q, strings.ReplaceAll(q, `\`, "/"))
			}
		}
		plain, err := url.PathUnescape(p)
		if err != nil || plain == p {
			return all
		}
		p = plain
	}
	return nil
}

// divide returns the routes that are guarded, and those that are open although the
// same module has guarded ones.
func (g guard) divide(routes []registry.Route) (guarded, open []string) {
	some := map[string]bool{}
	for _, rt := range routes {
		some[rt.Module] = some[rt.Module] || g.covers(rt)
	}
	for _, rt := range routes {
		text := strings.TrimSpace(rt.Method + " " + rt.Pattern)
		if parts := g.parts(rt); parts != nil {
			guarded, open = append(guarded, parts...), append(open, text)
		} else if g.covers(rt) {
			guarded = append(guarded, text)
		} else if some[rt.Module] {
			open = append(open, text)
		}
	}
	return guarded, open
}

// parts returns the rules about a route whose paths are guarded one by one, if they
// leave some of them open.
func (g guard) parts(rt registry.Route) (parts []string) {
	whole := g.covers(rt)
	for _, r := range g {
		switch {
		case !rt.Proxied || !r.touches(rt):
		case r.exclude:
			whole = false
			parts = append(parts, "!"+r.paths.String())
		default:
			parts = append(parts, r.paths.String())
		}
	}
	if whole {
		return nil
	}
	return parts
}

// resolve refuses rules that would not do what they appear to do. An exclusion
// that matches a route without the server's prefix does not also exclude the route
// that it matches with the prefix.
func resolve(rules []rule, routes []registry.Route) (guard, error) {
	for i, r := range rules {
		rules[i].prefixed = !slices.ContainsFunc(routes, r.touches)
	}
	for _, r := range rules {
		if err := check(r, rules, routes); err != nil {
			return nil, err
		}
	}
	if !slices.ContainsFunc(routes, guard(rules).covers) && !slices.ContainsFunc(routes, func(rt registry.Route) bool { return rt.Proxied && guard(rules).meets(rt) }) {
		return nil, registry.Invalid("Paths", "patterns that leave something to guard")
	}
	return rules, nil
}

// check refuses a rule for nothing, and a rule for a part of a route unless
// another rule of the same kind is for the whole route.
func check(r rule, rules []rule, routes []registry.Route) error {
	text := r.paths.String()
	for _, rt := range routes {
		if rt.Proxied {
			continue
		}
		whole := func(x rule) bool { return x.exclude == r.exclude && x.spans(rt) }
		if r.touches(rt) && !slices.ContainsFunc(rules, whole) {
			return registry.Invalid("Paths", "whole routes: "+text+" does not name all of "+rt.Path+", use "+compile(rt.Path).Stars())
		}
	}
	applies := r.includes
	if r.exclude {
		applies = r.names
	}
	proxied := func(rt registry.Route) bool { return rt.Proxied && r.touches(rt) }
	switch {
	case slices.ContainsFunc(routes, proxied):
		return nil
	case slices.ContainsFunc(routes, applies):
		return nil
	case slices.ContainsFunc(routes, r.names):
		return registry.Invalid("Paths", "probes by their full paths, such as /healthz: "+text+" matches only probes")
	case r.rpc:
		return registry.Invalid("Paths", "patterns of existing routes and gRPC methods: "+text+" matches none (gRPC methods exist while grpc-server is on)")
	}
	return registry.Invalid("Paths", "patterns of existing routes: "+text+" matches none")
}

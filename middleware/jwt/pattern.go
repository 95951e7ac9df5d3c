package jwt

import (
	"regexp"
	"slices"
	"strings"

	"github.com/seed-4591fe7d/podinfo/registry"
)

// A glob is text in which some symbols stand for more than themselves.
type glob []rune

const (
	star rune = -iota - 1 // *, in a pattern: anything
	one                   // {name}: one segment of a path
	many                  // {name...}: the rest of a path
)

var wildcard = regexp.MustCompile(`\{[^/{}]*\}|\*`)

// compile makes a glob of a pattern or of a route's path.
func compile(s string) glob {
	var g glob
	for s != "" {
		at := wildcard.FindStringIndex(s)
		if at == nil {
			return append(g, []rune(s)...)
		}
		g = append(g, []rune(s[:at[0]])...)
		switch w := s[at[0]:at[1]]; {
		case w == "*":
			g = append(g, star)
		case strings.HasSuffix(w, "...}"):
			g = append(g, many)
		default:
			g = append(g, one)
		}
		s = s[at[1]:]
	}
	return g
}

// contains reports whether every path of the route is one of the pattern's.
func contains(pattern, route glob) bool {
	return walk(pattern, route, func(p, r rune) (pastP, pastR, pastBoth bool) {
		return p == star, p == star, p == r
	})
}

// meets reports whether some path may be both the pattern's and the route's.
func meets(pattern, route glob) bool {
	return walk(pattern, route, func(p, r rune) (pastP, pastR, pastBoth bool) {
		return p < 0 || takes(r, p), r < 0 || takes(p, r), p == r
	})
}

// takes reports whether r may be a part of what wild stands for.
func takes(wild, r rune) bool { return wild < 0 && r > 0 && (wild != one || r != '/') }

// walk reports whether steps lead to the end of both globs. step says what of
// the next two symbols, 0 at an end, may be passed.
func walk(a, b glob, step func(a, b rune) (pastA, pastB, pastBoth bool)) bool {
	a, b = append(slices.Clone(a), 0), append(slices.Clone(b), 0)
	reached := make([][]bool, len(a)+1)
	for i := range reached {
		reached[i] = make([]bool, len(b)+1)
	}
	reached[0][0] = true
	for i := range a {
		for j := range b {
			if !reached[i][j] {
				continue
			}
			pastA, pastB, pastBoth := step(a[i], b[j])
			reached[i+1][j] = reached[i+1][j] || pastA
			reached[i][j+1] = reached[i][j+1] || pastB
			reached[i+1][j+1] = reached[i+1][j+1] || pastBoth
		}
	}
	return reached[len(a)][len(b)]
}

// A rule is one pattern of the setting.
type rule struct {
	text     string
	glob     glob
	literal  bool
	exclude  bool
	prefixed bool // of an exclusion: it means paths with the prefix
	rpc      bool // it looks like a gRPC method; no other exclusion leaves one out
}

// likeRPC matches patterns that start with the name of a gRPC service. !/info*
// does not, as it is not meant for /info.InfoService/Info.
var likeRPC = regexp.MustCompile(`^/[^/]*\.[^/]*/`)

// parse reads the setting.
func parse(paths []string) ([]rule, error) {
	var out []rule
	for _, p := range paths {
		text, exclude := strings.CutPrefix(strings.TrimSpace(p), "!")
		if !strings.HasPrefix(text, "/") {
			return nil, registry.Invalid("Paths", "patterns that start with / or !/, such as /cache/*")
		}
		out = append(out, rule{text: text, glob: compile(text), literal: !strings.Contains(text, "*"), exclude: exclude, rpc: likeRPC.MatchString(text)})
	}
	if !slices.ContainsFunc(out, func(r rule) bool { return !r.exclude }) {
		return nil, registry.Invalid("Paths", "the routes to guard, such as /cache/* or /*,!/api/info")
	}
	return out, nil
}

// readings are the paths of the route that the rule may mean. Those of an
// exclusion are never two, so that it does not leave out too much.
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

// names reports whether the rule means the route, all of it.
func (r rule) names(rt registry.Route) bool {
	return slices.ContainsFunc(r.readings(rt), func(path string) bool { return contains(r.glob, compile(path)) })
}

// touches reports whether the rule means the route or a part of it.
func (r rule) touches(rt registry.Route) bool {
	return slices.ContainsFunc(r.readings(rt), func(path string) bool { return meets(r.glob, compile(path)) })
}

// A guard decides which routes need a token.
type guard []rule

// covers: some rule includes the route and none excludes it. A probe is
// included only by its own name.
func (g guard) covers(rt registry.Route) bool {
	included := false
	for _, r := range g {
		if !r.names(rt) {
			continue
		}
		if r.exclude {
			return false
		}
		included = included || r.literal || !rt.Probe
	}
	return included
}

// resolve refuses rules that would not do what they look like. An exclusion
// that means something without the prefix does not mean what is so called with
// it.
func resolve(rules []rule, routes []registry.Route) (guard, error) {
	for i, r := range rules {
		rules[i].prefixed = !slices.ContainsFunc(routes, r.touches)
	}
	for _, r := range rules {
		if err := check(r, rules, routes); err != nil {
			return nil, err
		}
	}
	if !slices.ContainsFunc(routes, guard(rules).covers) {
		return nil, registry.Invalid("Paths", "patterns that leave something to guard")
	}
	return rules, nil
}

// check refuses a rule for a part of a route, unless another rule of its kind
// is for the whole, and a rule for nothing.
func check(r rule, rules []rule, routes []registry.Route) error {
	for _, rt := range routes {
		whole := func(x rule) bool { return x.exclude == r.exclude && x.names(rt) }
		if r.touches(rt) && !slices.ContainsFunc(rules, whole) {
			return registry.Invalid("Paths", "whole routes: "+r.text+" is not all of "+rt.Path+", write "+spread(rt.Path))
		}
	}
	means := func(rt registry.Route) bool { return r.names(rt) && (r.exclude || r.literal || !rt.Probe) }
	switch {
	case slices.ContainsFunc(routes, means):
		return nil
	case slices.ContainsFunc(routes, r.names):
		return registry.Invalid("Paths", "probes by their full names, such as /healthz: "+r.text+" means nothing else")
	}
	if r.rpc {
		return registry.Invalid("Paths", "patterns of routes and gRPC methods that exist, with grpc-server on: "+r.text+" is none")
	}
	return registry.Invalid("Paths", "patterns of routes that exist: "+r.text+" is none")
}

// spread is a route's path as a pattern.
func spread(path string) string { return wildcard.ReplaceAllString(path, "*") }

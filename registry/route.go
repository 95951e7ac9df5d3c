package registry

import (
	"fmt"
	"net/http"
	"path"
	"regexp"
	"strings"
)

// A Route is one operation and its documentation.
type Route struct {
	Method   string // "" is every method for which no other route matches the path
	Path     string // in net/http syntax, matched against the decoded path: "/delay/{seconds}", "/echo/{rest...}"
	Handler  http.HandlerFunc
	When     func(*http.Request) bool // nil accepts; the first route that accepts wins
	Internal bool                     // a probe, metrics or a switch, which no fault may hit
	Probe    bool                     // called by an orchestrator that cannot log in: a wildcard of a guard leaves it open
	Proxied  bool                     // forwards to another service, whose business the size, the origin and the headers are; with the path "/{path...}" it gets every request whose path no other route has, as the client sent it
	Alone    bool                     // of a route that gets every path: the other modules' routes are not served, except on ports of their own
	Stream   bool                     // responds until the client leaves: requests are counted and not timed
	Label    string                   // metrics label; empty means one made from Pattern
	SameAs   []string                 // paths of the module at which a request does the same, its own may be among them: a guard of one guards all

	Summary  string            // one line; a route without one is not in the API documents
	Tag      string            // group in the API documents
	Params   map[string]string // what each wildcard of Path means
	Examples map[string]string // a value of each wildcard with which a request succeeds
	Body     string            // what the request's body is, "" if the handler reads none
	Accepts  any               // a sample of the body; nil is a text without a schema
	Returns  map[int]any       // a sample response body for each status, 0 for every other status; nil means an empty body
	Headers  map[string]string // what each header of responses means; errors may lack it
	Bearer   bool              // needs a bearer token

	// Set at assembly.
	Pattern string // prefix and Path, as in http.Request.Pattern
	Module  string // name of the module that declared it
}

// everything is the path of a route for all paths that no other route has.
const everything = "/{path...}"

// unmatched represents the requests that match no route. Their chain ends in
// 301, 404, 405 or the response to OPTIONS.
var unmatched = Route{Label: "unmatched"}

// Mounted is a route that is served, with the names of the middleware in its
// chain, outermost first.
type Mounted struct {
	Route
	Chain []string
}

var (
	nonAlnum = regexp.MustCompile(`[^a-z0-9]+`)
	tail     = regexp.MustCompile(`/\{[^/{}]*\.\.\.\}$`)
	segment  = regexp.MustCompile(`^(\{[A-Za-z_][A-Za-z0-9_]*(\.\.\.)?\}|[^{}:*]*)$`)
)

// label returns upstream's path label: each run of characters other than letters
// and digits becomes one underscore, and {rest...} is left out.
func label(pattern string) string {
	s := strings.Trim(nonAlnum.ReplaceAllString(strings.ToLower(tail.ReplaceAllString(pattern, "")), "_"), "_")
	if s == "" {
		return "root"
	}
	return s
}

// treePath translates net/http syntax to httprouter's.
func treePath(pattern string) (string, error) {
	segs := strings.Split(pattern, "/")
	for i, s := range segs {
		if !segment.MatchString(s) {
			return "", fmt.Errorf("path %q: segment %q is neither plain text nor {name} nor {name...}", pattern, s)
		}
		name, wild := strings.CutPrefix(s, "{")
		if !wild {
			continue
		}
		name = strings.TrimSuffix(name, "}")
		rest, all := strings.CutSuffix(name, "...")
		switch {
		case all && i != len(segs)-1:
			return "", fmt.Errorf("path %q: %q must be last", pattern, s)
		case all:
			segs[i] = "*" + rest
		default:
			segs[i] = ":" + name
		}
	}
	return strings.Join(segs, "/"), nil
}

// cleanPrefix is upstream's normalisation: "foo//bar/" is "/foo/bar", and no
// prefix is "".
func cleanPrefix(s string) (string, error) {
	s = path.Clean("/" + strings.TrimSpace(s))
	if strings.ContainsAny(s, "{}:*") {
		return "", fmt.Errorf("a path without { } : and *")
	}
	if s == "/" {
		return "", nil
	}
	return s, nil
}

// cleanPath is the path a client is redirected to: without empty, "." and ".."
// segments, and with its trailing slash kept.
func cleanPath(p string) string {
	if !strings.HasPrefix(p, "/") {
		p = "/" + p
	}
	clean := path.Clean(p)
	if strings.HasSuffix(p, "/") && clean != "/" {
		clean += "/"
	}
	return clean
}

// isClean is cleanPath(p) == p without the cost of path.Clean for almost every
// request.
func isClean(p string) bool {
	if !strings.Contains(p, "//") && !strings.Contains(p, "/.") {
		return strings.HasPrefix(p, "/")
	}
	return cleanPath(p) == p
}

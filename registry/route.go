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
	Method   string // "" is every method that no other route declares for Path
	Path     string // in net/http syntax: "/delay/{seconds}", "/echo/{rest...}"
	Handler  http.HandlerFunc
	When     func(*http.Request) bool // nil accepts; the first route that accepts wins
	Internal bool                     // probes, metrics, switches: no fault touches it
	Probe    bool                     // asked by an orchestrator that cannot log in: no guard covers it by a wildcard
	Stream   bool                     // replies go on until the client leaves: they are counted, and their time says nothing
	Label    string                   // metrics label; the default is made from Pattern

	Summary string            // one line; a route without one is not in the API documents
	Tag     string            // group in the API documents
	Params  map[string]string // what each wildcard of Path means
	Body    string            // what the request's body is, "" when none is read
	Returns map[int]any       // a sample reply for each status; nil is an empty body

	// Set at assembly.
	Pattern string // prefix and Path, as in http.Request.Pattern
	Module  string // name of the module that declared it
}

// Unmatched stands for the requests that match no route: their chain ends in
// 301, 404, 405 or the answer to OPTIONS.
var unmatched = Route{Label: "unmatched"}

// Mounted is a route as it is served now, and the middleware it is served
// through, outermost first.
type Mounted struct {
	Route
	Chain []string
}

var (
	nonAlnum = regexp.MustCompile(`[^a-z0-9]+`)
	tail     = regexp.MustCompile(`/\{[^/{}]*\.\.\.\}$`)
	segment  = regexp.MustCompile(`^(\{[A-Za-z_][A-Za-z0-9_]*(\.\.\.)?\}|[^{}:*]*)$`)
)

// label is upstream's path label: runs of anything but letters and digits
// become one underscore, and what lies below a subtree counts as the subtree.
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

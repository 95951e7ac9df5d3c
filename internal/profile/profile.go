// Package profile serves Go's runtime profiles. It does not serve the command
// line, whose flags may hold secrets.
package profile

import (
	"fmt"
	"html"
	"net/http"
	httppprof "net/http/pprof"
	"net/url"
	"runtime/pprof"

	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

// Path is the path under which go tool pprof expects the profiles.
const Path = "/debug/pprof/"

// Serve replies with the named profile, with a list of the profiles when name
// is empty, and with 404 when the name is unknown. The name is the part of the
// request's path after Path. A profile with ?seconds= extends the server's
// write timeout by that time and ends early when the request's context ends.
//
// It does not use the default mux, in which net/http/pprof registers its
// handlers.
func Serve(w http.ResponseWriter, r *http.Request, name string) {
	switch name {
	case "":
		list(w)
	case "profile":
		httppprof.Profile(w, r)
	case "symbol":
		httppprof.Symbol(w, r)
	case "trace":
		httppprof.Trace(w, r)
	default:
		if pprof.Lookup(name) == nil {
			w.Header().Set("X-Go-Pprof", "1") // go tool pprof shows the body then
			reply.Error(w, http.StatusNotFound, "unknown profile; see "+Path)
			return
		}
		httppprof.Handler(name).ServeHTTP(w, r)
	}
}

func list(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	fmt.Fprint(w, "<!doctype html>\n<title>profiles</title>\n<table>\n")
	for _, p := range pprof.Profiles() {
		fmt.Fprintf(w, "<tr><td align=right>%d<td><a href=\"%s?debug=1\">%s</a>\n", p.Count(), url.PathEscape(p.Name()), html.EscapeString(p.Name()))
	}
	fmt.Fprint(w, "<tr><td><td><a href=\"goroutine?debug=2\">goroutine stacks</a>\n"+
		"<tr><td><td><a href=\"profile?seconds=30\">profile</a>, 30 seconds of CPU\n"+
		"<tr><td><td><a href=\"trace?seconds=1\">trace</a>, 1 second\n</table>\n")
}

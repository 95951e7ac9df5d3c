package podinfo_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"

	"github.com/seed-4591fe7d/podinfo"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// behind stands behind the guard, reports which route a request reached and ends the
// request there.
type behind struct{}

type reached struct{ registry.Route }

func (behind) Info() registry.Info {
	return registry.Info{Name: "behind", Phase: registry.Guard, After: "jwt"}
}

// Bind returns a middleware that notes the route in the request's context.
func (*behind) Bind(rt registry.Route) registry.Middleware { return note{rt} }

type note struct{ route registry.Route }

func (n note) ServeHTTP(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
	if got, ok := r.Context().Value(reached{}.key()).(*reached); ok {
		got.Route = n.route
	}
	w.WriteHeader(http.StatusTeapot)
}

func (reached) key() any { return "reached" }

// guardedApp assembles the stock modules with a guard.
func guardedApp(t testing.TB, paths, prefix string) *registry.App {
	t.Helper()
	logger := logrus.New()
	logger.SetOutput(io.Discard)
	app, err := registry.New(append(podinfo.Modules(), new(behind)), registry.Logger(logger), registry.Env(map[string]string{
		"PODINFO_JWT_ENABLED": "true", "PODINFO_JWT_PATHS": paths, "PODINFO_JWT_SECRET": "0123456789abcdef0123456789abcdef",
		"PODINFO_PREFIX": prefix, "PODINFO_UI_ADMIN": "true", "PODINFO_FAULTS_ENABLED": "true", "PODINFO_CROSS_ORIGIN_ENABLED": "false",
	}))
	if err != nil {
		t.Fatalf("%s below %q: %v", paths, prefix, err)
	}
	return app
}

// handlerName returns the name of a handler, or "" for a closure: closures of one
// place share their code and not what they do.
func handlerName(rt registry.Route) string {
	name := runtime.FuncForPC(reflect.ValueOf(rt.Handler).Pointer()).Name()
	if last := name[strings.LastIndexByte(name, '/')+1:]; strings.Contains(last, ".func") {
		return ""
	}
	return name
}

// sameOperation reports whether a guard of the first route has to guard the second.
func sameOperation(a, b registry.Route) bool {
	below := a.Path != "/" && strings.HasPrefix(b.Path, a.Path+"/")
	return !b.Probe && (below || handlerName(a) != "" && handlerName(a) == handlerName(b) || slices.Contains(a.SameAs, b.Path)) || a.Path == b.Path
}

// A stock route that shares its handler with another path says so.
func TestRoutesDeclareSharedHandlers(t *testing.T) {
	routes := guardedApp(t, "/*", "").Mounted()
	shared := 0
	for _, a := range routes {
		for _, b := range routes {
			if a.Path == b.Path || handlerName(a.Route) == "" || handlerName(a.Route) != handlerName(b.Route) {
				continue
			}
			shared++
			if !slices.Contains(a.SameAs, b.Path) {
				t.Errorf("%s and %s of module %s have the same handler: set SameAs of both", a.Path, b.Path, a.Module)
			}
		}
	}
	if shared < 12 {
		t.Errorf("%d pairs share a handler, want at least the 12 of /echo", shared)
	}
}

// reach returns the route that a request line without a token reaches, and follows
// corrections of the path.
func reach(app http.Handler, line string) (registry.Route, bool) {
	for range 5 {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(line + " HTTP/1.1\r\nHost: podinfo\r\n\r\n")))
		if err != nil {
			return registry.Route{}, false
		}
		got, rec := new(reached), httptest.NewRecorder()
		app.ServeHTTP(rec, r.WithContext(context.WithValue(r.Context(), got.key(), got)))
		if rec.Code == http.StatusTeapot {
			return got.Route, true
		}
		next, err := url.Parse(rec.Header().Get("Location"))
		if err != nil || next.Path == "" {
			return registry.Route{}, false
		}
		line = r.Method + " " + next.RequestURI()
	}
	return registry.Route{}, false
}

// guards assembles an App for each stock route and prefix, whose guard names that
// route alone.
type guards struct {
	routes []registry.Mounted
	apps   map[string]*registry.App
}

func newGuards(t testing.TB) *guards {
	return &guards{guardedApp(t, "/*", "").Mounted(), map[string]*registry.App{}}
}

// try checks that the request line does not reach a guarded handler without a token.
func (g *guards) try(t testing.TB, at int, prefix, line string) {
	t.Helper()
	guarded := g.routes[at].Route
	app := g.apps[prefix+guarded.Path]
	if app == nil {
		app = guardedApp(t, guarded.Path, prefix)
		g.apps[prefix+guarded.Path] = app
	}
	if rt, ok := reach(app, line); ok && sameOperation(guarded, rt) {
		t.Errorf("guard of %s below %q: %q reaches %s %s of module %s without a token", guarded.Path, prefix, line, rt.Method, rt.Pattern, rt.Module)
	}
}

// spellings are ways to write a path. %[1]s is the prefix, %[2]s the rest.
var spellings = []string{
	"GET %[1]s%[2]s", "HEAD %[1]s%[2]s", "POST %[1]s%[2]s", "PUT %[1]s%[2]s", "DELETE %[1]s%[2]s", "OPTIONS %[1]s%[2]s", "BREW %[1]s%[2]s", "get %[1]s%[2]s",
	"GET %[1]s%[2]s/", "GET %[1]s%[2]s/x", "GET %[1]s%[2]s/x/y", "POST %[1]s%[2]s/enable", "GET %[1]s/%[2]s", "POST /%[1]s/%[2]s", "GET %[1]s/.%[2]s", "GET %[1]s/x/..%[2]s",
	"GET %[1]s%[2]s/.", "GET %[1]s%[2]s/..", "GET %[1]s%[2]s%%2f", "GET %[1]s%[2]s%%2fx", "GET %[1]s/%%2e%[2]s", "GET http://podinfo%[1]s%[2]s", "GET http://other/%[1]s%[2]s",
	"GET %[1]s%[2]s?x=/version", "GET %[1]s%[2]s;x", "HEAD %[1]s/api%[2]s/", "POST %[1]s/api%[2]s/x", "GET %[1]s/api%[2]s", "GET %[1]s/", "GET %[1]s/swagger/doc.json",
}

func TestGuardOfStockRoutes(t *testing.T) {
	g := newGuards(t)
	for _, prefix := range []string{"", "/foo/bar"} {
		for at, rt := range g.routes {
			for _, format := range spellings {
				g.try(t, at, prefix, fmt.Sprintf(format, prefix, strings.NewReplacer("{rest...}", "x", "{", "", "}", "").Replace(rt.Path)))
			}
		}
	}
	app := guardedApp(t, "/delay", "") // the oracle can fail
	if rt, ok := reach(app, "GET /version"); !ok || rt.Path != "/version" {
		t.Errorf("an open route is not reached: %v %v", rt.Path, ok)
	}
}

// FuzzGuard looks for a request line that reaches a guarded handler without a token.
func FuzzGuard(f *testing.F) {
	g := newGuards(f)
	for i, format := range spellings {
		f.Add(i, i%2 == 0, fmt.Sprintf(format, "/foo/bar", "/echo"))
		f.Add(i, i%2 == 1, fmt.Sprintf(format, "", "/chunked"))
	}
	f.Fuzz(func(t *testing.T, at int, below bool, line string) {
		if strings.ContainsAny(line, "\r\n") {
			return
		}
		prefix := ""
		if below {
			prefix = "/foo/bar"
		}
		g.try(t, int(uint(at)%uint(len(g.routes))), prefix, line)
	})
}

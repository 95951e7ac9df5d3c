package registry_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/seed-4591fe7d/podinfo/registry"
)

// TestRoutePrecedence has wildcards with other names in one place. A router that only
// looks at whether patterns fit one tree serves them in the wrong order.
func TestRoutePrecedence(t *testing.T) {
	for _, c := range []struct{ patterns, path, want string }{
		{"/u/{id} /u/{name}/x /u/{id}/{k}", "/u/1/x", "/u/{name}/x"},
		{"/u/{id} /u/{name}/x /u/{id}/{k}", "/u/1/y", "/u/{id}/{k}"},
		{"/u/me /u/{id} /u/{rest...}", "/u/me", "/u/me"},
		{"/u/me /u/{id} /u/{rest...}", "/u/a/b", "/u/{rest...}"},
		{"/{x} /{y}/a /{x}/a", "/", "conflict"},
		{"/a/{x} /{y}/b", "/", "conflict"},
	} {
		if got := serves(strings.Fields(c.patterns))(c.path); got != c.want {
			t.Errorf("%s: %s is served by %q, want %q", c.patterns, c.path, got, c.want)
		}
	}
}

// A route with a wildcard for one method does not hide a more specific route for every
// method, and one for HEAD not a more specific one for GET.
func TestMethodsAndPrecedence(t *testing.T) {
	say := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { w.Header().Set("X-Route", text) }
	}
	app, err := registry.New(mods(&plain{info: registry.Info{Name: "e"}, routes: []registry.Route{
		{Method: "GET", Path: "/{rest...}", Handler: say("GET rest")},
		{Path: "/metrics", Handler: say("any metrics")},
		{Method: "GET", Path: "/me", Handler: say("GET me")},
		{Method: "HEAD", Path: "/{id}", Handler: say("HEAD id")},
		{Path: "/both/{x}", Handler: say("any both")},
		{Method: "POST", Path: "/both/{y}", Handler: say("POST both")},
	}}))
	if err != nil {
		t.Fatal(err)
	}
	for request, want := range map[string]string{
		"GET /metrics": "any metrics", "POST /metrics": "any metrics", "GET /x": "GET rest", "HEAD /me": "GET me", "HEAD /x": "HEAD id",
		"GET /both/1": "any both", "POST /both/1": "POST both",
	} {
		method, path, _ := strings.Cut(request, " ")
		rec := httptest.NewRecorder()
		app.ServeHTTP(rec, httptest.NewRequest(method, path, nil))
		if got := rec.Header().Get("X-Route"); got != want {
			t.Errorf("%s is served by %q, want %q", request, got, want)
		}
	}
}

// A request that every When refuses passes the chain of unmatched requests.
func TestRefusedByWhen(t *testing.T) {
	rt := registry.Route{Method: "GET", Path: "/", Handler: func(http.ResponseWriter, *http.Request) {}, When: func(*http.Request) bool { return false }}
	app, err := registry.New(mods(newMark("see", registry.Observe, false), newMark("guard", registry.Guard, false), endpoint("e", rt)))
	if err != nil {
		t.Fatal(err)
	}
	rec := httptest.NewRecorder()
	app.ServeHTTP(rec, httptest.NewRequest("GET", "/", nil))
	if got := rec.Header().Values("X-Chain"); rec.Code != http.StatusNotFound || !slices.Equal(got, []string{"see"}) {
		t.Errorf("%d through %v, want 404 through see", rec.Code, got)
	}
}

// TestRoutesLikeNetHTTP compares random sets of routes with net/http.ServeMux.
func TestRoutesLikeNetHTTP(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		patterns := map[string]bool{}
		for range 1 + random.IntN(5) {
			patterns[randomPattern(random)] = true
		}
		var list []string
		for p := range patterns {
			list = append(list, p)
		}
		slices.Sort(list)
		random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		app, mux := serves(list), servesMux(list)
		for range 10 {
			path := ""
			for range 1 + random.IntN(4) {
				path += "/" + string("abc"[random.IntN(3)])
			}
			// net/http redirects /a to /a/ for a subtree; podinfo does not.
			if got, want := app(path), mux(path); got != want && want != "redirect" {
				t.Fatalf("%v: %s is served by %q, net/http serves it by %q", list, path, got, want)
			}
		}
	}
}

func randomPattern(random *rand.Rand) string {
	var p strings.Builder
	n := 1 + random.IntN(3)
	for i := range n {
		p.WriteString("/")
		switch k := random.IntN(8); {
		case k < 5:
			p.WriteByte("abc"[random.IntN(3)])
		case k == 5 && i == n-1:
			p.WriteString("{rest...}")
		default:
			fmt.Fprintf(&p, "{%c%d}", "xyz"[random.IntN(3)], i)
		}
	}
	return p.String()
}

// serves returns what tells the pattern that an App serves a path by, "conflict" if
// New refuses the patterns.
func serves(patterns []string) func(path string) string {
	e := &plain{info: registry.Info{Name: "e"}}
	for _, p := range patterns {
		e.routes = append(e.routes, registry.Route{Method: "GET", Path: p, Handler: func(w http.ResponseWriter, r *http.Request) { w.Write([]byte(p)) }})
	}
	app, err := registry.New(mods(e))
	if err != nil {
		return func(string) string { return "conflict" }
	}
	return func(path string) string { return get200(app, path) }
}

// servesMux is serves for net/http.
func servesMux(patterns []string) (serves func(path string) string) {
	defer func() {
		if recover() != nil {
			serves = func(string) string { return "conflict" }
		}
	}()
	mux := http.NewServeMux()
	for _, p := range patterns {
		mux.HandleFunc("GET "+p, func(w http.ResponseWriter, r *http.Request) { w.Write([]byte(p)) })
	}
	return func(path string) string { return get200(mux, path) }
}

// get200 returns the body of a response with status 200.
func get200(h http.Handler, path string) string {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest("GET", path, nil))
	switch {
	case rec.Code/100 == 3:
		return "redirect"
	case rec.Code != http.StatusOK:
		return ""
	}
	return rec.Body.String()
}

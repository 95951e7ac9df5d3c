package registry_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// plain is a module made of parts, so that a test says only what it is about.
type plain struct {
	info   registry.Info
	routes []registry.Route
}

func (p *plain) Info() registry.Info      { return p.info }
func (p *plain) Routes() []registry.Route { return p.routes }

// mark is middleware that leaves its name in the reply.
type mark struct{ plain }

func (m *mark) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	w.Header().Add("X-Chain", m.info.Name)
	next(w, r)
}

// internalOnly shuns application routes.
type external struct{ mark }

func (*external) Covers(rt registry.Route) bool { return !rt.Internal }

func newMark(name string, phase registry.Phase, optIn bool) *mark {
	return &mark{plain{info: registry.Info{Name: name, Phase: phase, OptIn: optIn}}}
}

func say(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte(text + "|" + r.Pattern + "|" + r.PathValue("x")))
	}
}

func endpoint(name string, routes ...registry.Route) *plain {
	return &plain{registry.Info{Name: name}, routes}
}

func get(method, path string) registry.Route {
	return registry.Route{Method: method, Path: path, Handler: say(method + path)}
}

// problem returns the body of an error.
func problem(code int, message string) string {
	return fmt.Sprintf("{\n  \"code\": %d,\n  \"message\": %q\n}", code, message)
}

func orRoot(prefix string) string {
	if prefix == "" {
		return "/"
	}
	return prefix
}

func mods(ms ...registry.Module) []registry.Module { return ms }

func TestRouting(t *testing.T) {
	browser := registry.Route{Method: "GET", Path: "/", Handler: say("page"), When: func(r *http.Request) bool { return strings.HasPrefix(r.UserAgent(), "Mozilla") }}
	for _, prefix := range []string{"", "/foo/bar"} {
		e := endpoint("e", browser, get("GET", "/"), get("GET", "/a"), get("POST", "/a"), get("", "/any"), get("", "/any/{x...}"), get("GET", "/p/{x}"), get("GET", "/p"),
			get("GET", "/p/me"), get("GET", "/p/{x}/b"), get("", "/any/me/{x...}"))
		s := registrytest.Serve(t, map[string]string{"PODINFO_PREFIX": prefix}, e)
		for _, c := range []struct {
			method, path string
			code         int
			body, header string
		}{
			{"GET", "/", 200, "GET/|" + orRoot(prefix) + "|", ""},
			{"GET", "/a", 200, "GET/a|" + prefix + "/a|", ""},
			{"HEAD", "/a", 200, "", ""},
			{"POST", "/a", 200, "POST/a|" + prefix + "/a|", ""},
			{"PUT", "/a", 405, problem(405, "method not allowed; use one of GET, HEAD, OPTIONS, POST"), "Allow=GET, HEAD, OPTIONS, POST"},
			{"OPTIONS", "/a", 204, "", "Allow=GET, HEAD, OPTIONS, POST"},
			{"BREW", "/any", 200, "/any|" + prefix + "/any|", ""},
			{"OPTIONS", "/any/b/c", 200, "/any/{x...}|" + prefix + "/any/{x...}|b/c", ""},
			{"GET", "/p/7", 200, "GET/p/{x}|" + prefix + "/p/{x}|7", ""},
			{"GET", "/p/%C3%BC", 200, "GET/p/{x}|" + prefix + "/p/{x}|ü", ""},
			{"GET", "/p/me", 200, "GET/p/me|" + prefix + "/p/me|", ""},
			{"GET", "/p/you/b", 200, "GET/p/{x}/b|" + prefix + "/p/{x}/b|you", ""},
			{"GET", "/any/me/b/c", 200, "/any/me/{x...}|" + prefix + "/any/me/{x...}|b/c", ""},
			{"GET", "/any/", 200, "/any/{x...}|" + prefix + "/any/{x...}|", ""},
			{"POST", "/p/me", 405, problem(405, "method not allowed; use one of GET, HEAD, OPTIONS"), "Allow=GET, HEAD, OPTIONS"},
			{"GET", "/p/", 404, problem(404, "page not found"), "X-Content-Type-Options=nosniff"},
			{"GET", "/A", 404, problem(404, "page not found"), ""},
			{"GET", "/a/", 404, problem(404, "page not found"), ""},
			{"GET", "/x//a/..?q=1", 301, "", "Location=" + prefix + "/x?q=1"},
			{"GET", "/x/..%2fa", 301, "", "Location=" + prefix + "/a"},
			{"POST", "//a", 308, "", "Location=" + prefix + "/a"},
		} {
			res, body := s.Call(t, c.method, prefix+c.path, "")
			name, want, _ := strings.Cut(c.header, "=")
			if res.StatusCode != c.code || body != c.body || res.Header.Get(name) != want {
				t.Errorf("%s %s%s: %d %q %s=%q; want %+v", c.method, prefix, c.path, res.StatusCode, body, name, res.Header.Get(name), c)
			}
		}
		if _, body := s.Call(t, "GET", orRoot(prefix), "", "User-Agent", "Mozilla/5.0"); !strings.HasPrefix(body, "page|") {
			t.Errorf("browser got %q", body)
		}
		if prefix != "" {
			if res, _ := s.Call(t, "GET", "/a", ""); res.StatusCode != 404 {
				t.Errorf("without the prefix: %d", res.StatusCode)
			}
			if _, body := s.Call(t, "GET", prefix+"/", ""); !strings.HasPrefix(body, "GET/") {
				t.Errorf("with a slash: %q", body)
			}
		}
	}
}

func TestChain(t *testing.T) {
	fault := &external{mark{plain{info: registry.Info{Name: "fault", Phase: registry.Fault}}}}
	internal := get("GET", "/internal")
	internal.Internal = true
	s := registrytest.Serve(t, nil, fault, newMark("guard", registry.Guard, false), newMark("see-2", registry.Observe, false),
		newMark("edge", registry.Edge, false), newMark("see-1", registry.Observe, false), newMark("off", registry.Edge, true),
		endpoint("e", get("GET", "/a"), internal))
	for path, want := range map[string][]string{
		"/a":        {"edge", "see-2", "see-1", "guard", "fault"},
		"/internal": {"edge", "see-2", "see-1", "guard"},
		"/nowhere":  {"edge", "see-2", "see-1"},
	} {
		res, _ := s.Call(t, "GET", path, "")
		if diff := cmp.Diff(want, res.Header.Values("X-Chain")); diff != "" {
			t.Errorf("%s: %s", path, diff)
		}
	}
	if got := s.App.Mounted()[0]; !slices.Equal(got.Chain, []string{"edge", "see-2", "see-1", "guard", "fault"}) || got.Module != "e" || got.Label != "a" {
		t.Errorf("%+v", got)
	}
}

func TestStates(t *testing.T) {
	for _, c := range []struct{ env, want string }{
		{"", "a"},
		{"PODINFO_MODULES=-a,+b", "b"},
		{"PODINFO_MODULES=none,b", "b"},
		{"PODINFO_MODULES=all", "a b"},
		{"PODINFO_MODULES=default, b", "a b"},
		{"PODINFO_B_ON=true", "a b"},
		{"PODINFO_B_ON=true PODINFO_MODULES=-b", "a"},
		{"PODINFO_B_ON=false PODINFO_B_ENABLED=1", "a b"},
		{"PODINFO_A_ENABLED=false PODINFO_MODULES=a", ""},
		{"PODINFO_A_ENABLED=standby", ""},
	} {
		a, b := newMark("a", registry.Edge, false), newMark("b", registry.Edge, true)
		b.info.EnableVar = "B_ON"
		s := registrytest.Serve(t, registrytest.Vars(c.env), a, b)
		res, _ := s.Call(t, "GET", "/", "")
		if got := strings.Join(res.Header.Values("X-Chain"), " "); got != c.want {
			t.Errorf("%s: %q, want %q", c.env, got, c.want)
		}
	}
}
func TestSwitch(t *testing.T) {
	s := registrytest.Serve(t, map[string]string{"PODINFO_B_ENABLED": "standby"}, newMark("a", registry.Edge, true), newMark("b", registry.Edge, false), endpoint("e", get("GET", "/x")))
	chain := func() string {
		res, _ := s.Call(t, "GET", "/x", "")
		return strings.Join(res.Header.Values("X-Chain"), " ")
	}
	if got := chain(); got != "" {
		t.Errorf("standby: %q", got)
	}
	if err := s.App.Switch("b", true); err != nil || chain() != "b" {
		t.Errorf("switched on: %v %q", err, chain())
	}
	for _, name := range []string{"a", "nope"} {
		if err := s.App.Switch(name, true); err == nil {
			t.Errorf("switched %s", name)
		}
	}
	if err := s.App.Switch("e", false); err != nil {
		t.Error(err)
	}
	if res, _ := s.Call(t, "GET", "/x", ""); res.StatusCode != 404 {
		t.Errorf("endpoint off: %d", res.StatusCode)
	}
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() { s.App.Switch("b", i%2 == 0) })
		all.Go(func() { s.App.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/x", nil)) })
	}
	all.Wait()
}

// bad modules, each with one fault that New has to name.
type (
	misspelt  struct{ plain }
	badName   struct{ plain }
	pointless struct{}
	loop      struct{ plain }
	needs     struct{ plain }
	knows     interface{ Knows() }
	knower    struct{ plain }
)

func (*misspelt) Stop() error                  { return nil }
func (pointless) Info() registry.Info          { return registry.Info{Name: "p"} }
func (*pointless) Ready(context.Context) error { return nil }
func (*loop) Knows()                           {}
func (*knower) Knows()                         {}
func (l *loop) Provision(h *registry.Host) error {
	_, err := registry.Use(h, registry.Capability[knows]{})
	return err
}
func (*needs) Provision(h *registry.Host) error {
	_, err := registry.Use(h, registry.Capability[knows]{})
	return err
}

func TestNewRefuses(t *testing.T) {
	named := func(name string) plain { return plain{info: registry.Info{Name: name}} }
	phaseless := newMark("phaseless", 0, false)
	for _, c := range []struct {
		mods []registry.Module
		env  string
		want []string
	}{
		{mods(&misspelt{named("m")}), "", []string{"module m", "Stop", "registry.Stopper"}},
		{mods(pointless{}), "", []string{"module p", "pointless is not registry.Checker, but a pointer to it is"}},
		{mods(&badName{named("Bad_Name")}), "", []string{"Bad_Name"}},
		{mods(phaseless), "", []string{"phaseless", "Phase"}},
		{mods(&loop{named("l")}), "", []string{"l depends on itself"}},
		{mods(&needs{named("n")}), "", []string{"no module provides it"}},
		{mods(&needs{named("n")}, &knower{named("k")}, &knower{named("k2")}), "", []string{"both k and k2"}},
		{mods(&needs{named("n")}, &knower{named("k")}), "PODINFO_K_ENABLED=false", []string{"PODINFO_K_ENABLED=true"}},
		{mods(endpoint("a", get("GET", "/x")), endpoint("b", get("GET", "/x"))), "", []string{"a and b both serve GET /x"}},
		{mods(endpoint("a", get("GET", "/x/{y}")), endpoint("b", get("GET", "/x/{z}"))), "", []string{"modules a and b", `"/x/{y}" and "/x/{z}" conflict`}},
		{mods(endpoint("a", get("GET", "/{x}/a")), endpoint("b", get("GET", "/b/{y}"))), "", []string{"modules b and a", "conflict", "neither is more specific"}},
		{mods(endpoint("a", registry.Route{Method: "GET", Path: "/x"})), "", []string{"no handler"}},
		{mods(endpoint("a", get("GET", "/x/{y...}/z"))), "", []string{"must be last"}},
		{mods(endpoint("a", get("GET", "/x:y"))), "", []string{"segment"}},
		{mods(endpoint("abc", get("GET", "/x"))), "PODINFO_MODULES=-abd", []string{"PODINFO_MODULES", "-abd", `did you mean "abc"?`}},
		{mods(endpoint("a", get("GET", "/x"))), "PODINFO_A_ENABLED=maybe", []string{"PODINFO_A_ENABLED", "maybe", "true, false or standby"}},
		{nil, "PODINFO_PREFIX=/{x}", []string{"PODINFO_PREFIX", "/{x}"}},
		{nil, "PODINFO_LEVEL=loud", []string{"PODINFO_LEVEL", "loud", "debug, info"}},
		{nil, "PODINFO_SHUTDOWN_GRACE=-1s", []string{"PODINFO_SHUTDOWN_GRACE", "-1s"}},
		{nil, "PODINFO_SEED=x", []string{"PODINFO_SEED", "whole number"}},
	} {
		_, err := registry.New(c.mods, registry.Env(registrytest.Vars(c.env)))
		for _, w := range c.want {
			if err == nil || !strings.Contains(err.Error(), w) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v %s: %v, want one line with %q", c.mods, c.env, err, w)
			}
		}
	}
}

func TestNewRefusesNil(t *testing.T) {
	for want, opts := range map[string][]registry.Option{
		"option 1 is nil":             {nil},
		"module 1 of With is nil":     {registry.With(nil)},
		"module 2 of With is nil":     {registry.With(newMark("m", registry.Edge, false), (*mark)(nil))},
		"module 1 of the list is nil": {},
	} {
		var list []registry.Module
		if len(opts) == 0 {
			list = mods(nil)
		}
		if _, err := registry.New(list, opts...); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// order records what is called, and when.
type order struct {
	plain
	calls *[]string
	start error
}

func (o *order) call(s string)               { *o.calls = append(*o.calls, s+" "+o.info.Name) }
func (o *order) Start(context.Context) error { o.call("start"); return o.start }
func (o *order) Stop(context.Context) error  { o.call("stop"); return nil }

func TestLifecycleOrder(t *testing.T) {
	var calls []string
	part := func(name string, err error) *order {
		return &order{plain{info: registry.Info{Name: name}}, &calls, err}
	}
	app, err := registry.New(mods(part("a", nil), part("b", nil)))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(app.Start(t.Context()), app.Stop(t.Context())); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"start a", "start b", "stop b", "stop a"}, calls); diff != "" {
		t.Error(diff)
	}
	calls = nil
	broken := errors.New("broken")
	app, err = registry.New(mods(part("a", nil), part("b", broken), part("c", nil)))
	if err != nil {
		t.Fatal(err)
	}
	if err := app.Start(t.Context()); !errors.Is(err, broken) || !strings.Contains(err.Error(), "module b") {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"start a", "start b", "stop a"}, calls); diff != "" {
		t.Error(diff)
	}
}

// What was started or stopped is not started again.
func TestStartsOnce(t *testing.T) {
	for what, end := range map[string]func(*registry.App) error{
		"started": func(a *registry.App) error { return a.Start(t.Context()) },
		"started and stopped": func(a *registry.App) error {
			return errors.Join(a.Start(t.Context()), a.Stop(t.Context()))
		},
		"stopped": func(a *registry.App) error { return a.Stop(t.Context()) },
	} {
		var calls []string
		app, err := registry.New(mods(&order{plain{info: registry.Info{Name: "a"}}, &calls, nil}))
		if err != nil {
			t.Fatal(err)
		}
		if err := end(app); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		before := len(calls)
		if err := app.Start(t.Context()); !errors.Is(err, registry.ErrStarted) || len(calls) != before {
			t.Errorf("%s: %v, %v", what, err, calls)
		}
	}
}

// worker keeps a goroutine until it is told to end.
type worker struct {
	plain
	host *registry.Host
	done bool
}

func (w *worker) Provision(h *registry.Host) error { w.host = h; return nil }
func (w *worker) Start(context.Context) error {
	w.host.Go(func(ctx context.Context) { <-ctx.Done(); w.done = true })
	return nil
}
func (w *worker) Ready(context.Context) error { return errors.New("warming up") }

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &worker{plain: plain{info: registry.Info{Name: "w"}}}
		app, err := registry.New(mods(w))
		if err != nil {
			t.Fatal(err)
		}
		if err := app.Ready(t.Context()); !errors.Is(err, registry.ErrNotStarted) {
			t.Error(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- app.Run(ctx) }()
		synctest.Wait()
		if err := app.Ready(t.Context()); err == nil || err.Error() != "w: warming up" {
			t.Error(err)
		}
		began := time.Now()
		cancel()
		synctest.Wait()
		if err := app.Ready(t.Context()); !errors.Is(err, registry.ErrDraining) || !w.host.Draining() {
			t.Error("not draining:", err)
		}
		if err := <-done; err != nil || !w.done {
			t.Error(err, w.done)
		}
		if d := time.Since(began); d != 3*time.Second {
			t.Errorf("grace took %v", d)
		}
	})
}

func TestFailEndsRun(t *testing.T) {
	w := &worker{plain: plain{info: registry.Info{Name: "w"}}}
	app, err := registry.New(mods(w))
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	w.host.Fail(broken)
	if err := app.Run(t.Context()); !errors.Is(err, broken) {
		t.Error(err)
	}
}

func TestAppsShareNothing(t *testing.T) {
	a := registrytest.Serve(t, map[string]string{"PODINFO_MODULES": "-m"}, newMark("m", registry.Edge, false))
	b := registrytest.Serve(t, nil, newMark("m", registry.Edge, false))
	for s, want := range map[*registrytest.Server]int{a: 0, b: 1} {
		res, _ := s.Call(t, "GET", "/", "")
		if got := len(res.Header.Values("X-Chain")); got != want {
			t.Errorf("%d marks, want %d", got, want)
		}
	}
}

func TestWithTakesThePlaceAndTurnsOn(t *testing.T) {
	stock, own := newMark("b", registry.Edge, true), newMark("b", registry.Edge, true)
	app, err := registry.New(mods(newMark("a", registry.Edge, false), stock, newMark("c", registry.Edge, false)), registry.With(own))
	if err != nil {
		t.Fatal(err)
	}
	rec := httptest.NewRecorder()
	app.ServeHTTP(rec, httptest.NewRequest("GET", "/", nil))
	if diff := cmp.Diff([]string{"a", "b", "c"}, rec.Header().Values("X-Chain")); diff != "" || app.Get("b") != own {
		t.Error(diff)
	}
}

func TestRandomIsReproducible(t *testing.T) {
	draw := func(seed, name string) (out []float64) {
		w := &worker{plain: plain{info: registry.Info{Name: name}}}
		if _, err := registry.New(mods(w), registry.Env(map[string]string{"PODINFO_SEED": seed})); err != nil {
			t.Fatal(err)
		}
		for range 8 {
			out = append(out, w.host.Random().Next().Float64())
		}
		return out
	}
	if diff := cmp.Diff(draw("7", "w"), draw("7", "w")); diff != "" {
		t.Error(diff)
	}
	for _, other := range [][]float64{draw("8", "w"), draw("7", "v"), draw("", "w")} {
		if slices.Equal(draw("7", "w"), other) {
			t.Error("the same draws from another seed or name")
		}
	}
}

// TestClient checks that the setting for trusted proxies reaches modules.
func TestClient(t *testing.T) {
	var host *registry.Host
	m := &hosted{func(h *registry.Host) { host = h }}
	if _, err := registry.New([]registry.Module{m}, registry.Env(map[string]string{"PODINFO_TRUSTED_PROXIES": "192.0.2.1, 10.0.0.0/8"})); err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("GET", "/", nil) // from 192.0.2.1
	r.Header.Set("X-Forwarded-For", "203.0.113.9, 10.1.1.1")
	r.Header.Set("X-Forwarded-Proto", "https")
	if addr, scheme := host.Client(r); addr != "203.0.113.9" || scheme != "https" {
		t.Errorf("%s %s", addr, scheme)
	}
	_, err := registry.New(nil, registry.Env(map[string]string{"PODINFO_TRUSTED_PROXIES": "10.0.0.0/33"}))
	if want := `PODINFO_TRUSTED_PROXIES="10.0.0.0/33": want a comma-separated list of networks`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %q", err, want)
	}
}

type hosted struct{ provision func(*registry.Host) }

func (*hosted) Info() registry.Info                { return registry.Info{Name: "hosted"} }
func (m *hosted) Provision(h *registry.Host) error { m.provision(h); return nil }

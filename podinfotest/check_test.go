package podinfotest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/seed-4591fe7d/podinfo"
	"github.com/seed-4591fe7d/podinfo/middleware/tracing"
	. "github.com/seed-4591fe7d/podinfo/podinfotest"
	"github.com/seed-4591fe7d/podinfo/registry"
)

func TestStockModulesKeepTheContract(t *testing.T) {
	needs := map[string][]string{"jwt": {"PODINFO_JWT_PATHS=/cache/*", "PODINFO_JWT_SECRET=" + strings.Repeat("k", 32)}}
	for _, m := range podinfo.Modules() {
		name := m.Info().Name
		if name == "tracing" { // there is no collector
			m = &tracing.Module{Environ: map[string]string{"OTEL_TRACES_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"}}
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			Check(t, m, needs[name]...)
		})
	}
}

func TestCheckOfWhatIsOff(t *testing.T) {
	got := listen(t, func(tb testing.TB) { Check(tb, new(good), "PODINFO_GOOD_ENABLED=false") })
	if want := "module good: it is off by PODINFO_GOOD_ENABLED: there is nothing to check"; got != want {
		t.Error(got)
	}
}

// heard is a testing.TB that keeps what it is told.
type heard struct {
	testing.TB
	out      io.Writer
	cleanups []func()
	mu       sync.Mutex
	said     []string
}

func (h *heard) Helper()                      {}
func (h *heard) Log(...any)                   {}
func (h *heard) Logf(string, ...any)          {}
func (h *heard) Error(args ...any)            { h.say(fmt.Sprint(args...)) }
func (h *heard) Fatal(args ...any)            { h.say(fmt.Sprint(args...)); runtime.Goexit() }
func (h *heard) Errorf(f string, args ...any) { h.say(fmt.Sprintf(f, args...)) }
func (h *heard) Fatalf(f string, args ...any) { h.say(fmt.Sprintf(f, args...)); runtime.Goexit() }

func (h *heard) Cleanup(f func())  { h.cleanups = append(h.cleanups, f) }
func (h *heard) Output() io.Writer { return h.out }

// end is the end of the test.
func (h *heard) end() {
	for _, f := range slices.Backward(h.cleanups) {
		f()
	}
}

func (h *heard) say(s string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.said = append(h.said, s)
}

// listen is what f tells a testing.TB, in one text.
func listen(t testing.TB, f func(testing.TB)) string {
	h := &heard{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer h.end()
		f(h)
	}()
	<-done
	return strings.Join(h.said, "\n")
}

// good is a module that bad ones are made of.
type good struct{}

func (*good) Info() registry.Info { return registry.Info{Name: "good", Doc: "Do nothing."} }

type (
	value      struct{}
	misnamed   struct{}
	fickle     struct{ n int }
	configured struct {
		Name string `env:"-"`
	}
	explosive    struct{}
	undocumented struct {
		good
		Secret string `env:"SECRET"`
		Loose  string
	}
	early struct {
		good
		end context.Context
	}
	conflicting struct{ good }
	moving      struct {
		good
		n *atomic.Int64
	}
	misspelt struct{ good }
	leaking  struct {
		good
		end context.Context
	}
	deaf struct {
		good
		end context.Context
	}
	once struct {
		good
		started *atomic.Bool
	}
	global struct {
		good
		Word string `env:"WORD" envDefault:"a" doc:"what is said"`
		last *atomic.Pointer[string]
	}
	panics  struct{ filter }
	crashes struct{ good }
	drips   struct {
		filter
		end context.Context
	}
	shared struct {
		filter
		Word string `env:"WORD" envDefault:"a" doc:"what is said"`
		last *atomic.Pointer[string]
	}
	cuts   struct{ filter }
	random struct {
		filter
		host *registry.Host
	}
)

// filter is a middleware.
type filter struct{}

func (*filter) Info() registry.Info {
	return registry.Info{Name: "filter", Doc: "Do nothing.", Phase: registry.Edge}
}
func (*filter) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) { next(w, r) }

func (*panics) ServeHTTP(http.ResponseWriter, *http.Request, http.HandlerFunc) { panic("boom") }
func (*crashes) Routes() []registry.Route {
	return []registry.Route{{Method: "GET", Path: "/crashes", Handler: func(http.ResponseWriter, *http.Request) { panic("boom") }}}
}
func (d *drips) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	go func() { <-d.end.Done() }()
	next(w, r)
}
func (s *shared) Provision(*registry.Host) error {
	word := s.Word
	s.last.Store(&word)
	return nil
}
func (s *shared) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	w.Header().Set("X-Word", *s.last.Load())
	next(w, r)
}
func (*cuts) ServeHTTP(http.ResponseWriter, *http.Request, http.HandlerFunc) {
	panic(http.ErrAbortHandler)
}
func (m *random) Provision(h *registry.Host) error { m.host = h; return nil }
func (m *random) ServeHTTP(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
	w.WriteHeader(200 + m.host.Random().Next().IntN(2))
}

func (value) Info() registry.Info      { return registry.Info{Name: "value", Doc: "Do nothing."} }
func (*misnamed) Info() registry.Info  { return registry.Info{Name: "Mis_named", Doc: "nothing"} }
func (*explosive) Info() registry.Info { panic("boom") }
func (c *configured) Info() registry.Info {
	return registry.Info{Name: "con" + c.Name, Doc: "Do nothing."}
}
func (f *fickle) Info() registry.Info {
	f.n++
	return registry.Info{Name: fmt.Sprint("n", f.n), Doc: "Do nothing."}
}
func (e *early) Provision(*registry.Host) error {
	go func() { <-e.end.Done() }()
	return nil
}
func (*conflicting) Routes() []registry.Route {
	return []registry.Route{{Method: "GET", Path: "/version", Handler: nothing}, {Method: "GET", Path: "/own", Params: map[string]string{"id": "whose"}, Handler: nothing}}
}
func (m *moving) Routes() []registry.Route {
	if m.n == nil {
		return nil
	}
	return []registry.Route{{Method: "GET", Path: fmt.Sprint("/moving", m.n.Add(1)), Handler: nothing}}
}
func (*misspelt) Stop() error { return nil }
func (l *leaking) Start(context.Context) error {
	go func() { <-l.end.Done() }()
	return nil
}
func (d *deaf) Start(context.Context) error { <-d.end.Done(); return nil }
func (o *once) Start(context.Context) error {
	if o.started.Swap(true) {
		return errors.New("already started")
	}
	return nil
}
func (g *global) Provision(*registry.Host) error {
	word := g.Word
	g.last.Store(&word)
	return nil
}
func (g *global) Routes() []registry.Route {
	return []registry.Route{{Method: "GET", Path: "/global", Handler: func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, *g.last.Load()) }}}
}

func nothing(http.ResponseWriter, *http.Request) {}

func TestCheckFindsEachViolation(t *testing.T) {
	type made func(end context.Context) registry.Module
	is := func(m registry.Module) made { return func(context.Context) registry.Module { return m } }
	for _, c := range []struct {
		what   string
		module made
		want   []string // none for a good one
	}{
		{"good", is(new(good)), nil},
		{"value", is(value{}), []string{"podinfotest_test.value: want a pointer to a struct"}},
		{"name", is(new(misnamed)), []string{`name "Mis_named": want lower case words`, `Doc "nothing": want one sentence`}},
		{"fickle info", is(new(fickle)), []string{"Info is not the same each time"}},
		{"configured info", is(&configured{"figured"}), []string{"Info depends on the module's fields"}},
		{"panic", is(new(explosive)), []string{"podinfotest_test.explosive: Info panics: boom"}},
		{"settings", is(new(undocumented)), []string{"setting PODINFO_GOOD_SECRET: want a doc tag", "field Loose: want an env tag"}},
		{"route of another", is(new(conflicting)), []string{"both serve GET /version", `route /own: it documents a wildcard "id" that it does not have`}},
		{"fickle routes", is(&moving{n: new(atomic.Int64)}), []string{"Routes are not the same each time"}},
		{"signature", is(new(misspelt)), []string{"method Stop is func(*podinfotest_test.misspelt) error"}},
		{"early goroutine", func(end context.Context) registry.Module { return &early{end: end} }, []string{"a stop without a start leaves goroutines", "check_test.go:"}},
		{"late goroutine", func(end context.Context) registry.Module { return &leaking{end: end} }, []string{"a start and a stop leaves goroutines", "check_test.go:"}},
		{"hangs", func(end context.Context) registry.Module { return &deaf{end: end} }, []string{"a start and a stop has not returned after 10s"}},
		{"starts once", is(&once{started: new(atomic.Bool)}), []string{"another start and stop: module good: already started"}},
		{"global", is(&global{last: new(atomic.Pointer[string])}), []string{"GET /global is answered as another App with map[PODINFO_GOOD_WORD:a1] does: 200 a1, before that 200 a"}},
		{"good middleware", is(new(filter)), nil},
		{"panicking middleware", is(new(panics)), []string{"module filter: GET /version panics: boom", "POST /echo panics: boom", "GET /podinfotest/none panics: boom"}},
		{"panicking handler", is(new(crashes)), []string{"module good: GET /crashes panics: boom"}},
		{"middleware that cuts", is(new(cuts)), nil},
		{"random middleware", is(new(random)), nil},
		{"goroutine of a request", func(end context.Context) registry.Module { return &drips{end: end} }, []string{"a start and a stop leaves goroutines", "check_test.go:"}},
		{"global of middleware", is(&shared{last: new(atomic.Pointer[string])}), []string{
			"GET /version, header X-Word, is answered as another App with map[PODINFO_FILTER_WORD:a1] does: a1, before that a", "POST /echo, header X-Word,"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			end, cancel := context.WithCancel(t.Context())
			defer cancel()
			got := listen(t, func(tb testing.TB) { Check(tb, c.module(end)) })
			for _, want := range c.want {
				if !strings.Contains(got, want) {
					t.Errorf("%s: %q is not in\n%s", c.what, want, got)
				}
			}
			if c.want == nil && got != "" {
				t.Errorf("%s: %s", c.what, got)
			}
		})
	}
}

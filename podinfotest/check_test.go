package podinfotest_test

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-4591fe7d/podinfo"
	. "github.com/seed-4591fe7d/podinfo/podinfotest"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

func TestStockModulesKeepTheContract(t *testing.T) {
	needs := map[string][]string{
		"proxy":   {"PODINFO_PROXY_URL=http://127.0.0.1:1"}, // nothing listens there
		"jwt":     {"PODINFO_JWT_PATHS=/cache/*", "PODINFO_JWT_SECRET=" + strings.Repeat("k", 32)},
		"tracing": {"OTEL_TRACES_EXPORTER=none", "OTEL_LOGS_EXPORTER=none", "OTEL_METRICS_EXPORTER=none"}, // there is no collector
	}
	for _, m := range podinfo.Modules() {
		name := m.Info().Name
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			Check(t, m, needs[name]...)
		})
	}
}

func TestCheckOfWhatIsOff(t *testing.T) {
	got := listen(t, func(tb testing.TB) { Check(tb, new(good), "PODINFO_GOOD_ENABLED=false") })
	if want := "module good: it is off by PODINFO_GOOD_ENABLED, so there is nothing to check: turn it on"; got != want {
		t.Error(got)
	}
}

// heard is a testing.TB that keeps its failures and its log.
type heard struct {
	testing.TB
	out      io.Writer
	cleanups []func()
	mu       sync.Mutex
	said     []string
	logged   []string
}

func (h *heard) Helper()    {}
func (h *heard) Log(...any) {}
func (h *heard) Logf(f string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.logged = append(h.logged, fmt.Sprintf(f, args...))
}
func (h *heard) Error(args ...any)            { h.say(fmt.Sprint(args...)) }
func (h *heard) Fatal(args ...any)            { h.say(fmt.Sprint(args...)); runtime.Goexit() }
func (h *heard) Errorf(f string, args ...any) { h.say(fmt.Sprintf(f, args...)) }
func (h *heard) Fatalf(f string, args ...any) { h.say(fmt.Sprintf(f, args...)); runtime.Goexit() }

func (h *heard) Cleanup(f func())  { h.cleanups = append(h.cleanups, f) }
func (h *heard) Output() io.Writer { return h.out }

// end calls the cleanups, as at the end of a test.
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

// listen returns the failures that f reports, one a line.
func listen(t testing.TB, f func(testing.TB)) string { return strings.Join(hear(t, f).said, "\n") }

// hear runs f as a test.
func hear(t testing.TB, f func(testing.TB)) *heard {
	h := &heard{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer h.end()
		f(h)
	}()
	<-done
	return h
}

// good is a module without a mistake. The others embed it.
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
		Word string `env:"WORD" envDefault:"a" doc:"the word to say"`
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
		Word string `env:"WORD" envDefault:"a" doc:"the word to say"`
		last *atomic.Pointer[string]
	}
	cuts   struct{ filter }
	random struct {
		filter
		host *registry.Host
	}
	zeroed struct {
		good
		Rate   float64       `env:"RATE" envDefault:"0.33" doc:"share of requests"`
		Wait   time.Duration `env:"WAIT" envDefault:"2s" doc:"wait"`
		On     bool          `env:"ON" envDefault:"true" doc:"switch"`
		Limit  int           `env:"LIMIT" envDefault:"10" doc:"a limit above zero"`
		None   int           `env:"NONE" envDefault:"0" doc:"number"`
		Said   *int          `env:"SAID" envDefault:"3" doc:"number"`
		Text   string        `env:"TEXT" envDefault:"0.5" doc:"text"`
		Shared struct {
			Size int `env:"SIZE" envDefault:"4096" doc:"size in bytes"`
		} `envPrefix:"BODY_"`
	}
	wordy struct{ good }

	// Middleware that changes bodies.
	zips struct { // all of them
		filter
		add bool // to the Content-Encoding that the handler set
	}
	silent   struct{ filter } // about its compression
	strips   struct{ filter }
	twice    struct{ filter }
	opaque   struct{ filter }
	counting struct {
		filter
		n, peak *atomic.Int64
	}
	keyword struct{}
	token   struct {
		good
		APIKey string `env:"API_KEY" doc:"key of the service"`
		Word   string `env:"WORD" doc:"bearer token of the service"`
		Said   string `env:"PASSWORD_FILE_SUFFIX" secret:"false" doc:"suffix"`
		Told   string `env:"TOKEN" secret:"true" doc:"token"`
		Plain  string `env:"PLAIN" doc:"PEM public key of the token issuer"`
	}
	removes   struct{ good }
	mislabels struct{ filter }
	proper    struct{ filter }
)

func (z *zeroed) Validate() error {
	if z.Limit < 1 {
		return registry.Invalid("Limit", "a number above zero")
	}
	return nil
}

func (*wordy) Routes() []registry.Route {
	return []registry.Route{{Method: "GET", Path: "/wordy", Handler: func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
		io.WriteString(w, "nothing")
	}}}
}

// zipping is a response writer that compresses whatever is written.
type zipping struct {
	http.ResponseWriter
	to *gzip.Writer
}

func (z zipping) Write(b []byte) (int, error) { return z.to.Write(b) }

// labelling sets Content-Encoding when the header is written.
type labelling struct {
	http.ResponseWriter
	label func(http.Header)
	begun bool
}

func (l *labelling) WriteHeader(code int) {
	if !l.begun {
		l.begun = true
		l.label(l.Header())
	}
	l.ResponseWriter.WriteHeader(code)
}

func (l *labelling) Write(b []byte) (int, error) {
	if !l.begun {
		l.WriteHeader(http.StatusOK)
	}
	return l.ResponseWriter.Write(b)
}

func (m *zips) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	label := http.Header.Set
	if m.add {
		label = http.Header.Add
	}
	w = &labelling{ResponseWriter: w, label: func(h http.Header) { label(h, "Content-Encoding", "gzip") }}
	z := zipping{w, gzip.NewWriter(w)}
	defer z.to.Close()
	next(z, r)
}

func (*silent) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	rw := reply.NewWriter(w, r, func(_ int, _ http.Header, to io.Writer) io.WriteCloser { return gzip.NewWriter(to) })
	next(rw, r)
	rw.Close()
}

func (*twice) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	next(w, r)
	next(w, r)
}

// plain is a response writer that hides what the one below can do.
type plain struct{ w http.ResponseWriter }

func (p plain) Header() http.Header         { return p.w.Header() }
func (p plain) WriteHeader(code int)        { p.w.WriteHeader(code) }
func (p plain) Write(b []byte) (int, error) { return p.w.Write(b) }

func (*opaque) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	next(plain{w}, r)
}

// ServeHTTP waits for other requests, to see whether there are any.
func (m *counting) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	m.peak.Store(max(m.peak.Load(), m.n.Add(1)))
	defer m.n.Add(-1)
	time.Sleep(time.Millisecond)
	next(w, r)
}

func (*keyword) Info() registry.Info { return registry.Info{Name: "all", Doc: "Do nothing."} }

func (*removes) Routes() []registry.Route {
	return []registry.Route{{Method: "DELETE", Path: "/things/{id}", Returns: map[int]any{204: nil}, Handler: func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
		io.WriteString(w, "gone")
	}}}
}

func (*strips) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	next(&labelling{ResponseWriter: w, label: func(h http.Header) { h.Del("Content-Encoding") }}, r)
}

func (*mislabels) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	next(&labelling{ResponseWriter: w, label: func(h http.Header) { h.Set("Content-Encoding", "gzip") }}, r)
}

func (*proper) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	rw := reply.NewWriter(w, r, func(_ int, h http.Header, to io.Writer) io.WriteCloser {
		if r.Header.Get("Accept-Encoding") != "gzip" || h.Get("Content-Encoding") != "" {
			return nil
		}
		h.Set("Content-Encoding", "gzip")
		return gzip.NewWriter(to)
	})
	next(rw, r)
	rw.Close()
}

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
	return []registry.Route{{Method: "GET", Path: "/version", Handler: nothing}, {Method: "GET", Path: "/own", Params: map[string]string{"id": "whose"}, Examples: map[string]string{"no": "1"}, Accepts: "x", Handler: nothing}}
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
		want   []string // part of the failures; empty for no failure
	}{
		{"good", is(new(good)), nil},
		{"value", is(value{}), []string{"podinfotest_test.value: want a pointer to a struct"}},
		{"name", is(new(misnamed)), []string{`name "Mis_named": want lower case words`, `Doc "nothing": want one sentence`}},
		{"fickle info", is(new(fickle)), []string{"and then {Name:n2 ", "return the same each time"}},
		{"configured info", is(&configured{"figured"}), []string{"on a zero value: do not use the module's fields"}},
		{"panic", is(new(explosive)), []string{"podinfotest_test.explosive: Info panics: boom"}},
		{"settings", is(new(undocumented)), []string{"setting PODINFO_GOOD_SECRET: want a doc tag", "field Loose: want an env tag"}},
		{"route of another", is(new(conflicting)), []string{"both serve GET /version", `route /own: Params documents a wildcard "id" that the path does not have`,
			`route /own: Examples has a value of "no", and Params does not say what it means`, "route /own: Accepts is a sample of a body, and Body does not say what it is"}},
		{"fickle routes", is(&moving{n: new(atomic.Int64)}), []string{"Routes returns [", "return the same each time"}},
		{"signature", is(new(misspelt)), []string{"method Stop is func(*podinfotest_test.misspelt) error"}},
		{"early goroutine", func(end context.Context) registry.Module { return &early{end: end} }, []string{"a stop without a start leaves goroutines", "check_test.go:"}},
		{"late goroutine", func(end context.Context) registry.Module { return &leaking{end: end} }, []string{"a start and a stop leaves goroutines", "check_test.go:"}},
		{"hangs", func(end context.Context) registry.Module { return &deaf{end: end} }, []string{"a start and a stop has not returned after 10s"}},
		{"starts once", is(&once{started: new(atomic.Bool)}), []string{"another start and stop: module good: already started"}},
		{"global", is(&global{last: new(atomic.Pointer[string])}), []string{"another App with map[PODINFO_GOOD_WORD:a1] changes GET /global from 200 a to 200 a1: keep no state outside the module"}},
		{"good middleware", is(new(filter)), nil},
		{"panicking middleware", is(new(panics)), []string{"module filter: GET /version panics: boom", "POST /echo panics: boom", "GET /podinfotest/none panics: boom"}},
		{"panicking handler", is(new(crashes)), []string{"module good: GET /crashes panics: boom"}},
		{"middleware that cuts", is(new(cuts)), nil},
		{"random middleware", is(new(random)), nil},
		{"goroutine of a request", func(end context.Context) registry.Module { return &drips{end: end} }, []string{"a start and a stop leaves goroutines", "check_test.go:"}},
		{"global of middleware", is(&shared{last: new(atomic.Pointer[string])}), []string{
			"another App with map[PODINFO_FILTER_WORD:a1] changes GET /version, header X-Word from a to a1", "POST /echo, header X-Word"}},
		{"body of 204", is(new(wordy)), []string{"module good: GET /wordy: a response with status 204 and a body of 7 bytes: write no body"}},
		{"body of 204 elsewhere", is(new(removes)), []string{"module good: DELETE /things/podinfotest: a response with status 204 and a body of 4 bytes: write no body"}},
		{"calls next twice", is(new(twice)), []string{"module filter: GET /podinfotest/plain: it calls next 2 times: the handler has then written a part of the response already; call it once"}},
		{"hides the writer", is(new(opaque)), []string{
			"module filter: GET /podinfotest/flushed: the ResponseWriter that it passes to next cannot be flushed: add the method Unwrap() http.ResponseWriter",
			"module filter: GET /podinfotest/hijacked: the ResponseWriter that it passes to next cannot be taken over (Hijack)"}},
		{"keyword", is(new(keyword)), []string{`name "all" has a meaning in PODINFO_MODULES: choose another one`}},
		{"secrets", is(new(token)), []string{
			`module good: field APIKey: its name or its description says that it is a secret: add secret:"true", or secret:"false" if it is not`, "field Word: its name or its description"}},
		{"compresses everything", is(new(zips)), []string{
			`GET /podinfotest/encoded: a response that is encoded already is encoded again, with Content-Encoding "gzip"`,
			"GET /podinfotest/plain: Content-Length 6000 and a body of ", "remove Content-Length when you change the body",
			"GET /podinfotest/no-content: a response with status 204 and a body of ", "GET /podinfotest/not-modified: a response with status 304 and a body of "}},
		{"compresses again", is(&zips{add: true}), []string{`encoded again, with Content-Encoding "gzip, gzip"`}},
		{"removes an encoding", is(new(strips)), []string{"GET /podinfotest/encoded: the body is encoded with gzip, and Content-Encoding does not say so"}},
		{"encodes nothing", is(new(mislabels)), []string{`GET /version: the body does not match Content-Encoding "gzip": gzip: invalid header`}},
		{"says nothing", is(new(silent)), []string{"GET /podinfotest/plain: the body is encoded with gzip, and Content-Encoding does not say so"}},
		{"good compression", is(new(proper)), nil},
	} {
		t.Run(c.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				end, cancel := context.WithCancel(t.Context())
				defer cancel()
				got := listen(t, func(tb testing.TB) { Check(tb, c.module(end)) })
				for _, want := range c.want {
					if !strings.Contains(got, want) {
						t.Errorf("%q is not in\n%s", want, got)
					}
				}
				if c.want == nil && got != "" {
					t.Error(got)
				}
			})
		})
	}
}

// Check sends requests at the same time, so that the race detector sees what they
// share.
func TestCheckSendsRequestsTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &counting{n: new(atomic.Int64), peak: new(atomic.Int64)}
		if got := listen(t, func(tb testing.TB) { Check(tb, m) }); got != "" || m.peak.Load() < 2 {
			t.Errorf("%d at the same time; %s", m.peak.Load(), got)
		}
	})
}

// A failure names the line that called Check.
func TestCheckNamesTheLine(t *testing.T) {
	const failing = "PODINFOTEST_FAILING_CHECK"
	if os.Getenv(failing) != "" {
		Check(t, new(twice)) // this line
		return
	}
	_, file, line, _ := runtime.Caller(0)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), failing+"=1")
	out, err := cmd.CombinedOutput()
	want := fmt.Sprintf("%s:%d: module filter: GET /podinfotest/plain: it calls next 2 times", filepath.Base(file), line-3)
	if err == nil || !strings.Contains(string(out), want) {
		t.Errorf("%v: %s\nwant %s", err, out, want)
	}
	for l := range strings.Lines(string(out)) {
		if strings.Contains(l, ": module ") && !strings.Contains(l, filepath.Base(file)) {
			t.Errorf("another line: %s", l)
		}
	}
}

// Check logs the settings whose zero in a literal means something else, and
// fails for none of them.
func TestCheckLogsAmbiguousZeros(t *testing.T) {
	h := hear(t, func(tb testing.TB) { Check(tb, new(zeroed)) })
	field := func(name, value, set string) string {
		return "module good: field " + name + ": zero in a literal means the default " + value + "; set PODINFO_GOOD_" + set + " to say zero, or make the field a pointer"
	}
	want := []string{field("Rate", "0.33", "RATE=0"), field("Wait", "2s", "WAIT=0s"), field("On", "true", "ON=false"), field("Size", "4096", "BODY_SIZE=0")}
	if diff := cmp.Diff(want, h.logged); diff != "" || len(h.said) > 0 {
		t.Errorf("%s%v", diff, h.said)
	}
}

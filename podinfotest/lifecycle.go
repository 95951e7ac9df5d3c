package podinfotest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"runtime/pprof"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/seed-4591fe7d/podinfo"
	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver"
	"github.com/seed-4591fe7d/podinfo/middleware/recovery"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// build assembles a module with the stock ones. more are variables that take
// precedence over c.vars.
func (c *checker) build(m registry.Module, more map[string]string) (*registry.App, error) {
	own := []registry.Module{new(transparent), new(stressed), new(bodyRoutes), &grpcserver.Module{Listener: newMemory(9999)}}
	return podinfo.New(registry.Env(c.vars), registry.Environ(environ(c.vars)), registry.Flags(more), registry.With(append(own, m)...))
}

// assemble is build that reports an error. It returns nil then.
func (c *checker) assemble(m registry.Module) (app *registry.App) {
	c.safely("assembling", func() {
		var err error
		if app, err = c.build(m, nil); err != nil {
			c.errorf("it cannot be assembled with the stock modules: %v", err)
		}
	})
	return app
}

// lifecycle starts and stops the module in every order. It returns false if
// the module hangs or leaks.
func (c *checker) lifecycle() bool {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	enough, cancel := context.WithTimeout(context.Background(), 10*patience)
	defer cancel()
	for _, run := range []struct {
		what        string
		start, stop context.Context // nil: not called
	}{
		{"a stop without a start", nil, enough},
		{"a start and a stop", enough, enough},
		{"another start and stop", enough, enough},
		{"a start whose context has ended", ended, enough},
		{"a stop whose context has ended", enough, ended},
	} {
		if !c.watched(run.what, func() { c.once(run.what, run.start, run.stop) }) {
			return false // it would hang or leak each time
		}
	}
	return true
}

// once starts and stops the module.
func (c *checker) once(what string, start, stop context.Context) {
	m := c.copy()
	app := c.assemble(m)
	if app == nil {
		return
	}
	if start != nil {
		if err := app.Start(start); err != nil {
			if start.Err() == nil {
				c.errorf("%s: %v", what, err)
			}
			return
		}
		if ch, ok := m.(registry.Checker); ok {
			ch.Ready(stop)
		}
		if start.Err() == nil && stop.Err() == nil {
			c.responses(app)
			c.bodies(app)
			c.writers(app)
			c.together(app)
		}
	}
	if err := app.Stop(stop); err != nil && stop.Err() == nil {
		c.errorf("%s: %v", what, err)
	}
}

// watched calls f and reports the goroutines that are left. The goroutines that
// f starts inherit its label, which tells them from those of other tests.
func (c *checker) watched(what string, f func()) (clean bool) {
	label := fmt.Sprintf("%s %s %p", c.name, what, c)
	ok := c.safely(what, func() {
		pprof.Do(context.Background(), pprof.Labels("podinfotest", label), func(context.Context) { f() })
	})
	if !ok {
		return false
	}
	left := ""
	for wait := time.Millisecond; wait < time.Second; wait *= 2 {
		if left = labelled(label); left == "" {
			return true
		}
		time.Sleep(wait) // goroutines that are cancelled need a moment to end
	}
	c.errorf("%s leaves goroutines:\n%s", what, left)
	return false
}

// labelled returns the stacks of the goroutines with a label.
func labelled(label string) string {
	var all strings.Builder
	pprof.Lookup("goroutine").WriteTo(&all, 1)
	var out []string
	for _, stack := range strings.Split(all.String(), "\n\n") {
		if strings.Contains(stack, fmt.Sprintf("%q", label)) {
			out = append(out, stack)
		}
	}
	return strings.Join(out, "\n\n")
}

// isolation runs two instances of the module with different settings. The
// second must not change the first.
func (c *checker) isolation() {
	other := c.different()
	c.watched("two at once", func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		first := c.copy()
		a := c.assemble(first)
		if a == nil || a.Start(ctx) != nil {
			return
		}
		defer a.Stop(ctx)
		values, before := fields(first), c.steady(a)
		b, err := c.startAnother(ctx, other)
		if err != nil { // the other settings may name a file that does not exist
			b, err = c.startAnother(ctx, nil)
		}
		if err != nil {
			c.errorf("a second instance does not start while the first runs: %v", err)
			return
		}
		defer b.Stop(ctx)
		if now := fields(first); !reflect.DeepEqual(values, now) {
			c.errorf("another App changes its settings from %v to %v", values, now)
		}
		theirs := c.responses(b)
		suspects := map[string]string{}
		for what, now := range c.responses(a) {
			if was, ok := before[what]; ok && now != was && now == theirs[what] {
				suspects[what] = now
			}
		}
		for _, what := range c.changedBack(ctx, a, before, suspects) {
			c.errorf("another App with %v changes %s from %s to %s: keep no state outside the module", other, what, before[what], suspects[what])
		}
	})
}

// repetitions is how often a request is repeated to find out whether its
// response is random.
const repetitions = 8

// steady returns what is the same in each response of app.
func (c *checker) steady(app *registry.App) map[string]string {
	first := c.responses(app)
	for range repetitions {
		if len(first) == 0 {
			break
		}
		again := c.responses(app)
		maps.DeleteFunc(first, func(what, response string) bool { return again[what] != response })
	}
	return first
}

// startAnother starts another instance of the module in its own App.
func (c *checker) startAnother(ctx context.Context, more map[string]string) (*registry.App, error) {
	app, err := c.build(c.copy(), more)
	if err == nil {
		err = app.Start(ctx)
	}
	return app, err
}

// changedBack returns the suspects that change back while a third App with a's
// settings runs. The others change for another reason, such as a count of
// goroutines.
func (c *checker) changedBack(ctx context.Context, a *registry.App, before, suspects map[string]string) (out []string) {
	if len(suspects) == 0 {
		return nil
	}
	twin, err := c.startAnother(ctx, nil)
	if err != nil {
		return nil
	}
	defer twin.Stop(ctx)
	for what, again := range c.responses(a) {
		if _, suspect := suspects[what]; suspect && again == before[what] {
			out = append(out, what)
		}
	}
	slices.Sort(out)
	return out
}

// fields returns the values of the module's settings.
func fields(m registry.Module) map[string]string {
	out := map[string]string{}
	v := reflect.ValueOf(m).Elem()
	for f := range v.Type().Fields() {
		if f.IsExported() && f.Tag.Get("env") != "-" {
			out[f.Name] = fmt.Sprint(v.FieldByIndex(f.Index))
		}
	}
	return out
}

// different returns other values for the module's settings, where it accepts
// any.
func (c *checker) different() map[string]string {
	out := map[string]string{}
	for _, s := range registry.Settings([]registry.Module{c.module}) {
		if s.Module != c.name || strings.HasSuffix(s.Key, "_ENABLED") {
			continue
		}
		value := c.vars[s.Key]
		if value == "" {
			value = s.Default
		}
		for _, other := range []string{value + "1", value + "x", "true", "false", "1", "1m"} {
			out[s.Key] = other
			if other != value && c.accepts(out) {
				break
			}
			delete(out, s.Key)
		}
	}
	return out
}

// accepts reports whether the module accepts settings. Errors about modules
// that it needs do not count.
func (c *checker) accepts(settings map[string]string) bool {
	_, err := registry.New(nil, registry.Env(c.vars), registry.Environ(environ(c.vars)), registry.Flags(settings), registry.With(c.copy()))
	_, refused := errors.AsType[*registry.SettingError](err)
	return !refused
}

// glance is how long a request may take. A response that takes longer is a
// stream, whose parts differ each time.
const glance = 250 * time.Millisecond

// request is a request that Check sends.
type request struct{ method, path, body string }

func (q request) String() string { return q.method + " " + q.path }

// stock are the requests to middleware: two that read nothing, one that reads
// a body and one without a route.
var stock = []request{{http.MethodGet, "/version", ""}, {http.MethodGet, "/headers", ""}, {http.MethodPost, "/echo", "hello"}, {http.MethodGet, "/podinfotest/none", ""}}

// requests returns the requests for the module's own routes, and for
// middleware also the stock ones.
func (c *checker) requests(app *registry.App) (out []request) {
	for _, rt := range app.Mounted() {
		if rt.Module == c.name && rt.Method == http.MethodGet && !strings.Contains(rt.Pattern, "{") {
			out = append(out, request{rt.Method, rt.Pattern, ""})
		}
	}
	if c.wraps() {
		out = append(out, stock...)
	}
	return out
}

// wraps reports whether the module is middleware for HTTP.
func (c *checker) wraps() bool {
	_, middleware := c.module.(registry.Middleware)
	_, binder := c.module.(registry.Binder)
	return middleware || binder
}

// responses sends all requests to app. It returns each header by itself,
// because one that differs each time says nothing about the others.
func (c *checker) responses(app *registry.App) map[string]string {
	out := map[string]string{}
	for _, q := range c.requests(app) {
		rec := c.send(app, q, "")
		if rec == nil {
			continue
		}
		out[q.String()] = fmt.Sprint(rec.Code, " ", rec.Body)
		for name, values := range rec.Header() {
			out[q.String()+", header "+name] = strings.Join(values, ", ")
		}
	}
	return out
}

// send sends a request to app. It returns nil if the response was cut or did
// not end in time.
func (c *checker) send(app *registry.App, q request, accept string) (rec *httptest.ResponseRecorder) {
	if c.skip[q] {
		return nil
	}
	rec, answered := c.sendOnce(app, q, accept)
	c.skip[q] = !answered
	return rec
}

// sendOnce is send that does not remember the requests that take too long. answered
// is false for those.
func (c *checker) sendOnce(app *registry.App, q request, accept string) (rec *httptest.ResponseRecorder, answered bool) {
	inTime := false
	returned := c.safely(q.String(), func() {
		ctx, cancel := context.WithTimeout(context.Background(), glance)
		defer cancel()
		w, r := httptest.NewRecorder(), httptest.NewRequest(q.method, q.path, strings.NewReader(q.body))
		if accept != "" {
			r.Header.Set("Accept-Encoding", accept)
		}
		calls := new(atomic.Int64)
		cut := serve(app, w, r.WithContext(context.WithValue(ctx, callsKey{}, calls)))
		if calls.Load() > 1 {
			c.errorf("%s: it calls next %d times: the handler has then written a part of the response already; call it once", q, calls.Load())
		}
		if inTime = ctx.Err() == nil; inTime && !cut {
			rec = w
		}
	})
	if !returned || !inTime {
		return nil, false
	}
	return rec, true
}

// serve reports whether the handler cut the response by a panic that net/http
// expects. It passes any other panic on.
func serve(h http.Handler, w http.ResponseWriter, r *http.Request) (cut bool) {
	defer func() {
		if p := recover(); p == http.ErrAbortHandler {
			cut = true
		} else if p != nil {
			panic(p)
		}
	}()
	h.ServeHTTP(w, r)
	return false
}

// transparent is the recovery module without its effect, so that Check sees
// panics.
type transparent struct{ recovery.Module }

// ServeHTTP calls the next handler.
func (*transparent) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	next(w, r)
}

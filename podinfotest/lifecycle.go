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
	"time"

	"github.com/seed-4591fe7d/podinfo"
	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver"
	"github.com/seed-4591fe7d/podinfo/middleware/recovery"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// build puts a module beside the stock ones. more are variables that beat the
// others.
func (c *checker) build(m registry.Module, more map[string]string) (*registry.App, error) {
	beside := []registry.Module{new(transparent), new(stressed), &grpcserver.Module{Listener: newMemory(9999)}}
	return podinfo.New(registry.Env(c.vars), registry.Flags(more), registry.With(append(beside, m)...))
}

// assemble is build that complains.
func (c *checker) assemble(m registry.Module) (app *registry.App) {
	c.t.Helper()
	c.safely("assembling", func() {
		var err error
		if app, err = c.build(m, nil); err != nil {
			c.errorf("it cannot be assembled with the stock modules: %v", err)
		}
	})
	return app
}

// lifecycle starts and stops the module in every order.
func (c *checker) lifecycle() bool {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	enough, cancel := context.WithTimeout(context.Background(), 10*patience)
	defer cancel()
	for _, run := range []struct {
		what        string
		start, stop context.Context // nil for not at all
	}{
		{"a stop without a start", nil, enough},
		{"a start and a stop", enough, enough},
		{"another start and stop", enough, enough},
		{"a start whose time is over", ended, enough},
		{"a stop whose time is over", enough, ended},
	} {
		if !c.watched(run.what, func() { c.once(run.what, run.start, run.stop) }) {
			return false // what hangs or leaks once does so again
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
			c.answers(app)
		}
	}
	if err := app.Stop(stop); err != nil && stop.Err() == nil {
		c.errorf("%s: %v", what, err)
	}
}

// watched calls f and looks for goroutines that it leaves. Those that f starts
// inherit its label, so the goroutines of other tests do not matter.
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
		time.Sleep(wait) // what was told to end is given the time to
	}
	c.errorf("%s leaves goroutines:\n%s", what, left)
	return false
}

// labelled is the stacks of the goroutines with a label.
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

// isolation has two of the module side by side, with different settings. The
// first must not change when there is the second.
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
		b, err := c.beside(ctx, other)
		if err != nil { // with another value for the name of a file, say
			b, err = c.beside(ctx, nil)
		}
		if err != nil {
			c.errorf("a second one does not start beside the first: %v", err)
			return
		}
		defer b.Stop(ctx)
		if now := fields(first); !reflect.DeepEqual(values, now) {
			c.errorf("another App changed its settings: %v, then %v", values, now)
		}
		theirs := c.answers(b)
		suspects := map[string]string{}
		for what, now := range c.answers(a) {
			if was, ok := before[what]; ok && now != was && now == theirs[what] {
				suspects[what] = now
			}
		}
		for _, what := range c.turned(ctx, a, before, suspects) {
			c.errorf("%s is answered as another App with %v does: %s, before that %s", what, other, suspects[what], before[what])
		}
	})
}

// repetitions are how often what shall not change by itself is asked for. It
// finds out those that are random.
const repetitions = 8

// steady is what app answers each time.
func (c *checker) steady(app *registry.App) map[string]string {
	first := c.answers(app)
	for range repetitions {
		if len(first) == 0 {
			break
		}
		again := c.answers(app)
		maps.DeleteFunc(first, func(what, answer string) bool { return again[what] != answer })
	}
	return first
}

// beside starts another of the module.
func (c *checker) beside(ctx context.Context, more map[string]string) (*registry.App, error) {
	app, err := c.build(c.copy(), more)
	if err == nil {
		err = app.Start(ctx)
	}
	return app, err
}

// turned are those of the suspects whose answers come back when there is an App
// with a's own settings. What does not come back changes by itself, such as a
// count of goroutines.
func (c *checker) turned(ctx context.Context, a *registry.App, before, suspects map[string]string) (turned []string) {
	if len(suspects) == 0 {
		return nil
	}
	twin, err := c.beside(ctx, nil)
	if err != nil {
		return nil
	}
	defer twin.Stop(ctx)
	for what, again := range c.answers(a) {
		if _, suspect := suspects[what]; suspect && again == before[what] {
			turned = append(turned, what)
		}
	}
	slices.Sort(turned)
	return turned
}

// fields are the values of the module's settings.
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

// different are other values for the module's settings, where it accepts any.
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

// accepts reports whether the module takes settings. It is by itself, so its
// peers may be missing.
func (c *checker) accepts(settings map[string]string) bool {
	_, err := registry.New([]registry.Module{c.copy()}, registry.Env(c.vars), registry.Flags(settings))
	_, refused := errors.AsType[*registry.SettingError](err)
	return !refused
}

// glance is how long a route has to answer. One that goes on is a stream, of
// which no two are alike.
const glance = 250 * time.Millisecond

// question is a request that Check sends.
type question struct{ method, path, body string }

func (q question) String() string { return q.method + " " + q.path }

// stock are what middleware is asked: to let pass, to read a body, and what no
// route is for.
var stock = []question{{http.MethodGet, "/version", ""}, {http.MethodGet, "/headers", ""}, {http.MethodPost, "/echo", "hello"}, {http.MethodGet, "/podinfotest/none", ""}}

// questions are the module's plain routes, and those that it is middleware of.
func (c *checker) questions(app *registry.App) (out []question) {
	for _, rt := range app.Mounted() {
		if rt.Module == c.name && rt.Method == http.MethodGet && !strings.Contains(rt.Pattern, "{") {
			out = append(out, question{rt.Method, rt.Pattern, ""})
		}
	}
	_, middleware := c.module.(registry.Middleware)
	_, binder := c.module.(registry.Binder)
	if middleware || binder {
		out = append(out, stock...)
	}
	return out
}

// answers are what app answers, each header by itself: one that changes with
// each request says nothing of the others.
func (c *checker) answers(app *registry.App) map[string]string {
	out := map[string]string{}
	for _, q := range c.questions(app) {
		if c.skip[q] {
			continue
		}
		inTime := false
		returned := c.safely(q.String(), func() {
			ctx, cancel := context.WithTimeout(context.Background(), glance)
			defer cancel()
			rec := httptest.NewRecorder()
			cut := serve(app, rec, httptest.NewRequest(q.method, q.path, strings.NewReader(q.body)).WithContext(ctx))
			if inTime = ctx.Err() == nil; cut || !inTime {
				return
			}
			out[q.String()] = fmt.Sprint(rec.Code, " ", rec.Body)
			for name, values := range rec.Header() {
				out[q.String()+", header "+name+","] = strings.Join(values, ", ")
			}
		})
		c.skip[q] = !returned || !inTime
	}
	return out
}

// serve reports whether the reply was cut, which is a panic and no mistake.
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

// transparent is recovery that lets panics through.
type transparent struct{ recovery.Module }

// ServeHTTP does nothing.
func (*transparent) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	next(w, r)
}

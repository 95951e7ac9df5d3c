package podinfotest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"runtime/pprof"
	"strings"
	"time"

	"github.com/seed-4591fe7d/podinfo"
	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// build puts a module beside the stock ones. more are variables that beat the
// others.
func (c *checker) build(m registry.Module, more map[string]string) (*registry.App, error) {
	beside := []registry.Module{new(stressed), &grpcserver.Module{Listener: newMemory(9999)}}
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
		values, before := fields(first), c.answers(a)
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
		for path, now := range c.answers(a) {
			if was, ok := before[path]; ok && now != was && now == theirs[path] {
				suspects[path] = now
			}
		}
		for _, path := range c.turned(ctx, a, before, suspects) {
			c.errorf("GET %s is answered as another App with %v does: %s, before that %s", path, other, suspects[path], before[path])
		}
	})
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
func (c *checker) turned(ctx context.Context, a *registry.App, before, suspects map[string]string) (paths []string) {
	if len(suspects) == 0 {
		return nil
	}
	twin, err := c.beside(ctx, nil)
	if err != nil {
		return nil
	}
	defer twin.Stop(ctx)
	for path, again := range c.answers(a) {
		if _, suspect := suspects[path]; suspect && again == before[path] {
			paths = append(paths, path)
		}
	}
	return paths
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

// answers are what the module's plain routes answer.
func (c *checker) answers(app *registry.App) map[string]string {
	out := map[string]string{}
	for _, rt := range app.Mounted() {
		if rt.Module != c.name || rt.Method != http.MethodGet || strings.Contains(rt.Pattern, "{") {
			continue
		}
		c.safely("GET "+rt.Pattern, func() {
			ctx, cancel := context.WithTimeout(context.Background(), glance)
			defer cancel()
			rec := httptest.NewRecorder()
			app.ServeHTTP(rec, httptest.NewRequest(rt.Method, rt.Pattern, nil).WithContext(ctx))
			if ctx.Err() == nil {
				out[rt.Pattern] = fmt.Sprint(rec.Code, " ", rec.Body)
			}
		})
	}
	return out
}

package podinfotest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"runtime/pprof"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-4591fe7d/podinfo"
	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// Check tests that a module keeps to the contract of package registry, beside
// the stock modules:
//
//   - Info and Routes are pure: on a zero value, and the same each time;
//   - its name, its description and its settings are as they should be, and no
//     method has a capability's name and another signature;
//   - its routes are clean and those of no other module;
//   - it starts, stops and starts again, lets its App stop without having been
//     started, and returns when it is to start or stop and the time is over;
//   - two of it with different settings do not know of each other;
//   - when it has stopped, no goroutine of it is left.
//
// m is a pointer to a struct as the module's users would give it; Check works
// on shallow copies. env are variables that the module needs, each as
// NAME=value. Every violation is an error of the test.
func Check(t testing.TB, m registry.Module, env ...string) {
	t.Helper()
	if v := reflect.ValueOf(m); v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		t.Errorf("%T: want a pointer to a struct, whose exported fields are the settings", m)
		return
	}
	vars, err := entries(env)
	if err != nil {
		t.Error(err)
		return
	}
	c := &checker{t: t, module: m, vars: vars}
	if !c.info() {
		return
	}
	c.settings()
	c.routes()
	if app := c.assemble(c.copy()); app == nil {
		return
	}
	if c.lifecycle() {
		c.isolation()
	}
}

// patience is how long a module has for what is to be done at once.
const patience = 5 * time.Second

type checker struct {
	t      testing.TB
	module registry.Module
	name   string
	vars   map[string]string
}

func (c *checker) errorf(format string, args ...any) {
	c.t.Helper()
	c.t.Errorf("module %s: %s", c.name, fmt.Sprintf(format, args...))
}

// zero is a new value of the module's type.
func (c *checker) zero() registry.Module {
	return reflect.New(reflect.TypeOf(c.module).Elem()).Interface().(registry.Module)
}

// copy is a module as it was given.
func (c *checker) copy() registry.Module {
	v := reflect.New(reflect.TypeOf(c.module).Elem())
	v.Elem().Set(reflect.ValueOf(c.module).Elem())
	return v.Interface().(registry.Module)
}

// safely calls f and reports a panic, or that it does not return.
func (c *checker) safely(what string, f func()) (ok bool) {
	c.t.Helper()
	done := make(chan any, 1)
	go func() {
		defer func() { done <- recover() }()
		f()
	}()
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case p := <-done:
		if p != nil {
			c.errorf("%s panics: %v", what, p)
		}
		return p == nil
	case <-late.C:
		c.errorf("%s has not returned after %v", what, patience)
		return false
	}
}

var (
	properName = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)
	sentence   = regexp.MustCompile(`^[A-Z][^\n]*[^.\s]\.$`)
)

func (c *checker) info() bool {
	c.name = reflect.TypeOf(c.module).Elem().String()
	var given, again, zero registry.Info
	ok := c.safely("Info", func() { given, again = c.module.Info(), c.module.Info() }) &&
		c.safely("Info of a zero value", func() { zero = c.zero().Info() })
	if !ok {
		return false
	}
	c.name = given.Name
	if given != again {
		c.errorf("Info is not the same each time: %+v, then %+v", given, again)
	}
	if given != zero {
		c.errorf("Info depends on the module's fields: %+v, and %+v of a zero value", given, zero)
	}
	if !properName.MatchString(given.Name) {
		c.errorf("name %q: want lower case words joined by hyphens", given.Name)
	}
	if !sentence.MatchString(given.Doc) {
		c.errorf("Doc %q: want one sentence, with a capital letter and a full stop", given.Doc)
	}
	for _, stock := range podinfo.Modules() {
		if stock.Info().Name == given.Name && reflect.TypeOf(stock) != reflect.TypeOf(c.module) {
			c.t.Logf("module %s: it takes the place of a stock module", c.name)
		}
	}
	return true
}

func (c *checker) settings() {
	t := reflect.TypeOf(c.module).Elem()
	for f := range t.Fields() {
		_, tagged := f.Tag.Lookup("env")
		if f.IsExported() && !tagged && f.Type.Kind() != reflect.Struct {
			c.errorf(`field %s: want an env tag that names its variable, or env:"-" for what only code can set`, f.Name)
		}
	}
	for _, s := range registry.Settings([]registry.Module{c.module}) {
		switch {
		case s.Module != c.name:
		case s.Doc == "":
			c.errorf("setting %s: want a doc tag that says what it means", s.Key)
		case strings.HasSuffix(s.Doc, "."):
			c.errorf("setting %s: doc %q: want no full stop", s.Key, s.Doc)
		}
	}
}

// shape is what of routes can be compared: all but functions.
func shape(routes []registry.Route) []registry.Route {
	out := slices.Clone(routes)
	for i := range out {
		out[i].Handler, out[i].When = nil, nil
	}
	return out
}

func (c *checker) routes() {
	e, ok := c.module.(registry.Endpoint)
	if !ok {
		return
	}
	var first, again []registry.Route
	if !c.safely("Routes of a zero value", func() { c.zero().(registry.Endpoint).Routes() }) ||
		!c.safely("Routes", func() { first, again = e.Routes(), e.Routes() }) {
		return
	}
	if !reflect.DeepEqual(shape(first), shape(again)) {
		c.errorf("Routes are not the same each time: %+v, then %+v", shape(first), shape(again))
	}
	for _, rt := range first {
		if rt.Summary != "" && strings.HasSuffix(rt.Summary, ".") {
			c.errorf("route %s: summary %q: want no full stop", rt.Path, rt.Summary)
		}
		for name := range rt.Params {
			if !strings.Contains(rt.Path, "{"+name+"}") && !strings.Contains(rt.Path, "{"+name+"...}") {
				c.errorf("route %s: it documents a wildcard %q that it does not have", rt.Path, name)
			}
		}
	}
}

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
		b, err := c.build(c.copy(), other)
		if err == nil {
			err = b.Start(ctx)
		}
		if err != nil { // with another value for the name of a file, say
			if b, err = c.build(c.copy(), nil); err == nil {
				err = b.Start(ctx)
			}
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
		for path, now := range c.answers(a) {
			if now != before[path] && now == theirs[path] {
				c.errorf("GET %s is answered as another App with %v does: %s, before that %s", path, other, now, before[path])
			}
		}
	})
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

// answers are what the module's plain routes answer.
func (c *checker) answers(app *registry.App) map[string]string {
	out := map[string]string{}
	for _, rt := range app.Mounted() {
		if rt.Module != c.name || rt.Method != http.MethodGet || strings.Contains(rt.Pattern, "{") {
			continue
		}
		c.safely("GET "+rt.Pattern, func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience/2)
			defer cancel()
			rec := httptest.NewRecorder()
			app.ServeHTTP(rec, httptest.NewRequest(rt.Method, rt.Pattern, nil).WithContext(ctx))
			out[rt.Pattern] = fmt.Sprint(rec.Code, " ", rec.Body)
		})
	}
	return out
}

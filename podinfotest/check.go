package podinfotest

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-4591fe7d/podinfo"
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
// While it runs it is asked for its plain GET routes, and a middleware for some
// of the stock ones: whoever panics then is found, as if there were no recovery.
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
	if _, ok := vars["PODINFO_SEED"]; !ok {
		vars["PODINFO_SEED"] = "1"
	}
	c := &checker{t: t, module: m, vars: vars, said: map[string]bool{}, skip: map[question]bool{}}
	if !c.info() {
		return
	}
	c.settings()
	c.routes()
	app := c.assemble(c.copy())
	if app == nil {
		return
	}
	if err := known(app, c.vars); err != nil {
		t.Error(err)
		return
	}
	for _, s := range app.Modules() {
		if s.Info.Name == c.name && s.State != registry.On {
			c.errorf("it is %s by %s: there is nothing to check", s.State, s.Why)
			return
		}
	}
	if c.lifecycle() {
		c.isolation()
	}
}

// patience is how long a module has for what is to be done at once.
const patience = 10 * time.Second

type checker struct {
	t      testing.TB
	module registry.Module
	name   string
	vars   map[string]string
	said   map[string]bool   // what is wrong, each said once
	skip   map[question]bool // what is not to be asked again
}

func (c *checker) errorf(format string, args ...any) {
	c.t.Helper()
	problem := fmt.Sprintf(format, args...)
	if !c.said[problem] {
		c.said[problem] = true
		c.t.Errorf("module %s: %s", c.name, problem)
	}
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

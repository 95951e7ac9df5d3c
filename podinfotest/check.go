package podinfotest

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-4591fe7d/podinfo"
	"github.com/seed-4591fe7d/podinfo/internal/redact"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// Check tests that a module keeps the contract of package registry when it is
// assembled with the stock modules:
//
//   - Info and Routes are pure: they work on a zero value and return the same
//     each time.
//   - The name, the description and the settings are well formed, and no method
//     has the name of a capability and another signature.
//   - The routes are clean, and no other module serves them.
//   - The module starts, stops, and starts again in another App. It can be
//     stopped without having been started, and Start and Stop return when their
//     context has ended.
//   - Two instances with different settings do not affect each other.
//   - No goroutine is left after Stop.
//   - No request makes the module panic: the recovery module is replaced.
//   - A response with status 204 or 304 has no body, Content-Length is the
//     length of the body, and Content-Encoding is how the body is encoded. A
//     response that is encoded already is not encoded again.
//   - Middleware calls next at most once, and passes on a ResponseWriter that can
//     be flushed and taken over.
//   - Several requests at the same time do no harm: run the test with -race.
//   - A setting that holds a secret says so, or says that it does not.
//
// The requests are for the module's own GET routes without wildcards. For
// middleware Check adds some stock routes, a path without a route, and routes
// of its own whose responses are hard to change correctly.
//
// m is a pointer to a struct, as the module's users would give it. Check works
// on shallow copies of it. env are the variables that the module needs, each as
// NAME=value. Each violation is an error of the test. Check also logs each
// setting for which a zero in a literal means something else than zero; see
// [registry.With].
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
	c := &checker{t: t, module: m, vars: vars, said: map[string]bool{}, skip: map[request]bool{}}
	defer func() {
		t.Helper()
		c.report()
	}()
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
			c.errorf("it is %s by %s, so there is nothing to check: turn it on", s.State, s.Why)
			return
		}
	}
	c.zeros()
	if c.lifecycle() {
		c.isolation()
	}
}

// patience is how long a call of a module's method may take.
const patience = 10 * time.Second

type checker struct {
	t      testing.TB
	module registry.Module
	name   string
	vars   map[string]string
	skip   map[request]bool // the requests that are not repeated

	mu       sync.Mutex
	said     map[string]bool // problems
	problems []string        // in the order in which they were found
}

func (c *checker) errorf(format string, args ...any) {
	problem := fmt.Sprintf(format, args...)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.said[problem] {
		c.said[problem] = true
		c.problems = append(c.problems, fmt.Sprintf("module %s: %s", c.name, problem))
	}
}

// report fails the test, at the line that called Check: a failure that another
// goroutine reports names a line of this package.
func (c *checker) report() {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, problem := range c.problems {
		c.t.Error(problem)
	}
}

// zero returns a new zero value of the module's type.
func (c *checker) zero() registry.Module {
	return reflect.New(reflect.TypeOf(c.module).Elem()).Interface().(registry.Module)
}

// copy returns a shallow copy of the module.
func (c *checker) copy() registry.Module {
	v := reflect.New(reflect.TypeOf(c.module).Elem())
	v.Elem().Set(reflect.ValueOf(c.module).Elem())
	return v.Interface().(registry.Module)
}

// safely calls f, and reports a panic or that f does not return.
func (c *checker) safely(what string, f func()) (ok bool) {
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
	secretDoc  = regexp.MustCompile(`(?i)^([a-z]+ ){0,2}(password|passphrase|secret|token|api key|private key|credentials)( |$)`)
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
		c.errorf("Info returns %+v and then %+v: return the same each time", given, again)
	}
	if given != zero {
		c.errorf("Info returns %+v, and %+v on a zero value: do not use the module's fields", given, zero)
	}
	if !properName.MatchString(given.Name) {
		c.errorf("name %q: want lower case words joined by hyphens", given.Name)
	}
	if !sentence.MatchString(given.Doc) {
		c.errorf("Doc %q: want one sentence that begins with a capital letter and ends with a full stop", given.Doc)
	}
	for _, stock := range podinfo.Modules() {
		if stock.Info().Name == given.Name && reflect.TypeOf(stock) != reflect.TypeOf(c.module) {
			c.t.Logf("module %s: it replaces a stock module", c.name)
		}
	}
	return true
}

func (c *checker) settings() {
	t := reflect.TypeOf(c.module).Elem()
	for f := range t.Fields() {
		_, tagged := f.Tag.Lookup("env")
		if f.IsExported() && !tagged && f.Type.Kind() != reflect.Struct {
			c.errorf(`field %s: want an env tag that names its variable, or env:"-" if only code can set it`, f.Name)
		}
		if _, said := f.Tag.Lookup("secret"); tagged && !said && f.Type.Kind() == reflect.String && (redact.Name(f.Tag.Get("env")) || secretDoc.MatchString(f.Tag.Get("doc"))) {
			c.errorf(`field %s: its name or its description says that it is a secret: add secret:"true", or secret:"false" if it is not`, f.Name)
		}
	}
	for _, s := range registry.Settings([]registry.Module{c.module}) {
		switch {
		case s.Module != c.name:
		case s.Doc == "":
			c.errorf("setting %s: want a doc tag that says what it means", s.Key)
		case strings.HasSuffix(s.Doc, "."):
			c.errorf("setting %s: doc %q: remove the full stop", s.Key, s.Doc)
		}
	}
}

// shape returns routes without their functions, which cannot be compared.
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
		c.errorf("Routes returns %+v and then %+v: return the same each time", shape(first), shape(again))
	}
	for _, rt := range first {
		if rt.Summary != "" && strings.HasSuffix(rt.Summary, ".") {
			c.errorf("route %s: summary %q: remove the full stop", rt.Path, rt.Summary)
		}
		if rt.Accepts != nil && rt.Body == "" {
			c.errorf("route %s: Accepts is a sample of a body, and Body does not say what it is", rt.Path)
		}
		for name := range rt.Examples {
			if rt.Params[name] == "" {
				c.errorf("route %s: Examples has a value of %q, and Params does not say what it means", rt.Path, name)
			}
		}
		for name := range rt.Params {
			if !strings.Contains(rt.Path, "{"+name+"}") && !strings.Contains(rt.Path, "{"+name+"...}") {
				c.errorf("route %s: Params documents a wildcard %q that the path does not have", rt.Path, name)
			}
		}
	}
}

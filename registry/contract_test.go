package registry_test

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// Modules with settings that New refuses, and one that names a wrong field.
type (
	required struct {
		plain
		Max int `env:"MAX,required"`
	}
	pointed struct {
		plain
		Group *struct {
			Max int `env:"MAX"`
		}
	}
	twice struct {
		plain
		Max **int `env:"MAX"`
	}
	shared5 struct {
		plain
		Max int `env:"SHARED" envDefault:"5"`
	}
	shared6 struct {
		plain
		Max int `env:"SHARED" envDefault:"6"`
	}
	sharedText struct {
		plain
		Max string `env:"SHARED" envDefault:"5"`
	}
	nameless struct {
		plain
		Max int `env:"MAX"`
	}
	deep struct {
		plain
		Group *struct {
			Inner struct {
				Max int `env:"MAX"`
			}
		}
	}
	listed struct {
		plain
		Groups []struct {
			Max int `env:"MAX"`
		} `envPrefix:"G"`
	}
	hidden struct {
		plain
		//lint:ignore U1000 the tag is the mistake
		max int `env:"MAX"`
	}
	sharedDoc struct {
		plain
		Max int `env:"SHARED" envDefault:"5" doc:"something else"`
	}
	impatient struct {
		plain
		err error
	}
	rpcTypo struct{ plain }
)

func (i *impatient) Provision(h *registry.Host) error {
	i.err = errors.Join(h.Reload(), h.Switch("m", true))
	return nil
}

func (*nameless) Validate() error { return registry.Invalid("Min", "less") }
func (*rpcTypo) ServeRPC() error  { return nil }

func TestSettingsNewRefuses(t *testing.T) {
	info := func(name string) plain { return plain{info: registry.Info{Name: name, Unprefixed: true}} }
	for _, c := range []struct {
		mods []registry.Module
		want []string
	}{
		{mods(&required{plain: info("m")}), []string{"module m", "field Max", `option "required" is not supported`}},
		{mods(&pointed{plain: info("m")}), []string{"module m", "field Group", "embed the struct itself"}},
		{mods(&deep{plain: info("m")}), []string{"module m", "field Group", "embed the struct itself"}},
		{mods(&listed{plain: info("m")}), []string{"module m", "field Groups", "embed the struct itself"}},
		{mods(&hidden{plain: info("m")}), []string{"module m", "field max", "export it"}},
		{mods(&shared5{plain: info("a")}, &sharedDoc{plain: info("b")}), []string{"modules a and b declare PODINFO_SHARED differently", "something else"}},
		{mods(&twice{plain: info("m")}), []string{"module m", "field Max", "use *int"}},
		{mods(&shared5{plain: info("a")}, &shared6{plain: info("b")}), []string{"modules a and b declare PODINFO_SHARED differently", `default "6"`}},
		{mods(&shared5{plain: info("a")}, &sharedText{plain: info("b")}), []string{"modules a and b declare PODINFO_SHARED differently", "int", "string"}},
		{mods(&nameless{plain: info("m")}), []string{`registry.Invalid("Min", …)`, "pass the name of the Go field"}},
		{mods(&rpcTypo{info("m")}), []string{"module m", "ServeRPC", "rpc.Middleware"}},
	} {
		_, err := registry.New(c.mods)
		for _, w := range c.want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%T: %v, want it to contain %q", c.mods[0], err, w)
			}
		}
	}
	if _, err := registry.New(mods(&shared5{plain: info("a")}, &shared5{plain: info("b")})); err != nil {
		t.Errorf("two modules that agree: %v", err)
	}
}

// Switch and Reload before there is an assembly are errors.
func TestTooEarly(t *testing.T) {
	m := &impatient{plain: plain{info: registry.Info{Name: "m"}}}
	if _, err := registry.New(mods(m)); err != nil || m.err == nil || strings.Count(m.err.Error(), "not assembled yet") != 2 {
		t.Errorf("%v, %v", err, m.err)
	}
}

func TestPlacement(t *testing.T) {
	at := func(name, before, after string) *mark {
		m := newMark(name, registry.Guard, false)
		m.info.Before, m.info.After = before, after
		return m
	}
	other := newMark("other", registry.Edge, false)
	for _, c := range []struct {
		mods []registry.Module
		want string // order, or part of the error
	}{
		{mods(at("a", "", ""), at("b", "", "")), "a b"},
		{mods(at("a", "", "c"), at("b", "", ""), at("c", "", "")), "b c a"},
		{mods(at("a", "", ""), at("b", "", ""), at("c", "a", "")), "c a b"},
		{mods(at("a", "", "b"), at("b", "", "c"), at("c", "", "")), "c b a"},
		{mods(at("a", "", ""), at("b", "", ""), at("c", "b", "a")), "a c b"},
		{mods(at("a", "nobody", "")), "a"},
		{mods(at("a", "b", ""), at("b", "a", "")), "contradict each other: b, a"},
		{mods(at("x", "y", ""), at("y", "", ""), at("a", "b", ""), at("b", "a", "")), "contradict each other: b, a"},
		{mods(at("a", "", ""), at("b", "a", "c"), at("c", "", "")), "c b a"},
		{mods(at("a", "", "a")), "names itself"},
		{mods(other, at("a", "other", "")), `module a cannot be placed before other: other is in phase "edge" and a in phase "guard"`},
	} {
		got := ""
		app, err := registry.New(append(c.mods, endpoint("e", get("GET", "/x"))))
		if err != nil {
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
			continue
		}
		got = strings.Join(app.Mounted()[0].Chain, " ")
		var listed []string
		for _, s := range app.Assembly().InChain() {
			if s.Info.Phase != 0 {
				listed = append(listed, s.Info.Name)
			}
		}
		if got != c.want || strings.Join(listed, " ") != c.want {
			t.Errorf("chain %q, listed %q, want %q", got, listed, c.want)
		}
	}
}

// A New that fails leaves the instance as it was given.
func TestAFailedNewUndoesItsSettings(t *testing.T) {
	k := &knobs{Max: 7}
	if _, err := registry.New(mods(k), registry.Env(registrytest.Vars("PODINFO_MY_KNOBS_ENABLED=true PODINFO_MY_KNOBS_MAX=9 PODINFO_MY_KNOBS_UNIT=bad"))); err == nil {
		t.Fatal("no error")
	}
	if diff := cmp.Diff(&knobs{Max: 7}, k); diff != "" {
		t.Error(diff)
	}
}

func TestAnInstanceBelongsToOneApp(t *testing.T) {
	m := newMark("m", registry.Edge, false)
	if _, err := registry.New(mods(m), registry.Env(registrytest.Vars("PODINFO_LEVEL=loud"))); err == nil {
		t.Fatal("no error")
	}
	app, err := registry.New(mods(m)) // the failed New gave it back
	if err != nil {
		t.Fatal(err)
	}
	if _, err := registry.New(mods(m)); err == nil || !strings.Contains(err.Error(), "module m belongs to another App already") {
		t.Errorf("%v", err)
	}
	runtime.KeepAlive(app)
}

// fickle is an endpoint whose routes change, to those of another module.
type fickle struct {
	plain
	host *registry.Host
}

func (f *fickle) Provision(h *registry.Host) error { f.host = h; return nil }

// caller is the gRPC half of a middleware.
type caller struct{ plain }

func (*caller) ServeRPC(ctx context.Context, _ *rpc.Call, next func(context.Context) error) error {
	return next(ctx)
}

func TestFailedSwitchChangesNothing(t *testing.T) {
	calls := &caller{plain{info: registry.Info{Name: "calls", Phase: registry.Guard}}}
	f := &fickle{plain: *endpoint("f", get("GET", "/f"))}
	s := registrytest.Serve(t, map[string]string{"PODINFO_F_ENABLED": "standby", "PODINFO_CALLS_ENABLED": "standby"}, calls, endpoint("e", get("GET", "/x")), f)
	before := s.App.Assembly()
	f.routes = []registry.Route{get("GET", "/x")} // which e serves
	for what, change := range map[string]func() error{
		"switch":         func() error { return s.App.Switch("f", true) },
		"unknown switch": func() error { return s.App.Switch("g", true) },
	} {
		if err := change(); err == nil || s.App.Assembly() != before || s.App.Assembly().Linked("f") {
			t.Errorf("%s: %v, replaced %v", what, err, s.App.Assembly() != before)
		}
	}
	f.routes = []registry.Route{get("GET", "/f")}
	if err := errors.Join(s.App.Switch("f", true), s.App.Switch("calls", true)); err != nil {
		t.Fatal(err)
	}
	if now := s.App.Assembly(); !now.Linked("f") || len(now.Calls()) != 1 || before.Linked("f") || len(before.Calls()) != 0 {
		t.Error("a snapshot changed, or the new one did not")
	}
	f.routes = append(f.routes, get("GET", "/late"))
	if err := f.host.Reload(); err != nil {
		t.Fatal(err)
	}
	if res, _ := s.Call(t, "GET", "/late", ""); res.StatusCode != http.StatusOK {
		t.Errorf("reloaded route: %d", res.StatusCode)
	}
	good := s.App.Assembly()
	f.routes = append(f.routes, get("GET", "/x"))
	if err := f.host.Reload(); err == nil || s.App.Assembly() != good {
		t.Errorf("a reload that fails: %v", err)
	}
}

// follower is turned on by a variable that is not podinfo's own.
type follower struct {
	plain
	host *registry.Host
}

func (*follower) EnabledBy(environ []string) bool {
	return strings.Contains(strings.Join(environ, " "), "OTHER=1")
}
func (f *follower) Provision(h *registry.Host) error { f.host = h; return nil }

func TestEnviron(t *testing.T) {
	for _, c := range []struct {
		environ []string
		env     string
		want    registry.State
		why     string
	}{
		{nil, "", registry.Off, "default"},
		{[]string{"A=2", "OTHER=1"}, "", registry.On, "environment"},
		{[]string{"A=2", "OTHER=1"}, "PODINFO_F_ENABLED=false", registry.Off, "PODINFO_F_ENABLED"},
	} {
		f := &follower{plain: plain{info: registry.Info{Name: "f", OptIn: true}}}
		app, err := registry.New(mods(f), registry.Environ(c.environ), registry.Env(registrytest.Vars(c.env)))
		if err != nil {
			t.Fatal(err)
		}
		got := app.Modules()[0]
		if got.State != c.want || got.Why != c.why {
			t.Errorf("%v %s: %v by %s", c.environ, c.env, got.State, got.Why)
		}
		if f.host != nil {
			if diff := cmp.Diff(c.environ, f.host.Environ()); diff != "" {
				t.Error(diff)
			}
		}
	}
}

// A module that misses a capability by a mistake, and two that both have it.
type (
	greeter   interface{ Greets(name string) string }
	asker     struct{ plain }
	greets    struct{ plain }
	misgreets struct{ plain }
)

var greeters = registry.NewCapability[greeter](func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("Greets") })

func (*greets) Greets(name string) string { return "hello " + name }
func (*misgreets) Greets() string         { return "hello" }
func (*asker) Provision(h *registry.Host) error {
	_, err := registry.Optional(h, greeters)
	return err
}

func TestCapabilities(t *testing.T) {
	info := func(name string, optIn bool) plain { return plain{info: registry.Info{Name: name, OptIn: optIn}} }
	for _, c := range []struct {
		mods []registry.Module
		want []string
	}{
		{mods(&asker{info("a", false)}), nil},
		{mods(&asker{info("a", false)}, &greets{info("g", false)}), nil},
		{mods(&asker{info("a", false)}, &misgreets{info("m", true)}), []string{"module m", "method Greets", "want func(string) string"}},
		{mods(&asker{info("a", false)}, &greets{info("g", false)}, &greets{info("g2", false)}), []string{"module a", "both g and g2", "PODINFO_MODULES=-g2"}},
	} {
		_, err := registry.New(c.mods)
		if (err == nil) != (c.want == nil) {
			t.Errorf("%v", err)
		}
		for _, w := range c.want {
			if err != nil && !strings.Contains(err.Error(), w) {
				t.Errorf("%v, want it to contain %q", err, w)
			}
		}
	}
}

package podinfotest_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"

	. "github.com/seed-4591fe7d/podinfo/podinfotest"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// ordered notes the first call of each of its methods.
type ordered struct {
	mu    sync.Mutex
	calls []string
}

func (o *ordered) note(method string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !slices.Contains(o.calls, method) {
		o.calls = append(o.calls, method)
	}
}

func (o *ordered) Info() registry.Info {
	o.note("Info")
	return registry.Info{Name: "ordered", Doc: "Note calls.", Phase: registry.Guard}
}
func (o *ordered) EnabledBy([]string) bool            { o.note("EnabledBy"); return false }
func (o *ordered) Validate() error                    { o.note("Validate"); return nil }
func (o *ordered) Provision(*registry.Host) error     { o.note("Provision"); return nil }
func (o *ordered) RegisterGRPC(grpc.ServiceRegistrar) { o.note("RegisterGRPC") }
func (o *ordered) Routes() []registry.Route {
	o.note("Routes")
	return []registry.Route{{Method: "GET", Path: "/ordered", Handler: nothing}}
}
func (o *ordered) Covers(registry.Route) bool              { o.note("Covers"); return true }
func (o *ordered) Bind(registry.Route) registry.Middleware { o.note("Bind"); return bound{o} }
func (o *ordered) Start(context.Context) error             { o.note("Start"); return nil }
func (o *ordered) Ready(context.Context) error             { o.note("Ready"); return nil }
func (o *ordered) Leave()                                  { o.note("Leave") }
func (o *ordered) Drain(context.Context) error             { o.note("Drain"); return nil }
func (o *ordered) Stop(context.Context) error              { o.note("Stop"); return nil }
func (o *ordered) ServeRPC(ctx context.Context, _ *rpc.Call, next func(context.Context) error) error {
	o.note("ServeRPC")
	return next(ctx)
}

// DescribeRoute notes its call.
func (o *ordered) DescribeRoute(*registry.Route) { o.note("DescribeRoute") }

// bound is what ordered binds to a route.
type bound struct{ o *ordered }

func (b bound) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	b.o.note("ServeHTTP")
	next(w, r)
}

// The order in which CONTRIBUTING.md lists the methods of a module.
var order = []string{
	"Info", "EnabledBy", "Validate", "Provision", "Routes", "RegisterGRPC", "Covers", "Bind", "DescribeRoute",
	"Start", "Ready", "ServeHTTP", "ServeRPC", "Leave", "Drain", "Stop",
}

// without returns order without some methods.
func without(methods ...string) []string {
	return slices.DeleteFunc(slices.Clone(order), func(m string) bool { return slices.Contains(methods, m) })
}

// A module by itself, whose methods are called in that order.
func TestOrderOfCalls(t *testing.T) {
	o := new(ordered)
	app, err := registry.New(nil, registry.With(o))
	if err != nil {
		t.Fatal(err)
	}
	app.Mounted()
	if err := errors.Join(app.Start(t.Context()), app.Ready(t.Context())); err != nil {
		t.Fatal(err)
	}
	app.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/ordered", nil))
	app.Leave()
	if err := app.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(without("RegisterGRPC", "ServeRPC"), o.calls); diff != "" {
		t.Error(diff)
	}
}

// With the stock modules, the methods that must be pure are called when
// another module asks for them, and Ready when a probe does.
func TestOrderOfCallsInAServer(t *testing.T) {
	o := new(ordered)
	failures := listen(t, func(tb testing.TB) {
		srv := Config{Modules: []registry.Module{o}}.StartInMemory(tb)
		if code, _, err := get(srv.Client(), srv.URL+"/ordered"); code != 200 {
			t.Error(code, err)
		}
		if _, err := echo(t.Context(), srv.GRPC(), "x"); err != nil {
			t.Error(err)
		}
		if err := srv.App.Ready(t.Context()); err != nil {
			t.Error(err)
		}
	})
	if failures != "" {
		t.Error(failures)
	}
	anyTime := []string{"Routes", "RegisterGRPC", "DescribeRoute", "Ready"}
	for _, method := range anyTime {
		at := slices.Index(o.calls, method)
		if at < 0 {
			t.Fatalf("%s is not called: %v", method, o.calls)
		}
		o.calls = slices.Delete(o.calls, at, at+1)
	}
	if diff := cmp.Diff(without(append(anyTime, "Leave")...), o.calls); diff != "" {
		t.Error(diff)
	}
}

// CONTRIBUTING.md has a row for each method, in that order.
func TestOrderIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	last := 0
	for _, method := range order {
		at := bytes.Index(text, []byte("\n| `"+method+"` |"))
		if at <= last {
			t.Errorf("CONTRIBUTING.md has no row of %s in its place: the order is %v", method, order)
			continue
		}
		last = at
	}
}

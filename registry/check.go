package registry

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"

	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

var moduleName = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

// lookup finds a method of one name. The name has to stand in the call as a
// constant: the linker then keeps the methods of that name, and without that
// every exported method of the program, which is a third of its size.
type lookup func(reflect.Type) (reflect.Method, bool)

// capability is an interface with one method.
type capability struct {
	reflect.Type
	method lookup
}

func capabilities() []capability {
	return []capability{
		{reflect.TypeFor[Middleware](), func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("ServeHTTP") }},
		{reflect.TypeFor[rpc.Middleware](), func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("ServeRPC") }},
		{reflect.TypeFor[Binder](), func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("Bind") }},
		{reflect.TypeFor[Selective](), func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("Covers") }},
		{reflect.TypeFor[Endpoint](), func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("Routes") }},
		{reflect.TypeFor[Enabler](), func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("EnabledBy") }},
		{reflect.TypeFor[Validator](), func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("Validate") }},
		{reflect.TypeFor[Provisioner](), func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("Provision") }},
		{reflect.TypeFor[Starter](), func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("Start") }},
		{reflect.TypeFor[Drainer](), func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("Drain") }},
		{reflect.TypeFor[Stopper](), func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("Stop") }},
		{reflect.TypeFor[Checker](), func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("Ready") }},
		{reflect.TypeFor[Listener](), func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("Addr") }},
	}
}

// checkModule catches what the compiler cannot: a name that makes no variable,
// and methods that optional interfaces would silently ignore.
func checkModule(m Module, info Info) error {
	if !moduleName.MatchString(info.Name) {
		return fmt.Errorf("name %q is not lower case words joined by hyphens", info.Name)
	}
	for _, c := range capabilities() {
		if err := Misspelt(m, c.Type, c.method); err != nil {
			return err
		}
	}
	_, middleware := m.(Middleware)
	_, binder := m.(Binder)
	_, calls := m.(rpc.Middleware)
	switch inChain := middleware || binder || calls; {
	case inChain && info.Phase.String() == "":
		return errors.New("middleware needs a Phase")
	case !inChain && (info.Before != "" || info.After != ""):
		return errors.New("Before and After are for middleware")
	}
	return nil
}

// Misspelt refuses a module with a method that has the name of an interface's
// and would never be called: it has another signature, or needs a pointer that
// m is not. method looks the name up, which has to be a constant there.
func Misspelt(m Module, want reflect.Type, method func(reflect.Type) (reflect.Method, bool)) error {
	t := reflect.TypeOf(m)
	if t.Implements(want) {
		return nil
	}
	if reflect.PointerTo(t).Implements(want) {
		return fmt.Errorf("%v is not %v, but a pointer to it is", t, want)
	}
	got, ok := method(t)
	if !ok {
		return nil
	}
	asked, _ := method(want)
	return fmt.Errorf("method %s is %v, which is not %v: want %v", got.Name, got.Type, want, asked.Type)
}

package registry

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
)

var moduleName = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

// checkModule catches what the compiler cannot: a name that makes no variable,
// and the one weakness of optional interfaces, a method with a capability's
// name and another signature, which would never be called.
func checkModule(m Module) error {
	info := m.Info()
	if !moduleName.MatchString(info.Name) {
		return fmt.Errorf("name %q is not lower case words joined by hyphens", info.Name)
	}
	t := reflect.TypeOf(m)
	for _, c := range []reflect.Type{
		reflect.TypeFor[Middleware](), reflect.TypeFor[Binder](), reflect.TypeFor[Selective](), reflect.TypeFor[Endpoint](),
		reflect.TypeFor[Validator](), reflect.TypeFor[Provisioner](), reflect.TypeFor[Starter](), reflect.TypeFor[Drainer](),
		reflect.TypeFor[Stopper](), reflect.TypeFor[Checker](), reflect.TypeFor[Listener](),
	} {
		name := c.Method(0).Name
		if got, ok := t.MethodByName(name); ok && !t.Implements(c) {
			return fmt.Errorf("method %s is %v, which is not registry.%s: want %v", name, got.Type, c.Name(), c.Method(0).Type)
		}
		if t.Kind() != reflect.Pointer {
			continue
		}
		if _, ok := t.Elem().MethodByName(name); !ok && reflect.PointerTo(t).Implements(c) && !t.Implements(c) {
			return fmt.Errorf("method %s is not on %v", name, t)
		}
	}
	_, middleware := m.(Middleware)
	_, binder := m.(Binder)
	if (middleware || binder) && info.Phase.String() == "" {
		return errors.New("middleware needs a Phase")
	}
	return nil
}

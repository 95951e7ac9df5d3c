package registry

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"

	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

var moduleName = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

// reserved are the words of PODINFO_MODULES that are not names of modules.
var reserved = []string{"none", "all", "default"}

// contract returns the interfaces of this package that modules implement.
func contract() []Check {
	return []Check{
		NewCapability[Middleware](func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("ServeHTTP") }),
		NewCapability[rpc.Middleware](func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("ServeRPC") }),
		NewCapability[Binder](func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("Bind") }),
		NewCapability[Selective](func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("Covers") }),
		NewCapability[Describer](func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("DescribeRoute") }),
		NewCapability[Endpoint](func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("Routes") }),
		NewCapability[ErrorPager](func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("ServeErrorPage") }),
		NewCapability[Enabler](func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("EnabledBy") }),
		NewCapability[Validator](func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("Validate") }),
		NewCapability[Provisioner](func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("Provision") }),
		NewCapability[Starter](func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("Start") }),
		NewCapability[Leaver](func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("Leave") }),
		NewCapability[Drainer](func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("Drain") }),
		NewCapability[Stopper](func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("Stop") }),
		NewCapability[Checker](func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("Ready") }),
		NewCapability[SettingsChecker](func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("CheckSettings") }),
		NewCapability[Listener](func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("Addr") }),
	}
}

// checkModule catches what the compiler cannot: a name that makes no variable,
// and methods that optional interfaces would silently ignore.
func checkModule(m Module, info Info) error {
	if !moduleName.MatchString(info.Name) {
		return fmt.Errorf("name %q is not lower case words joined by hyphens", info.Name)
	}
	if slices.Contains(reserved, info.Name) {
		return fmt.Errorf("name %q has a meaning in PODINFO_MODULES: choose another one", info.Name)
	}
	for _, c := range contract() {
		if err := c.Check(m); err != nil {
			return err
		}
	}
	_, middleware := m.(Middleware)
	_, binder := m.(Binder)
	_, calls := m.(rpc.Middleware)
	switch inChain := middleware || binder || calls; {
	case inChain && info.Phase.String() == "":
		return errors.New("middleware needs a Phase: set Info.Phase")
	case !inChain && info.Phase != 0:
		return errors.New("info has a Phase, which is for middleware: add ServeHTTP, Bind or ServeRPC (check the spelling), or remove it")
	case !inChain && (info.Before != "" || info.After != ""):
		return errors.New("info has Before or After, which are for middleware: remove them")
	}
	return nil
}

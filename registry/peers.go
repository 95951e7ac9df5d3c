package registry

import (
	"errors"
	"fmt"
	"reflect"
)

// A Capability is an interface T of one method that modules ask each other
// for. The zero Capability works, but does not notice a method of that name
// that has another signature.
type Capability[T any] struct{ method MethodLookup }

// A MethodLookup finds a method by a name that is a constant in its code. The
// linker keeps the methods of that name; if it saw a variable it would keep
// every exported method of the program, which is a third of its size.
type MethodLookup func(reflect.Type) (reflect.Method, bool)

// NewCapability returns the capability of T, whose method the lookup finds:
//
//	func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("Greets") }
func NewCapability[T any](method MethodLookup) Capability[T] { return Capability[T]{method} }

// Interface returns T, for documentation.
func (Capability[T]) Interface() reflect.Type { return reflect.TypeFor[T]() }

// Check refuses a module with a method that has the name of T's and would never
// be called: it has another signature, or needs a pointer that m is not.
func (c Capability[T]) Check(m Module) error {
	if _, ok := m.(T); ok || c.method == nil {
		return nil
	}
	t, want := reflect.TypeOf(m), c.Interface()
	got, ok := c.method(t)
	switch {
	case !ok && t.Kind() == reflect.Pointer: // as mostly, and quicker to see than what t implements
		return nil
	case reflect.PointerTo(t).Implements(want):
		return fmt.Errorf("%v is not %v, but a pointer to it is", t, want)
	}
	if !ok {
		return nil
	}
	wanted, _ := c.method(want)
	return fmt.Errorf("method %s is %v, which is not %v: want %v", got.Name, got.Type, want, wanted.Type)
}

// ErrAbsent is in the error of Use when no enabled module has the capability.
var ErrAbsent = errors.New("absent")

// Use returns the one enabled module with a capability, provisioned first.
// Call it in Provision. It wraps ErrAbsent when no enabled module has the
// capability.
func Use[T any](h *Host, c Capability[T]) (t T, err error) {
	on, off := providers[T](h, c)
	want := c.Interface()
	switch {
	case len(on) > 1:
		return t, fmt.Errorf("needs exactly one %v, but both %s and %s provide it: turn one off, such as with %sMODULES=-%s",
			want, on[0].info.Name, on[1].info.Name, EnvPrefix, on[1].info.Name)
	case len(on) == 0 && len(off) > 0:
		return t, fmt.Errorf("needs %v: %s provides it, set %s=true: %w", want, off[0].info.Name, off[0].info.EnabledKey(), ErrAbsent)
	case len(on) == 0:
		return t, fmt.Errorf("needs %v: no module provides it: %w", want, ErrAbsent)
	}
	if err := h.app.provision(on[0]); err != nil {
		return t, fmt.Errorf("needs %s: %w", on[0].info.Name, err)
	}
	return on[0].Module.(T), nil
}

// Optional is Use for a module that may be missing, in which case it returns
// the zero T and no error.
func Optional[T any](h *Host, c Capability[T]) (t T, err error) {
	if t, err = Use(h, c); errors.Is(err, ErrAbsent) {
		err = nil
	}
	return t, err
}

// All returns every enabled module with a capability, in list order. Call it
// in Provision. The modules may not have been provisioned yet, so use them in
// Start or later.
func All[T any](h *Host, c Capability[T]) []T {
	on, _ := providers[T](h, c)
	var out []T
	for _, e := range on {
		out = append(out, e.Module.(T))
	}
	return out
}

// providers returns the entries with a capability. Modules that miss it by a
// mistake are a problem that New reports.
func providers[T any](h *Host, c Capability[T]) (on, off []*entry) {
	for _, e := range h.app.entries {
		if h.app.Assembly() == nil {
			if err := c.Check(e.Module); err != nil {
				h.app.problems = append(h.app.problems, fmt.Errorf("module %s: %w", e.info.Name, err))
			}
		}
		switch _, ok := e.Module.(T); {
		case ok && e.state == Off:
			off = append(off, e)
		case ok:
			on = append(on, e)
		}
	}
	return on, off
}

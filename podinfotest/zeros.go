package podinfotest

import (
	"fmt"
	"reflect"
	"strconv"
	"time"

	"github.com/seed-4591fe7d/podinfo/registry"
)

// ambiguous is a setting whose zero in a literal means something else than
// zero: its default is not zero, and the module accepts zero.
type ambiguous struct {
	owner reflect.Type // the struct with the field
	field reflect.StructField
	key   string // the variable
	zero  string // as the variable says it
	value string // the default
}

// zeros logs the settings whose zero in a literal means something else.
func (c *checker) zeros() {
	for _, a := range c.ambiguous() {
		c.t.Logf("module %s: field %s: zero in a literal means the default %s; set %s=%s to say zero, or make the field a pointer",
			c.name, a.field.Name, a.value, a.key, a.zero)
	}
}

// ambiguous returns the settings whose zero in a literal means something else.
// Empty text and empty lists are not among them, because an empty variable is
// not set.
func (c *checker) ambiguous() (out []ambiguous) {
	info := c.zero().Info()
	prefix := registry.KeyOf(info.Name) + "_"
	if info.Unprefixed {
		prefix = registry.EnvPrefix
	}
	var walk func(t reflect.Type, prefix string)
	walk = func(t reflect.Type, prefix string) {
		for f := range t.Fields() {
			name := f.Tag.Get("env")
			switch f.Type.Kind() {
			case reflect.Struct:
				if name == "" {
					walk(f.Type, prefix+f.Tag.Get("envPrefix"))
				}
				continue
			case reflect.String, reflect.Slice, reflect.Map, reflect.Pointer:
				continue
			}
			a := ambiguous{owner: t, field: f, key: prefix + name, zero: fmt.Sprint(reflect.Zero(f.Type)), value: f.Tag.Get("envDefault")}
			if name == "" || name == "-" || a.value == "" || isZero(a.value) {
				continue
			}
			if _, err := c.build(c.copy(), map[string]string{a.key: a.zero}); err == nil {
				out = append(out, a)
			}
		}
	}
	walk(reflect.TypeOf(c.module).Elem(), prefix)
	return out
}

// isZero reports whether a default is zero: a number, a duration or a bool.
func isZero(text string) bool {
	if on, err := strconv.ParseBool(text); err == nil {
		return !on
	}
	if n, err := strconv.ParseFloat(text, 64); err == nil {
		return n == 0
	}
	d, err := time.ParseDuration(text)
	return err == nil && d == 0
}

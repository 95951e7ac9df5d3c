package registry

import (
	"encoding"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"

	"github.com/seed-4591fe7d/podinfo/internal/redact"
)

// field is a setting of a struct. A module's fields are read from its type
// once, and everything else works on that list.
type field struct {
	Setting
	name  string // of the struct field
	index []int
}

// fieldsOf reads the env tags of target, a pointer to a struct. It refuses
// tags that would be ignored.
func fieldsOf(target any, prefix, module string) ([]field, error) {
	t := reflect.TypeOf(target)
	if declares(t) {
		return nil, fmt.Errorf("%v has settings, which cannot be filled in: list a pointer to it", t)
	}
	if t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct {
		return nil, nil
	}
	out := make([]field, 0, room(t.Elem()))
	var errs []error
	var walk func(t reflect.Type, prefix string, at []int)
	walk = func(t reflect.Type, prefix string, at []int) {
		for f := range t.Fields() {
			index := append(slices.Clone(at), f.Index...)
			tag := f.Tag.Get("env")
			key, options, _ := strings.Cut(tag, ",")
			switch {
			case key == "-":
			case !f.IsExported() && !f.Anonymous:
				if tag != "" {
					errs = append(errs, fmt.Errorf("field %s: an unexported field cannot be a setting: export it", f.Name))
				}
			case key != "" && !variable.MatchString(key):
				errs = append(errs, fmt.Errorf("field %s: env tag %q is not capital letters, digits and underscores", f.Name, key))
			case f.Tag.Get("envExpand") != "":
				errs = append(errs, fmt.Errorf("field %s: the tag envExpand is not supported: expand the value in Provision", f.Name))
			case options != "":
				errs = append(errs, fmt.Errorf("field %s: env tag option %q is not supported: use envDefault or Validate", f.Name, options))
			case slices.Contains([]reflect.Kind{reflect.Pointer, reflect.Slice, reflect.Map}, f.Type.Kind()) && declares(f.Type.Elem()):
				errs = append(errs, fmt.Errorf("field %s: settings behind a pointer or in a list are not supported: embed the struct itself", f.Name))
			case key != "" && f.Type.Kind() == reflect.Pointer && f.Type.Elem().Kind() == reflect.Pointer:
				errs = append(errs, fmt.Errorf("field %s: a pointer to a pointer is not supported: use %v", f.Name, f.Type.Elem()))
			case key != "":
				secret, part, ok := secrecy(f.Tag.Get("secret"), key, isText(f.Type))
				if !ok {
					errs = append(errs, fmt.Errorf("field %s: secret tag %q is not supported: use true, part or false", f.Name, f.Tag.Get("secret")))
				}
				out = append(out, field{
					Setting: Setting{
						Key: prefix + key, Module: module, Default: f.Tag.Get("envDefault"), Doc: f.Tag.Get("doc"),
						Accepts: accepts(f), Secret: secret, MayHoldSecret: part,
						Enables: f.Tag.Get("enables") == "true", Needs: needs(f), Takes: takes(f), kind: f.Type,
					},
					name: f.Name, index: index,
				})
			case f.Type.Kind() == reflect.Struct:
				walk(f.Type, prefix+f.Tag.Get("envPrefix"), index)
			}
		}
	}
	walk(t.Elem(), prefix, nil)
	return out, errors.Join(errs...)
}

// room returns about how many settings a struct has.
func room(t reflect.Type) (n int) {
	for f := range t.Fields() {
		if f.Tag.Get("env") != "" {
			n++
		} else if f.Anonymous && f.Type.Kind() == reflect.Struct {
			n += room(f.Type)
		}
	}
	return n
}

var variable = regexp.MustCompile(`^[A-Z][A-Z0-9_]*$`)

// isText reports whether a field has the kind of a string or of a list of them.
func isText(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	return t.Kind() == reflect.String
}

// declares reports whether t is a struct with settings in it, at any depth.
func declares(t reflect.Type) bool {
	if t.Kind() != reflect.Struct {
		return false
	}
	for f := range t.Fields() {
		if tag := f.Tag.Get("env"); tag != "" && tag != "-" || tag == "" && f.Type != t && declares(f.Type) {
			return true
		}
	}
	return false
}

// takes returns a word for the value of a field's setting, which a tag or else
// its type gives.
func takes(f reflect.StructField) string {
	if word := f.Tag.Get("takes"); word != "" {
		return word
	}
	if words := choice.ReplaceAllString(accepts(f), "|"); choice.MatchString(accepts(f)) && !strings.Contains(words, " ") {
		return words // "s or ms" is s|ms
	}
	t := f.Type
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case f.Tag.Get("secret") == "true":
		return "SECRET"
	case strings.HasPrefix(accepts(f), "a port"):
		return "PORT"
	case strings.HasPrefix(accepts(f), "a number of bytes"):
		return "BYTES"
	case t == reflect.TypeFor[time.Duration]():
		return "DURATION"
	case t.Kind() == reflect.Slice:
		return "LIST"
	case t.Kind() == reflect.Bool:
		return "true|false"
	case t.Kind() >= reflect.Int && t.Kind() <= reflect.Float64:
		return "NUMBER"
	}
	return "TEXT"
}

var choice = regexp.MustCompile(`, (?:or )?| or `)

// needs returns the variable that a field's setting needs.
func needs(f reflect.StructField) string {
	if name := f.Tag.Get("needs"); name != "" {
		return EnvPrefix + name
	}
	return ""
}

// target is a struct with settings, whose env tags follow the prefix.
type target struct {
	to     any
	prefix string
	fields []field
}

// validate validates a target that parse has filled in. The warnings name the values
// that the default replaces.
func (t target) validate(vals values) (warnings []string, err error) {
	v, ok := t.to.(Validator)
	if !ok {
		return nil, nil
	}
	fields := t.fields
	err = explain(v.Validate(), fields, vals)
	replaced, rest := split(err, func(err error) bool {
		bad, ok := err.(*SettingError)
		return ok && bad.fallback
	})
	if len(replaced) == 0 {
		return nil, err
	}
	vals = maps.Clone(vals)
	for _, err := range replaced {
		bad := err.(*SettingError)
		f := fields[slices.IndexFunc(fields, func(f field) bool { return f.Key == bad.Key })]
		delete(vals, f.Key)
		reflect.ValueOf(t.to).Elem().FieldByIndex(f.index).SetZero()
		warnings = append(warnings, fmt.Sprintf("%v; using the default %q", bad, f.Default))
	}
	return warnings, errors.Join(errors.Join(rest...), t.parse(vals))
}

// rehearse validates what was given for a module that is off, on a copy. It
// leaves out what the module only lacks because it is off.
func rehearse(m Module, prefix string, fields []field, vals values) (warnings []string, err error) {
	if !slices.ContainsFunc(fields, func(f field) bool { _, ok := vals[f.Key]; return ok }) {
		return nil, nil
	}
	t := target{scratch(m), prefix, slices.Clone(fields)}
	if err = t.parse(vals); err == nil {
		warnings, err = t.validate(vals)
	}
	wrong, _ := split(err, func(err error) bool {
		bad, ok := err.(*SettingError)
		return ok && bad.Source != FromDefault && bad.Source != FromCode
	})
	return warnings, errors.Join(wrong...)
}

// scratch returns a new module with the exported fields of m, a pointer to a
// struct.
func scratch(m Module) Module {
	from := reflect.ValueOf(m).Elem()
	to := reflect.New(from.Type())
	for i := range from.NumField() {
		if from.Type().Field(i).IsExported() {
			to.Elem().Field(i).Set(from.Field(i))
		}
	}
	return to.Interface().(Module)
}

// split returns the errors that were joined in err, those that match apart.
func split(err error, match func(error) bool) (matching, rest []error) {
	for _, e := range flatten(err) {
		if match(e) {
			matching = append(matching, e)
		} else {
			rest = append(rest, e)
		}
	}
	return matching, rest
}

// flatten returns the errors that were joined in errs.
func flatten(errs ...error) (out []error) {
	for _, err := range errs {
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			out = append(out, flatten(joined.Unwrap()...)...)
		} else if err != nil {
			out = append(out, err)
		}
	}
	return out
}

// parseAll is parse for several targets at the price of one: each call of env copies
// the environment of the process, which is not used. It returns the error of each.
func parseAll(targets []target, vals values) []error {
	vars, literal := map[string]string{}, map[string]bool{}
	for _, t := range targets {
		t.note(vals, vars, literal)
	}
	var members []reflect.StructField
	var together []target
	for i, t := range targets {
		shared := func(f field) bool { _, given := vars[f.Key]; return given && literal[f.Key] }
		if len(t.fields) > 0 && !slices.ContainsFunc(t.fields, shared) {
			together = append(together, t)
			members = append(members, reflect.StructField{
				Name: "Target" + strconv.Itoa(i), Type: reflect.TypeOf(t.to), Tag: reflect.StructTag("envPrefix:" + strconv.Quote(t.prefix))})
		}
	}
	all := reflect.New(reflect.StructOf(members))
	for i, t := range together {
		all.Elem().Field(i).Set(reflect.ValueOf(t.to))
	}
	failed := set(all.Interface(), "", vars) != nil // whose setting it is, only the target's own error says
	errs := make([]error, len(targets))
	for i, t := range targets {
		if failed || !slices.ContainsFunc(together, func(x target) bool { return x.to == t.to }) {
			errs[i] = t.parse(vals)
		} else {
			t.show()
		}
	}
	return errs
}

// set sets the fields of a struct from variables.
func set(to any, prefix string, vars map[string]string) error {
	return env.ParseWithOptions(to, env.Options{Environment: vars, Prefix: prefix, DefaultValueTagName: "-"})
}

// parse sets the target's fields, and notes the value and the source of each. A
// variable takes precedence over a literal, and a literal over the default.
func (t target) parse(vals values) error {
	if len(t.fields) == 0 {
		return nil
	}
	vars := map[string]string{}
	t.note(vals, vars, map[string]bool{})
	err := set(t.to, t.prefix, vars)
	t.show()
	return explain(err, t.fields, vals)
}

// note notes the source of each field, and collects the variables to set and those
// whose literal stays.
func (t target) note(vals values, vars map[string]string, literal map[string]bool) {
	for i, f := range t.fields {
		switch g, ok := vals[f.Key]; {
		case ok:
			vars[f.Key] = g.value
			t.fields[i].Source = g.source
		case !t.value(f).IsZero():
			t.fields[i].Source = FromCode
			literal[f.Key] = true
		default:
			vars[f.Key] = f.Default
			t.fields[i].Source = FromDefault
		}
	}
}

// show notes the value of each field.
func (t target) show() {
	for i, f := range t.fields {
		t.fields[i].Value = format(t.value(f))
	}
}

func (t target) value(f field) reflect.Value {
	return reflect.ValueOf(t.to).Elem().FieldByIndex(f.index)
}

// explain makes a SettingError of every error in err that is about a field.
func explain(err error, fields []field, vals values) error {
	if err == nil {
		return nil
	}
	if agg, ok := errors.AsType[env.AggregateError](err); ok {
		return explainAll(agg.Errors, fields, vals)
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return explainAll(joined.Unwrap(), fields, vals)
	}
	var name, want string
	fallback := false
	parse, parsing := errors.AsType[env.ParseError](err)
	invalid, validating := errors.AsType[*fieldError](err)
	switch {
	case parsing:
		name = parse.Name
	case validating:
		name, want, fallback = invalid.field, invalid.want, invalid.fallback
	default:
		return err
	}
	i := slices.IndexFunc(fields, func(f field) bool { return f.name == name })
	if i < 0 {
		return fmt.Errorf("registry.Invalid(%q, …): the module has no setting with this field name: pass the name of the Go field", name)
	}
	f := fields[i]
	bad := &SettingError{Key: f.Key, Value: f.Value, Source: f.Source, Want: want, fallback: fallback}
	if g, ok := vals[f.Key]; ok {
		bad.Value = g.value
	} else if parsing { // a mistake in the tag envDefault
		bad.Value = f.Default
	}
	if want == "" {
		bad.Want = f.Accepts
	}
	if f.Secret {
		bad.Value = Redacted
	}
	if f.MayHoldSecret {
		_, after, ok := strings.Cut(bad.Value, "://")
		if !ok || strings.ContainsAny(after, "@/?#% ") {
			bad.Want += percentEncode
		}
		bad.Value = redact.Origin(bad.Value)
	}
	return bad
}

// percentEncode is what to do about a URL that is not accepted because of a
// password in it.
const percentEncode = "; percent-encode special characters in a user name or password, such as %23 for #, %2F for /, %3F for ? and %40 for @"

func explainAll(errs []error, fields []field, vals values) error {
	var out []error
	for _, e := range errs {
		out = append(out, explain(e, fields, vals))
	}
	return errors.Join(out...)
}

// format writes a value the way its variable would be written.
func format(v reflect.Value) string {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return ""
		}
		v = v.Elem()
	}
	if m, ok := v.Interface().(encoding.TextMarshaler); ok {
		b, err := m.MarshalText()
		if err == nil {
			return string(b)
		}
	}
	if v.Kind() == reflect.Slice {
		var parts []string
		for i := range v.Len() {
			parts = append(parts, format(v.Index(i)))
		}
		return strings.Join(parts, ",")
	}
	return fmt.Sprint(v.Interface())
}

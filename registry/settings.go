package registry

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
)

// EnvPrefix starts the name of every variable.
const EnvPrefix = "PODINFO_"

// A Source says where the value of a setting came from.
type Source string

// The sources, weakest first.
const (
	FromDefault     Source = "default"
	FromCode        Source = "code"
	FromFile        Source = "config file"
	FromEnvironment Source = "environment"
	FromFlag        Source = "flag"
)

// A Setting is one documented variable.
//
// It is declared by an exported field with an env tag (its name, see
// Info.Unprefixed), and may have the tags envDefault, doc (what it means), accepts
// (what values it takes, where the type does not say it) and secret:"true".
type Setting struct {
	Key     string // PODINFO_RANDOM_DELAY_MAX
	Module  string // "" for those of the App itself
	Default string
	Doc     string
	Accepts string // what values it takes, for a person
	Secret  bool   // its value must not be shown
	Value   string // in effect; only in App.Settings
	Source  Source // only in App.Settings

	field string
	index []int
	kind  reflect.Type
}

// Flag is the name of the flag that sets the variable: random-delay-max.
func (s Setting) Flag() string { return flagName(s.Key) }

// Bool says that the flag needs no value.
func (s Setting) Bool() bool { return s.kind != nil && s.kind.Kind() == reflect.Bool }

// List says that the flag may be repeated.
func (s Setting) List() bool { return s.kind != nil && s.kind.Kind() == reflect.Slice }

func flagName(key string) string {
	return strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(key, EnvPrefix), "_", "-"))
}

// KeyOf is the variable that a flag, or a key of the config file, stands for.
func KeyOf(flag string) string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// prefix is what the env tags of i's module are put behind.
func (i Info) prefix() string {
	if i.Unprefixed {
		return EnvPrefix
	}
	return i.key("_")
}

// key is the variable for i's name: PODINFO_RANDOM_DELAY and a suffix.
func (i Info) key(suffix string) string { return KeyOf(i.Name) + suffix }

// EnabledKey is the variable that turns the module on or off.
func (i Info) EnabledKey() string { return i.key("_ENABLED") }

// Settings lists what can be set of the App and of mods: what their fields
// declare, their switches, and what turns them on. Each variable is listed
// once.
func Settings(mods []Module) []Setting {
	out := fieldSettings(new(core), EnvPrefix, "")
	add := func(s Setting) {
		if !slices.ContainsFunc(out, func(x Setting) bool { return x.Key == s.Key }) {
			out = append(out, s)
		}
	}
	for _, m := range mods {
		i := m.Info()
		for _, s := range fieldSettings(m, i.prefix(), i.Name) {
			add(s)
		}
		if i.EnableVar != "" {
			add(switchSetting(i))
		}
		add(enabledSetting(i))
	}
	return out
}

func switchSetting(i Info) Setting {
	return Setting{Key: EnvPrefix + i.EnableVar, Module: i.Name, Default: "false", Doc: "turn " + i.Name + " on",
		Accepts: "true or false", kind: reflect.TypeFor[bool]()}
}

func enabledSetting(i Info) Setting {
	return Setting{Key: i.EnabledKey(), Module: i.Name, Doc: "turn " + i.Name + " on or off, or have it ready on standby",
		Accepts: "true, false or standby", kind: reflect.TypeFor[bool]()}
}

// fieldSettings reads the env tags of target, a pointer to a struct.
func fieldSettings(target any, prefix, module string) []Setting {
	var out []Setting
	var walk func(t reflect.Type, prefix string, at []int)
	walk = func(t reflect.Type, prefix string, at []int) {
		for f := range t.Fields() {
			index := append(slices.Clone(at), f.Index...)
			key, _, _ := strings.Cut(f.Tag.Get("env"), ",")
			switch {
			case !f.IsExported() && !f.Anonymous, key == "-":
			case key != "":
				out = append(out, Setting{
					Key: prefix + key, Module: module, Default: f.Tag.Get("envDefault"), Doc: f.Tag.Get("doc"),
					Accepts: accepts(f), Secret: f.Tag.Get("secret") == "true",
					field: f.Name, index: index, kind: f.Type,
				})
			case f.Type.Kind() == reflect.Struct:
				walk(f.Type, prefix+f.Tag.Get("envPrefix"), index)
			}
		}
	}
	if t := reflect.TypeOf(target); t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.Struct {
		walk(t.Elem(), prefix, nil)
	}
	return out
}

func accepts(f reflect.StructField) string {
	if s := f.Tag.Get("accepts"); s != "" {
		return s
	}
	return acceptsType(f.Type)
}

func acceptsType(t reflect.Type) string {
	if t == reflect.TypeFor[time.Duration]() {
		return "a duration such as 250ms, 1.5s or 2m"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return acceptsType(t.Elem())
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "a whole number"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number, not negative"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.String {
			return "a comma-separated list"
		}
		return "a comma-separated list, each " + acceptsType(t.Elem())
	}
	return "text"
}

// A SettingError says that a setting's value is not accepted.
type SettingError struct {
	Key    string // the variable
	Value  string // as given; redacted when it is secret
	Source Source
	Want   string // what is accepted
}

func (e *SettingError) Error() string {
	from := ""
	switch e.Source {
	case FromFlag:
		from = " (flag --" + flagName(e.Key) + ")"
	case FromFile, FromCode:
		from = " (" + string(e.Source) + ")"
	}
	return fmt.Sprintf("%s=%q%s: want %s", e.Key, RedactURL(e.Value), from, e.Want)
}

// Invalid is what Validate and Provision return for a setting whose value they
// do not accept. field is the name of the module's struct field and want says
// what is accepted; the registry makes a [SettingError] of it.
func Invalid(field, want string) error { return &fieldError{field, want} }

type fieldError struct{ field, want string }

func (e *fieldError) Error() string { return e.field + ": want " + e.want }

// given is a value someone gave, and who.
type given struct {
	value  string
	source Source
}

// values are the variables in effect, of which empty ones are not set.
type values map[string]given

// configure fills target: literal, then default, then variable. It takes two
// passes, because env's SetDefaultsForZeroValuesOnly lets a literal beat a
// variable, and without it a default beats a literal.
func configure(target any, settings []Setting, prefix string, vals values) ([]Setting, error) {
	v := reflect.ValueOf(target)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return nil, nil // a module without fields to set
	}
	v = v.Elem()
	vars := map[string]string{}
	for i, s := range settings {
		switch g, ok := vals[s.Key]; {
		case ok:
			vars[s.Key] = g.value
			settings[i].Source = g.source
		case !v.FieldByIndex(s.index).IsZero():
			settings[i].Source = FromCode
		default:
			settings[i].Source = FromDefault
		}
	}
	err := env.ParseWithOptions(target, env.Options{Environment: map[string]string{}, Prefix: prefix, SetDefaultsForZeroValuesOnly: true})
	if err == nil {
		err = env.ParseWithOptions(target, env.Options{Environment: vars, Prefix: prefix, DefaultValueTagName: "-"})
	}
	for i, s := range settings {
		settings[i].Value = format(v.FieldByIndex(s.index))
	}
	return settings, explain(err, settings, vals)
}

// explain makes a SettingError of every error in err that is about a field.
func explain(err error, settings []Setting, vals values) error {
	if err == nil {
		return nil
	}
	if agg, ok := errors.AsType[env.AggregateError](err); ok {
		return explainAll(agg.Errors, settings, vals)
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return explainAll(joined.Unwrap(), settings, vals)
	}
	var field, want string
	switch e := err.(type) {
	case env.ParseError:
		field = e.Name
	case *fieldError:
		field, want = e.field, e.want
	default:
		return err
	}
	for _, s := range settings {
		if s.field != field {
			continue
		}
		bad := &SettingError{Key: s.Key, Value: s.Value, Source: s.Source, Want: want}
		if g, ok := vals[s.Key]; ok {
			bad.Value = g.value
		}
		if want == "" {
			bad.Want = s.Accepts
		}
		if s.Secret {
			bad.Value = Redacted
		}
		return bad
	}
	return err
}

func explainAll(errs []error, settings []Setting, vals values) error {
	var out []error
	for _, e := range errs {
		out = append(out, explain(e, settings, vals))
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

package registry

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/redact"
)

// EnvPrefix starts the name of every variable.
const EnvPrefix = "PODINFO_"

// A Source says where the value of a setting came from. A default that was
// derived says what from.
type Source string

// The sources, weakest first.
const (
	FromDefault Source = "default"
	// A derived default says what it was derived from: "1/4 of 64MiB (cgroup)".
	FromCode        Source = "code"
	FromFile        Source = "config file"
	FromEnvironment Source = "environment"
	FromFlag        Source = "flag"
)

// A Setting is one documented variable.
//
// It is declared by an exported field with an env tag that holds its name (see
// Info.Unprefixed) and nothing else, and may have these tags:
//
//   - envDefault: the default
//   - doc: what it means
//   - accepts: which values, where the type does not say it
//   - secret:"true": the value is a secret, such as a token. It is never shown, and
//     kept to the byte
//   - secret:"part": the value may contain a secret, such as a URL with a password.
//     The secret is redacted wherever the value is shown, and a value that is not
//     accepted is not shown at all, because it is not known where its secret ends
//   - secret:"false": the value is no secret. Without the tag, a field for text is
//     secret if its name says so, like API_KEY
//   - enables:"true": a value that is not zero turns the module on
//   - takes: a word for the value in help texts, where the type does not say it;
//     FILE also makes "podinfo check" read the file
//   - needs:"NAME": without effect while PODINFO_NAME is zero, or its module off
//
// A field with env:"-" is no setting.
type Setting struct {
	Key           string // PODINFO_RANDOM_DELAY_MAX
	Module        string // "" for those of the App itself
	Default       string
	Doc           string
	Accepts       string // which values it accepts, for a person
	Secret        bool   // its value must not be shown
	MayHoldSecret bool   // its value may contain a secret
	Enables       bool   // a value that is not zero turns the module on
	Takes         string // a word for the value: "FILE", "s|ms"
	Needs         string // variable without which it has no effect, "" for none
	Value         string // in effect; only in App.Settings
	Source        Source // only in App.Settings

	kind reflect.Type
}

// Flag returns the name of the flag that sets the variable: random-delay-max.
func (s Setting) Flag() string { return flagName(s.Key) }

// Bool reports whether the flag needs no value.
func (s Setting) Bool() bool { return s.kind != nil && s.kind.Kind() == reflect.Bool }

// List reports whether the flag may be repeated.
func (s Setting) List() bool { return s.kind != nil && s.kind.Kind() == reflect.Slice }

func flagName(key string) string {
	return strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(key, EnvPrefix), "_", "-"))
}

// KeyOf returns the variable of a flag or of a key of the config file.
func KeyOf(flag string) string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// prefix returns what precedes the env tags of i's module.
func (i Info) prefix() string {
	if i.Unprefixed {
		return EnvPrefix
	}
	return i.key("_")
}

// key returns the variable for i's name, PODINFO_RANDOM_DELAY, and a suffix.
func (i Info) key(suffix string) string { return KeyOf(i.Name) + suffix }

// EnabledKey returns the variable that turns the module on or off.
func (i Info) EnabledKey() string { return i.key("_ENABLED") }

// Settings lists what can be set of the App and of mods: their fields, and what
// turns them on. Each variable is listed once. Of modules with one name the
// last one counts, as in New. Mistakes in tags are left to New to report.
func Settings(mods []Module) []Setting {
	own := coreFields()
	var list []declaration
	for _, m := range mods {
		d := declaration{info: m.Info()}
		d.fields, _ = fieldsOf(m, d.info.prefix(), d.info.Name)
		if i := slices.IndexFunc(list, func(x declaration) bool { return x.info.Name == d.info.Name }); i >= 0 {
			list[i] = d
		} else {
			list = append(list, d)
		}
	}
	declared, _ := declare(own, list)
	out := make([]Setting, len(declared))
	for i, s := range declared {
		out[i] = *s
	}
	return out
}

// declaration is a module's settings.
type declaration struct {
	info   Info
	fields []field
}

// declare lists the settings of the App and of the modules, each variable
// once. Two modules that declare a variable with different types, defaults or
// meanings are an error.
func declare(own []field, list []declaration) ([]*Setting, error) {
	count := len(own) + 2*len(list) // at most two variables turn a module on
	for _, d := range list {
		count += len(d.fields)
	}
	out := make([]*Setting, 0, count)
	var errs []error
	at := make(map[string]int, count)
	add := func(s *Setting) {
		i, again := at[s.Key]
		if !again {
			at[s.Key] = len(out)
			out = append(out, s)
			return
		}
		if x := out[i]; x.kind != s.kind || x.Default != s.Default || x.Secret != s.Secret || x.MayHoldSecret != s.MayHoldSecret || x.Doc != s.Doc || x.Accepts != s.Accepts {
			errs = append(errs, fmt.Errorf("modules %s and %s declare %s differently: %v with default %q (%s), %v with default %q (%s); embed one struct in both",
				x.Module, s.Module, s.Key, x.kind, x.Default, x.Doc, s.kind, s.Default, s.Doc))
		}
	}
	for i := range own {
		add(&own[i].Setting)
	}
	for _, d := range list {
		for i := range d.fields {
			add(&d.fields[i].Setting)
		}
		if _, field := at[EnvPrefix+d.info.EnableVar]; d.info.EnableVar != "" && !field {
			add(enableVarSetting(d.info))
		}
		add(enabledSetting(d.info))
	}
	return out, errors.Join(errs...)
}

func enableVarSetting(i Info) *Setting {
	return &Setting{Key: EnvPrefix + i.EnableVar, Module: i.Name, Default: "false", Doc: "turn " + i.Name + " on", Takes: "true|false",
		Accepts: "true or false", kind: reflect.TypeFor[bool]()}
}

func enabledSetting(i Info) *Setting {
	return &Setting{Key: i.EnabledKey(), Module: i.Name, Doc: "turn " + i.Name + " on or off, or have it ready on standby", Takes: "true|false|standby",
		Accepts: "true, false or standby", kind: reflect.TypeFor[bool]()}
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

// A SettingError reports that a setting's value is not accepted.
type SettingError struct {
	Key     string // the variable
	Value   string // as given; Redacted when it is or may contain a secret
	Source  Source
	Want    string // what is accepted, or
	Problem string // what is wrong and what to do

	fallback bool // the default replaces the value
}

func (e *SettingError) Error() string {
	from := ""
	switch e.Source {
	case FromFlag:
		from = " (flag --" + flagName(e.Key) + ")"
	case FromFile, FromCode:
		from = " (" + string(e.Source) + ")"
	}
	problem := redact.Text(e.Problem)
	if problem == "" {
		problem = "want " + e.Want
	}
	return fmt.Sprintf("%s=%q%s: %s", e.Key, redact.Setting(e.Value), from, problem)
}

// Invalid returns the error of Validate and Provision for a setting whose value
// they do not accept. field is the name of the module's struct field and want
// says what is accepted. New makes a [SettingError] of it.
func Invalid(field, want string) error { return &fieldError{field: field, want: want} }

// Unfit is Invalid for a setting that is not worth refusing to start for: its
// default replaces the value, and the App logs a warning. It is for Validate
// only.
func Unfit(field, want string) error {
	return &fieldError{field: field, want: want, fallback: true}
}

type fieldError struct {
	field, want string
	fallback    bool
}

func (e *fieldError) Error() string { return e.field + ": want " + e.want }

// given is a value, and where it was given.
type given struct {
	value  string
	source Source
}

// values are the variables in effect. Empty ones are not set.
type values map[string]given

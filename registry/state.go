package registry

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/seed-4591fe7d/podinfo/internal/suggest"
)

// State is whether a module is on.
type State int

const (
	Off     State = iota // not configured, built, started or linked
	Standby              // started and not linked, ready for App.Switch
	On                   // started and linked
)

// String returns "off", "standby" or "on".
func (s State) String() string { return [...]string{"off", "standby", "on"}[s] }

// decide returns whether a module is on, and what decided it. Weakest first:
// its default, variables of other programs, being given in code, settings with
// the tag enables, upstream's variable, PODINFO_MODULES, PODINFO_<NAME>_ENABLED.
func decide(e *entry, vals values, environ []string) (State, string, error) {
	i := e.info
	state, why := On, "default"
	if i.OptIn {
		state = Off
	}
	if x, ok := e.Module.(Enabler); ok && x.EnabledBy(environ) {
		state, why = On, "environment"
	}
	if e.explicit {
		state, why = On, "code"
	}
	for _, f := range e.fields {
		if g, ok := vals[f.Key]; ok && f.Enables && !isZero(g.value) {
			state, why = On, f.Key
			break
		}
	}
	if g, ok := vals[EnvPrefix+i.EnableVar]; ok && i.EnableVar != "" {
		on, err := enables(g.value, e.fields, EnvPrefix+i.EnableVar)
		if err != nil {
			return Off, "", &SettingError{Key: EnvPrefix + i.EnableVar, Value: g.value, Source: g.source, Want: "true or false"}
		}
		state, why = Off, EnvPrefix+i.EnableVar
		if on {
			state = On
		}
	}
	for term := range terms(vals) {
		name, minus := strings.CutPrefix(term, "-")
		switch {
		case term == "none", minus && name == i.Name:
			state, why = Off, EnvPrefix+"MODULES"
		case term == "all", name == i.Name:
			state, why = On, EnvPrefix+"MODULES"
		}
	}
	if g, ok := vals[i.key("_ENABLED")]; ok {
		why = i.key("_ENABLED")
		on, err := strconv.ParseBool(g.value)
		switch {
		case strings.EqualFold(g.value, "standby"):
			state = Standby
		case err != nil:
			return Off, "", &SettingError{Key: why, Value: g.value, Source: g.source, Want: "true, false or standby"}
		case on:
			state = On
		default:
			state = Off
		}
	}
	if _, port := e.Module.(Listener); port && state == Standby {
		return Off, "", fmt.Errorf("%s=standby: module %s opens a port, which can only be on or off", why, i.Name)
	}
	return state, why, nil
}

// enables reads an upstream variable that turns a module on. One that is also
// a setting of the module, like a port, does so with any value but zero.
func enables(value string, fields []field, key string) (bool, error) {
	on, err := strconv.ParseBool(value)
	i := slices.IndexFunc(fields, func(f field) bool { return f.Key == key })
	if i >= 0 && !fields[i].Bool() {
		return err != nil || on, nil
	}
	return on, err
}

// terms yields the words of PODINFO_MODULES without spaces and leading "+",
// spelled like the names of modules: Random_Error is random-error.
func terms(vals values) func(func(string) bool) {
	return func(yield func(string) bool) {
		for _, t := range strings.Split(vals[EnvPrefix+"MODULES"].value, ",") {
			t = strings.TrimPrefix(strings.TrimSpace(t), "+")
			t = strings.ReplaceAll(strings.ToLower(t), "_", "-")
			if t != "" && !yield(t) {
				return
			}
		}
	}
}

// checkTerms refuses words of PODINFO_MODULES that name no module.
func (a *App) checkTerms(vals values) error {
	for t := range terms(vals) {
		name := strings.TrimPrefix(t, "-")
		if a.index(name) >= 0 || slices.Contains(reserved, t) {
			continue
		}
		var names []string
		for _, e := range a.entries {
			names = append(names, e.info.Name)
		}
		hint := suggest.Word(name, names)
		if hint == "" {
			hint = `; run "podinfo modules" for the list`
		}
		key := EnvPrefix + "MODULES"
		return &SettingError{Key: key, Value: vals[key].value, Source: vals[key].source, Problem: fmt.Sprintf("unknown module %q%s", RedactURL(name), hint)}
	}
	return nil
}

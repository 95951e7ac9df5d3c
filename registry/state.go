package registry

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/seed-4591fe7d/podinfo/internal/suggest"
)

// State is what was decided about a module.
type State int

const (
	Off     State = iota // not configured, built, started or linked
	Standby              // started, linked nowhere, ready for App.Switch
	On                   // started and linked
)

// String is "off", "standby" or "on".
func (s State) String() string { return [...]string{"off", "standby", "on"}[s] }

// decide says whether a module is on, and what decided it. Weakest first: its
// default, being given in code, upstream's switch, PODINFO_MODULES,
// PODINFO_<NAME>_ENABLED.
func decide(e *entry, vals values) (State, string, error) {
	i := e.info
	state, why := On, "default"
	if i.OptIn {
		state = Off
	}
	if e.asked {
		state, why = On, "code"
	}
	if g, ok := vals[EnvPrefix+i.EnableVar]; ok && i.EnableVar != "" {
		on, err := switched(g.value, e.settings, EnvPrefix+i.EnableVar)
		if err != nil {
			return Off, "", &SettingError{EnvPrefix + i.EnableVar, g.value, g.source, "true or false"}
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
		case g.value == "standby":
			state = Standby
		case err != nil:
			return Off, "", &SettingError{why, g.value, g.source, "true, false or standby"}
		case on:
			state = On
		default:
			state = Off
		}
	}
	if _, port := e.Module.(Listener); port && state == Standby {
		return Off, "", fmt.Errorf("%s=standby: %s opens a port, it can only be on or off", why, i.Name)
	}
	return state, why, nil
}

// switched reads an upstream switch. One that is also a setting of the module,
// like a port, is on when it is set to anything but zero.
func switched(value string, settings []Setting, key string) (bool, error) {
	on, err := strconv.ParseBool(value)
	i := slices.IndexFunc(settings, func(s Setting) bool { return s.Key == key })
	if i >= 0 && settings[i].kind.Kind() != reflect.Bool {
		return err != nil || on, nil
	}
	return on, err
}

// terms yields the words of PODINFO_MODULES, without leading "+" and spaces.
func terms(vals values) func(func(string) bool) {
	return func(yield func(string) bool) {
		for _, t := range strings.Split(vals[EnvPrefix+"MODULES"].value, ",") {
			t = strings.TrimPrefix(strings.TrimSpace(t), "+")
			if t != "" && !yield(t) {
				return
			}
		}
	}
}

// checkTerms refuses words of PODINFO_MODULES that name nothing.
func checkTerms(vals values, names []string) error {
	for t := range terms(vals) {
		name := strings.TrimPrefix(t, "-")
		if slices.Contains(names, name) || slices.Contains([]string{"none", "all", "default"}, t) {
			continue
		}
		key := EnvPrefix + "MODULES"
		return &SettingError{key, vals[key].value, vals[key].source,
			fmt.Sprintf("names of modules, and %q is none%s", name, suggest.Word(name, names))}
	}
	return nil
}

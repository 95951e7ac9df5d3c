package registry

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// idle returns the warning about settings that were given and have no effect,
// "" if there are none: their module is off, or they need another setting.
func (a *App) idle(vals values) string {
	var out []string
	off := map[*entry]int{} // the place in out
	for _, s := range a.declared {
		g, given := vals[s.Key]
		if !given || s.isDefault(g.value) {
			continue
		}
		e, on := a.owner(s.Key)
		switch {
		case e == nil:
		case on && a.unmet(s.Needs):
			out = append(out, fmt.Sprintf("%s (needs %s)", s.Key, s.Needs))
		case on || e.switchedOffBy(s.Key, vals):
		default:
			i, again := off[e]
			if !again {
				off[e] = len(out)
				out = append(out, s.Key+e.remedy())
				continue
			}
			out[i] = s.Key + ", " + out[i]
		}
	}
	if len(out) == 0 {
		return ""
	}
	return "settings have no effect: " + strings.Join(out, ", ")
}

// owner returns a module that declares the variable as a field, one that is on
// if possible, and whether it is on or on standby. It returns nil for settings
// of the App and for those that turn modules on and off.
func (a *App) owner(key string) (*entry, bool) {
	var owner *entry
	for _, e := range a.entries {
		if !slices.ContainsFunc(e.fields, func(f field) bool { return f.Key == key }) {
			continue
		}
		if e.state != Off {
			return e, true
		}
		if owner == nil {
			owner = e
		}
	}
	if slices.ContainsFunc(coreFields(), func(f field) bool { return f.Key == key }) {
		return nil, false
	}
	return owner, false
}

// unmet reports whether a variable that a setting needs is zero, or belongs to
// a module that is off. A variable that no module declares is not needed.
func (a *App) unmet(key string) bool {
	if key == "" {
		return false
	}
	settings := a.settings()
	i := slices.IndexFunc(settings, func(s Setting) bool { return s.Key == key })
	if i < 0 {
		return false
	}
	e, on := a.owner(key)
	return e != nil && !on || isZero(settings[i].Value)
}

// switchedOffBy reports whether the variable is upstream's variable for the
// module, with a value that turns it off.
func (e *entry) switchedOffBy(key string, vals values) bool {
	if e.info.EnableVar == "" || key != EnvPrefix+e.info.EnableVar {
		return false
	}
	on, _ := enables(vals[key].value, e.fields, key)
	return !on
}

// withoutSwitch returns vals without upstream's variable for the module, if its
// value turns the module off: a port of 0 is only wrong while the module is on.
func (e *entry) withoutSwitch(vals values) values {
	key := EnvPrefix + e.info.EnableVar
	if _, given := vals[key]; !given || !e.switchedOffBy(key, vals) {
		return vals
	}
	vals = maps.Clone(vals)
	delete(vals, key)
	return vals
}

// remedy says that the module is off, and how to turn it on.
func (e *entry) remedy() string {
	by := ""
	if strings.HasPrefix(e.why, EnvPrefix) {
		by = " by " + e.why
	}
	key := EnvPrefix + e.info.EnableVar
	i := slices.IndexFunc(e.fields, func(f field) bool { return f.Key == key })
	how := e.info.EnabledKey() + "=true"
	switch {
	case e.info.EnableVar == "" || by != "" && e.why != key:
	case i < 0 || e.fields[i].Bool():
		how = key + "=true"
	case e.fields[i].kind.Kind() == reflect.Int:
		how = key
	}
	return fmt.Sprintf(" (module %s is off%s, set %s to turn it on)", e.info.Name, by, how)
}

// isDefault reports whether a value that was given is the default.
func (s Setting) isDefault(value string) bool {
	if s.Bool() {
		given, _ := strconv.ParseBool(value)
		standard, _ := strconv.ParseBool(s.Default)
		return given == standard
	}
	return value == s.Default
}

// isZero reports whether the text is the zero of the types that settings have.
func isZero(value string) bool {
	on, err := strconv.ParseBool(value)
	return value == "" || err == nil && !on || value == "0s"
}

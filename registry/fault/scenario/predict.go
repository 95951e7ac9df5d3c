package scenario

import (
	"reflect"
	"slices"
)

// Unpredictable returns what a simulation cannot know about r: the keys that have
// the tag unpredictable, and how long a fault lasts that makes requests wait.
func (r *Rule) Unpredictable() (out []string) {
	out = unpredictable(reflect.ValueOf(r).Elem(), "")
	faults := []*Fault{r.Fault}
	for _, c := range r.Choose {
		faults = append(faults, c.Fault)
	}
	for _, f := range faults {
		for _, k := range f.Kinds() {
			if text := "fault." + k.Name + ": how long it lasts"; k.Waits && !slices.Contains(out, text) {
				out = append(out, text)
			}
		}
	}
	return out
}

func unpredictable(v reflect.Value, path string) (out []string) {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct {
		return nil
	}
	for f, value := range v.Fields() {
		key := keyOf(f)
		if key == "" || value.IsZero() {
			continue
		}
		if what := f.Tag.Get("unpredictable"); what != "" {
			out = append(out, join(path, key)+": "+what)
		}
		out = append(out, unpredictable(value, join(path, key))...)
	}
	return out
}

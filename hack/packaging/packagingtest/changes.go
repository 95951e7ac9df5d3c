package packagingtest

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// A Change is how one object differs between two manifests.
type Change struct {
	Object string   // kind and name
	New    string   // text of an object that only the second manifest has
	Gone   bool     // only the first manifest has the object
	Fields []string // changed fields, "+ path: value" and "- path: value"
}

// Changes returns the differences between two manifests: changed and missing
// objects in the order of the first, then new objects in the order of the
// second. The order of fields and of named list items is no difference.
func Changes(t *testing.T, base, got string) (changes []Change) {
	t.Helper()
	before, after := documents(t, base), documents(t, got)
	find := func(in []document, id string) *document {
		i := slices.IndexFunc(in, func(d document) bool { return d.id == id })
		if i < 0 {
			return nil
		}
		return &in[i]
	}
	for _, a := range before {
		b := find(after, a.id)
		if b == nil {
			changes = append(changes, Change{Object: a.id, Gone: true})
		} else if fields := diff("", a.fields, b.fields); len(fields) > 0 {
			changes = append(changes, Change{Object: a.id, Fields: fields})
		}
	}
	for _, b := range after {
		if find(before, b.id) == nil {
			changes = append(changes, Change{Object: b.id, New: b.text})
		}
	}
	return changes
}

// Summary lists the changes with the changed fields, but without the text of
// the new objects.
func Summary(changes []Change) string {
	var out strings.Builder
	for _, c := range changes {
		switch {
		case c.Gone:
			fmt.Fprintf(&out, "- %s\n", c.Object)
		case c.New != "":
			fmt.Fprintf(&out, "+ %s\n", c.Object)
		default:
			fmt.Fprintf(&out, "~ %s\n", c.Object)
			for _, f := range c.Fields {
				fmt.Fprintf(&out, "  %s\n", f)
			}
		}
	}
	return out.String()
}

// WantSummary compares the summary of the changes with want, which may begin
// with a line break.
func WantSummary(t *testing.T, name, want string, changes []Change) {
	t.Helper()
	want = strings.TrimPrefix(want, "\n")
	if got := Summary(changes); got != want {
		t.Errorf("%s: got the changes\n%swant\n%s", name, got, want)
	}
}

// Report is the summary followed by the text of each new object.
func Report(changes []Change) string {
	var out strings.Builder
	out.WriteString(Summary(changes))
	for _, c := range changes {
		if c.New != "" {
			fmt.Fprintf(&out, "---\n%s\n", c.New)
		}
	}
	return out.String()
}

// Objects lists the objects of a manifest by kind and name.
func Objects(t *testing.T, manifest string) (ids []string) {
	t.Helper()
	for _, d := range documents(t, manifest) {
		ids = append(ids, d.id)
	}
	return ids
}

type document struct {
	id     string
	text   string
	fields map[string]any
}

func documents(t *testing.T, manifest string) (docs []document) {
	t.Helper()
	for text := range strings.SplitSeq("\n"+manifest, "\n---\n") {
		d := document{text: strings.TrimSpace(text)}
		if err := yaml.UnmarshalStrict([]byte(text), &d.fields); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if len(d.fields) == 0 {
			continue
		}
		metadata, _ := d.fields["metadata"].(map[string]any)
		d.id = fmt.Sprint(d.fields["kind"], " ", metadata["name"])
		docs = append(docs, d)
	}
	return docs
}

// diff returns the lines that describe how b differs from a at path.
func diff(path string, a, b any) []string {
	if reflect.DeepEqual(a, b) {
		return nil
	}
	before, isMap := a.(map[string]any)
	after, areMaps := b.(map[string]any)
	if isMap && areMaps {
		return diffFields(path, before, after, fieldPath)
	}
	old, isList := a.([]any)
	now, areLists := b.([]any)
	if isList && areLists {
		return diffLists(path, old, now)
	}
	if x, y := textLines(a), textLines(b); len(x) > 1 && len(y) > 1 {
		return diffScalars(path, x, y)
	}
	var lines []string
	if a != nil {
		lines = append(lines, fmt.Sprintf("- %s: %s", path, literal(a)))
	}
	if b != nil {
		lines = append(lines, fmt.Sprintf("+ %s: %s", path, literal(b)))
	}
	return lines
}

func diffFields(path string, a, b map[string]any, join func(path, key string) string) (lines []string) {
	keys := slices.Concat(slices.Collect(maps.Keys(a)), slices.Collect(maps.Keys(b)))
	slices.Sort(keys)
	for _, key := range slices.Compact(keys) {
		lines = append(lines, diff(join(path, key), a[key], b[key])...)
	}
	return lines
}

// diffLists compares items that have a name by it, scalars as a set with
// repetitions, and other items by their index.
func diffLists(path string, a, b []any) (lines []string) {
	for _, key := range []string{"mountPath", "name"} {
		before, ok := byKey(a, key)
		after, okAfter := byKey(b, key)
		if ok && okAfter {
			return diffFields(path, before, after, itemPath)
		}
	}
	if scalars(a) && scalars(b) {
		return diffScalars(path, a, b)
	}
	for i := range max(len(a), len(b)) {
		var before, after any
		if i < len(a) {
			before = a[i]
		}
		if i < len(b) {
			after = b[i]
		}
		lines = append(lines, diff(fmt.Sprintf("%s[%d]", path, i), before, after)...)
	}
	return lines
}

// diffScalars compares lists as sets with repetitions, and texts of several
// lines by their lines.
func diffScalars(path string, a, b []any) (lines []string) {
	rest := textLines(b...)
	for _, v := range textLines(a...) {
		if i := slices.Index(rest, v); i >= 0 {
			rest = slices.Delete(rest, i, i+1)
		} else {
			lines = append(lines, diff(path+"[]", v, nil)...)
		}
	}
	for _, v := range rest {
		lines = append(lines, diff(path+"[]", nil, v)...)
	}
	if len(lines) == 0 { // the same items in another order
		return []string{fmt.Sprintf("- %s: %s", path, literal(a)), fmt.Sprintf("+ %s: %s", path, literal(b))}
	}
	return lines
}

// textLines returns the values with each text split into its lines.
func textLines(values ...any) (lines []any) {
	for _, v := range values {
		text, ok := v.(string)
		if !ok {
			lines = append(lines, v)
			continue
		}
		for line := range strings.SplitSeq(text, "\n") {
			lines = append(lines, line)
		}
	}
	return lines
}

// byKey returns the items of a list, without the field key, by its value. It
// returns false unless each item has the field and no two share a value.
func byKey(list []any, key string) (map[string]any, bool) {
	items := map[string]any{}
	for _, v := range list {
		item, _ := v.(map[string]any)
		name, ok := item[key].(string)
		if !ok {
			return nil, false
		}
		rest := maps.Clone(item)
		delete(rest, key)
		items[name] = rest
	}
	return items, len(items) == len(list)
}

func scalars(list []any) bool {
	return !slices.ContainsFunc(list, func(v any) bool {
		switch v.(type) {
		case map[string]any, []any:
			return true
		}
		return false
	})
}

func fieldPath(path, key string) string {
	switch {
	case strings.ContainsAny(key, "./"):
		return fmt.Sprintf("%s[%s]", path, key)
	case path == "":
		return key
	}
	return path + "." + key
}

func itemPath(path, key string) string { return fmt.Sprintf("%s[%s]", path, key) }

// literal is a value in one line. Strings are quoted, so that "1" and 1 differ.
func literal(v any) string {
	var out strings.Builder
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err.Error()
	}
	return strings.TrimSpace(out.String())
}

package scenario_test

import (
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// key is a key of the schema.
type key struct {
	Type       any
	Properties map[string]*key
	Items      *key
	AnyOf      []*key
	Enum       []any
	Default    any
	Examples   []any
}

// leaf reports whether k has no keys of its own.
func (k *key) leaf() bool {
	return len(k.Properties) == 0 && (k.Items == nil || k.Items.leaf()) && !slices.ContainsFunc(k.AnyOf, func(k *key) bool { return !k.leaf() })
}

// each calls f for every key below k.
func (k *key) each(path string, f func(path string, k *key)) {
	for _, in := range append(k.AnyOf, k.Items) {
		if in != nil {
			in.each(path, f)
		}
	}
	if k.Items != nil {
		path += "[]"
	}
	for name, p := range k.Properties {
		at := strings.TrimPrefix(path+"."+name, ".")
		f(at, p)
		if p.Items != nil {
			at += "[]"
		}
		p.each(at, f)
	}
}

// TestSchemaShowsValues checks that each key of the schema has an example, or names
// its values, and that examples and defaults are values that the decoder accepts.
func TestSchemaShowsValues(t *testing.T) {
	var root key
	if err := json.Unmarshal(scenario.Schema(), &root); err != nil {
		t.Fatal(err)
	}
	refused := regexp.MustCompile("is not|out of range|unknown key|invalid|longer than|reserved")
	keys := 0
	root.each("", func(path string, k *key) {
		keys++
		if k.leaf() && len(k.Examples) == 0 && len(k.Enum) == 0 && k.Type != "boolean" {
			t.Errorf("%s: add the tag example", path)
		}
		if k.Type == "boolean" && k.Default != false {
			t.Errorf("%s: no default", path)
		}
		values := k.Examples
		if k.Default != nil {
			values = append(values, k.Default)
		}
		for _, v := range values {
			names := strings.Split(path, ".")
			for i := len(names) - 1; i >= 0; i-- {
				name, list := strings.CutSuffix(names[i], "[]")
				if list {
					v = []any{v}
				}
				if name == "rules" && i == 0 {
					if rule, ok := v.([]any)[0].(map[string]any); ok && rule["name"] == nil {
						rule["name"] = "r"
					}
				}
				v = map[string]any{name: v}
			}
			file, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			_, err = scenario.Parse("f", file)
			joined, _ := err.(interface{ Unwrap() []error })
			if joined == nil {
				continue
			}
			for _, err := range joined.Unwrap() {
				e, ok := errors.AsType[*scenario.Error](err)
				if ok && refused.MatchString(e.Problem) && !strings.Contains(e.Problem, "is not OK") {
					t.Errorf("%s: %s: %v", path, file, e)
				}
			}
		}
	})
	if keys < 150 {
		t.Errorf("only %d keys", keys)
	}
}

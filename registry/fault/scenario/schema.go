package scenario

import (
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// object is a part of a JSON Schema.
type object map[string]any

// Schema returns the JSON Schema (2020-12) of a scenario, which lets editors
// complete scenarios. It is generated from the types. It accepts everything that
// Parse accepts except quoted numbers, and lacks only the checks of Parse that
// involve several fields.
func Schema() []byte {
	s := schemaOf(reflect.TypeFor[Scenario](), "")
	s["$schema"], s["title"] = "https://json-schema.org/draft/2020-12/schema", "podinfo fault scenario"
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		panic(err) // impossible: the schema consists of strings and numbers
	}
	return append(b, '\n')
}

const (
	durationText = `^(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+$|^0$`
	percentText  = `^(100|[0-9]{1,2}(\.[0-9]+)?)%?$`
	clockText    = `^([01]?[0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$`
)

func schemaOf(t reflect.Type, tag reflect.StructTag) object {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if scalar := tag.Get("scalar"); scalar != "" {
		f, _ := fieldOf(t, scalar)
		return object{"anyOf": []object{schemaOf(f.Type, f.Tag), schemaOf(t, "")}}
	}
	switch t {
	case reflect.TypeFor[Duration]():
		return object{"type": []string{"string", "integer"}, "pattern": durationText, "minimum": 0, "maximum": 0}
	case reflect.TypeFor[Clock]():
		return object{"type": "string", "pattern": clockText}
	case reflect.TypeFor[Time]():
		return object{"type": "string", "format": "date-time"}
	case reflect.TypeFor[Sync]():
		return object{"enum": []Sync{Fleet}}
	case reflect.TypeFor[Texts]():
		one := schemaOf(reflect.TypeFor[string](), "")
		return object{"anyOf": []object{one, {"type": "array", "items": one, "minItems": 1}}}
	case reflect.TypeFor[Percent]():
		return object{"type": []string{"string", "number"}, "pattern": percentText, "minimum": 0, "maximum": 100}
	case reflect.TypeFor[Weekday]():
		return object{"enum": weekdays()}
	case reflect.TypeFor[Outcome]():
		return object{"enum": []Outcome{Hit, Pass}}
	case reflect.TypeFor[RetryForm]():
		return object{"enum": []RetryForm{Seconds, Date}}
	case reflect.TypeFor[Stage]():
		return object{"enum": []Stage{BeforeHandler, AfterHandler}}
	case reflect.TypeFor[HTTP2Code]():
		return object{"enum": HTTP2Codes()}
	case reflect.TypeFor[At]():
		return object{"enum": []At{Before, Chunks, Both}}
	case reflect.TypeFor[Certificate]():
		return object{"enum": Certificates()}
	case reflect.TypeFor[TLSEnd]():
		return object{"enum": TLSEnds()}
	case reflect.TypeFor[Direction]():
		return object{"enum": []Direction{Out, In, BothWay}}
	case reflect.TypeFor[rpc.Code]():
		return object{"type": []string{"string", "integer"}, "examples": screaming()[1:]}
	}
	switch t.Kind() {
	case reflect.Struct:
		return structSchema(t, tag.Get("omits"))
	case reflect.Map:
		s := object{"type": "object", "additionalProperties": schemaOf(t.Elem(), "")}
		if t.Elem() == reflect.TypeFor[Duration]() {
			s = object{"type": "object", "patternProperties": object{percentile().String(): schemaOf(t.Elem(), "")}, "additionalProperties": false}
		}
		return s
	case reflect.Slice:
		s := object{"type": "array", "items": schemaOf(t.Elem(), "")}
		if t != reflect.TypeFor[[]*Rule]() {
			s["minItems"] = 1
		}
		return s
	case reflect.String:
		s := object{"type": []string{"string", "number", "boolean"}} // 1 is read as "1"
		if tag.Get("accepts") == "name" {
			s = object{"type": "string", "pattern": ruleName().String()}
		}
		return s
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Float64:
		return within(object{"type": "number"}, tag)
	case reflect.Uint64:
		if tag.Get("min") == "" {
			tag += ` min:"0"`
		}
	}
	return within(object{"type": "integer"}, tag)
}

func within(s object, tag reflect.StructTag) object {
	for limit, key := range map[string]string{"min": "minimum", "max": "maximum"} {
		if x, err := strconv.ParseFloat(tag.Get(limit), 64); err == nil {
			s[key] = x
		}
	}
	return s
}

// structSchema leaves out the fields in omits, a list with commas.
func structSchema(t reflect.Type, omits string) object {
	properties, required := object{}, []string{}
	s := object{"type": "object", "additionalProperties": false, "properties": properties}
	for f := range t.Fields() {
		if slices.Contains(strings.Split(omits, ","), keyOf(f)) {
			continue
		}
		p := schemaOf(f.Type, f.Tag)
		p["description"] = description(f.Tag)
		if example := f.Tag.Get("example"); example != "" && p["examples"] == nil {
			p["examples"] = []any{fromYAML(example)}
		}
		if value := f.Tag.Get("default"); value != "" {
			p["default"] = fromYAML(value)
		} else if f.Type.Kind() == reflect.Bool {
			p["default"] = false
		}
		properties[keyOf(f)] = p
		if f.Tag.Get("required") != "" {
			required = append(required, keyOf(f))
		}
		if f.Tag.Get("percentiles") != "" {
			s["patternProperties"] = object{percentile().String(): schemaOf(reflect.TypeFor[Duration](), "")}
		}
	}
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}

// description describes a field: by its tag doc or, for a kind of fault, by what
// it does in each scope.
func description(tag reflect.StructTag) string {
	var parts []string
	if doc := tag.Get("doc"); doc != "" {
		parts = append(parts, doc)
	}
	for s := range scopeCount {
		if does := tag.Get(s.String()); does != "" && !strings.HasPrefix(does, not) {
			parts = append(parts, scopeTitles[s]+": "+does)
		}
	}
	return strings.Join(parts, ". ")
}

func fromYAML(text string) (v any) {
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		panic(err) // a test reads every example
	}
	return v
}

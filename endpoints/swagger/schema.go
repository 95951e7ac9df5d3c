package swagger

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// schema is a Schema Object of Swagger 2.0.
type schema struct {
	Ref                  string            `json:"$ref,omitempty"`
	Type                 string            `json:"type,omitempty"`
	Format               string            `json:"format,omitempty"`
	Items                *schema           `json:"items,omitempty"`
	Properties           map[string]schema `json:"properties,omitempty"`
	AdditionalProperties *schema           `json:"additionalProperties,omitempty"`
}

// schemas makes the schemas of Go types the way encoding/json writes them.
type schemas struct {
	definitions map[string]schema // of named structs
	named       map[string]reflect.Type
}

// of is the schema of a reply's sample.
func (s *schemas) of(sample any) schema {
	if _, raw := sample.([]byte); raw {
		return schema{Type: "string", Format: "binary"}
	}
	return s.ofType(reflect.TypeOf(sample))
}

func (s *schemas) ofType(t reflect.Type) schema {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return schema{Type: "string", Format: "date-time"}
	case t.Implements(reflect.TypeFor[json.Marshaler]()):
		return schema{} // anything
	case t.Implements(reflect.TypeFor[encoding.TextMarshaler]()):
		return schema{Type: "string"}
	}
	switch t.Kind() {
	case reflect.Bool:
		return schema{Type: "boolean"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return schema{Type: "integer"}
	case reflect.Float32, reflect.Float64:
		return schema{Type: "number"}
	case reflect.String:
		return schema{Type: "string"}
	case reflect.Pointer:
		return s.ofType(t.Elem())
	case reflect.Slice, reflect.Array:
		if t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8 {
			return schema{Type: "string", Format: "byte"} // base64
		}
		items := s.ofType(t.Elem())
		return schema{Type: "array", Items: &items}
	case reflect.Map:
		values := s.ofType(t.Elem())
		return schema{Type: "object", AdditionalProperties: &values}
	case reflect.Struct:
		return s.ofStruct(t)
	}
	return schema{} // an interface: anything
}

// ofStruct defines a named struct once and refers to it.
func (s *schemas) ofStruct(t reflect.Type) schema {
	if t.Name() == "" {
		return schema{Type: "object", Properties: s.properties(t)}
	}
	name := s.name(t)
	if _, defined := s.definitions[name]; !defined {
		s.definitions[name] = schema{} // for a struct that holds itself
		s.definitions[name] = schema{Type: "object", Properties: s.properties(t)}
	}
	return schema{Ref: "#/definitions/" + name}
}

// name is package and type, with a number when two packages have one name.
func (s *schemas) name(t reflect.Type) string {
	plain := strings.Map(func(r rune) rune {
		if strings.ContainsRune("[]*, /", r) {
			return '_'
		}
		return r
	}, t.String())
	name := plain
	for n := 2; s.named[name] != nil && s.named[name] != t; n++ {
		name = plain + decimal(n)
	}
	if s.named == nil {
		s.named = map[string]reflect.Type{}
	}
	s.named[name] = t
	return name
}

func (s *schemas) properties(t reflect.Type) map[string]schema {
	out := map[string]schema{}
	for _, f := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		inlined := f.Anonymous && name == "" // its fields are visible themselves
		if !f.IsExported() || inlined || name == "-" {
			continue
		}
		if name == "" {
			name = f.Name
		}
		p := s.ofType(f.Type)
		if strings.Contains(options, "string") {
			p = schema{Type: "string"}
		}
		out[name] = p
	}
	return out
}

func decimal(n int) string { return strconv.Itoa(n) }

// Package apidoc is what the documents of APIs have in common: the schemas of Go
// types, and what is to be said of a route.
package apidoc

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Schema is a Schema Object, as far as Swagger 2.0 and OpenAPI 3.1 agree on it.
type Schema struct {
	Ref                  string            `json:"$ref,omitempty"`
	Type                 string            `json:"type,omitempty"`
	Format               string            `json:"format,omitempty"`
	Items                *Schema           `json:"items,omitempty"`
	Properties           map[string]Schema `json:"properties,omitempty"`
	AdditionalProperties *Schema           `json:"additionalProperties,omitempty"`
}

// Schemas makes the schemas of Go types the way encoding/json writes them.
type Schemas struct {
	Base  string            // what a reference begins with: "#/definitions/"
	Named map[string]Schema // of structs, by package and name; one that is there is not made
	types map[string]reflect.Type
}

// Of is the schema of a reply's sample.
func (s *Schemas) Of(sample any) Schema {
	if _, raw := sample.([]byte); raw {
		return Schema{Type: "string", Format: "binary"}
	}
	return s.ofType(reflect.TypeOf(sample))
}

func (s *Schemas) ofType(t reflect.Type) Schema {
	switch {
	case t == reflect.TypeFor[time.Time](), t == reflect.TypeFor[*time.Time]():
		return Schema{Type: "string", Format: "date-time"}
	case t.Implements(reflect.TypeFor[json.Marshaler]()):
		return Schema{} // anything
	case t.Implements(reflect.TypeFor[encoding.TextMarshaler]()):
		return Schema{Type: "string"}
	}
	switch t.Kind() {
	case reflect.Bool:
		return Schema{Type: "boolean"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return Schema{Type: "integer"}
	case reflect.Float32, reflect.Float64:
		return Schema{Type: "number"}
	case reflect.String:
		return Schema{Type: "string"}
	case reflect.Pointer:
		return s.ofType(t.Elem())
	case reflect.Slice, reflect.Array:
		if t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8 {
			return Schema{Type: "string", Format: "byte"} // base64
		}
		items := s.ofType(t.Elem())
		return Schema{Type: "array", Items: &items}
	case reflect.Map:
		values := s.ofType(t.Elem())
		return Schema{Type: "object", AdditionalProperties: &values}
	case reflect.Struct:
		return s.ofStruct(t)
	}
	return Schema{} // an interface: anything
}

// ofStruct defines a named struct once and refers to it.
func (s *Schemas) ofStruct(t reflect.Type) Schema {
	if t.Name() == "" {
		return Schema{Type: "object", Properties: s.properties(t)}
	}
	name := s.name(t)
	if _, defined := s.Named[name]; !defined {
		s.Named[name] = Schema{} // for a struct that holds itself
		s.Named[name] = Schema{Type: "object", Properties: s.properties(t)}
	}
	return Schema{Ref: s.Base + name}
}

// name is package and type, with a number when two packages have one name.
func (s *Schemas) name(t reflect.Type) string {
	plain := strings.Map(func(r rune) rune {
		if strings.ContainsRune("[]*, /", r) {
			return '_'
		}
		return r
	}, t.String())
	name := plain
	for n := 2; s.types[name] != nil && s.types[name] != t; n++ {
		name = plain + strconv.Itoa(n)
	}
	if s.types == nil {
		s.types = map[string]reflect.Type{}
	}
	s.types[name] = t
	return name
}

func (s *Schemas) properties(t reflect.Type) map[string]Schema {
	out := map[string]Schema{}
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
			p = Schema{Type: "string"}
		}
		out[name] = p
	}
	return out
}

// Package apidoc describes an API as OpenAPI 3.1: the operations of its routes and
// the schemas of Go types. Documents in other formats are made from the same
// description.
package apidoc

import (
	"encoding"
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Schema is a Schema Object, with the fields that Swagger 2.0 and OpenAPI 3.1 share.
type Schema struct {
	Ref                  string            `json:"$ref,omitempty"`
	Type                 string            `json:"type,omitempty"`
	Format               string            `json:"format,omitempty"`
	Items                *Schema           `json:"items,omitempty"`
	Properties           map[string]Schema `json:"properties,omitempty"`
	AdditionalProperties *Schema           `json:"additionalProperties,omitempty"`
	Required             []string          `json:"required,omitempty"`
}

// Text is the schema of a text.
var Text = Schema{Type: "string"}

// Schemas derives schemas of Go types as encoding/json marshals them.
type Schemas struct {
	Base     string            // with which references begin: "#/definitions/"
	Named    map[string]Schema // of structs, by package and name; an entry that exists is kept
	Required bool              // list the properties that a JSON object always has
	types    map[string]reflect.Type
}

// Ref returns the schema that refers to a named one.
func (s *Schemas) Ref(name string) Schema { return Schema{Ref: s.Base + name} }

// Of returns the schema of a response's sample.
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
		return Schema{} // any value
	case t.Implements(reflect.TypeFor[encoding.TextMarshaler]()):
		return Text
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
		return Text
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
	return Schema{} // an interface: any value
}

// ofStruct defines a named struct once and returns a reference to it.
func (s *Schemas) ofStruct(t reflect.Type) Schema {
	if t.Name() == "" {
		return s.object(t)
	}
	name := s.name(t)
	if _, defined := s.Named[name]; !defined {
		s.Named[name] = Schema{} // ends the recursion of a struct that contains itself
		s.Named[name] = s.object(t)
	}
	return s.Ref(name)
}

// name returns the names of package and type, and a number where two packages
// share both.
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

// object returns the schema of a struct, with its fields by their names in JSON.
func (s *Schemas) object(t reflect.Type) Schema {
	out := Schema{Type: "object", Properties: map[string]Schema{}}
	for _, f := range reflect.VisibleFields(t) {
		name, tag, _ := strings.Cut(f.Tag.Get("json"), ",")
		inlined := f.Anonymous && name == "" // VisibleFields lists its fields too
		if !f.IsExported() || inlined || name == "-" {
			continue
		}
		if name == "" {
			name = f.Name
		}
		p := s.ofType(f.Type)
		options := strings.Split(tag, ",")
		if slices.Contains(options, "string") {
			p = Text
		}
		if s.Required && !slices.Contains(options, "omitempty") && !slices.Contains(options, "omitzero") {
			out.Required = append(out.Required, name)
		}
		out.Properties[name] = p
	}
	return out
}

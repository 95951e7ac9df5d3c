package swagger

import (
	"cmp"
	"maps"
	"slices"

	"github.com/seed-4591fe7d/podinfo/internal/apidoc"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// The parts of a Swagger 2.0 document (https://swagger.io/specification/v2/) that
// operations need.
type (
	document struct {
		Swagger     string                          `json:"swagger"`
		Info        information                     `json:"info"`
		BasePath    string                          `json:"basePath"`
		Paths       map[string]map[string]operation `json:"paths"` // by path and method
		Definitions map[string]apidoc.Schema        `json:"definitions,omitempty"`
	}
	information struct {
		apidoc.Info
		License license `json:"license"`
	}
	license struct {
		Name string `json:"name"`
		URL  string `json:"url"`
	}
	operation struct {
		Tags       []string            `json:"tags,omitempty"`
		Summary    string              `json:"summary"`
		Consumes   []string            `json:"consumes,omitempty"`
		Produces   []string            `json:"produces,omitempty"`
		Parameters []parameter         `json:"parameters,omitempty"`
		Responses  map[string]response `json:"responses"` // by status
	}
	parameter struct {
		Name        string         `json:"name"`
		In          string         `json:"in"`
		Description string         `json:"description,omitempty"`
		Required    bool           `json:"required,omitempty"`
		Type        string         `json:"type,omitempty"`
		Schema      *apidoc.Schema `json:"schema,omitempty"`
	}
	response struct {
		Description string         `json:"description"`
		Schema      *apidoc.Schema `json:"schema,omitempty"`
	}
)

// newDocument describes the routes that have a summary.
func newDocument(routes []registry.Route, version, prefix string) document {
	types := apidoc.Schemas{Base: "#/definitions/", Named: map[string]apidoc.Schema{}}
	doc := document{
		Swagger: "2.0",
		Info: information{apidoc.Info{Title: "Podinfo API", Version: version},
			license{"Apache-2.0", "https://www.apache.org/licenses/LICENSE-2.0"}},
		BasePath:    cmp.Or(prefix, "/"),
		Paths:       map[string]map[string]operation{},
		Definitions: types.Named,
	}
	for path, operations := range apidoc.Describe(routes, &types) {
		doc.Paths[path] = map[string]operation{}
		for method, op := range operations {
			doc.Paths[path][method] = newOperation(op)
		}
	}
	return doc
}

func newOperation(op *apidoc.Operation) operation {
	out := operation{Tags: op.Tags, Summary: op.Summary, Responses: map[string]response{}}
	for _, p := range op.Parameters {
		out.Parameters = append(out.Parameters, parameter{Name: p.Name, In: p.In, Description: p.Description, Required: p.Required, Type: p.Schema.Type})
	}
	if b := op.RequestBody; b != nil {
		out.Consumes = slices.Sorted(maps.Keys(b.Content))
		schema := b.Content[out.Consumes[0]].Schema // the format has one for all
		out.Parameters = append(out.Parameters, parameter{Name: "body", In: "body", Description: b.Description, Required: b.Required, Schema: &schema})
	}
	for status, r := range op.Responses {
		res := response{Description: r.Description}
		for media, body := range r.Content { // only one
			res.Schema = &body.Schema
			if !slices.Contains(out.Produces, media) {
				out.Produces = append(out.Produces, media)
			}
		}
		out.Responses[status] = res
	}
	slices.Sort(out.Produces)
	return out
}

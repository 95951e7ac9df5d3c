package swagger

import (
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
		Info        apidoc.Info                     `json:"info"`
		BasePath    string                          `json:"basePath"`
		Paths       map[string]map[string]operation `json:"paths"` // by path and method
		Definitions map[string]apidoc.Schema        `json:"definitions,omitempty"`
		Security    map[string]securityScheme       `json:"securityDefinitions,omitempty"`
	}
	securityScheme struct {
		Type        string `json:"type"`
		Description string `json:"description"`
		Name        string `json:"name"` // of the header
		In          string `json:"in"`
	}
	operation struct {
		ID         string              `json:"operationId,omitempty"`
		Tags       []string            `json:"tags,omitempty"`
		Summary    string              `json:"summary"`
		Consumes   []string            `json:"consumes,omitempty"`
		Produces   []string            `json:"produces,omitempty"`
		Parameters []parameter         `json:"parameters,omitempty"`
		Responses  map[string]response `json:"responses"` // by status

		Security []map[string][]string `json:"security,omitempty"` // alternatives
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

// info names the API.
func info(version string) apidoc.Info {
	return apidoc.Info{Title: "Podinfo API", Version: version,
		License: &apidoc.License{Name: "Apache-2.0", URL: "https://www.apache.org/licenses/LICENSE-2.0"}}
}

// newOpenAPI describes the routes that have a summary as OpenAPI 3.1.
func newOpenAPI(routes []registry.Route, version, base string) *apidoc.Document {
	types := &apidoc.Schemas{Base: apidoc.OpenAPIBase, Named: map[string]apidoc.Schema{}, Required: true}
	doc := apidoc.NewDocument(info(version), apidoc.Describe(routes, types), types)
	doc.Servers = []apidoc.Server{{URL: base}}
	return doc
}

// newSwagger describes the same routes as Swagger 2.0, for Linkerd, Gloo and other
// programs that read paths, methods and statuses. The format has no bearer tokens, which
// are described as the header.
func newSwagger(routes []registry.Route, version, base string) document {
	types := &apidoc.Schemas{Base: "#/definitions/", Named: map[string]apidoc.Schema{}}
	doc := document{
		Swagger:     "2.0",
		Info:        info(version),
		BasePath:    base,
		Paths:       map[string]map[string]operation{},
		Definitions: types.Named,
	}
	for path, operations := range apidoc.Describe(routes, types) {
		doc.Paths[path] = map[string]operation{}
		for method, op := range operations {
			doc.Paths[path][method] = newOperation(op)
			if op.Security != nil {
				doc.Security = map[string]securityScheme{apidoc.Bearer: {"apiKey", "Bearer and the token", "Authorization", "header"}}
			}
		}
	}
	return doc
}

func newOperation(op *apidoc.Operation) operation {
	out := operation{ID: op.ID, Security: op.Security, Tags: op.Tags, Summary: op.Summary, Responses: map[string]response{}}
	for _, p := range op.Parameters {
		out.Parameters = append(out.Parameters, parameter{Name: p.Name, In: p.In, Description: p.Description, Required: p.Required, Type: p.Schema.Type})
	}
	if b := op.RequestBody; b != nil {
		out.Consumes = slices.Sorted(maps.Keys(b.Content))
		schema := b.Content[out.Consumes[0]].Schema // the format has one for all
		out.Parameters = append(out.Parameters, parameter{Name: "body", In: "body", Description: b.Description, Required: b.Required, Schema: &schema})
	}
	for status, r := range op.Responses {
		if status == "default" && len(op.Responses) > 1 {
			continue // programs that derive rules from statuses, such as Linkerd, need numbers
		}
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

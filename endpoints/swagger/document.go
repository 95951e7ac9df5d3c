package swagger

import (
	"slices"
	"strconv"
	"strings"

	"github.com/seed-4591fe7d/podinfo/internal/apidoc"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// The parts of a Swagger 2.0 document
// (https://swagger.io/specification/v2/) that routes need.
type (
	document struct {
		Swagger     string                          `json:"swagger"`
		Info        information                     `json:"info"`
		BasePath    string                          `json:"basePath"`
		Paths       map[string]map[string]operation `json:"paths"` // by path and method
		Definitions map[string]apidoc.Schema        `json:"definitions,omitempty"`
	}
	information struct {
		Title   string  `json:"title"`
		Version string  `json:"version"`
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

// describe documents the routes that have a summary.
func describe(routes []registry.Mounted, version, prefix string) document {
	types := apidoc.Schemas{Base: "#/definitions/", Named: map[string]apidoc.Schema{}}
	doc := document{
		Swagger: "2.0",
		Info: information{"Podinfo API", version,
			license{"Apache-2.0", "https://www.apache.org/licenses/LICENSE-2.0"}},
		BasePath:    prefix,
		Paths:       map[string]map[string]operation{},
		Definitions: types.Named,
	}
	if prefix == "" {
		doc.BasePath = "/"
	}
	for _, rt := range routes {
		if rt.Summary == "" {
			continue
		}
		path := strings.ReplaceAll(rt.Path, "...}", "}")
		if doc.Paths[path] == nil {
			doc.Paths[path] = map[string]operation{}
		}
		for _, method := range methods(rt.Route) {
			if _, taken := doc.Paths[path][method]; !taken { // the first route that accepts a request gets it
				doc.Paths[path][method] = describeRoute(rt.Route, method, &types)
			}
		}
	}
	return doc
}

// methods are those that a route is documented under. One that takes every
// method is shown with those that make sense.
func methods(rt registry.Route) []string {
	switch {
	case rt.Method != "":
		return []string{strings.ToLower(rt.Method)}
	case rt.Body != "":
		return []string{"get", "post"}
	}
	return []string{"get"}
}

func describeRoute(rt registry.Route, method string, types *apidoc.Schemas) operation {
	op := operation{Summary: rt.Summary, Parameters: pathParameters(rt), Responses: map[string]response{}}
	if rt.Tag != "" {
		op.Tags = []string{rt.Tag}
	}
	if rt.Body != "" && method != "get" {
		op.Consumes = []string{"text/plain"}
		op.Parameters = append(op.Parameters, parameter{Name: "body", In: "body", Description: rt.Body, Schema: &apidoc.Schema{Type: "string"}})
	}
	for code, sample := range rt.Returns {
		status, media := describeReply(code, sample, types)
		op.Responses[strconv.Itoa(code)] = status
		if media != "" && !slices.Contains(op.Produces, media) {
			op.Produces = append(op.Produces, media)
		}
	}
	slices.Sort(op.Produces)
	if len(op.Responses) == 0 { // a document without any is not valid
		op.Responses["default"] = response{Description: "not documented"}
	}
	return op
}

// describeReply documents a reply, and says what its media type is.
func describeReply(code int, sample any, types *apidoc.Schemas) (res response, media string) {
	res.Description = apidoc.Status(code)
	if sample != nil {
		s := types.Of(sample)
		res.Schema = &s
	}
	return res, apidoc.Media(sample)
}

func pathParameters(rt registry.Route) (out []parameter) {
	for _, name := range apidoc.Wildcards(rt.Path) {
		out = append(out, parameter{Name: name, In: "path", Description: rt.Params[name], Required: true, Type: "string"})
	}
	return out
}

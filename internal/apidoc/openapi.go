package apidoc

import (
	"cmp"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/seed-4591fe7d/podinfo/registry"
)

// OpenAPIBase is the Base of the Schemas of an OpenAPI document.
const OpenAPIBase = "#/components/schemas/"

// The parts of an OpenAPI document (https://spec.openapis.org/oas/v3.1.1). Documents
// in other formats are made from its Paths.
type (
	// Document is the root.
	Document struct {
		Components Components            `json:"components"`
		Info       Info                  `json:"info"`
		OpenAPI    string                `json:"openapi"`
		Paths      Paths                 `json:"paths"`
		Security   []map[string][]string `json:"security,omitempty"` // alternatives
	}
	// Components are the parts that others refer to by name.
	Components struct {
		Schemas         map[string]any            `json:"schemas,omitempty"` // each a JSON Schema
		SecuritySchemes map[string]SecurityScheme `json:"securitySchemes,omitempty"`
	}
	// SecurityScheme is a way for clients to authenticate.
	SecurityScheme struct {
		Scheme string `json:"scheme"`
		Type   string `json:"type"`
	}
	// Info names an API.
	Info struct {
		Title   string `json:"title"`
		Version string `json:"version"`
	}
	// Paths are operations by path, with {rest} for {rest...}, and by method in lower
	// case.
	Paths map[string]map[string]*Operation
	// Operation is a method at a path.
	Operation struct {
		Parameters  []Parameter         `json:"parameters"`
		RequestBody *Body               `json:"requestBody,omitempty"` // nil when none is read
		Responses   map[string]Response `json:"responses"`             // by status, or "default"
		Summary     string              `json:"summary"`
		Tags        []string            `json:"tags,omitempty"`
	}
	// Parameter is a text in the path or in a header.
	Parameter struct {
		Description string `json:"description,omitempty"`
		In          string `json:"in"`
		Name        string `json:"name"`
		Required    bool   `json:"required,omitempty"`
		Schema      Schema `json:"schema"`
	}
	// Body is the body of a request.
	Body struct {
		Content     Content `json:"content"`
		Description string  `json:"description"`
		Required    bool    `json:"required,omitempty"`
	}
	// Response is a response with one status. Its Content is nil when it is empty.
	Response struct {
		Content     Content           `json:"content,omitempty"`
		Description string            `json:"description"`
		Headers     map[string]Header `json:"headers,omitempty"`
	}
	// Content is the schemas of a body by media type.
	Content map[string]Media
	// Media is a body in one media type.
	Media struct {
		Schema Schema `json:"schema"`
	}
	// Header is a header of a response.
	Header struct {
		Description string `json:"description"`
		Schema      Schema `json:"schema"`
	}
)

// NewDocument returns the document of the operations and of the schemas that they
// refer to.
func NewDocument(info Info, paths Paths, types *Schemas) *Document {
	doc := &Document{OpenAPI: "3.1.1", Info: info, Paths: paths, Components: Components{Schemas: map[string]any{}}}
	for name, s := range types.Named {
		doc.Components.Schemas[name] = s
	}
	return doc
}

// Describe returns the operations of the routes that have a summary. Where routes
// share a path and a method, it describes the first. types collects the schemas.
func Describe(routes []registry.Route, types *Schemas) Paths {
	out := Paths{}
	for _, rt := range routes {
		if rt.Summary == "" {
			continue
		}
		path := strings.ReplaceAll(rt.Path, "...}", "}")
		if out[path] == nil {
			out[path] = map[string]*Operation{}
		}
		for _, method := range methods(rt) {
			if out[path][method] == nil {
				out[path][method] = describe(rt, method, types)
			}
		}
	}
	return out
}

// methods returns the methods to document. Of a route for every method, these are
// the common ones.
func methods(rt registry.Route) []string {
	switch {
	case rt.Method != "":
		return []string{strings.ToLower(rt.Method)}
	case rt.Body != "":
		return []string{"get", "post"}
	}
	return []string{"get"}
}

var wildcard = regexp.MustCompile(`\{([A-Za-z0-9_]+)(\.\.\.)?\}`)

func describe(rt registry.Route, method string, types *Schemas) *Operation {
	op := &Operation{Parameters: []Parameter{}, Responses: map[string]Response{}, Summary: rt.Summary}
	if rt.Tag != "" {
		op.Tags = []string{rt.Tag}
	}
	for _, m := range wildcard.FindAllStringSubmatch(rt.Path, -1) {
		op.Parameters = append(op.Parameters, Parameter{rt.Params[m[1]], "path", m[1], true, Text})
	}
	if rt.Body != "" && method != "get" {
		op.RequestBody = &Body{Content{"text/plain": {Text}}, rt.Body, false}
	}
	for status, sample := range rt.Returns {
		res := Response{Description: cmp.Or(http.StatusText(status), fmt.Sprintf("status %d", status))}
		if sample != nil {
			res.Content = Content{mediaType(sample): {types.Of(sample)}}
		}
		op.Responses[strconv.Itoa(status)] = res
	}
	if len(op.Responses) == 0 { // a document without any is not valid
		op.Responses["default"] = Response{Description: "not documented"}
	}
	return op
}

// mediaType returns the media type of a response with the sample.
func mediaType(sample any) string {
	switch sample.(type) {
	case []byte:
		return "application/octet-stream"
	case string:
		return "text/plain"
	}
	return "application/json"
}

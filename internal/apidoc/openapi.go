package apidoc

// OpenAPIBase is the Base of the Schemas of an OpenAPI document.
const OpenAPIBase = "#/components/schemas/"

// Bearer is the name of the security scheme of routes that need a bearer token.
const Bearer = "bearer"

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
		Servers    []Server              `json:"servers,omitempty"`
	}
	// Server is where the paths begin.
	Server struct {
		URL string `json:"url"`
	}
	// Components are the parts that others refer to by name.
	Components struct {
		Schemas         map[string]any            `json:"schemas,omitempty"` // each a JSON Schema
		SecuritySchemes map[string]SecurityScheme `json:"securitySchemes,omitempty"`
	}
	// SecurityScheme is a way for clients to authenticate.
	SecurityScheme struct {
		Description string `json:"description,omitempty"`
		Scheme      string `json:"scheme"`
		Type        string `json:"type"`
	}
	// Info names an API.
	Info struct {
		Title   string   `json:"title"`
		Version string   `json:"version"`
		License *License `json:"license,omitempty"`
	}
	// License is the license of an API.
	License struct {
		Name string `json:"name"`
		URL  string `json:"url"`
	}
	// Paths are operations by path, with {rest} for {rest...}, and by method in lower
	// case.
	Paths map[string]map[string]*Operation
	// Operation is a method at a path.
	Operation struct {
		ID          string                `json:"operationId,omitempty"`
		Parameters  []Parameter           `json:"parameters"`
		RequestBody *Body                 `json:"requestBody,omitempty"` // nil when none is read
		Responses   map[string]Response   `json:"responses"`             // by status, or "default"
		Security    []map[string][]string `json:"security,omitempty"`    // alternatives
		Summary     string                `json:"summary"`
		Tags        []string              `json:"tags,omitempty"`
	}
	// Parameter is a text in the path or in a header.
	Parameter struct {
		Description string `json:"description,omitempty"`
		Example     string `json:"example,omitempty"`
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
		Example any    `json:"example,omitempty"`
		Schema  Schema `json:"schema"`
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
	for _, operations := range paths {
		for _, op := range operations {
			if op.Security != nil {
				doc.Components.SecuritySchemes = map[string]SecurityScheme{Bearer: {Type: "http", Scheme: "bearer", Description: "the token, without the word Bearer"}}
			}
		}
	}
	return doc
}

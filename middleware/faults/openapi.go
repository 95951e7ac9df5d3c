package faults

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/seed-4591fe7d/podinfo/internal/apidoc"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

// object is a JSON object of the document.
type object map[string]any

// schemaBase is the path of the schemas in an OpenAPI document.
const schemaBase = "#/components/schemas/"

func reference(name string) object { return object{"$ref": schemaBase + name} }

// openAPI serves the OpenAPI document (https://spec.openapis.org/oas/v3.1.1) of
// the API. OpenAPI 3.1 uses JSON Schema, so it contains the schema of scenarios.
func (m *Module) openAPI(w http.ResponseWriter, _ *http.Request) {
	types := apidoc.Schemas{Base: schemaBase, Named: map[string]apidoc.Schema{"scenario.Rule": {}}}
	paths := map[string]object{}
	for _, rt := range m.adminRoutes() {
		if paths[rt.Path] == nil {
			paths[rt.Path] = object{}
		}
		paths[rt.Path][strings.ToLower(rt.Method)] = operation(rt, &types)
	}
	schemas := object{}
	for name, s := range types.Named {
		schemas[name] = s
	}
	schemas["scenario.Scenario"], schemas["scenario.Rule"] = scenarioSchemas()
	reply.JSON(w, http.StatusOK, object{
		"openapi":    "3.1.1",
		"info":       object{"title": "podinfo fault rules", "version": m.host.Build().Version},
		"paths":      paths,
		"security":   []object{{"token": []string{}}, {}}, // the token is optional, by a setting
		"components": object{"schemas": schemas, "securitySchemes": object{"token": object{"type": "http", "scheme": "bearer"}}},
	})
}

// scenarioSchemas returns the schemas of a scenario and of a rule, which the
// former refers to. A single rule, which the path names, may omit its name.
func scenarioSchemas() (all, rule object) {
	if err := json.Unmarshal(scenario.Schema(), &all); err != nil {
		panic(err) // impossible: Schema returns an object
	}
	delete(all, "$schema")
	rules := all["properties"].(map[string]any)["rules"].(map[string]any)
	rule = rules["items"].(map[string]any)
	items := reference("scenario.Rule")
	items["required"] = rule["required"]
	delete(rule, "required")
	rules["items"] = items
	return all, rule
}

func operation(rt registry.Route, types *apidoc.Schemas) object {
	parameters, responses := []object{}, object{}
	for _, name := range apidoc.Wildcards(rt.Path) {
		parameters = append(parameters, object{"name": name, "in": "path", "required": true, "description": rt.Params[name], "schema": object{"type": "string"}})
	}
	if _, checked := rt.Returns[http.StatusPreconditionFailed]; checked {
		parameters = append(parameters, object{"name": "If-Match", "in": "header", "description": "ETag of the scenario to change", "schema": object{"type": "string"}})
	}
	for code, sample := range rt.Returns {
		res := object{"description": apidoc.Status(code), "content": object{apidoc.Media(sample): object{"schema": types.Of(sample)}}}
		switch sample.(type) {
		case list, state:
			res["headers"] = object{"ETag": object{"description": "identifies the current scenario", "schema": object{"type": "string"}}}
		}
		responses[strconv.Itoa(code)] = res
	}
	op := object{"tags": []string{rt.Tag}, "summary": rt.Summary, "parameters": parameters, "responses": responses}
	if rt.Body != "" {
		content := object{"schema": reference("scenario.Scenario")}
		if len(rt.Params) > 0 {
			content = object{"schema": reference("scenario.Rule")}
		}
		op["requestBody"] = object{"description": rt.Body, "required": true, "content": object{"application/yaml": content, "application/json": content}}
	}
	return op
}

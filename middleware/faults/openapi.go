package faults

import (
	"encoding/json"
	"net/http"

	"github.com/seed-4591fe7d/podinfo/internal/apidoc"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

// openAPI serves the OpenAPI document of the API. OpenAPI 3.1 uses JSON Schema, so
// it contains the schema of scenarios.
func (m *Module) openAPI(w http.ResponseWriter, _ *http.Request) {
	types := &apidoc.Schemas{Base: apidoc.OpenAPIBase, Named: map[string]apidoc.Schema{"scenario.Rule": {}}, Required: true}
	paths := apidoc.Describe(m.adminRoutes(), types)
	for _, operations := range paths {
		for _, op := range operations {
			complete(op, types)
		}
	}
	doc := apidoc.NewDocument(apidoc.Info{Title: "podinfo fault rules", Version: m.host.Build().Version}, paths, types)
	doc.Components.Schemas["scenario.Scenario"], doc.Components.Schemas["scenario.Rule"] = scenarioSchemas(types)
	doc.Components.SecuritySchemes = map[string]apidoc.SecurityScheme{apidoc.Bearer: {Type: "http", Scheme: "bearer"}}
	doc.Security = []map[string][]string{{apidoc.Bearer: {}}, {}} // the token is optional
	reply.JSON(w, http.StatusOK, doc)
}

// complete adds to an operation what its route does not declare: the schema of the
// body, and the headers that guard against concurrent changes.
func complete(op *apidoc.Operation, types *apidoc.Schemas) {
	if b := op.RequestBody; b != nil {
		schema := apidoc.Media{Schema: types.Ref("scenario.Scenario")}
		if len(op.Parameters) > 0 {
			schema = apidoc.Media{Schema: types.Ref("scenario.Rule")}
		}
		b.Required, b.Content = true, apidoc.Content{"application/yaml": schema, "application/json": schema}
	}
	if _, guarded := op.Responses["412"]; guarded {
		op.Parameters = append(op.Parameters, apidoc.Parameter{Name: "If-Match", In: "header", Description: "ETag of the scenario to change", Schema: apidoc.Text})
	}
	ok := op.Responses["200"]
	switch ok.Content["application/json"].Schema.Ref {
	case types.Of(list{}).Ref, types.Of(state{}).Ref:
		ok.Headers = map[string]apidoc.Header{"ETag": {Description: "identifies the current scenario", Schema: apidoc.Text}}
		op.Responses["200"] = ok
	}
}

// scenarioSchemas returns the schema of a scenario and that of a rule, to which it
// refers. The name of a rule is required in a scenario only: elsewhere the path has
// it.
func scenarioSchemas(types *apidoc.Schemas) (all, rule map[string]any) {
	if err := json.Unmarshal(scenario.Schema(), &all); err != nil {
		panic(err) // impossible: Schema returns an object
	}
	delete(all, "$schema")
	rules := all["properties"].(map[string]any)["rules"].(map[string]any)
	rule = rules["items"].(map[string]any)
	rules["items"] = map[string]any{"$ref": types.Ref("scenario.Rule").Ref, "required": rule["required"]}
	delete(rule, "required")
	return all, rule
}

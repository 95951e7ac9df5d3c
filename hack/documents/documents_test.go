// Package documents validates podinfo's OpenAPI documents and the JSON Schema of
// fault scenarios with independent validators.
package documents

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers/legacy"
	"github.com/go-openapi/loads"
	"github.com/go-openapi/strfmt"
	"github.com/go-openapi/validate"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/seed-4591fe7d/podinfo"
	"github.com/seed-4591fe7d/podinfo/middleware/faults"
	"github.com/seed-4591fe7d/podinfo/registry"
)

const token = "s3cret"

// start assembles podinfo. It returns the App and the fault API of the metrics
// port.
func start(t *testing.T, env map[string]string, modules ...registry.Module) (http.Handler, *http.ServeMux) {
	t.Helper()
	vars := map[string]string{
		"PODINFO_DATA_PATH": t.TempDir(), "PODINFO_LEVEL": "error",
		"PODINFO_FAULTS_ENABLED": "true", "PODINFO_FAULTS_ADMIN": "true", "PODINFO_FAULTS_ADMIN_TOKEN": token,
	}
	maps.Copy(vars, env)
	app, err := podinfo.New(registry.Env(vars), registry.With(modules...))
	if err != nil {
		t.Fatal(err)
	}
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := app.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
	mux := http.NewServeMux()
	for _, rt := range app.Get("faults").(*faults.Module).AdminRoutes() {
		mux.HandleFunc(rt.Method+" "+rt.Path, rt.Handler)
	}
	return app, mux
}

func request(method, path, body string, headers ...string) *http.Request {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+token)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

func get(t *testing.T, h http.Handler, path string) []byte {
	t.Helper()
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, request("GET", path, ""))
	if rec.Code != http.StatusOK {
		t.Fatalf("GET %s: %d %s", path, rec.Code, rec.Body)
	}
	return rec.Body.Bytes()
}

// TestSwagger checks that /swagger.json is valid Swagger 2.0, whichever modules
// are on.
func TestSwagger(t *testing.T) {
	for name, env := range map[string]map[string]string{
		"stock":      nil,
		"with pprof": {"PODINFO_PPROF_ENABLED": "true", "PODINFO_UI_ADMIN": "true"},
		"a prefix":   {"PODINFO_PREFIX": "/a/b"},
	} {
		app, _ := start(t, env)
		doc, err := loads.Analyzed(get(t, app, env["PODINFO_PREFIX"]+"/swagger.json"), "2.0")
		if err != nil {
			t.Fatal(err)
		}
		if err := validate.Spec(doc, strfmt.Default); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestFaultsOpenAPI checks that the fault API's document is valid OpenAPI 3.1,
// and validates requests and responses of the API against it.
func TestFaultsOpenAPI(t *testing.T) {
	_, mux := start(t, nil)
	doc, err := openapi3.NewLoader().LoadFromData(get(t, mux, "/faults/openapi.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	router, err := legacy.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		method, path, body string
		headers            []string
		code               int
	}{
		{"GET", "/faults", "", nil, 200},
		{"PUT", "/faults", `{"seed":7,"rules":[{"name":"a","match":{"path":"/x"},"fault":{"status":503}},{"name":"b","delay":{"p50":"1ms","p99":"9ms"}}]}`, []string{"Content-Type", "application/json"}, 200},
		{"GET", "/faults", "", nil, 200},
		{"GET", "/faults/rules/a", "", nil, 200},
		{"PUT", "/faults/rules/c", `{"fault":{"reset":true},"ttl":"1h"}`, []string{"Content-Type", "application/json"}, 200},
		{"PUT", "/faults/rules/c", `{"fault":{"reset":true}}`, []string{"Content-Type", "application/json", "If-Match", `"other"`}, 412},
		{"GET", "/faults/rules/none", "", nil, 404},
		{"DELETE", "/faults/rules/c", "", nil, 200},
		{"DELETE", "/faults/rules/c", "", nil, 404},
		{"POST", "/faults/pause", "", nil, 200},
		{"POST", "/faults/resume", "", nil, 200},
		{"GET", "/faults", "", []string{"Authorization", "Bearer wrong"}, 401},
		{"POST", "/faults/pause", "", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"GET", "/faults/schema.json", "", nil, 200},
		{"DELETE", "/faults", "", nil, 200},
	} {
		rec := httptest.NewRecorder()
		mux.ServeHTTP(rec, request(c.method, c.path, c.body, c.headers...))
		if rec.Code != c.code {
			t.Errorf("%s %s: %d, want %d: %s", c.method, c.path, rec.Code, c.code, rec.Body)
		}
		again := request(c.method, c.path, c.body, c.headers...)
		route, params, err := router.FindRoute(again)
		if err != nil {
			t.Errorf("%s %s: %v", c.method, c.path, err)
			continue
		}
		input := &openapi3filter.RequestValidationInput{Request: again, PathParams: params, Route: route,
			Options: &openapi3filter.Options{IncludeResponseStatus: true, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc}}
		if err := openapi3filter.ValidateRequest(t.Context(), input); err != nil {
			t.Errorf("%s %s: %v", c.method, c.path, err)
		}
		output := &openapi3filter.ResponseValidationInput{RequestValidationInput: input, Status: rec.Code, Header: rec.Header(), Options: input.Options}
		if err := openapi3filter.ValidateResponse(t.Context(), output.SetBodyBytes(rec.Body.Bytes())); err != nil {
			t.Errorf("%s %s: %v\n%s", c.method, c.path, err, rec.Body)
		}
	}
}

// schema returns the compiled schema that editors use.
func schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	f, err := os.Open(filepath.Join(scenarios, "schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	doc, err := jsonschema.UnmarshalJSON(f)
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("schema.json") // also validates it against its draft
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const scenarios = "../../examples/scenarios"

// value returns a scenario as the JSON value that an editor validates.
func value(t *testing.T, scenario []byte) any {
	t.Helper()
	var v any
	if err := yaml.Unmarshal(scenario, &v); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	out, err := jsonschema.UnmarshalJSON(strings.NewReader(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestScenarioSchema checks that the schema accepts the examples and the rules
// that podinfo returns.
func TestScenarioSchema(t *testing.T) {
	s := schema(t)
	files, err := filepath.Glob(scenarios + "/*.yaml")
	if err != nil || len(files) < 12 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(value(t, b)); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		_, mux := start(t, map[string]string{"PODINFO_FAULTS": string(b)})
		var response struct{ Rules []struct{ Rule any } }
		if err := json.Unmarshal(get(t, mux, "/faults"), &response); err != nil {
			t.Fatal(err)
		}
		var rules []any
		for _, r := range response.Rules {
			rules = append(rules, r.Rule)
		}
		if err := s.Validate(map[string]any{"rules": rules}); err != nil || len(rules) == 0 {
			t.Errorf("%s, as podinfo returns it: %v", file, err)
		}
	}
}

// TestScenarioSchemaRefuses checks that the schema rejects what podinfo
// rejects, for mistakes that a schema can find.
func TestScenarioSchemaRefuses(t *testing.T) {
	s := schema(t)
	for _, scenario := range []string{
		`rule: []`,
		`seed: -1`,
		`rules: [{fault: {statsu: 503}}]`,
		`rules: [{fault: {status: 200}}]`,
		`rules: [{fault: {status: 1000}}]`,
		`rules: [{match: {percent: 101}, fault: {reset: true}}]`,
		`rules: [{match: {methods: GET}, fault: {reset: true}}]`,
		`rules: [{delay: 5 minutes}]`,
		`rules: [{delay: {normal: {mean: 1ms}}}]`,
		`rules: [{when: {first: 0}, fault: {reset: true}}]`,
		`rules: [{fault: {grpc: NOT_A_CODE}}]`,
		`rules: [{fault: {grpc: OK}}]`,
	} {
		if s.Validate(value(t, []byte(scenario))) == nil {
			t.Errorf("%s: the schema accepts it", scenario)
		}
		_, err := podinfo.New(registry.Env(map[string]string{"PODINFO_FAULTS": scenario}))
		if err == nil {
			t.Errorf("%s: podinfo accepts it", scenario)
		}
	}
}

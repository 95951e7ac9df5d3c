package faults_test

import (
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/middleware/faults"
)

var update = flag.Bool("update", false, "write testdata")

// The document equals the golden file, and contains every route.
func TestOpenAPI(t *testing.T) {
	const golden = "testdata/openapi.json"
	m := new(faults.Module)
	registrytest.New(t, rules("true", "ADMIN", "true"), m)
	rec := ask(admin(m), "GET", "/faults/openapi.json", "")
	if *update {
		must(t, os.WriteFile(golden, rec.Body.Bytes(), 0o644))
	}
	want, err := os.ReadFile(golden)
	must(t, err)
	if diff := cmp.Diff(string(want), rec.Body.String()); diff != "" {
		t.Errorf("the document changed; if that is intended, run `go test ./middleware/faults -run TestOpenAPI -update`: %s", diff)
	}
	var doc struct {
		Paths      map[string]map[string]struct{ Responses map[string]any }
		Components struct{ Schemas map[string]any }
	}
	must(t, json.Unmarshal(want, &doc))
	for _, rt := range m.AdminRoutes() {
		if op, ok := doc.Paths[rt.Path][strings.ToLower(rt.Method)]; !ok || len(op.Responses) != len(rt.Returns)+1 { // and "default"
			t.Errorf("%s %s is missing from the document", rt.Method, rt.Path)
		}
	}
	for ref := range strings.SplitSeq(string(want), `"$ref": "#/components/schemas/`) {
		if name, _, ok := strings.Cut(ref, `"`); ok && !strings.HasPrefix(ref, "{") && doc.Components.Schemas[name] == nil {
			t.Errorf("no schema %s", name)
		}
	}
}

// Every error that the document names can occur.
func TestDocumentedErrors(t *testing.T) {
	m := new(faults.Module)
	registrytest.New(t, rules("true", "ADMIN", "true"), m)
	h := admin(m)
	for _, rt := range m.AdminRoutes() {
		path := strings.Replace(rt.Path, "{name}", "r", 1)
		for code := range rt.Returns {
			body, headers := "fault: {reset: true}", []string(nil)
			if rt.Path == "/faults" {
				body = "rules: []"
			}
			switch code {
			case http.StatusOK:
				ask(h, "PUT", "/faults", fail(500))
			case http.StatusUnauthorized:
				continue // tested with the token
			case http.StatusMisdirectedRequest:
				headers = []string{"Host", "rebind.evil.example"}
			case http.StatusForbidden:
				headers = []string{"Sec-Fetch-Site", "cross-site"}
			case http.StatusBadRequest:
				body = "x"
			case http.StatusNotFound:
				ask(h, "DELETE", "/faults", "")
			case http.StatusPreconditionFailed:
				headers = []string{"If-Match", `"x"`}
			case http.StatusRequestEntityTooLarge:
				body = strings.Repeat("#", 1<<20+1)
			}
			if rec := ask(h, rt.Method, path, body, headers...); rec.Code != code {
				t.Errorf("%s %s: %d, want %d", rt.Method, rt.Path, rec.Code, code)
			}
		}
	}
}

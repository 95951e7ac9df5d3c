package apidoc_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-4591fe7d/podinfo/internal/apidoc"
	"github.com/seed-4591fe7d/podinfo/registry"
)

type node struct {
	Next *node `json:"next"`
}

var routes = []registry.Route{
	{Method: "GET", Path: "/undocumented"},
	{Path: "/echo/{rest...}", Summary: "Echo", Tag: "T", Body: "anything", Params: map[string]string{"rest": "more"}, Returns: map[int]any{202: []byte{}, 413: node{}}},
	{Method: "GET", Path: "/echo/{rest...}", Summary: "Never reached"},
	{Method: "DELETE", Path: "/bare", Summary: "Bare"},
	{Method: "PUT", Path: "/bare", Summary: "Empty", Returns: map[int]any{204: nil, 299: "text"}},
}

func TestDescribe(t *testing.T) {
	ref := apidoc.Schema{Ref: "#/x/apidoc_test.node"}
	rest := []apidoc.Parameter{{Name: "rest", In: "path", Description: "more", Required: true, Schema: apidoc.Text}}
	echoed := map[string]apidoc.Response{
		"202": {Description: "Accepted", Content: apidoc.Content{"application/octet-stream": {Schema: apidoc.Schema{Type: "string", Format: "binary"}}}},
		"413": {Description: "Request Entity Too Large", Content: apidoc.Content{"application/json": {Schema: ref}}},
	}
	want := apidoc.Paths{
		"/echo/{rest}": {
			"get": {Summary: "Echo", Tags: []string{"T"}, Parameters: rest, Responses: echoed},
			"post": {Summary: "Echo", Tags: []string{"T"}, Parameters: rest, Responses: echoed,
				RequestBody: &apidoc.Body{Description: "anything", Content: apidoc.Content{"text/plain": {Schema: apidoc.Text}}}},
		},
		"/bare": {
			"delete": {Summary: "Bare", Parameters: []apidoc.Parameter{}, Responses: map[string]apidoc.Response{"default": {Description: "not documented"}}},
			"put": {Summary: "Empty", Parameters: []apidoc.Parameter{}, Responses: map[string]apidoc.Response{
				"204": {Description: "No Content"},
				"299": {Description: "status 299", Content: apidoc.Content{"text/plain": {Schema: apidoc.Text}}},
			}},
		},
	}
	types := &apidoc.Schemas{Base: "#/x/", Named: map[string]apidoc.Schema{}}
	if diff := cmp.Diff(want, apidoc.Describe(routes, types)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]apidoc.Schema{"apidoc_test.node": {Type: "object", Properties: map[string]apidoc.Schema{"next": ref}}}, types.Named); diff != "" {
		t.Error(diff)
	}
}

func TestDocument(t *testing.T) {
	types := &apidoc.Schemas{Base: apidoc.OpenAPIBase, Named: map[string]apidoc.Schema{}}
	b, err := json.MarshalIndent(apidoc.NewDocument(apidoc.Info{Title: "A", Version: "1"}, apidoc.Describe(routes[1:2], types), types), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	const want = `{
 "components": {
  "schemas": {
   "apidoc_test.node": {
    "type": "object",
    "properties": {
     "next": {
      "$ref": "#/components/schemas/apidoc_test.node"
     }
    }
   }
  }
 },
 "info": {
  "title": "A",
  "version": "1"
 },
 "openapi": "3.1.1",
 "paths": {
`
	got, _, _ := strings.Cut(string(b), `  "/echo/{rest}"`)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

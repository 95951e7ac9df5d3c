package apidoc_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-4591fe7d/podinfo/internal/apidoc"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

type node struct {
	Next *node `json:"next,omitempty"`
}

var routes = []registry.Route{
	{Method: "GET", Path: "/undocumented"},
	{Path: "/echo/{rest...}", Summary: "Echo", Tag: "T", Body: "anything", Params: map[string]string{"rest": "more"}, Returns: map[int]any{202: []byte{}, 413: node{}}},
	{Method: "GET", Path: "/echo/{rest...}", Summary: "Never reached"},
	{Method: "DELETE", Path: "/bare", Summary: "Bare"},
	{Method: "PATCH", Path: "/bare", Summary: "Not JSON", Returns: map[int]any{200: map[string]any{"nan": math.NaN()}, 0: nil}},
	{Method: "PUT", Path: "/bare", Summary: "Empty", Returns: map[int]any{204: nil, 299: "text", 0: node{}}},
	{Method: "POST", Path: "/token/{name}", Summary: "Token", Bearer: true, Body: "a node", Accepts: node{&node{}}, Examples: map[string]string{"name": "ann"},
		Headers: map[string]string{"X-Color": "a color"}, Returns: map[int]any{200: node{&node{}}, 401: reply.Problem{}, 503: reply.Problem{Message: "busy"}}},
}

func TestDescribe(t *testing.T) {
	ref := apidoc.Schema{Ref: "#/x/apidoc_test.node"}
	problem := func(code int, message string) apidoc.Content {
		return apidoc.Content{"application/json": {Schema: apidoc.Schema{Ref: "#/x/reply.Problem"}, Example: reply.Problem{Code: code, Message: message}}}
	}
	other := apidoc.Response{Description: "any other status", Content: problem(500, "internal server error")}
	headers := func(more ...string) map[string]apidoc.Header {
		out := map[string]apidoc.Header{"X-Color": {Description: "a color", Schema: apidoc.Text}}
		for i := 0; i < len(more); i += 2 {
			out[more[i]] = apidoc.Header{Description: more[i+1], Schema: apidoc.Text}
		}
		return out
	}
	rest := []apidoc.Parameter{{Name: "rest", In: "path", Description: "more", Required: true, Schema: apidoc.Text}}
	echoed := map[string]apidoc.Response{
		"202":     {Description: "Accepted", Content: apidoc.Content{"application/octet-stream": {Schema: apidoc.Schema{Type: "string", Format: "binary"}}}},
		"413":     {Description: "Request Entity Too Large", Content: apidoc.Content{"application/json": {Schema: ref}}},
		"default": other,
	}
	filled := apidoc.Content{"application/json": {Schema: ref, Example: node{&node{}}}}
	want := apidoc.Paths{
		"/echo/{rest}": {
			"get": {ID: "getEchoByRest", Summary: "Echo", Tags: []string{"T"}, Parameters: rest, Responses: echoed},
			"post": {ID: "postEchoByRest", Summary: "Echo", Tags: []string{"T"}, Parameters: rest, Responses: echoed,
				RequestBody: &apidoc.Body{Description: "anything", Content: apidoc.Content{"text/plain": {Schema: apidoc.Text}}}},
		},
		"/bare": {
			"delete": {ID: "deleteBare", Summary: "Bare", Parameters: []apidoc.Parameter{}, Responses: map[string]apidoc.Response{"default": {Description: "not documented"}}},
			"patch": {ID: "patchBare", Summary: "Not JSON", Parameters: []apidoc.Parameter{}, Responses: map[string]apidoc.Response{
				"200":     {Description: "OK", Content: apidoc.Content{"application/json": {Schema: apidoc.Schema{Type: "object", AdditionalProperties: &apidoc.Schema{}}}}},
				"default": {Description: "any other status"},
			}},
			"put": {ID: "putBare", Summary: "Empty", Parameters: []apidoc.Parameter{}, Responses: map[string]apidoc.Response{
				"204":     {Description: "No Content"},
				"299":     {Description: "status 299", Content: apidoc.Content{"text/plain": {Schema: apidoc.Text, Example: "text"}}},
				"default": {Description: "any other status", Content: apidoc.Content{"application/json": {Schema: ref}}},
			}},
		},
		"/token/{name}": {
			"post": {ID: "postTokenByName", Summary: "Token", Security: []map[string][]string{{"bearer": {}}},
				Parameters:  []apidoc.Parameter{{Name: "name", In: "path", Example: "ann", Required: true, Schema: apidoc.Text}},
				RequestBody: &apidoc.Body{Description: "a node", Content: filled},
				Responses: map[string]apidoc.Response{
					"200":     {Description: "OK", Content: filled, Headers: headers()},
					"401":     {Description: "Unauthorized", Content: problem(401, "unauthorized"), Headers: headers("WWW-Authenticate", "the challenge of RFC 6750, with the reason why a token is refused")},
					"503":     {Description: "Service Unavailable", Content: problem(503, "busy"), Headers: headers("Retry-After", "seconds to wait before another request, if the server knows")},
					"default": {Description: other.Description, Content: other.Content, Headers: headers()},
				}},
		},
	}
	object := func(properties map[string]apidoc.Schema, required ...string) apidoc.Schema {
		return apidoc.Schema{Type: "object", Properties: properties, Required: required}
	}
	number := apidoc.Schema{Type: "integer"}
	for _, required := range []bool{false, true} {
		types := &apidoc.Schemas{Base: "#/x/", Named: map[string]apidoc.Schema{}, Required: required}
		if diff := cmp.Diff(want, apidoc.Describe(routes, types)); diff != "" {
			t.Error(diff)
		}
		schemas := map[string]apidoc.Schema{
			"apidoc_test.node": object(map[string]apidoc.Schema{"next": ref}),
			"reply.Problem":    object(map[string]apidoc.Schema{"code": number, "message": apidoc.Text}),
		}
		if required {
			schemas["reply.Problem"] = object(schemas["reply.Problem"].Properties, "code", "message")
		}
		if diff := cmp.Diff(schemas, types.Named); diff != "" {
			t.Error(diff)
		}
	}
}

// TestOperationIDs checks that the names of functions in generated clients are unique.
func TestOperationIDs(t *testing.T) {
	var routes []registry.Route
	want := map[string]string{
		"/": "getRoot", "/api/info": "getApiInfo", "/a/b": "getAB_2", "/a-b": "getAB", "/a/{b}": "getAByB_2", "/a/by/b": "getAByB", "/swagger.json": "getSwaggerJson",
		"/\u00fcber": "get\u00dcber",
	}
	for path := range want {
		routes = append(routes, registry.Route{Method: "GET", Path: path, Summary: "A"})
	}
	got := map[string]string{}
	for path, operations := range apidoc.Describe(routes, new(apidoc.Schemas)) {
		got[path] = operations["get"].ID
	}
	if diff := cmp.Diff(want, got); diff != "" {
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
   },
   "reply.Problem": {
    "type": "object",
    "properties": {
     "code": {
      "type": "integer"
     },
     "message": {
      "type": "string"
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

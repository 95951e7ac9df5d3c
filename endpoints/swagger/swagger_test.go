package swagger_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-4591fe7d/podinfo/endpoints/swagger"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

// api is a module with a route of each kind.
type api struct{}

type inner struct {
	When time.Time `json:"when"`
}

type tree struct {
	inner
	Name   string            `json:"name,omitempty"`
	Count  int64             `json:"count,string"`
	Share  float64           `json:"share"`
	Raw    []byte            `json:"raw"`
	Leaves []*tree           `json:"leaves"`
	Meta   map[string][]bool `json:"meta"`
	Any    any               `json:"any"`
	Plain  uint8
	Secret string `json:"-"`
}

func (api) Info() registry.Info { return registry.Info{Name: "api"} }

func (api) Routes() []registry.Route {
	h := func(http.ResponseWriter, *http.Request) {}
	refused := reply.Problem{}
	return []registry.Route{
		{Method: "GET", Path: "/", Handler: h, When: func(*http.Request) bool { return false }},
		{Method: "GET", Path: "/", Handler: h, Summary: "Root", Returns: map[int]any{200: map[string]string{}}},
		{Method: "GET", Path: "/tree/{a}/{b}", Handler: h, Summary: "Tree", Tag: "T", Params: map[string]string{"a": "first"},
			Returns: map[int]any{200: tree{}, 400: refused, 404: refused}},
		{Method: "PUT", Path: "/tree/{a}/{b}", Handler: h, Summary: "Plant", Body: "a tree", Returns: map[int]any{202: nil}},
		{Path: "/echo/{rest...}", Handler: h, Summary: "Echo", Body: "anything", Returns: map[int]any{202: []byte{}, 413: refused}},
		{Path: "/any", Handler: h, Summary: "Any", Returns: map[int]any{299: "text", 200: []string{}}},
		{Method: "GET", Path: "/undocumented", Handler: h},
		{Method: "DELETE", Path: "/bare", Handler: h, Summary: "Bare"},
	}
}

func TestDocument(t *testing.T) {
	for prefix, base := range map[string]string{"": "/", "/foo/bar": "/foo/bar"} {
		s := registrytest.Serve(t, map[string]string{"PODINFO_PREFIX": prefix}, api{}, new(swagger.Module))
		res, got := s.Call(t, "GET", prefix+"/swagger.json", "")
		if res.StatusCode != 200 || res.Header.Get("Content-Type") != "application/json; charset=utf-8" {
			t.Errorf("%d %v", res.StatusCode, res.Header)
		}
		want := strings.Replace(golden, `"basePath": "/"`, `"basePath": "`+base+`"`, 1)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		check(t, got)
		for _, again := range []struct{ method, path string }{{"GET", "/swagger/doc.json"}, {"BREW", "/swagger.json"}} {
			res, body := s.Call(t, again.method, prefix+again.path, "")
			if body != got || !strings.HasPrefix(res.Header.Get("Content-Type"), "application/json") {
				t.Errorf("%v: %d %q", again, res.StatusCode, body)
			}
		}
	}
}

const golden = `{
  "swagger": "2.0",
  "info": {
    "title": "Podinfo API",
    "version": "1.2.3",
    "license": {
      "name": "Apache-2.0",
      "url": "https://www.apache.org/licenses/LICENSE-2.0"
    }
  },
  "basePath": "/",
  "paths": {
    "/": {
      "get": {
        "operationId": "getRoot",
        "summary": "Root",
        "produces": [
          "application/json"
        ],
        "responses": {
          "200": {
            "description": "OK",
            "schema": {
              "type": "object",
              "additionalProperties": {
                "type": "string"
              }
            }
          }
        }
      }
    },
    "/any": {
      "get": {
        "operationId": "getAny",
        "summary": "Any",
        "produces": [
          "application/json",
          "text/plain"
        ],
        "responses": {
          "200": {
            "description": "OK",
            "schema": {
              "type": "array",
              "items": {
                "type": "string"
              }
            }
          },
          "299": {
            "description": "status 299",
            "schema": {
              "type": "string"
            }
          }
        }
      }
    },
    "/bare": {
      "delete": {
        "operationId": "deleteBare",
        "summary": "Bare",
        "responses": {
          "default": {
            "description": "not documented"
          }
        }
      }
    },
    "/echo/{rest}": {
      "get": {
        "operationId": "getEchoByRest",
        "summary": "Echo",
        "produces": [
          "application/json",
          "application/octet-stream"
        ],
        "parameters": [
          {
            "name": "rest",
            "in": "path",
            "required": true,
            "type": "string"
          }
        ],
        "responses": {
          "202": {
            "description": "Accepted",
            "schema": {
              "type": "string",
              "format": "binary"
            }
          },
          "413": {
            "description": "Request Entity Too Large",
            "schema": {
              "$ref": "#/definitions/reply.Problem"
            }
          }
        }
      },
      "post": {
        "operationId": "postEchoByRest",
        "summary": "Echo",
        "consumes": [
          "text/plain"
        ],
        "produces": [
          "application/json",
          "application/octet-stream"
        ],
        "parameters": [
          {
            "name": "rest",
            "in": "path",
            "required": true,
            "type": "string"
          },
          {
            "name": "body",
            "in": "body",
            "description": "anything",
            "schema": {
              "type": "string"
            }
          }
        ],
        "responses": {
          "202": {
            "description": "Accepted",
            "schema": {
              "type": "string",
              "format": "binary"
            }
          },
          "413": {
            "description": "Request Entity Too Large",
            "schema": {
              "$ref": "#/definitions/reply.Problem"
            }
          }
        }
      }
    },
    "/tree/{a}/{b}": {
      "get": {
        "operationId": "getTreeByAByB",
        "tags": [
          "T"
        ],
        "summary": "Tree",
        "produces": [
          "application/json"
        ],
        "parameters": [
          {
            "name": "a",
            "in": "path",
            "description": "first",
            "required": true,
            "type": "string"
          },
          {
            "name": "b",
            "in": "path",
            "required": true,
            "type": "string"
          }
        ],
        "responses": {
          "200": {
            "description": "OK",
            "schema": {
              "$ref": "#/definitions/swagger_test.tree"
            }
          },
          "400": {
            "description": "Bad Request",
            "schema": {
              "$ref": "#/definitions/reply.Problem"
            }
          },
          "404": {
            "description": "Not Found",
            "schema": {
              "$ref": "#/definitions/reply.Problem"
            }
          }
        }
      },
      "put": {
        "operationId": "putTreeByAByB",
        "summary": "Plant",
        "consumes": [
          "text/plain"
        ],
        "parameters": [
          {
            "name": "a",
            "in": "path",
            "required": true,
            "type": "string"
          },
          {
            "name": "b",
            "in": "path",
            "required": true,
            "type": "string"
          },
          {
            "name": "body",
            "in": "body",
            "description": "a tree",
            "schema": {
              "type": "string"
            }
          }
        ],
        "responses": {
          "202": {
            "description": "Accepted"
          }
        }
      }
    }
  },
  "definitions": {
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
    },
    "swagger_test.tree": {
      "type": "object",
      "properties": {
        "Plain": {
          "type": "integer"
        },
        "any": {},
        "count": {
          "type": "string"
        },
        "leaves": {
          "type": "array",
          "items": {
            "$ref": "#/definitions/swagger_test.tree"
          }
        },
        "meta": {
          "type": "object",
          "additionalProperties": {
            "type": "array",
            "items": {
              "type": "boolean"
            }
          }
        },
        "name": {
          "type": "string"
        },
        "raw": {
          "type": "string",
          "format": "byte"
        },
        "share": {
          "type": "number"
        },
        "when": {
          "type": "string",
          "format": "date-time"
        }
      }
    }
  }
}`

// check tests a document against the rules of Swagger 2.0.
func check(t *testing.T, text string) {
	t.Helper()
	var doc struct {
		Swagger  string
		Info     struct{ Title, Version string }
		BasePath string
		Paths    map[string]map[string]struct {
			Parameters []struct {
				Name, In, Type string
				Required       bool
				Schema         any
			}
			Responses map[string]struct{ Description *string }
		}
		Definitions map[string]any
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	if doc.Swagger != "2.0" || doc.Info.Title != "Podinfo API" || doc.Info.Version == "" || !strings.HasPrefix(doc.BasePath, "/") {
		t.Errorf("%q %+v %q", doc.Swagger, doc.Info, doc.BasePath)
	}
	for path, ops := range doc.Paths {
		for method, op := range ops {
			at := method + " " + path
			if !slices.Contains([]string{"get", "put", "post", "delete", "options", "head", "patch"}, method) || path[0] != '/' {
				t.Errorf("%s: no such operation", at)
			}
			if len(op.Responses) == 0 {
				t.Errorf("%s: no response", at)
			}
			for code, r := range op.Responses {
				if r.Description == nil || code != "default" && !regexp.MustCompile(`^[1-9][0-9]{2}$`).MatchString(code) {
					t.Errorf("%s: response %s", at, code)
				}
			}
			inPath, bodies := map[string]bool{}, 0
			for _, p := range op.Parameters {
				switch {
				case p.In == "body" && p.Schema != nil && p.Type == "":
					bodies++
				case p.In == "path" && p.Required && p.Type != "" && p.Schema == nil && !inPath[p.Name]:
					inPath[p.Name] = true
				default:
					t.Errorf("%s: parameter %+v", at, p)
				}
			}
			names := regexp.MustCompile(`\{([^}]*)\}`).FindAllStringSubmatch(path, -1)
			for _, n := range names {
				if !inPath[n[1]] {
					t.Errorf("%s: %s is not a parameter", at, n[1])
				}
			}
			if len(names) != len(inPath) || bodies > 1 {
				t.Errorf("%s: parameters %v, %d bodies", at, inPath, bodies)
			}
		}
	}
	for _, ref := range regexp.MustCompile(`"\$ref": "([^"]*)"`).FindAllStringSubmatch(text, -1) {
		if name, ok := strings.CutPrefix(ref[1], "#/definitions/"); !ok || doc.Definitions[name] == nil {
			t.Errorf("%s refers to nothing", ref[1])
		}
	}
}

// guard needs a token for /any.
type guard struct{}

func (guard) Info() registry.Info              { return registry.Info{Name: "guard", Phase: registry.Guard} }
func (guard) Covers(rt registry.Route) bool    { return rt.Path == "/any" }
func (guard) DescribeRoute(rt *registry.Route) { rt.Bearer, rt.Returns[401] = true, reply.Problem{} }
func (guard) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	next(w, r)
}

// Package documents in hack validates the document; this is what follows from
// the server.
func TestOpenAPI(t *testing.T) {
	for prefix, server := range map[string]string{"": "/", "/foo/bar": "/foo/bar"} {
		s := registrytest.Serve(t, map[string]string{"PODINFO_PREFIX": prefix}, guard{}, api{}, new(swagger.Module))
		res, text := s.Call(t, "GET", prefix+"/openapi.json", "")
		if res.StatusCode != 200 || res.Header.Get("Content-Type") != "application/json; charset=utf-8" {
			t.Errorf("%d %v", res.StatusCode, res.Header)
		}
		var doc struct {
			OpenAPI string
			Servers []struct{ URL string }
			Paths   map[string]map[string]struct {
				OperationID string
				Security    []map[string][]string
				Responses   map[string]any
			}
			Components struct {
				SecuritySchemes map[string]struct{ Type, Scheme string }
			}
		}
		if err := json.Unmarshal([]byte(text), &doc); err != nil {
			t.Fatal(err)
		}
		if doc.OpenAPI != "3.1.1" || len(doc.Servers) != 1 || doc.Servers[0].URL != server {
			t.Errorf("%q, servers %v", doc.OpenAPI, doc.Servers)
		}
		for path, guarded := range map[string]bool{"/any": true, "/": false} {
			op := doc.Paths[path]["get"]
			if (op.Security != nil) != guarded || (op.Responses["401"] != nil) != guarded || op.OperationID == "" || op.Responses["default"] == nil {
				t.Errorf("%s: %+v", path, op)
			}
		}
		if scheme := doc.Components.SecuritySchemes["bearer"]; scheme.Type != "http" || scheme.Scheme != "bearer" {
			t.Errorf("security schemes %v", doc.Components.SecuritySchemes)
		}
	}
}

// TestEmbedded checks the base of the paths in an App that another server has
// behind http.StripPrefix.
func TestEmbedded(t *testing.T) {
	for prefix, base := range map[string]string{"": "/outer%20one", "/foo": "/outer%20one/foo"} {
		s := registrytest.Serve(t, map[string]string{"PODINFO_PREFIX": prefix}, api{}, new(swagger.Module))
		outer := httptest.NewServer(http.StripPrefix("/outer one", s.App))
		for _, path := range []string{"/openapi.json", "/swagger.json", "/swagger/doc.json"} {
			res, err := http.Get(outer.URL + "/outer%20one" + prefix + path)
			if err != nil {
				t.Fatal(err)
			}
			var doc struct {
				Servers  []struct{ URL string }
				BasePath string
			}
			err = json.NewDecoder(res.Body).Decode(&doc)
			res.Body.Close()
			if doc.Servers != nil {
				doc.BasePath = doc.Servers[0].URL
			}
			if err != nil || doc.BasePath != base {
				t.Errorf("%s below %q: %v, the paths begin at %q, want %q", path, prefix, err, doc.BasePath, base)
			}
		}
		outer.Close()
	}
}

func TestWhatIsOffIsNotDocumented(t *testing.T) {
	s := registrytest.Serve(t, nil, api{}, new(swagger.Module))
	for _, on := range []bool{false, true} {
		if err := s.App.Switch("api", on); err != nil {
			t.Fatal(err)
		}
		_, body := s.Call(t, "GET", "/swagger.json", "")
		if strings.Contains(body, "/tree") != on {
			t.Errorf("switched %v: %s", on, body)
		}
		check(t, body)
	}
}

func TestUI(t *testing.T) {
	for _, prefix := range []string{"", "/foo/bar"} {
		s := registrytest.Serve(t, map[string]string{"PODINFO_PREFIX": prefix}, new(swagger.Module))
		for _, c := range []struct {
			method, path string
			code         int
			location     string
		}{
			{"GET", "/swagger/", 301, "index.html"},
			{"HEAD", "/swagger/index.html", 200, ""},
			{"GET", "/swagger", 404, ""},
			{"GET", "/swagger/nope.js", 404, ""},
			{"GET", "/swagger/index.html/", 404, ""},
			{"POST", "/swagger/", 405, ""},
			{"PUT", "/swagger/index.html", 405, ""},
		} {
			if res, _ := s.Call(t, c.method, prefix+c.path, ""); res.StatusCode != c.code || res.Header.Get("Location") != c.location {
				t.Errorf("%s %s%s: %d to %q", c.method, prefix, c.path, res.StatusCode, res.Header.Get("Location"))
			}
		}
		res, page := s.Call(t, "GET", prefix+"/swagger/index.html", "")
		if res.Header.Get("Content-Type") != "text/html; charset=utf-8" || res.Header.Get("Cache-Control") != "no-cache" {
			t.Error(res.Header)
		}
		if csp := res.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'; script-src 'self';") {
			t.Error(csp)
		}
		if inline := regexp.MustCompile(`<script[^>]*>[^<]|<script>|\son[a-z]+=|javascript:`).FindString(page); inline != "" {
			t.Errorf("inline script: %s", inline)
		}
		loads := regexp.MustCompile(`(?:href|src)="([^"]+)"`).FindAllStringSubmatch(page, -1)
		if len(loads) != 4 {
			t.Error(loads)
		}
		for _, l := range loads {
			asset(t, s, prefix+"/swagger/"+l[1])
		}
	}
}

// asset loads a file in the ways that browsers do.
func asset(t *testing.T, s *registrytest.Server, path string) {
	t.Helper()
	types := map[string]string{"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "png": "image/png"}
	name, _, _ := strings.Cut(path, "?")
	res, plain := s.Call(t, "GET", path, "", "Accept-Encoding", "br, gzip;q=0")
	if res.StatusCode != 200 || plain == "" || res.Header.Get("Content-Encoding") != "" || res.Header.Get("Content-Type") != types[name[strings.LastIndex(name, ".")+1:]] {
		t.Errorf("%s: %d, %d bytes, %v", path, res.StatusCode, len(plain), res.Header)
	}
	if cache := res.Header.Get("Cache-Control"); cache != "public, max-age=31536000, immutable" {
		t.Errorf("%s: %s", path, cache)
	}
	res, body := s.Call(t, "GET", path, "", "Accept-Encoding", "br, GZIP;q=0.5")
	if res.Header.Get("Content-Encoding") == "gzip" {
		r, err := gzip.NewReader(strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if _, err := io.Copy(&b, r); err != nil {
			t.Fatal(err)
		}
		body = b.String()
	} else if strings.Contains(name, "swagger-ui") {
		t.Errorf("%s is not compressed", name)
	}
	if body != plain {
		t.Errorf("%s: compressed and plain differ", path)
	}
	res, body = s.Call(t, "GET", path, "", "Accept-Encoding", "gzip", "If-None-Match", res.Header.Get("ETag"))
	if res.StatusCode != 304 || body != "" {
		t.Errorf("%s: %d with its tag", path, res.StatusCode)
	}
	for _, other := range []string{name, name + "?v=0"} {
		if res, _ := s.Call(t, "GET", other, ""); res.StatusCode != 200 || res.Header.Get("Cache-Control") != "no-cache" {
			t.Errorf("%s: %d %v", other, res.StatusCode, res.Header)
		}
	}
}

func TestRoutesAreInternal(t *testing.T) {
	for _, rt := range new(swagger.Module).Routes() {
		if !rt.Internal || rt.Summary != "" {
			t.Errorf("%+v", rt)
		}
	}
}

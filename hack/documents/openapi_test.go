package documents

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

// own is a module of another program.
type own struct{}

type tea struct {
	Kind   string   `json:"kind"`
	Leaves []string `json:"leaves,omitempty"`
}

func (own) Info() registry.Info { return registry.Info{Name: "own", Doc: "Make tea."} }

func (own) Routes() []registry.Route {
	serve := func(w http.ResponseWriter, r *http.Request) {
		var t tea
		if err := json.NewDecoder(r.Body).Decode(&t); err != nil {
			reply.Error(w, http.StatusBadRequest, err.Error())
			return
		}
		w.Header().Set("X-Pot", "large")
		reply.JSON(w, http.StatusCreated, t)
	}
	return []registry.Route{
		{Method: "POST", Path: "/tea/{kind}", Handler: serve, Summary: "Make tea", Body: "the tea", Accepts: tea{"green", nil}, Examples: map[string]string{"kind": "green"},
			Headers: map[string]string{"X-Pot": "size of the pot"}, Returns: map[int]any{201: tea{"green", nil}, 400: reply.Problem{}}},
		{Method: "GET", Path: "/tea/secret", Handler: serve},
	}
}

// load returns the document of a server, which must be valid OpenAPI 3.1.
func load(t *testing.T, h http.Handler, prefix string) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(get(t, h, prefix+"/openapi.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.1.") {
		t.Errorf("version %q", doc.OpenAPI)
	}
	return doc
}

// operations returns the operations of a document, with "*" for those that need a
// token.
func operations(doc *openapi3.T) (out []string) {
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			mark := ""
			if op.Security != nil {
				mark = "*"
			}
			out = append(out, method+" "+path+mark)
		}
	}
	slices.Sort(out)
	return out
}

// TestOpenAPI checks that /openapi.json is valid and describes what is served, and
// that /swagger.json describes the same.
func TestOpenAPI(t *testing.T) {
	target := httptest.NewServer(http.NotFoundHandler())
	defer target.Close()
	for _, c := range []struct {
		name, env   string
		has, hasNot string
	}{
		{"stock", "", "GET /delay/{seconds}, GET /chunked/{seconds}, GET /token/validate*, POST /token, GET /version", "GET /debug/pprof/{rest}, PUT /ui/admin/faults, POST /tea/{kind}"},
		{"pprof and the page", "PODINFO_PPROF_ENABLED=true PODINFO_UI_ADMIN=true PODINFO_UI_ADMIN_TOKEN=sesame", "POST /ui/rpc*, POST /ui/simulate*, PUT /ui/admin/faults*, PUT /ui/admin/faults/rules/{name}*", "GET /debug/pprof/{rest}"},
		{"a prefix", "PODINFO_PREFIX=/a/b", "GET /version", "GET /a/b/version"},
		{"modules off", "PODINFO_TOKEN_ENABLED=false PODINFO_VERSION_ENABLED=standby", "GET /api/info", "POST /token, GET /version"},
		{"a guard", "PODINFO_JWT_ENABLED=true PODINFO_JWT_PATHS=/version,/store PODINFO_JWT_SECRET=" + strings.Repeat("x", 32), "GET /version*, POST /store*, GET /api/info", "GET /version"},
		{"a proxy", "PODINFO_PROXY_URL=" + target.URL + " PODINFO_PROXY_ROUTES=/orders/{id}", "GET /version", "GET /{path}, GET /orders/{id}"},
		{"an own module", "OWN=true", "POST /tea/{kind}, GET /version", "GET /tea/secret"},
	} {
		t.Run(c.name, func(t *testing.T) {
			env := map[string]string{}
			for kv := range strings.FieldsSeq(c.env) {
				name, value, _ := strings.Cut(kv, "=")
				env[name] = value
			}
			var modules []registry.Module
			if env["OWN"] != "" {
				modules = append(modules, own{})
			}
			app, _ := start(t, env, modules...)
			prefix := env["PODINFO_PREFIX"]
			doc := load(t, app, prefix)
			got := operations(doc)
			for want := range strings.SplitSeq(c.has, ", ") {
				if !slices.Contains(got, want) {
					t.Errorf("no %s in %v", want, got)
				}
			}
			for bad := range strings.SplitSeq(c.hasNot, ", ") {
				if slices.Contains(got, bad) {
					t.Errorf("%s in %v", bad, got)
				}
			}
			if url := doc.Servers[0].URL; url != "/" && url != prefix {
				t.Errorf("server %s", url)
			}
			var swagger struct {
				Paths map[string]map[string]any
			}
			if err := json.Unmarshal(get(t, app, prefix+"/swagger.json"), &swagger); err != nil {
				t.Fatal(err)
			}
			var same []string
			for path, methods := range swagger.Paths {
				for method := range methods {
					same = append(same, strings.ToUpper(method)+" "+path)
				}
			}
			slices.Sort(same)
			for i := range got {
				got[i] = strings.TrimSuffix(got[i], "*")
			}
			if slices.Sort(got); !slices.Equal(got, same) {
				t.Errorf("the documents differ: %v, %v", got, same)
			}
		})
	}
}

// call sends the request that the document has as the example of an operation, and
// validates request and response against the document. It returns the response.
func call(t *testing.T, h http.Handler, doc *openapi3.T, method, path, token string, change func(*http.Request)) *http.Response {
	t.Helper()
	item := doc.Paths.Value(path)
	op := item.GetOperation(method)
	params, target := map[string]string{}, path
	for _, p := range op.Parameters {
		if p.Value.In == "path" {
			params[p.Value.Name] = fmt.Sprint(p.Value.Example)
			target = strings.ReplaceAll(target, "{"+p.Value.Name+"}", params[p.Value.Name])
		}
	}
	media, body := example(t, op)
	if strings.HasPrefix(path, "/ui/") && body != "" && media != "application/json" {
		t.Errorf("%s %s: the body is described as %s", method, path, media)
	}
	build := func() *http.Request {
		r := httptest.NewRequest(method, target, strings.NewReader(body))
		if body != "" {
			r.Header.Set("Content-Type", media)
		}
		if op.Security != nil {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		if change != nil {
			change(r)
		}
		return r
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, build())
	res := rec.Result()
	input := &openapi3filter.RequestValidationInput{Request: build(), PathParams: params,
		Route:   &routers.Route{Spec: doc, Path: path, PathItem: item, Method: method, Operation: op},
		Options: &openapi3filter.Options{IncludeResponseStatus: true, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc}}
	if err := openapi3filter.ValidateRequest(t.Context(), input); err != nil && change == nil {
		t.Errorf("%s %s: %v", method, path, err)
	}
	output := &openapi3filter.ResponseValidationInput{RequestValidationInput: input, Status: res.StatusCode, Header: res.Header, Options: input.Options}
	if err := openapi3filter.ValidateResponse(t.Context(), output.SetBodyBytes(rec.Body.Bytes())); err != nil {
		t.Errorf("%s %s: %v\n%s", method, path, err, dump(res))
	}
	documented := op.Responses.Status(res.StatusCode)
	if documented == nil {
		if path != "/status/{code}" {
			t.Errorf("%s %s: status %d is not documented", method, path, res.StatusCode)
		}
		return res
	}
	checkHeaders(t, method+" "+path, res, documented.Value)
	return res
}

// example returns the example of a request's body.
func example(t *testing.T, op *openapi3.Operation) (media, body string) {
	t.Helper()
	if op.RequestBody == nil {
		return "", ""
	}
	for media, content := range op.RequestBody.Value.Content {
		if text, ok := content.Example.(string); ok {
			return media, text
		}
		b, err := json.Marshal(content.Example)
		if err != nil {
			t.Fatal(err)
		}
		return media, string(b)
	}
	return "", ""
}

// Headers of responses that need no documentation. The last is part of the WebSocket protocol.
var usual = []string{"Cache-Control", "Connection", "Content-Length", "Content-Security-Policy", "Content-Type", "Vary", "X-Content-Type-Options", "Accept-Ranges", "Sec-Websocket-Version"}

// checkHeaders checks that the headers of a response are documented and, if it is
// no error, that it has those that are. The body must be there if one is documented.
func checkHeaders(t *testing.T, at string, res *http.Response, documented *openapi3.Response) {
	t.Helper()
	names := map[string]bool{}
	for name := range documented.Headers {
		names[http.CanonicalHeaderKey(name)] = true
	}
	for name := range res.Header {
		if !names[name] && !slices.Contains(usual, name) {
			t.Errorf("%s: the header %s of status %d is not documented", at, name, res.StatusCode)
		}
	}
	for name := range names {
		if res.StatusCode < 400 && res.Header.Get(name) == "" {
			t.Errorf("%s: no header %s\n%s", at, name, dump(res))
		}
	}
	media, _, _ := strings.Cut(res.Header.Get("Content-Type"), ";")
	if len(documented.Content) == 0 && media != "" || len(documented.Content) > 0 && documented.Content[media] == nil {
		t.Errorf("%s: status %d has the media type %q, documented are %v", at, res.StatusCode, media, slices.Collect(maps.Keys(documented.Content)))
	}
}

func dump(res *http.Response) string {
	b, _ := httputil.DumpResponse(res, true)
	return string(b)
}

// token returns a token of the server.
func tokenOf(t *testing.T, h http.Handler) string {
	t.Helper()
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest("POST", "/token", strings.NewReader("ann")))
	var issued struct{ Token string }
	if err := json.Unmarshal(rec.Body.Bytes(), &issued); err != nil {
		t.Fatal(err)
	}
	return issued.Token
}

// inOrder returns the operations of a document: what writes before what reads, what
// deletes after it, and last what makes the others fail.
func inOrder(doc *openapi3.T) (out [][2]string) {
	rank := func(c [2]string) int {
		if c[1] == "/fault_injection/enable" || c[1] == "/ui/admin/fault-injection" {
			return 9
		}
		return slices.Index([]string{"POST", "PUT", "GET", "DELETE"}, c[0])
	}
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			out = append(out, [2]string{method, path})
		}
	}
	slices.SortFunc(out, func(a, b [2]string) int { return cmp.Or(rank(a)-rank(b), strings.Compare(a[1], b[1])) })
	return out
}

// TestExamples sends the example of each operation, and compares the response with
// the document: the status, the media type, the headers and the body.
func TestExamples(t *testing.T) {
	for name, env := range map[string]map[string]string{
		"stock":         {},
		"page":          {"PODINFO_FAULTS": "true", "PODINFO_UI_ADMIN": "true", "PODINFO_UI_ADMIN_HOSTS": "example.com"},
		"without store": {"PODINFO_CACHE_SERVER": "redis://127.0.0.1:1", "PODINFO_UNHEALTHY": "true", "PODINFO_UNREADY": "true"},
		"guarded":       {"PODINFO_JWT_ENABLED": "true", "PODINFO_JWT_PATHS": "/*,!/openapi.json,!/token", "PODINFO_JWT_SECRET": strings.Repeat("x", 32)},
	} {
		t.Run(name, func(t *testing.T) {
			env["PODINFO_DELAY_MAX"] = "60ms"
			app, _ := start(t, env, own{})
			doc := load(t, app, "")
			token := tokenOf(t, app)
			failing := map[string]int{"/ws/echo": 426, "/panic": 500, "/ui/rpc": 409} // without module grpc-server
			for _, c := range inOrder(doc) {
				method, path := c[0], c[1]
				res := call(t, app, doc, method, path, token, nil)
				if (name == "stock" || name == "page") && res.StatusCode >= 300 && res.StatusCode != failing[path] {
					t.Errorf("%s %s: the example fails: %s", method, path, dump(res))
				}
			}
		})
	}
}

// TestDocumentedFailures compares responses to bad requests with the document.
func TestDocumentedFailures(t *testing.T) {
	app, _ := start(t, map[string]string{"PODINFO_BODY_LIMIT_BYTES": "100", "PODINFO_DELAY_MAX": "1s"})
	doc := load(t, app, "")
	path := func(p string) func(*http.Request) { return func(r *http.Request) { r.URL.Path = p } }
	big := func(r *http.Request) {
		*r = *httptest.NewRequest(r.Method, r.URL.Path, strings.NewReader(strings.Repeat("x", 20000)))
	}
	torn := func(r *http.Request) { *r = *httptest.NewRequest(r.Method, r.URL.Path, &tornBody{}) }
	for _, c := range []struct {
		method, path string
		change       func(*http.Request)
		code         int
	}{
		{"GET", "/delay/{seconds}", path("/delay/x"), 404},
		{"GET", "/delay/{seconds}", path("/delay/-1"), 400},
		{"GET", "/chunked/{seconds}", path("/chunked/x"), 404},
		{"GET", "/chunked/{seconds}", path("/chunked/1h"), 400},
		{"GET", "/status/{code}", path("/status/x"), 404},
		{"GET", "/status/{code}", path("/status/1"), 400},
		{"PUT", "/status/{code}", path("/status/204"), 204},
		{"POST", "/status/{code}", path("/status/304"), 304},
		{"GET", "/status/{code}", path("/status/503"), 503},
		{"GET", "/token/validate", nil, 401},
		{"POST", "/token/validate", func(r *http.Request) { r.Header.Del("Authorization") }, 401},
		{"POST", "/token", big, 413},
		{"POST", "/token", torn, 400},
		{"POST", "/store", big, 413},
		{"PUT", "/store", torn, 400},
		{"GET", "/store/{hash}", path("/store/x"), 400},
		{"GET", "/store/{hash}", path("/store/" + strings.Repeat("0", 40)), 404},
		{"POST", "/echo", big, 413},
		{"POST", "/api/echo", torn, 400},
		{"GET", "/cache/{key}", path("/cache/absent"), 404},
		{"PUT", "/cache/{key}", big, 413},
		{"POST", "/cache/{key}", torn, 400},
		{"GET", "/panic", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, 403},
	} {
		if res := call(t, app, doc, c.method, c.path, "wrong", c.change); res.StatusCode != c.code {
			t.Errorf("%s %s: status %d, want %d", c.method, c.path, res.StatusCode, c.code)
		}
	}
}

// tornBody is the body of a client that disconnects.
type tornBody struct{}

func (*tornBody) Read([]byte) (int, error) { return 0, os.ErrClosed }

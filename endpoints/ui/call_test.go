package ui_test

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed-4591fe7d/podinfo/endpoints/echo"
	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver/grpctest"
	"github.com/seed-4591fe7d/podinfo/endpoints/ui"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/internal/wait/waittest"
	"github.com/seed-4591fe7d/podinfo/registry/capability"
)

// TestCall calls gRPC methods as the page does.
func TestCall(t *testing.T) {
	g := grpctest.Serve(t, on("UI_ADMIN", "true", "FAULTS", `{"rules": [{"name": "x", "match": {"grpc": "status.StatusService/Status"}, "fault": {"grpc": "Unavailable"}}]}`), append(everything(), new(echo.Module))...)
	for request, want := range map[string]struct {
		status int
		has    string
	}{
		`{"method": "/echo.EchoService/Echo", "message": {"body": "hello"}}`:                {200, `"body": "hello"`},
		`{"method": "/echo.EchoService/Stream", "message": {"body": "hello"}}`:              {200, `"code": "OK"`},
		`{"method": "/status.StatusService/Status", "message": {"code": "Internal"}}`:       {200, `"code": "Unavailable"`},
		`{"method": "/status.StatusService/Status", "metadata": {"a": "b"}, "message": {}}`: {200, `"code": "Unavailable"`},
		`{"method": "/no.Such/Method"}`:                                                     {400, "no method"},
		`{"method": "/echo.EchoService/Echo", "message": {"nosuch": 1}}`:                    {400, "the request is no echo.Message"},
		`{"method": `: {400, "invalid JSON"},
	} {
		code, body := send(t, g.App, "POST", "/ui/rpc", request, "application/json")
		if code != want.status || !strings.Contains(body, want.has) {
			t.Errorf("%s: %d %s", request, code, body)
		}
	}
	for kind, status := range map[string]int{"": 415, "text/plain": 415, "application/json; charset=utf-8": 200} { // another site's page may send the first two
		if code, body := send(t, g.App, "POST", "/ui/rpc", `{"method": "/echo.EchoService/Echo"}`, kind); code != status {
			t.Errorf("%q: %d %s", kind, code, body)
		}
	}
	if _, body := send(t, g.App, "POST", "/ui/simulate", "delay: 1ms", "application/yaml"); !strings.Contains(body, "also for a rule in YAML") {
		t.Error(body)
	}
	var model struct{ Calls []capability.RPCMethod }
	_, body := send(t, g.App, "GET", "/ui/model", "", "")
	if err := json.Unmarshal([]byte(body), &model); err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(model.Calls, func(m capability.RPCMethod) bool {
		return m.Method == "/echo.EchoService/Echo" && m.Module == "echo" && m.Kind == "unary" && strings.Contains(string(m.Request), "body")
	}) {
		t.Errorf("%+v", model.Calls)
	}
}

// TestCallOutlivesTheTimeout calls a method that takes longer than the server's
// timeout.
func TestCallOutlivesTheTimeout(t *testing.T) {
	g := grpctest.Serve(t, on("UI_ADMIN", "true", "FAULTS", `{"rules": [{"name": "slow", "match": {"grpc": "*"}, "delay": "1500ms"}]}`), append(everything(), new(echo.Module))...)
	client := waittest.Serve(t, g.App, time.Second)
	res, err := client.Post("http://localhost/ui/rpc", "application/json", strings.NewReader(`{"method": "/echo.EchoService/Echo"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err != nil || !strings.Contains(string(body), `"code": "OK"`) {
		t.Errorf("%s, %v", body, err)
	}
}

// TestTruncatedCall checks that a call whose responses do not end counts as one that
// the client has canceled, and that the example in the page ends.
func TestTruncatedCall(t *testing.T) {
	g := grpctest.Serve(t, on("UI_ADMIN", "true"), append(everything(), new(echo.Module))...)
	const calls = 30
	for range calls {
		if code, body := send(t, g.App, "POST", "/ui/rpc", `{"method": "/echo.EchoService/Repeat", "message": {"count": 4294967295}}`, "application/json"); code != 200 || !strings.Contains(body, `"truncated": true`) {
			t.Fatalf("%d %s", code, body)
		}
	}
	counted := regexp.MustCompile(`grpc_server_handled_total\{.*grpc_method="Repeat",grpc_code="([A-Za-z]+)"\} (\d+)`)
	codes := map[string]int{}
	for sum := 0; sum < calls; {
		codes, sum = map[string]int{}, 0
		_, body := send(t, g.App, "GET", "/metrics", "", "")
		for _, m := range counted.FindAllStringSubmatch(body, -1) {
			n, _ := strconv.Atoi(m[2])
			codes[m[1]] += n
			sum += n
		}
	}
	if !maps.Equal(codes, map[string]int{"Canceled": calls}) {
		t.Errorf("codes %v", codes)
	}
	_, body := send(t, g.App, "GET", "/ui/model", "", "")
	var model struct{ Calls []capability.RPCMethod }
	if err := json.Unmarshal([]byte(body), &model); err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(model.Calls, func(m capability.RPCMethod) bool { return m.Method == "/echo.EchoService/Repeat" })
	if request := string(model.Calls[i].Request); !regexp.MustCompile(`"count":\s*3`).MatchString(request) {
		t.Errorf("the example is %s", request)
	}
}

// send sends a request.
func send(t *testing.T, h http.Handler, method, path, body, kind string) (int, string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "http://localhost"+path, strings.NewReader(body))
	r.Header.Set("Content-Type", kind)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// TestCallIsGuarded checks that calls and simulations need what every change needs.
func TestCallIsGuarded(t *testing.T) {
	off := registrytest.Serve(t, on(), everything()...)
	guarded := registrytest.Serve(t, on("UI_ADMIN", "true", "UI_ADMIN_TOKEN", "sesame"), everything()...)
	for _, path := range []string{"/ui/rpc", "/ui/simulate"} {
		if res, _ := off.Call(t, "POST", path, "{}"); res.StatusCode != http.StatusNotFound {
			t.Errorf("%s without admin: %d", path, res.StatusCode)
		}
		if res, _ := guarded.Call(t, "POST", path, "{}"); res.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s without a token: %d", path, res.StatusCode)
		}
	}
	if res, body := guarded.Call(t, "POST", "/ui/rpc", "{}", "Authorization", "Bearer sesame", "Content-Type", "application/json"); res.StatusCode != http.StatusConflict {
		t.Errorf("without gRPC: %d %s", res.StatusCode, body)
	}
}

// TestSimulate checks the preview of a rule.
func TestSimulate(t *testing.T) {
	s := registrytest.Serve(t, on("UI_ADMIN", "true", "FAULTS_ZONE", "eu-1", "FAULTS_LABELS", "a=b", "FAULTS", `{"rules": [{"name": "first", "match": {"path": "/status/*"}, "fault": {"status": 502}}]}`), everything()...)
	type spread struct{ P50, P99 float64 }
	type preview struct {
		Requests, Matched, Hits int
		Targets                 []string
		Faults                  map[string]int
		Delay                   *spread
		From                    time.Time
		Warnings                []string
	}
	simulate := func(rule string) (p preview) {
		t.Helper()
		res, body := s.Call(t, "POST", "/ui/simulate", rule, "Content-Type", "application/json")
		if res.StatusCode != 200 {
			t.Fatalf("%d %s", res.StatusCode, body)
		}
		if err := json.Unmarshal([]byte(body), &p); err != nil {
			t.Fatal(err)
		}
		return p
	}
	if p := simulate("match: {path: /api/*, percent: 30}\nfault: {status: 503}"); p.Matched != p.Requests || p.Hits < p.Requests/4 || p.Hits > p.Requests/3+100 || len(p.Faults) != 1 || p.Delay != nil || p.Targets[0] != "GET /api/any" {
		t.Errorf("%+v", p)
	}
	if p := simulate(`{"delay": "120ms"}`); p.Hits != p.Requests || p.Delay == nil || p.Delay.P50 != 0.12 || p.Delay.P99 != 0.12 {
		t.Errorf("%+v", p)
	}
	if p := simulate("choose: [{percent: 50, fault: {status: 503}}, {percent: 50, delay: 1s}]"); p.Hits != p.Requests || p.Faults["status 503"] < p.Requests/3 || p.Delay == nil {
		t.Errorf("%+v", p)
	}
	for rule, want := range map[string]struct {
		matched bool
		warning string
	}{
		`{"match": {"instance": {"version": "9.9"}}, "delay": "1ms"}`:     {},
		`{"match": {"instance": {"version": "*"}}, "delay": "1ms"}`:       {matched: true},
		`{"match": {"instance": {"zone": "eu-1"}}, "delay": "1ms"}`:       {matched: true},
		`{"match": {"instance": {"zone": "eu-2"}}, "delay": "1ms"}`:       {},
		`{"match": {"instance": {"labels": {"a": "b"}}}, "delay": "1ms"}`: {matched: true},
		`{"match": {"instance": {"labels": {"a": "c"}}}, "delay": "1ms"}`: {},
		`{"match": {"server": ["another-pod"]}, "delay": "1ms"}`:          {},
		`{"match": {"path": "/healthz"}, "delay": "1ms"}`:                 {warning: "internal"},
		`{"match": {"path": "/nosuch"}, "delay": "1ms"}`:                  {matched: true, warning: "no route"},
		`{"match": {"path": "/status/500"}, "delay": "1ms"}`:              {matched: true, warning: `"first"`},
	} {
		p := simulate(rule)
		if warned := strings.Join(p.Warnings, "\n"); (p.Matched > 0) != want.matched || !strings.Contains(warned, want.warning) || (warned != "") != (want.warning != "") {
			t.Errorf("%s: %+v", rule, p)
		}
	}
	later := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	if p := simulate("when: {from: " + later.Format(time.RFC3339) + "}\ndelay: 1ms"); !p.From.Equal(later) || p.Hits == 0 {
		t.Errorf("%+v", p)
	}
	for rule, want := range map[string]string{"fault: {status: 7}": `rule \"late\": fault.status`, "name: early\ndelay: 1ms": `the rule \"early\"`} {
		if res, body := s.Call(t, "POST", "/ui/simulate?name=late", rule, "Content-Type", "application/json"); res.StatusCode != 400 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", rule, res.StatusCode, body)
		}
	}
	if res, body := s.Call(t, "POST", "/ui/simulate", "fault: {status: 7}", "Content-Type", "application/json"); res.StatusCode != 400 || !strings.Contains(body, "status") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	if _, body := s.Call(t, "GET", "/ui/model", ""); strings.Contains(body, ui.PreviewName) {
		t.Error("the preview was saved")
	}
}

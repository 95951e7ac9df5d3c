package ui_test

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/seed-4591fe7d/podinfo/endpoints/ui"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/registry"
)

func TestAdmin(t *testing.T) {
	s := registrytest.Serve(t, on("UI_ADMIN", "true"), everything()...)
	const notReady = `"why": "readiness is turned off"`
	for i, c := range []struct {
		request, body string
		code          int
		has           string // in the response
		after         string // a path to request afterwards
		then          int    // the status of that
	}{
		{"PUT modules/delay", `{"on": false}`, 200, `"delay": "standby"`, "/delay/0", 404},
		{"PUT modules/delay", `{"on": false}`, 200, `"delay": "standby"`, "/delay/0", 404},
		{"PUT modules/delay", `{"on": true}`, 200, `"delay": "on"`, "/delay/0", 200},
		{"PUT modules/nope", `{"on": true}`, 404, `unknown module \"nope\"`, "", 0},
		{"PUT modules/ui", `{"on": false}`, 409, "module ui cannot be switched", "/ui/model", 200},
		{"PUT modules/info", `{"on": false}`, 409, "module info cannot be switched", "/api/info", 200},
		{"PUT modules/metrics", `{"on": false}`, 409, "module metrics cannot be switched", "/metrics", 200},
		{"PUT modules/delay", ``, 400, `send {\"on\": true} or {\"on\": false}`, "", 0},
		{"PUT modules/delay", `{"on": 1}`, 400, `send {`, "", 0},
		{"PUT modules/delay", `{"on": null}`, 400, `send {`, "", 0},
		{"PUT modules/delay", `{"on": true, "off": true}`, 400, `send {`, "", 0},
		{"PUT modules/delay", `{"on": true} {}`, 400, `send {`, "", 0},
		{"PUT modules/delay", `[true]`, 400, `send {`, "", 0},
		{"PUT readiness", `{"on": false}`, 200, notReady, "/readyz", 503},
		{"PUT readiness", `{"on": true}`, 200, `"ready": true`, "/readyz", 200},
		{"PUT readiness", `{"ready": true}`, 400, `send {`, "", 0},
		{"PUT fault-injection", `{"on": true}`, 200, `"faultInjection": true`, "/status/200", 500},
		{"PUT fault-injection", `{"on": false}`, 200, `"faultInjection": false`, "/status/200", 200},
		{"PUT fault-injection", `true`, 400, `send {`, "", 0},
		{"PUT faults/rules/a", "match: {path: /status/200}\nfault: {status: 501}", 200, `"status": 501`, "/status/200", 501},
		{"PUT faults/rules/a", `{"match": {"path": "/status/200"}, "fault": {"status": 502}}`, 200, `"hits": 0`, "/status/200", 502},
		{"PUT faults/rules/a", `{"fault": {"status": 200}}`, 400, `out of range`, "/status/200", 502},
		{"PUT faults/rules/a", `{"name": "b", "fault": {"status": 501}}`, 400, `the body names the rule`, "/status/200", 502},
		{"PUT faults/rules/a", strings.Repeat("#", 1<<20+1), 413, `too large`, "/status/200", 502},
		{"PUT faults", `{"paused": true}`, 200, `"paused": true`, "/status/200", 200},
		{"PUT faults", `{"paused": false}`, 200, `"paused": false`, "/status/200", 502},
		{"PUT faults", `{"on": false}`, 400, `send {\"paused\": true}`, "", 0},
		{"DELETE faults/rules/b", ``, 404, `unknown rule`, "/status/200", 502},
		{"DELETE faults/rules/a", ``, 200, `"rules": []`, "/status/200", 200},
		{"DELETE faults/rules/a", ``, 404, `unknown rule`, "", 0},
		{"POST faults", ``, 405, ``, "", 0},
	} {
		method, path, _ := strings.Cut(c.request, " ")
		res, body := s.Call(t, method, "/ui/admin/"+path, c.body)
		if res.StatusCode != c.code || !strings.Contains(body, c.has) {
			t.Errorf("%d: %s: %d %s", i, c.request, res.StatusCode, body)
		}
		var reply struct {
			Code    int
			Message string
			Modules map[string]string
		}
		if err := json.Unmarshal([]byte(body), &reply); err != nil || c.code == 200 && len(reply.Modules) == 0 || c.code != 200 && (reply.Code != c.code || reply.Message == "") {
			t.Errorf("%d: %s: %v %s", i, c.request, err, body)
		}
		if c.after != "" {
			if res, _ := s.Call(t, "GET", c.after, ""); res.StatusCode != c.then {
				t.Errorf("%d: %s after %s: %d", i, c.after, c.request, res.StatusCode)
			}
		}
	}
	if n := strings.Count(s.Log.String(), "state changed from the page"); n != 12 {
		t.Errorf("%d changes logged", n)
	}
}

var adminRequests = []string{"PUT modules/delay", "PUT readiness", "PUT fault-injection", "PUT faults", "PUT faults/rules/a", "DELETE faults/rules/a"}

func TestAdminIsOffByDefault(t *testing.T) {
	s := registrytest.Serve(t, on(), everything()...)
	for _, request := range adminRequests {
		method, path, _ := strings.Cut(request, " ")
		if res, _ := s.Call(t, method, "/ui/admin/"+path, `{"on":true}`); res.StatusCode != 404 {
			t.Errorf("%s: %d", request, res.StatusCode)
		}
	}
}

func TestAdminToken(t *testing.T) {
	s := registrytest.Serve(t, on("UI_ADMIN", "true", "UI_ADMIN_TOKEN", "s3cret"), everything()...)
	for _, request := range adminRequests {
		method, path, _ := strings.Cut(request, " ")
		for token, allowed := range map[string]bool{"": false, "Bearer wrong": false, "Basic s3cret": false, "Bearer s3cret": true} {
			res, body := s.Call(t, method, "/ui/admin/"+path, "{}", "Authorization", token)
			if refused := res.StatusCode == http.StatusUnauthorized; refused == allowed || refused && !strings.HasPrefix(res.Header.Get("WWW-Authenticate"), "Bearer") {
				t.Errorf("%s with %q: %d %s", request, token, res.StatusCode, body)
			}
		}
	}
}

// TestAdminHosts checks that a page whose own name resolves to the server cannot
// change it.
func TestAdminHosts(t *testing.T) {
	own, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		token, host string
		code        int
	}{
		{"", "127.0.0.1", 200},
		{"", "[::1]:9898", 200},
		{"", "localhost:9898", 200},
		{"", own, 200},
		{"", "podinfo.default.svc:9898", 200},
		{"", "rebind.evil.example", 421},
		{"", "rebind.evil.example:9898", 421},
		{"", "podinfo", 421},
		{"s3cret", "rebind.evil.example", 200},
	} {
		s := registrytest.Serve(t, on("UI_ADMIN", "true", "UI_ADMIN_HOSTS", "podinfo.default.svc", "UI_ADMIN_TOKEN", c.token), everything()...)
		req, err := http.NewRequest("PUT", s.URL+"/ui/admin/modules/delay", strings.NewReader(`{"on": true}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Host = c.host
		req.Header.Set("Origin", "http://"+c.host)
		req.Header.Set("Sec-Fetch-Site", "same-origin")
		req.Header.Set("Authorization", "Bearer "+c.token)
		res, body := registrytest.Do(t, req)
		if res.StatusCode != c.code || (c.code == 421) != strings.Contains(body, "add the name to PODINFO_UI_ADMIN_HOSTS, or set PODINFO_UI_ADMIN_TOKEN") {
			t.Errorf("%+v: %d %s", c, res.StatusCode, body)
		}
	}
	_, err = registry.New([]registry.Module{new(ui.Module)}, registry.Env(map[string]string{"PODINFO_UI_ADMIN_HOSTS": "http://a"}))
	if err == nil || !strings.HasPrefix(err.Error(), "PODINFO_UI_ADMIN_HOSTS=") {
		t.Error(err)
	}
}

// TestAdminAlone checks the errors for modules that are off.
func TestAdminAlone(t *testing.T) {
	s := registrytest.Serve(t, map[string]string{"PODINFO_UI_ADMIN": "true"}, new(ui.Module))
	for request, body := range map[string]string{"PUT readiness": `{"on":true}`, "PUT fault-injection": `{"on":true}`, "PUT faults": `{"paused":true}`,
		"PUT faults/rules/a": "delay: 1s", "DELETE faults/rules/a": ""} {
		method, path, _ := strings.Cut(request, " ")
		if res, reply := s.Call(t, method, "/ui/admin/"+path, body); res.StatusCode != 409 || !strings.Contains(reply, " is off") {
			t.Errorf("%s: %d %s", request, res.StatusCode, reply)
		}
	}
}

package ui_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-4591fe7d/podinfo/endpoints/cache"
	"github.com/seed-4591fe7d/podinfo/endpoints/delay"
	"github.com/seed-4591fe7d/podinfo/endpoints/echo"
	"github.com/seed-4591fe7d/podinfo/endpoints/health"
	"github.com/seed-4591fe7d/podinfo/endpoints/httpserver"
	"github.com/seed-4591fe7d/podinfo/endpoints/info"
	"github.com/seed-4591fe7d/podinfo/endpoints/status"
	"github.com/seed-4591fe7d/podinfo/endpoints/token"
	"github.com/seed-4591fe7d/podinfo/endpoints/ui"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/middleware/crossorigin"
	"github.com/seed-4591fe7d/podinfo/middleware/faultinjection"
	"github.com/seed-4591fe7d/podinfo/middleware/faults"
	"github.com/seed-4591fe7d/podinfo/middleware/jwt"
	"github.com/seed-4591fe7d/podinfo/middleware/metrics"
	"github.com/seed-4591fe7d/podinfo/middleware/randomdelay"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// everything returns the modules that the page shows and may change, in stock
// order.
func everything() []registry.Module {
	return []registry.Module{
		new(metrics.Module), new(faultinjection.Module), new(faults.Module), new(randomdelay.Module),
		new(health.Module), new(ui.Module), new(info.Module), new(status.Module), new(delay.Module),
	}
}

// on returns the environment for everything, plus pairs of name and value.
func on(pairs ...string) map[string]string {
	env := map[string]string{"PODINFO_FAULTS": "true", "PODINFO_RANDOM_DELAY_ENABLED": "standby", "PODINFO_HTTP_SERVER_ENABLED": "false"}
	for i := 0; i+1 < len(pairs); i += 2 {
		env["PODINFO_"+pairs[i]] = pairs[i+1]
	}
	return env
}

type setting struct {
	Key, Flag, Value, Default, Source, Doc, Accepts string
	Secret                                          bool
}

type module struct {
	Name, Doc, Phase, State, Why string
	Switchable                   bool
	Fixed                        string
	Settings                     []setting
}

type model struct {
	About map[string]string
	Admin struct{ Enabled, Token bool }

	Modules []module
	Routes  []route
	Calls   []any
}

type route struct {
	Method, Path, Module, Label, Summary, Tag, Body string
	Params                                          map[string]string
	Returns                                         map[string]any
	Internal                                        bool
	Chain                                           []string
}

func modelOf(t *testing.T, s *registrytest.Server, path string) (m model, text string) {
	t.Helper()
	res, body := s.Call(t, "GET", path, "")
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "application/json; charset=utf-8" || res.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
	dec := json.NewDecoder(strings.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&m); err != nil {
		t.Fatal(err)
	}
	return m, body
}

func TestModel(t *testing.T) {
	s := registrytest.Serve(t, on("PREFIX", "/p", "UI_COLOR", "teal", "UI_ADMIN", "true", "UI_ADMIN_TOKEN", "s3cret",
		"FAULTS_ADMIN_TOKEN", "hidden", "BACKEND_URL", "http://backend/?key=quer1ed", "UI_LOGO", "https://user:passw0rd@example.com/l.png"), append(everything(), new(echo.Module), new(httpserver.Module))...)
	m, text := modelOf(t, s, "/p/ui/model")
	for _, secret := range []string{"s3cret", "hidden", "passw0rd", "quer1ed"} {
		if strings.Contains(text, secret) {
			t.Errorf("the model contains %s", secret)
		}
	}
	if m.About["color"] != "teal" || m.About["message"] != "greetings from podinfo v1.2.3" || m.About["version"] != "1.2.3" || m.About["revision"] != "abc" || m.About["hostname"] == "" || m.About["runtime"] == "" {
		t.Error(m.About)
	}
	if !m.Admin.Enabled || !m.Admin.Token {
		t.Error(m.Admin)
	}
	var chain []string
	for _, x := range m.Modules {
		mark := ""
		if x.Switchable {
			mark = " !"
		}
		chain = append(chain, x.Name+" "+x.Phase+" "+x.State+mark)
		if x.Doc == "" || x.Why == "" || (x.Fixed == "") != x.Switchable {
			t.Error(x)
		}
	}
	want := []string{"metrics observe on", "fault-injection fault on !", "faults fault on !", "random-delay fault standby !", "health  on !", "ui  on", "info  on", "status  on !", "delay  on !", "echo  on !", "http-server  off"}
	if diff := cmp.Diff(want, chain); diff != "" {
		t.Error(diff)
	}
	settings := map[string]setting{}
	for _, x := range m.Modules {
		for _, y := range x.Settings {
			settings[x.Name+" "+y.Key] = y
			if y.Doc == "" || y.Accepts == "" || y.Source == "" {
				t.Error(y)
			}
		}
	}
	if got := settings["ui PODINFO_UI_ADMIN_TOKEN"]; !got.Secret || got.Value != registry.Redacted || got.Flag != "ui-admin-token" || got.Source != "environment" {
		t.Error(got)
	}
	if got := settings["random-delay PODINFO_RANDOM_DELAY_UNIT"]; got.Value != "s" || got.Default != "s" || got.Source != "default" {
		t.Error(got)
	}
	for _, rt := range m.Routes {
		if rt.Path == "/delay/{seconds}" {
			if rt.Method != "GET" || rt.Module != "delay" || rt.Label != "delay" || rt.Summary == "" || rt.Tag == "" || rt.Params["seconds"] == "" || rt.Returns["200"] == nil || rt.Internal ||
				!slices.Equal(rt.Chain, []string{"metrics", "fault-injection", "faults"}) {
				t.Errorf("%+v", rt)
			}
			return
		}
	}
	t.Error("no /delay/{seconds}")
}

// TestGuards checks that the page does not switch a guard that would lock it
// out, and without an admin token does not switch any guard.
func TestGuards(t *testing.T) {
	for _, c := range []struct {
		paths, token     string
		jwt, crossOrigin bool
	}{{"/*", "s3cret", false, true}, {"/*,!/ui/*", "s3cret", true, true}, {"/cache/*", "s3cret", true, true}, {"/cache/*", "", false, false}} {
		s := registrytest.Serve(t, on("UI_ADMIN", "true", "UI_ADMIN_TOKEN", c.token, "JWT_ENABLED", "standby", "JWT_PATHS", c.paths, "JWT_SECRET", strings.Repeat("s", 32)),
			append(everything(), new(jwt.Module), new(token.Module), new(cache.Module), new(crossorigin.Module))...)
		m, _ := modelOf(t, s, "/ui/model")
		want := map[string]bool{"jwt": c.jwt, "cross-origin": c.crossOrigin, "faults": true}
		for _, x := range m.Modules {
			switchable, listed := want[x.Name]
			if listed && (x.Switchable != switchable || c.token == "" && !switchable && !strings.Contains(x.Fixed, "PODINFO_UI_ADMIN_TOKEN")) {
				t.Errorf("%+v: %+v", c, x)
			}
			if res, body := s.Call(t, "PUT", "/ui/admin/modules/"+x.Name, `{"on": true}`, "Authorization", "Bearer "+c.token); listed && (res.StatusCode == 200) != switchable {
				t.Errorf("%+v: %s: %d %s", c, x.Name, res.StatusCode, body)
			}
		}
	}
}

// TestModelFollowsASwitch checks that switching a module updates the model.
func TestModelFollowsASwitch(t *testing.T) {
	s := registrytest.Serve(t, on("UI_ADMIN", "true"), everything()...)
	for _, on := range []bool{true, false, true} {
		s.Call(t, "PUT", "/ui/admin/modules/delay", fmt.Sprintf(`{"on": %v}`, on))
		m, _ := modelOf(t, s, "/ui/model")
		for _, x := range m.Modules {
			if x.Name == "delay" && (x.State == "on") != on {
				t.Errorf("%s, want on: %v", x.State, on)
			}
		}
		if routed := slices.ContainsFunc(m.Routes, func(rt route) bool { return rt.Module == "delay" }); routed != on {
			t.Errorf("routed %v, want %v", routed, on)
		}
	}
}

// TestModelIsCached checks that a repeated request does not encode the model
// again.
func TestModelIsCached(t *testing.T) {
	s := registrytest.Serve(t, on(), everything()...)
	request := func() {
		if res, _ := s.Call(t, "GET", "/ui/model", "", "Accept-Encoding", "gzip"); res.StatusCode != 200 {
			t.Fatal(res.StatusCode)
		}
	}
	request()
	if n := testing.AllocsPerRun(20, request); n > 400 {
		t.Errorf("%v allocations", n)
	}
}

// TestModelLogo checks that the default logo is the built-in one, which needs no
// network.
func TestModelLogo(t *testing.T) {
	s := registrytest.Serve(t, on(), everything()...)
	if m, _ := modelOf(t, s, "/ui/model"); m.About["logo"] != "" || m.Admin.Enabled {
		t.Error(m.About, m.Admin)
	}
	s = registrytest.Serve(t, on("UI_LOGO", "/x.png"), everything()...)
	if m, _ := modelOf(t, s, "/ui/model"); m.About["logo"] != "/x.png" {
		t.Error(m.About)
	}
}

func TestModelAlone(t *testing.T) {
	s := registrytest.Serve(t, nil, new(ui.Module))
	if m, _ := modelOf(t, s, "/ui/model"); len(m.Modules) != 1 || len(m.Routes) != 6 {
		t.Errorf("%+v", m)
	}
}

// TestPageSeesFaults checks that faults hit the page and /api/info, but not the
// data and files that the page uses.
func TestPageSeesFaults(t *testing.T) {
	s := registrytest.Serve(t, on("UI_ADMIN", "true"), everything()...)
	s.Call(t, "POST", "/fault_injection/enable", "")
	for path, code := range map[string]int{"/": 500, "/ui/model": 200, "/ui/assets/x/app.js": 404, "/api/info": 500} {
		if res, _ := s.Call(t, "GET", path, "", "User-Agent", browser); res.StatusCode != code {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
	if res, _ := s.Call(t, http.MethodPut, "/ui/admin/fault-injection", `{"on":false}`); res.StatusCode != 200 {
		t.Error(res.StatusCode)
	}
}

package ui

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"

	"github.com/sirupsen/logrus"

	"github.com/seed-4591fe7d/podinfo/internal/bearer"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/capability"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

// statusError is an error with the HTTP status that it is reported with.
type statusError struct {
	code int
	error
}

func statusErrorf(code int, format string, args ...any) error {
	return statusError{code, fmt.Errorf(format, args...)}
}

// change carries out a request whose body has been read. An error that is not a
// statusError is reported with status 400.
type change func(r *http.Request, body []byte) error

// The bodies of requests that parseFlag reads, for the API documents.
type (
	toggle struct {
		On bool `json:"on"`
	}
	pause struct {
		Paused bool `json:"paused"`
	}
)

// exampleRule is the rule in the API documents.
var exampleRule = scenario.Rule{Name: "payments-fail", Match: scenario.Match{Path: "/api/payments"}, Fault: &scenario.Fault{Status: http.StatusServiceUnavailable}}

// exampleCall is the gRPC call in the API documents.
var exampleCall = rpcRequest{Method: "/version.VersionService/Version", Metadata: map[string]string{}, Message: json.RawMessage("{}")}

// adminRoutes returns the routes with which the page changes the server.
func (m *Module) adminRoutes() []registry.Route {
	module, moduleExample := map[string]string{"name": "name of the module"}, map[string]string{"name": "delay"}
	rule, ruleExample := map[string]string{"name": "name of the rule"}, map[string]string{"name": exampleRule.Name}
	guarded := func(handler http.HandlerFunc, ok any, rt registry.Route, refusals ...int) registry.Route {
		rt.Returns = map[int]any{http.StatusOK: ok}
		refusals = append(refusals, http.StatusBadRequest)
		if m.AdminToken != "" {
			refusals = append(refusals, http.StatusUnauthorized)
		} else {
			refusals = append(refusals, http.StatusMisdirectedRequest)
		}
		for _, code := range refusals {
			rt.Returns[code] = reply.Problem{}
		}
		rt.Handler, rt.Internal, rt.Tag, rt.Bearer = m.guard(handler), true, "Admin", m.AdminToken != ""
		return rt
	}
	route := func(do change, rt registry.Route) registry.Route {
		rt.Path = "/ui/admin/" + rt.Path
		refusals := []int{http.StatusConflict}
		if rt.Params != nil {
			refusals = append(refusals, http.StatusNotFound)
		}
		return guarded(m.handleChange(do), state{}, rt, refusals...)
	}
	const on = `{"on": true} or {"on": false}`
	return []registry.Route{
		route(m.switchModule, registry.Route{Method: http.MethodPut, Path: "modules/{name}", Summary: "Switch a module on or off", Body: on, Accepts: toggle{true}, Params: module, Examples: moduleExample}),
		route(m.switchReadiness, registry.Route{Method: http.MethodPut, Path: "readiness", Summary: "Turn readiness on or off", Body: on, Accepts: toggle{true}}),
		route(m.switchInjection, registry.Route{Method: http.MethodPut, Path: "fault-injection", Summary: "Switch fault injection on or off", Body: on, Accepts: toggle{true}}),
		route(m.pauseFaults, registry.Route{Method: http.MethodPut, Path: "faults", Summary: "Pause or resume the fault rules", Body: `{"paused": true} or {"paused": false}`, Accepts: pause{true}}),
		route(m.putRule, registry.Route{Method: http.MethodPut, Path: "faults/rules/{name}", Summary: "Replace a rule, or append a new one", Body: "a rule, which may also be YAML", Accepts: exampleRule, Params: rule, Examples: ruleExample}),
		route(m.removeRule, registry.Route{Method: http.MethodDelete, Path: "faults/rules/{name}", Summary: "Remove a rule", Params: rule, Examples: ruleExample}),
		guarded(preflighted("", m.serveCall), capability.RPCReply{}, registry.Route{
			Method: http.MethodPost, Path: "/ui/rpc", Summary: "Call a gRPC method of this server", Body: "a method, its metadata and its request", Accepts: exampleCall,
		}, http.StatusConflict, http.StatusUnsupportedMediaType),
		guarded(preflighted(", also for a rule in YAML", m.serveSimulation), preview{}, registry.Route{
			Method: http.MethodPost, Path: "/ui/simulate", Summary: "Say what a rule would do, without saving it", Body: "a rule, which may also be YAML; the query parameter name is its name in messages", Accepts: exampleRule,
		}, http.StatusUnsupportedMediaType, http.StatusServiceUnavailable),
	}
}

// preflighted refuses what another site's page may send without asking first. Unlike
// PUT and DELETE, a POST is such a request unless its body is JSON
// (https://fetch.spec.whatwg.org/#cors-safelisted-request-header). note is added to what
// the refusal says.
func preflighted(note string, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
			reply.Error(w, http.StatusUnsupportedMediaType, "send Content-Type: application/json"+note)
			return
		}
		next(w, r)
	}
}

// guard protects a handler that changes the server or lets it do something.
func (m *Module) guard(handler http.HandlerFunc) http.HandlerFunc {
	handler = bearer.Require(m.AdminToken, handler)
	if m.AdminToken == "" {
		handler = m.hosts.Require("PODINFO_UI_ADMIN_HOSTS", "PODINFO_UI_ADMIN_TOKEN", handler)
	}
	return handler
}

// handleChange returns a handler that applies a change and responds with the new
// state.
func (m *Module) handleChange(do change) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		buf := m.host.Budget().Buffer()
		defer buf.Close()
		body, ok := reply.ReadBytes(w, reply.Limit(w, r, scenario.MaxBytes), buf)
		if !ok {
			return
		}
		if err := do(r, body); err != nil {
			respondError(w, err)
			return
		}
		m.host.Log.WithContext(r.Context()).WithFields(logrus.Fields{"method": r.Method, "path": r.URL.Path, "remote": r.RemoteAddr}).Info("state changed from the page")
		reply.JSON(w, http.StatusOK, m.refresh())
	}
}

// respondError reports an error with its status.
func respondError(w http.ResponseWriter, err error) {
	code := http.StatusBadRequest
	if x, ok := errors.AsType[statusError](err); ok {
		code = x.code
	}
	reply.Error(w, code, err.Error())
}

// parseFlag returns the value of key in a JSON object that has no other key.
func parseFlag(key string, body []byte) (bool, error) {
	var got map[string]*bool
	dec := json.NewDecoder(bytes.NewReader(body))
	err := dec.Decode(&got)
	if value := got[key]; err == nil && len(got) == 1 && value != nil {
		if _, err = dec.Token(); err == io.EOF {
			return *value, nil
		}
	}
	return false, fmt.Errorf(`invalid body: send {%q: true} or {%q: false}`, key, key)
}

func (m *Module) switchModule(r *http.Request, body []byte) error {
	on, err := parseFlag("on", body)
	if err != nil {
		return err
	}
	for _, s := range m.host.Modules() {
		if s.Info.Name != r.PathValue("name") {
			continue
		}
		if reason := m.notSwitchable(s); reason != "" {
			return statusErrorf(http.StatusConflict, "module %s cannot be switched: %s", s.Info.Name, reason)
		}
		if err := m.host.Switch(s.Info.Name, on); err != nil {
			return statusErrorf(http.StatusConflict, "%w", err)
		}
		return nil
	}
	return statusErrorf(http.StatusNotFound, "unknown module %q", r.PathValue("name"))
}

func (m *Module) switchReadiness(_ *http.Request, body []byte) error {
	on, err := parseFlag("on", body)
	if err != nil {
		return err
	}
	if m.peers.prober == nil {
		return moduleOff("health")
	}
	m.peers.prober.SetReady(on)
	return nil
}

func (m *Module) switchInjection(_ *http.Request, body []byte) error {
	on, err := parseFlag("on", body)
	if err != nil {
		return err
	}
	if m.peers.injector == nil {
		return moduleOff("fault-injection")
	}
	m.peers.injector.Inject(on)
	return nil
}

func (m *Module) pauseFaults(_ *http.Request, body []byte) error {
	paused, err := parseFlag("paused", body)
	if err != nil {
		return err
	}
	if m.peers.ruler == nil {
		return moduleOff("faults")
	}
	m.peers.ruler.Pause(paused)
	return nil
}

func (m *Module) putRule(r *http.Request, body []byte) error {
	if m.peers.ruler == nil {
		return moduleOff("faults")
	}
	rule, err := parseRule(r.PathValue("name"), body)
	if err != nil {
		return err
	}
	return m.peers.ruler.PutRule(rule)
}

func (m *Module) removeRule(r *http.Request, _ []byte) error {
	if m.peers.ruler == nil {
		return moduleOff("faults")
	}
	if !m.peers.ruler.RemoveRule(r.PathValue("name")) {
		return statusErrorf(http.StatusNotFound, "unknown rule %q", r.PathValue("name"))
	}
	return nil
}

func moduleOff(module string) error {
	return statusErrorf(http.StatusConflict, "module %s is off", module)
}

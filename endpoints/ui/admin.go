package ui

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/sirupsen/logrus"

	"github.com/seed-4591fe7d/podinfo/internal/bearer"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

// refusal is why a change is refused, and the status that says so.
type refusal struct {
	code int
	error
}

func refuse(code int, format string, args ...any) error {
	return refusal{code, fmt.Errorf(format, args...)}
}

// change does what a request asks for, whose body is read.
type change func(r *http.Request, body []byte) error

// adminRoutes are what the page changes the server with.
func (m *Module) adminRoutes() []registry.Route {
	named := func(what string) map[string]string { return map[string]string{"name": "name of the " + what} }
	route := func(method, path, summary, body string, params map[string]string, do change) registry.Route {
		returns := map[int]any{http.StatusOK: state{}, http.StatusBadRequest: reply.Problem{}, http.StatusConflict: reply.Problem{}}
		if params != nil {
			returns[http.StatusNotFound] = reply.Problem{}
		}
		if m.AdminToken != "" {
			returns[http.StatusUnauthorized] = reply.Problem{}
		}
		return registry.Route{
			Method: method, Path: "/ui/admin/" + path, Internal: true, Handler: bearer.Require(m.AdminToken, m.changed(do)),
			Summary: summary, Tag: "Admin", Params: params, Body: body, Returns: returns,
		}
	}
	const on = `{"on": true} or {"on": false}`
	return []registry.Route{
		route(http.MethodPut, "modules/{name}", "Switch a module", on, named("module"), m.switchModule),
		route(http.MethodPut, "readiness", "Turn readiness on or off", on, nil, m.switchReadiness),
		route(http.MethodPut, "fault-injection", "Switch fault injection", on, nil, m.switchInjection),
		route(http.MethodPut, "faults", "Stop the rules of faults, or let them go on", `{"paused": true} or {"paused": false}`, nil, m.pauseFaults),
		route(http.MethodPut, "faults/rules/{name}", "Replace a rule, or add it behind the others", "a rule, YAML or JSON", named("rule"), m.putRule),
		route(http.MethodDelete, "faults/rules/{name}", "Remove a rule", "", named("rule"), m.removeRule),
	}
}

// changed answers with the state after a change.
func (m *Module) changed(do change) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, scenario.MaxBytes))
		if err != nil {
			reply.BodyError(w, err)
			return
		}
		if err := do(r, body); err != nil {
			code := http.StatusBadRequest
			if x, ok := errors.AsType[refusal](err); ok {
				code = x.code
			}
			reply.Error(w, code, err.Error())
			return
		}
		m.host.Log.WithFields(logrus.Fields{"method": r.Method, "path": r.URL.Path, "remote": r.RemoteAddr}).Info("changed over the page")
		reply.JSON(w, http.StatusOK, m.refresh())
	}
}

// flag reads an object that has one key, whose value is true or false.
func flag(key string, body []byte) (bool, error) {
	var got map[string]*bool
	dec := json.NewDecoder(bytes.NewReader(body))
	err := dec.Decode(&got)
	if value := got[key]; err == nil && len(got) == 1 && value != nil {
		if _, err = dec.Token(); err == io.EOF {
			return *value, nil
		}
	}
	return false, fmt.Errorf(`want {%q: true} or {%q: false}`, key, key)
}

func (m *Module) switchModule(r *http.Request, body []byte) error {
	on, err := flag("on", body)
	if err != nil {
		return err
	}
	for _, s := range m.host.Modules() {
		if s.Info.Name != r.PathValue("name") {
			continue
		}
		if why := m.fixed(s); why != "" {
			return refuse(http.StatusConflict, "module %s cannot be switched: %s", s.Info.Name, why)
		}
		if err := m.host.Switch(s.Info.Name, on); err != nil {
			return refuse(http.StatusConflict, "%w", err)
		}
		return nil
	}
	return refuse(http.StatusNotFound, "no such module")
}

func (m *Module) switchReadiness(_ *http.Request, body []byte) error {
	on, err := flag("on", body)
	if err != nil {
		return err
	}
	if m.peers.prober == nil {
		return off("health")
	}
	m.peers.prober.SetReady(on)
	return nil
}

func (m *Module) switchInjection(_ *http.Request, body []byte) error {
	on, err := flag("on", body)
	if err != nil {
		return err
	}
	if m.peers.injector == nil {
		return off("fault-injection")
	}
	m.peers.injector.Inject(on)
	return nil
}

func (m *Module) pauseFaults(_ *http.Request, body []byte) error {
	paused, err := flag("paused", body)
	if err != nil {
		return err
	}
	if m.peers.ruler == nil {
		return off("faults")
	}
	m.peers.ruler.Pause(paused)
	return nil
}

func (m *Module) putRule(r *http.Request, body []byte) error {
	if m.peers.ruler == nil {
		return off("faults")
	}
	name := r.PathValue("name")
	rule, err := scenario.ParseRule("body", name, body)
	if err == nil && rule.Name != name {
		err = fmt.Errorf("the rule calls itself %q", rule.Name)
	}
	if err != nil {
		return err
	}
	return m.peers.ruler.PutRule(rule)
}

func (m *Module) removeRule(r *http.Request, _ []byte) error {
	if m.peers.ruler == nil {
		return off("faults")
	}
	if !m.peers.ruler.RemoveRule(r.PathValue("name")) {
		return refuse(http.StatusNotFound, "no such rule")
	}
	return nil
}

func off(module string) error { return refuse(http.StatusConflict, "module %s is off", module) }

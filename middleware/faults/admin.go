package faults

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/bearer"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// state is what the API shows of a rule.
type state struct {
	Rule    *scenario.Rule `json:"rule"`
	Seen    uint64         `json:"seen"`              // requests that matched
	Hits    uint64         `json:"hits"`              // of those
	Keys    int            `json:"keys,omitempty"`    // that it counts for
	Expires *time.Time     `json:"expires,omitempty"` // when it removes itself
}

// list is what the API shows of all.
type list struct {
	Paused bool    `json:"paused"`
	Held   int     `json:"held"` // requests that wait now
	Seed   *uint64 `json:"seed,omitempty"`
	Rules  []state `json:"rules"`
}

// AdminRoutes are the API of faults, for the port that operators reach and
// clients do not. There are none unless a setting asks for them.
func (m *Module) AdminRoutes() []registry.Route {
	if !m.Admin {
		return nil
	}
	routes := m.adminRoutes()
	for i := range routes {
		routes[i].Handler = m.allowed(routes[i].Handler)
	}
	return routes
}

// adminRoutes are the API without the token.
func (m *Module) adminRoutes() []registry.Route {
	const (
		bad, absent, changed, large = http.StatusBadRequest, http.StatusNotFound, http.StatusPreconditionFailed, http.StatusRequestEntityTooLarge
	)
	returns := func(ok any, refusals ...int) map[int]any {
		out := map[int]any{http.StatusOK: ok, http.StatusUnauthorized: registry.Error{}}
		for _, code := range refusals {
			out[code] = registry.Error{}
		}
		return out
	}
	name := map[string]string{"name": "name of the rule"}
	document := map[string]any{}
	routes := []registry.Route{
		{Method: http.MethodGet, Path: "/faults", Handler: m.getAll, Summary: "The rules and what they have done", Returns: returns(list{})},
		{Method: http.MethodPut, Path: "/faults", Handler: m.putAll, Summary: "Replace the scenario", Body: "a scenario, YAML or JSON", Returns: returns(list{}, bad, changed, large)},
		{Method: http.MethodDelete, Path: "/faults", Handler: m.deleteAll, Summary: "Remove every rule", Returns: returns(list{}, changed)},
		{Method: http.MethodGet, Path: "/faults/rules/{name}", Handler: m.getOne, Params: name, Summary: "A rule and what it has done", Returns: returns(state{}, absent)},
		{Method: http.MethodPut, Path: "/faults/rules/{name}", Handler: m.putOne, Params: name, Summary: "Replace a rule, or add it behind the others", Body: "a rule, YAML or JSON", Returns: returns(list{}, bad, changed, large)},
		{Method: http.MethodDelete, Path: "/faults/rules/{name}", Handler: m.deleteOne, Params: name, Summary: "Remove a rule", Returns: returns(list{}, absent, changed)},
		{Method: http.MethodPost, Path: "/faults/pause", Handler: m.pause(true), Summary: "Stop all rules for now", Returns: returns(list{})},
		{Method: http.MethodPost, Path: "/faults/resume", Handler: m.pause(false), Summary: "Let the rules go on", Returns: returns(list{})},
		{Method: http.MethodGet, Path: "/faults/schema.json", Handler: m.schema, Summary: "JSON Schema of a scenario", Returns: returns(document)},
		{Method: http.MethodGet, Path: "/faults/openapi.json", Handler: m.openAPI, Summary: "This API, as OpenAPI", Returns: returns(document)},
	}
	for i := range routes {
		routes[i].Tag, routes[i].Internal = "Faults", true
	}
	return routes
}

// allowed asks for the token.
func (m *Module) allowed(next http.HandlerFunc) http.HandlerFunc {
	if m.AdminToken == "" {
		return next
	}
	want := sha256.Sum256([]byte(m.AdminToken))
	return func(w http.ResponseWriter, r *http.Request) {
		token, err := bearer.FromHeader(r.Header)
		if got := sha256.Sum256([]byte(token)); err == nil && subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			err = errors.New("wrong token")
		}
		if err != nil {
			bearer.Refuse(w, err)
			return
		}
		next(w, r)
	}
}

// etag names the scenario as it is. It is for those who hold mu.
func (m *Module) etag() string {
	b, err := json.Marshal(m.current)
	if err != nil {
		panic(err) // it was read from JSON or YAML
	}
	sum := sha256.Sum256(b)
	return fmt.Sprintf(`"%d-%x"`, m.version, sum[:8])
}

func (m *Module) list() list {
	out := list{Paused: m.engine.Paused(), Held: m.engine.Held(), Seed: m.current.Seed, Rules: []state{}}
	for _, s := range m.engine.Rules() {
		out.Rules = append(out.Rules, state(s))
	}
	return out
}

// answer shows all rules. It is for those who hold mu.
func (m *Module) answer(w http.ResponseWriter) {
	w.Header().Set("ETag", m.etag())
	registry.WriteJSON(w, http.StatusOK, m.list())
}

func (m *Module) getAll(w http.ResponseWriter, _ *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.answer(w)
}

func (m *Module) getOne(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.engine.Rules() {
		if s.Rule.Name == r.PathValue("name") {
			w.Header().Set("ETag", m.etag())
			registry.WriteJSON(w, http.StatusOK, state(s))
			return
		}
	}
	registry.WriteError(w, http.StatusNotFound, "no such rule")
}

// change replaces the scenario by what edit makes of it, all or nothing.
func (m *Module) change(w http.ResponseWriter, r *http.Request, edit func(scenario.Scenario) (*scenario.Scenario, int, error)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if want := r.Header.Get("If-Match"); want != "" && want != "*" && !slices.Contains(strings.Split(strings.ReplaceAll(want, " ", ""), ","), m.etag()) {
		registry.WriteError(w, http.StatusPreconditionFailed, "the scenario is not the one of If-Match any more")
		return
	}
	s, code, err := edit(*m.current)
	if err != nil {
		registry.WriteError(w, code, err.Error())
		return
	}
	m.swap(s)
	m.host.Log.WithField("rules", len(s.Rules)).WithField("remote", r.RemoteAddr).Info("scenario changed over the API")
	m.answer(w)
}

// body reads what a client sends. The port of the API limits nothing itself.
func body(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, scenario.MaxBytes))
	if err != nil {
		registry.WriteBodyError(w, err)
		return nil, false
	}
	return b, true
}

func (m *Module) putAll(w http.ResponseWriter, r *http.Request) {
	b, ok := body(w, r)
	if !ok {
		return
	}
	m.change(w, r, func(scenario.Scenario) (*scenario.Scenario, int, error) {
		s, err := scenario.Parse("body", b)
		return s, http.StatusBadRequest, err
	})
}

func (m *Module) deleteAll(w http.ResponseWriter, r *http.Request) {
	m.change(w, r, func(s scenario.Scenario) (*scenario.Scenario, int, error) {
		s.Rules = nil
		return &s, 0, nil
	})
}

func (m *Module) putOne(w http.ResponseWriter, r *http.Request) {
	b, ok := body(w, r)
	if !ok {
		return
	}
	name := r.PathValue("name")
	m.change(w, r, func(s scenario.Scenario) (*scenario.Scenario, int, error) {
		rule, err := scenario.ParseRule("body", name, b)
		if err == nil && rule.Name != name {
			err = fmt.Errorf("the rule calls itself %q", rule.Name)
		}
		if err != nil {
			return nil, http.StatusBadRequest, err
		}
		s.Rules = slices.Clone(s.Rules)
		if at := indexOf(s.Rules, name); at >= 0 {
			s.Rules[at] = rule
		} else if len(s.Rules) == scenario.MaxRules {
			return nil, http.StatusBadRequest, fmt.Errorf("more than %d rules", scenario.MaxRules)
		} else {
			s.Rules = append(s.Rules, rule)
		}
		return &s, 0, nil
	})
}

func (m *Module) deleteOne(w http.ResponseWriter, r *http.Request) {
	m.change(w, r, func(s scenario.Scenario) (*scenario.Scenario, int, error) {
		at := indexOf(s.Rules, r.PathValue("name"))
		if at < 0 {
			return nil, http.StatusNotFound, errors.New("no such rule")
		}
		s.Rules = slices.Delete(slices.Clone(s.Rules), at, at+1)
		return &s, 0, nil
	})
}

func indexOf(rules []*scenario.Rule, name string) int {
	return slices.IndexFunc(rules, func(r *scenario.Rule) bool { return r.Name == name })
}

func (m *Module) pause(paused bool) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.engine.Pause(paused)
		m.answer(w)
	}
}

func (m *Module) schema(w http.ResponseWriter, _ *http.Request) {
	registry.WriteEncoded(w, http.StatusOK, scenario.Schema())
}

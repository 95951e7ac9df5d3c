package faults

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/origin"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/budget"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

// state is a rule in responses of the API.
type state struct {
	Rule    *scenario.Rule `json:"rule"`
	Seen    uint64         `json:"seen"`              // requests that matched
	Hits    uint64         `json:"hits"`              // requests that were hit
	Keys    int            `json:"keys,omitempty"`    // keys tracked
	Expires *time.Time     `json:"expires,omitempty"` // when the rule ends
	Ended   bool           `json:"ended,omitempty"`   // whether it has
}

// list is all rules in responses of the API.
type list struct {
	Paused bool    `json:"paused"`
	Held   int     `json:"held"` // requests being delayed
	Seed   *uint64 `json:"seed,omitempty"`
	Rules  []state `json:"rules"`

	Warnings []string `json:"warnings,omitempty"` // why rules of the change will not do what they say
}

// AdminRoutes returns the API of fault rules, for a port that operators can reach
// and clients cannot. There are none with the setting Admin off.
func (m *Module) AdminRoutes() []registry.Route {
	if !m.Admin {
		return nil
	}
	routes := m.adminRoutes()
	for i := range routes {
		routes[i].Handler = m.guarded(routes[i].Handler)
	}
	return routes
}

// ownPages returns a handler that refuses changes from other sites' pages.
func ownPages(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if new(origin.Policy).CheckMethod(r) != nil {
			reply.Error(w, http.StatusForbidden, "cross-origin requests cannot change the rules")
			return
		}
		next(w, r)
	}
}

// adminRoutes returns the API without its access control.
func (m *Module) adminRoutes() []registry.Route {
	const (
		bad, foreign, absent, changed, large = http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound, http.StatusPreconditionFailed, http.StatusRequestEntityTooLarge
	)
	returns := func(ok any, refusals ...int) map[int]any {
		out := map[int]any{http.StatusOK: ok, http.StatusUnauthorized: reply.Problem{}, http.StatusMisdirectedRequest: reply.Problem{}}
		for _, code := range refusals {
			out[code] = reply.Problem{}
		}
		return out
	}
	name := map[string]string{"name": "name of the rule"}
	document := map[string]any{}
	routes := []registry.Route{
		{Method: http.MethodGet, Path: "/faults", Handler: m.getAll, Summary: "List the rules with their counters", Returns: returns(list{})},
		{Method: http.MethodPut, Path: "/faults", Handler: m.putAll, Summary: "Replace the scenario", Body: "a scenario, YAML or JSON", Returns: returns(list{}, foreign, bad, changed, large)},
		{Method: http.MethodDelete, Path: "/faults", Handler: m.deleteAll, Summary: "Remove every rule", Returns: returns(list{}, foreign, changed)},
		{Method: http.MethodGet, Path: "/faults/rules/{name}", Handler: m.getOne, Params: name, Summary: "Get a rule with its counters", Returns: returns(state{}, absent)},
		{Method: http.MethodPut, Path: "/faults/rules/{name}", Handler: m.putOne, Params: name, Summary: "Replace a rule, or add it after the others", Body: "a rule, YAML or JSON", Returns: returns(list{}, foreign, bad, changed, large)},
		{Method: http.MethodDelete, Path: "/faults/rules/{name}", Handler: m.deleteOne, Params: name, Summary: "Remove a rule", Returns: returns(list{}, foreign, absent, changed)},
		{Method: http.MethodPost, Path: "/faults/pause", Handler: m.pause(true), Summary: "Pause all rules", Returns: returns(list{}, foreign)},
		{Method: http.MethodPost, Path: "/faults/resume", Handler: m.pause(false), Summary: "Resume all rules", Returns: returns(list{}, foreign)},
		{Method: http.MethodGet, Path: "/faults/schema.json", Handler: m.schema, Summary: "Get the JSON Schema of a scenario", Returns: returns(document)},
		{Method: http.MethodGet, Path: "/faults/openapi.json", Handler: m.openAPI, Summary: "Get the OpenAPI document of this API", Returns: returns(document)},
	}
	for i := range routes {
		routes[i].Tag, routes[i].Internal = "Faults", true
	}
	return routes
}

// etagLocked identifies the current scenario. The caller must hold m.mu.
func (m *Module) etagLocked() string {
	b, err := json.Marshal(m.current)
	if err != nil {
		panic(err) // impossible: it was read from JSON or YAML
	}
	sum := sha256.Sum256(b)
	return fmt.Sprintf(`"%d-%x"`, m.version, sum[:8])
}

func (m *Module) listLocked() list {
	out := list{Paused: m.engine.Paused(), Held: m.engine.Held(), Seed: m.current.Seed, Rules: []state{}}
	for _, s := range m.engine.Rules() {
		out.Rules = append(out.Rules, state(s))
	}
	return out
}

// response is a response of the API. It is written without m.mu, as clients may
// be slow to read it.
type response struct {
	etag string // "" for none
	code int
	body any
}

func (res response) write(w http.ResponseWriter) {
	if res.etag != "" {
		w.Header().Set("ETag", res.etag)
	}
	reply.JSON(w, res.code, res.body)
}

func refusal(code int, why string) response {
	return response{code: code, body: reply.Problem{Code: code, Message: why}}
}

// allLocked returns all rules. The caller must hold m.mu.
func (m *Module) allLocked() response {
	return response{m.etagLocked(), http.StatusOK, m.listLocked()}
}

// oneLocked returns a rule. The caller must hold m.mu.
func (m *Module) oneLocked(name string) response {
	for _, s := range m.engine.Rules() {
		if s.Rule.Name == name {
			return response{m.etagLocked(), http.StatusOK, state(s)}
		}
	}
	return refusal(http.StatusNotFound, "no such rule")
}

// withLock calls f while holding m.mu.
func (m *Module) withLock(f func() response) response {
	m.mu.Lock()
	defer m.mu.Unlock()
	return f()
}

func (m *Module) getAll(w http.ResponseWriter, _ *http.Request) { m.withLock(m.allLocked).write(w) }

func (m *Module) getOne(w http.ResponseWriter, r *http.Request) {
	m.withLock(func() response { return m.oneLocked(r.PathValue("name")) }).write(w)
}

// change replaces the scenario with what edit returns for the current one. Rules
// named in anew start over if their ttl has ended them.
func (m *Module) change(w http.ResponseWriter, r *http.Request, anew []string, edit func(scenario.Scenario) (*scenario.Scenario, int, error)) {
	m.withLock(func() response {
		if want := r.Header.Get("If-Match"); want != "" && want != "*" && !slices.Contains(strings.Split(strings.ReplaceAll(want, " ", ""), ","), m.etagLocked()) {
			return refusal(http.StatusPreconditionFailed, "the scenario has changed since the ETag in If-Match; get it again")
		}
		if none := r.Header.Get("If-None-Match"); none != "" && m.existsLocked(r.PathValue("name"), none) {
			return refusal(http.StatusPreconditionFailed, "there is one already, and If-None-Match forbids to replace it; delete it first")
		}
		s, code, err := edit(*m.current)
		if err != nil {
			return refusal(code, err.Error())
		}
		warnings := m.warn(s)
		m.swapLocked(s, anew...)
		m.host.Log.WithContext(r.Context()).WithField("rules", len(s.Rules)).WithField("remote", r.RemoteAddr).Info("fault scenario changed through the API")
		out := m.listLocked()
		out.Warnings = warnings
		return response{m.etagLocked(), http.StatusOK, out}
	}).write(w)
}

// existsLocked reports whether the rule of a name exists or, for an empty name, any
// rule, and is one that If-None-Match lists. The caller must hold m.mu.
func (m *Module) existsLocked(name, list string) bool {
	if name != "" && indexOf(m.current.Rules, name) < 0 || len(m.current.Rules) == 0 {
		return false
	}
	return list == "*" || slices.Contains(strings.Split(strings.ReplaceAll(list, " ", ""), ","), m.etagLocked())
}

// body reads the body of a request into buf. On an error it responds and returns
// false. The limit is here because the port of the API has none.
func body(w http.ResponseWriter, r *http.Request, buf *budget.Buffer) ([]byte, bool) {
	return reply.ReadBytes(w, reply.Limit(w, r, scenario.MaxBytes), buf)
}

func (m *Module) putAll(w http.ResponseWriter, r *http.Request) {
	buf := m.host.Budget().Buffer()
	defer buf.Close()
	b, ok := body(w, r, buf)
	if !ok {
		return
	}
	s, err := scenario.Parse("body", b)
	if err != nil {
		reply.Error(w, http.StatusBadRequest, err.Error())
		return
	}
	var names []string
	for _, rule := range s.Rules {
		names = append(names, rule.Name)
	}
	m.change(w, r, names, func(scenario.Scenario) (*scenario.Scenario, int, error) { return s, 0, nil })
}

func (m *Module) deleteAll(w http.ResponseWriter, r *http.Request) {
	m.change(w, r, nil, func(s scenario.Scenario) (*scenario.Scenario, int, error) {
		s.Rules = nil
		return &s, 0, nil
	})
}

func (m *Module) putOne(w http.ResponseWriter, r *http.Request) {
	buf := m.host.Budget().Buffer()
	defer buf.Close()
	b, ok := body(w, r, buf)
	if !ok {
		return
	}
	name := r.PathValue("name")
	rule, err := scenario.ParseRule("body", name, b)
	if err == nil && rule.Name != name {
		err = fmt.Errorf("the body names the rule %q; use the name in the path or none", rule.Name)
	}
	if err != nil {
		reply.Error(w, http.StatusBadRequest, err.Error())
		return
	}
	m.change(w, r, []string{name}, func(s scenario.Scenario) (*scenario.Scenario, int, error) {
		next, err := with(s, rule)
		return next, http.StatusBadRequest, err
	})
}

// with returns s with a rule that replaces the one of its name, or that comes
// after the others.
func with(s scenario.Scenario, rule *scenario.Rule) (*scenario.Scenario, error) {
	s.Rules = slices.Clone(s.Rules)
	if at := indexOf(s.Rules, rule.Name); at >= 0 {
		s.Rules[at] = rule
		return &s, nil
	}
	if len(s.Rules) == scenario.MaxRules {
		return nil, fmt.Errorf("more than %d rules; remove some", scenario.MaxRules)
	}
	s.Rules = append(s.Rules, rule)
	return &s, nil
}

func (m *Module) deleteOne(w http.ResponseWriter, r *http.Request) {
	m.change(w, r, nil, func(s scenario.Scenario) (*scenario.Scenario, int, error) {
		next, ok := without(s, r.PathValue("name"))
		if !ok {
			return nil, http.StatusNotFound, errors.New("no such rule")
		}
		return next, 0, nil
	})
}

// without returns s without the rule of a name, and false if no rule has it.
func without(s scenario.Scenario, name string) (*scenario.Scenario, bool) {
	at := indexOf(s.Rules, name)
	if at < 0 {
		return nil, false
	}
	s.Rules = slices.Delete(slices.Clone(s.Rules), at, at+1)
	return &s, true
}

func indexOf(rules []*scenario.Rule, name string) int {
	return slices.IndexFunc(rules, func(r *scenario.Rule) bool { return r.Name == name })
}

func (m *Module) pause(paused bool) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		m.withLock(func() response {
			m.engine.Pause(paused)
			return m.allLocked()
		}).write(w)
	}
}

func (m *Module) schema(w http.ResponseWriter, _ *http.Request) {
	reply.Encoded(w, http.StatusOK, scenario.Schema())
}

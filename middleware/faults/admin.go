package faults

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/bearer"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
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
	own := http.NewCrossOriginProtection()
	own.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		reply.Error(w, http.StatusForbidden, "pages of other sites may not change the rules")
	}))
	routes := m.adminRoutes()
	for i := range routes {
		routes[i].Handler = own.Handler(bearer.Require(m.AdminToken, routes[i].Handler)).ServeHTTP
	}
	return routes
}

// adminRoutes are the API without the token.
func (m *Module) adminRoutes() []registry.Route {
	const (
		bad, foreign, absent, changed, large = http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound, http.StatusPreconditionFailed, http.StatusRequestEntityTooLarge
	)
	returns := func(ok any, refusals ...int) map[int]any {
		out := map[int]any{http.StatusOK: ok, http.StatusUnauthorized: reply.Problem{}}
		for _, code := range refusals {
			out[code] = reply.Problem{}
		}
		return out
	}
	name := map[string]string{"name": "name of the rule"}
	document := map[string]any{}
	routes := []registry.Route{
		{Method: http.MethodGet, Path: "/faults", Handler: m.getAll, Summary: "The rules and what they have done", Returns: returns(list{})},
		{Method: http.MethodPut, Path: "/faults", Handler: m.putAll, Summary: "Replace the scenario", Body: "a scenario, YAML or JSON", Returns: returns(list{}, foreign, bad, changed, large)},
		{Method: http.MethodDelete, Path: "/faults", Handler: m.deleteAll, Summary: "Remove every rule", Returns: returns(list{}, foreign, changed)},
		{Method: http.MethodGet, Path: "/faults/rules/{name}", Handler: m.getOne, Params: name, Summary: "A rule and what it has done", Returns: returns(state{}, absent)},
		{Method: http.MethodPut, Path: "/faults/rules/{name}", Handler: m.putOne, Params: name, Summary: "Replace a rule, or add it behind the others", Body: "a rule, YAML or JSON", Returns: returns(list{}, foreign, bad, changed, large)},
		{Method: http.MethodDelete, Path: "/faults/rules/{name}", Handler: m.deleteOne, Params: name, Summary: "Remove a rule", Returns: returns(list{}, foreign, absent, changed)},
		{Method: http.MethodPost, Path: "/faults/pause", Handler: m.pause(true), Summary: "Stop all rules for now", Returns: returns(list{}, foreign)},
		{Method: http.MethodPost, Path: "/faults/resume", Handler: m.pause(false), Summary: "Let the rules go on", Returns: returns(list{}, foreign)},
		{Method: http.MethodGet, Path: "/faults/schema.json", Handler: m.schema, Summary: "JSON Schema of a scenario", Returns: returns(document)},
		{Method: http.MethodGet, Path: "/faults/openapi.json", Handler: m.openAPI, Summary: "This API, as OpenAPI", Returns: returns(document)},
	}
	for i := range routes {
		routes[i].Tag, routes[i].Internal = "Faults", true
	}
	return routes
}

// etag names the scenario as it is. It is for those who hold mu.
func (m *Module) etag() string {
	b, err := json.Marshal(m.alive())
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

// answer is what a client of the API gets. It is written without mu, as a
// client may be slow to take it.
type answer struct {
	etag string // "" for none
	code int
	body any
}

func (a answer) write(w http.ResponseWriter) {
	if a.etag != "" {
		w.Header().Set("ETag", a.etag)
	}
	reply.JSON(w, a.code, a.body)
}

func refusal(code int, why string) answer {
	return answer{code: code, body: reply.Problem{Code: code, Message: why}}
}

// all shows all rules. It is for those who hold mu.
func (m *Module) all() answer { return answer{m.etag(), http.StatusOK, m.list()} }

// one shows a rule. It is for those who hold mu.
func (m *Module) one(name string) answer {
	for _, s := range m.engine.Rules() {
		if s.Rule.Name == name {
			return answer{m.etag(), http.StatusOK, state(s)}
		}
	}
	return refusal(http.StatusNotFound, "no such rule")
}

// locked is what f returns, which holds mu.
func (m *Module) locked(f func() answer) answer {
	m.mu.Lock()
	defer m.mu.Unlock()
	return f()
}

func (m *Module) getAll(w http.ResponseWriter, _ *http.Request) { m.locked(m.all).write(w) }

func (m *Module) getOne(w http.ResponseWriter, r *http.Request) {
	m.locked(func() answer { return m.one(r.PathValue("name")) }).write(w)
}

// change replaces the scenario by what edit makes of it, all or nothing. anew
// are the names of the rules that were given.
func (m *Module) change(w http.ResponseWriter, r *http.Request, anew []string, edit func(scenario.Scenario) (*scenario.Scenario, int, error)) {
	m.locked(func() answer {
		if want := r.Header.Get("If-Match"); want != "" && want != "*" && !slices.Contains(strings.Split(strings.ReplaceAll(want, " ", ""), ","), m.etag()) {
			return refusal(http.StatusPreconditionFailed, "the scenario is not the one of If-Match any more")
		}
		s, code, err := edit(m.alive())
		if err != nil {
			return refusal(code, err.Error())
		}
		m.swap(s, anew...)
		m.host.Log.WithField("rules", len(s.Rules)).WithField("remote", r.RemoteAddr).Info("scenario changed over the API")
		return m.all()
	}).write(w)
}

// body reads what a client sends. The port of the API limits nothing itself.
func body(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, scenario.MaxBytes))
	if err != nil {
		reply.BodyError(w, err)
		return nil, false
	}
	return b, true
}

func (m *Module) putAll(w http.ResponseWriter, r *http.Request) {
	b, ok := body(w, r)
	if !ok {
		return
	}
	s, err := scenario.Parse("body", b)
	if len(bytes.TrimSpace(b)) == 0 { // an empty file is fine, but this is a slip
		err = errors.New("body: want a scenario; rules: [] removes them all")
	}
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
	b, ok := body(w, r)
	if !ok {
		return
	}
	name := r.PathValue("name")
	rule, err := scenario.ParseRule("body", name, b)
	if err == nil && rule.Name != name {
		err = fmt.Errorf("the rule calls itself %q", rule.Name)
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

// with is s with a rule in the place of the one of its name, or behind the
// others.
func with(s scenario.Scenario, rule *scenario.Rule) (*scenario.Scenario, error) {
	s.Rules = slices.Clone(s.Rules)
	if at := indexOf(s.Rules, rule.Name); at >= 0 {
		s.Rules[at] = rule
		return &s, nil
	}
	if len(s.Rules) == scenario.MaxRules {
		return nil, fmt.Errorf("more than %d rules", scenario.MaxRules)
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

// without is s without the rule of a name, if it has one.
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
		m.locked(func() answer {
			m.engine.Pause(paused)
			return m.all()
		}).write(w)
	}
}

func (m *Module) schema(w http.ResponseWriter, _ *http.Request) {
	reply.Encoded(w, http.StatusOK, scenario.Schema())
}

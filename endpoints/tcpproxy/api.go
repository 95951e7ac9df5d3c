package tcpproxy

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/seed-4591fe7d/podinfo/internal/serve"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/capability"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

// toxiproxyVersion is the version of toxiproxy whose API this is.
const toxiproxyVersion = "2.12.0"

// apiError is the body of a response with an error, as toxiproxy's clients read it.
type apiError struct {
	Message string `json:"error"`
	Status  int    `json:"status"`
}

func (e *apiError) Error() string { return e.Message }

func refusal(status int, format string, args ...any) *apiError {
	return &apiError{fmt.Sprintf(format, args...), status}
}

func badBody(err error) *apiError {
	return refusal(http.StatusBadRequest, "bad request body: %v", err)
}

func missing(field string) *apiError {
	return refusal(http.StatusBadRequest, "missing required field: %s", field)
}

// proxyJSON is a proxy in requests.
type proxyJSON struct {
	Name     string `json:"name"`
	Listen   string `json:"listen"`
	Upstream string `json:"upstream"`
	Enabled  bool   `json:"enabled"`
}

// proxyView is a proxy in responses.
type proxyView struct {
	proxyJSON
	Toxics []*toxic `json:"toxics"`
}

// call is a request of the API. body is the request's; the response is a JSON
// value, nil for none.
type call func(m *Module, r *http.Request, body []byte) (status int, response any, err *apiError)

// AdminRoutes returns toxiproxy's API, for a port that operators can reach and
// clients cannot. There are none with the setting ToxiproxyAPI off.
func (m *Module) AdminRoutes() []registry.Route {
	if !m.ToxiproxyAPI || m.rules == nil {
		return nil
	}
	var routes []registry.Route
	for _, rt := range []struct {
		method, path, summary string
		call                  call
	}{
		{http.MethodGet, "/proxies", "List the proxies with their toxics", (*Module).listProxies},
		{http.MethodPost, "/proxies", "Create a proxy", (*Module).createProxy},
		{http.MethodPost, "/populate", "Create or replace proxies", (*Module).populate},
		{http.MethodGet, "/proxies/{proxy}", "Get a proxy with its toxics", (*Module).getProxy},
		{http.MethodPost, "/proxies/{proxy}", "Change a proxy", (*Module).changeProxy},
		{http.MethodPatch, "/proxies/{proxy}", "Change a proxy", (*Module).changeProxy},
		{http.MethodDelete, "/proxies/{proxy}", "Delete a proxy", (*Module).deleteProxy},
		{http.MethodGet, "/proxies/{proxy}/toxics", "List the toxics of a proxy", (*Module).listToxics},
		{http.MethodPost, "/proxies/{proxy}/toxics", "Add a toxic", (*Module).addToxic},
		{http.MethodGet, "/proxies/{proxy}/toxics/{toxic}", "Get a toxic", (*Module).getToxic},
		{http.MethodPost, "/proxies/{proxy}/toxics/{toxic}", "Change a toxic", (*Module).changeToxic},
		{http.MethodPatch, "/proxies/{proxy}/toxics/{toxic}", "Change a toxic", (*Module).changeToxic},
		{http.MethodDelete, "/proxies/{proxy}/toxics/{toxic}", "Remove a toxic", (*Module).removeToxic},
		{http.MethodPost, "/reset", "Enable all proxies and remove all toxics", (*Module).reset},
		{http.MethodGet, "/version", "Get the version of toxiproxy", func(*Module, *http.Request, []byte) (int, any, *apiError) {
			return http.StatusOK, map[string]string{"version": toxiproxyVersion}, nil
		}},
	} {
		routes = append(routes, registry.Route{
			Method: rt.method, Path: rt.path, Summary: rt.summary, Tag: "Toxiproxy", Internal: true,
			Handler: m.rules.GuardAdmin(m.respond(rt.call)),
		})
	}
	return routes
}

// respond returns the handler of a call.
func (m *Module) respond(do call) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		buf := m.host.Budget().Buffer()
		defer buf.Close()
		body, ok := reply.ReadBytes(w, reply.Limit(w, r, scenario.MaxBytes), buf)
		if !ok {
			return
		}
		m.mu.Lock()
		status, response, err := do(m, r, body)
		if err != nil && response == nil {
			status, response = err.Status, err
		}
		var out []byte
		if response != nil {
			out, _ = json.Marshal(response) // while the values are not changed
		}
		m.mu.Unlock()
		m.logChange(r, err)
		if response == nil {
			w.WriteHeader(status)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		w.Write(append(out, '\n'))
	}
}

// logChange logs a request that was to change something. err is nil if it has. A
// request that failed may have changed a part.
func (m *Module) logChange(r *http.Request, err *apiError) {
	log := m.host.Log.WithContext(r.Context()).WithField("request", r.Method+" "+r.URL.Path).WithField("remote", r.RemoteAddr)
	switch {
	case r.Method == http.MethodGet:
	case err != nil:
		log.WithError(err).Info("change through the API of toxiproxy failed")
	default:
		log.Info("proxies changed through the API of toxiproxy")
	}
}

// view returns a proxy as the API shows it.
func (p *proxy) view() proxyView {
	p.prune()
	toxics := slices.Clone(p.toxics)
	slices.SortStableFunc(toxics, func(a, b *toxic) int { return -strings.Compare(strings.ToLower(a.Stream), strings.ToLower(b.Stream)) }) // upstream first, as toxiproxy does
	if toxics == nil {
		toxics = []*toxic{}
	}
	return proxyView{proxyJSON{p.name, p.listen, p.upstream, p.enabled}, toxics}
}

// prune removes the toxics whose rules were removed or replaced by other means.
func (p *proxy) prune() {
	if len(p.toxics) == 0 {
		return
	}
	there := map[string]string{}
	for _, s := range p.m.changer.Rules() {
		there[s.Rule.Name] = string(s.Rule.JSON())
	}
	p.toxics = slices.DeleteFunc(p.toxics, func(t *toxic) bool { return there[t.rule.Name] != string(t.rule.JSON()) })
}

func (m *Module) found(r *http.Request) (*proxy, *apiError) {
	if p := m.proxy(r.PathValue("proxy")); p != nil {
		return p, nil
	}
	return nil, refusal(http.StatusNotFound, "proxy not found")
}

func (m *Module) foundToxic(r *http.Request) (*proxy, *toxic, *apiError) {
	p, err := m.found(r)
	if err != nil {
		return nil, nil, err
	}
	p.prune()
	i := slices.IndexFunc(p.toxics, func(t *toxic) bool { return t.Name == r.PathValue("toxic") })
	if i < 0 {
		return nil, nil, refusal(http.StatusNotFound, "toxic not found")
	}
	return p, p.toxics[i], nil
}

func (m *Module) listProxies(*http.Request, []byte) (int, any, *apiError) {
	all := map[string]proxyView{}
	for _, p := range m.proxies {
		all[p.name] = p.view()
	}
	return http.StatusOK, all, nil
}

func (m *Module) getProxy(r *http.Request, _ []byte) (int, any, *apiError) {
	p, err := m.found(r)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, p.view(), nil
}

func (m *Module) createProxy(r *http.Request, body []byte) (int, any, *apiError) {
	input := proxyJSON{Enabled: true}
	switch err := decode(body, &input); {
	case err != nil:
		return 0, nil, badBody(err)
	case input.Name == "":
		return 0, nil, missing("name")
	case input.Upstream == "":
		return 0, nil, missing("upstream")
	case m.proxy(input.Name) != nil:
		return 0, nil, refusal(http.StatusConflict, "proxy already exists")
	}
	p, err := m.create(r.Context(), input)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusCreated, p.view(), nil
}

// create adds a proxy that does not exist.
func (m *Module) create(ctx context.Context, input proxyJSON) (*proxy, *apiError) {
	if !proxyName().MatchString(input.Name) {
		return nil, refusal(http.StatusBadRequest, "bad request body: name %q: use at most 63 letters, digits, -, _ and .", input.Name)
	}
	p := m.newProxy(input.Name, input.Listen, input.Upstream)
	if input.Enabled {
		if err := m.enable(ctx, p); err != nil {
			return nil, err
		}
	}
	m.proxies = append(m.proxies, p)
	return p, nil
}

func (m *Module) enable(ctx context.Context, p *proxy) *apiError {
	if m.gone.Started() {
		return refusal(http.StatusServiceUnavailable, "shutting down")
	}
	ports := []capability.OwnPort{{Listen: p.listen, Target: p.upstream}}
	for _, o := range m.proxies {
		if o != p && o.enabled {
			ports = append(ports, capability.OwnPort{Listen: o.listen, Target: o.upstream})
		}
	}
	if serve.ComesBack(p.upstream, ports) {
		return refusal(http.StatusBadRequest, "bad request body: the upstream is the proxy itself: use another port")
	}
	if err := p.enable(ctx); err != nil {
		return refusal(http.StatusInternalServerError, "%v", err)
	}
	return nil
}

// drop removes a proxy with its toxics.
func (m *Module) drop(p *proxy) {
	p.disable()
	p.removeToxics()
	m.proxies = slices.DeleteFunc(m.proxies, func(o *proxy) bool { return o == p })
}

// differs reports whether a proxy would have to be started anew.
func (p *proxy) differs(input proxyJSON) (bool, *apiError) {
	addr, err := net.ResolveTCPAddr("tcp", input.Listen)
	if err != nil {
		return false, refusal(http.StatusInternalServerError, "%v", err)
	}
	return addr.String() != p.listen && input.Listen != p.listen || input.Upstream != p.upstream, nil
}

func (m *Module) changeProxy(r *http.Request, body []byte) (int, any, *apiError) {
	p, failure := m.found(r)
	if failure != nil {
		return 0, nil, failure
	}
	input := proxyJSON{Listen: p.listen, Upstream: p.upstream, Enabled: p.enabled}
	if err := decode(body, &input); err != nil {
		return 0, nil, badBody(err)
	}
	changed, failure := p.differs(input)
	if failure != nil {
		return 0, nil, failure
	}
	if changed || !input.Enabled {
		p.disable()
		p.listen, p.upstream = input.Listen, input.Upstream
	}
	if input.Enabled && !p.enabled {
		if err := m.enable(r.Context(), p); err != nil {
			return 0, nil, err
		}
	}
	return http.StatusOK, p.view(), nil
}

func (m *Module) deleteProxy(r *http.Request, _ []byte) (int, any, *apiError) {
	p, err := m.found(r)
	if err != nil {
		return 0, nil, err
	}
	m.drop(p)
	return http.StatusNoContent, nil, nil
}

// populated is the response of populate.
type populated struct {
	*apiError `json:",omitempty"`
	Proxies   []proxyView `json:"proxies"`
}

func (m *Module) populate(r *http.Request, body []byte) (int, any, *apiError) {
	var inputs []struct {
		proxyJSON
		Enabled *bool `json:"enabled"`
	}
	var out populated
	fail := func(err *apiError) (int, any, *apiError) {
		out.apiError = err
		return err.Status, out, err
	}
	if err := decode(body, &inputs); err != nil {
		return fail(badBody(err))
	}
	for i, input := range inputs {
		switch {
		case input.Name == "":
			return fail(missing(fmt.Sprintf("name at proxy %d", i+1)))
		case input.Upstream == "":
			return fail(missing(fmt.Sprintf("upstream at proxy %d", i+1)))
		}
	}
	for _, input := range inputs {
		input.proxyJSON.Enabled = input.Enabled == nil || *input.Enabled
		p := m.proxy(input.Name)
		if p != nil {
			changed, err := p.differs(input.proxyJSON)
			if err != nil {
				return fail(err)
			}
			if changed {
				m.drop(p)
				p = nil
			}
		}
		if p == nil {
			var err *apiError
			if p, err = m.create(r.Context(), input.proxyJSON); err != nil {
				return fail(err)
			}
		}
		out.Proxies = append(out.Proxies, p.view())
	}
	return http.StatusCreated, out, nil
}

func (m *Module) reset(r *http.Request, _ []byte) (int, any, *apiError) {
	for _, p := range m.proxies {
		if !p.enabled {
			if err := m.enable(r.Context(), p); err != nil {
				return 0, nil, err
			}
		}
		p.removeToxics()
	}
	m.refreshLocked(r.Context())
	m.settleLocked()
	return http.StatusNoContent, nil, nil
}

func (p *proxy) removeToxics() {
	p.prune()
	for _, t := range p.toxics {
		p.m.changer.RemoveRule(t.rule.Name)
	}
	p.toxics = nil
}

func (m *Module) listToxics(r *http.Request, _ []byte) (int, any, *apiError) {
	p, err := m.found(r)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, p.view().Toxics, nil
}

func (m *Module) getToxic(r *http.Request, _ []byte) (int, any, *apiError) {
	_, t, err := m.foundToxic(r)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, t, nil
}

// toxicJSON is a toxic in requests.
type toxicJSON struct {
	Name, Type, Stream string
	Toxicity           float32
	Attributes         json.RawMessage
}

func (m *Module) addToxic(r *http.Request, body []byte) (int, any, *apiError) {
	p, failure := m.found(r)
	if failure != nil {
		return 0, nil, failure
	}
	input := toxicJSON{Stream: "downstream", Toxicity: 1}
	if err := decode(body, &input); err != nil {
		return 0, nil, badBody(err)
	}
	if stream := strings.ToLower(input.Stream); stream != "upstream" && stream != "downstream" {
		return 0, nil, refusal(http.StatusBadRequest, "stream was invalid, can be either upstream or downstream")
	}
	t := &toxic{
		Attributes: newAttributes(input.Type), Type: input.Type, Stream: input.Stream, Toxicity: input.Toxicity,
		Name: cmp.Or(input.Name, input.Type+"_"+input.Stream),
	}
	if t.Attributes == nil {
		return 0, nil, refusal(http.StatusBadRequest, "invalid toxic type")
	}
	p.prune()
	taken := func(s scenario.State) bool { return s.Rule.Name == ruleName(p.name, t.Name) }
	if slices.ContainsFunc(m.changer.Rules(), taken) {
		return 0, nil, refusal(http.StatusConflict, "toxic already exists")
	}
	if err := m.put(r, p, t, input.Attributes); err != nil {
		return 0, nil, err
	}
	p.toxics = append(p.toxics, t)
	return http.StatusOK, t, nil
}

func (m *Module) changeToxic(r *http.Request, body []byte) (int, any, *apiError) {
	p, t, failure := m.foundToxic(r)
	if failure != nil {
		return 0, nil, failure
	}
	next := t.clone()
	input := toxicJSON{Toxicity: t.Toxicity}
	if err := decode(body, &input); err != nil {
		return 0, nil, badBody(err)
	}
	next.Toxicity = input.Toxicity
	if err := m.put(r, p, next, input.Attributes); err != nil {
		return 0, nil, err
	}
	*t = *next
	return http.StatusOK, t, nil
}

// put adds or replaces the rule of a toxic, with these attributes.
func (m *Module) put(r *http.Request, p *proxy, t *toxic, attributes json.RawMessage) *apiError {
	if len(attributes) > 0 {
		if err := json.Unmarshal(attributes, t.Attributes); err != nil {
			return badBody(err)
		}
	}
	err := t.compile(p.name)
	if err == nil {
		err = m.changer.PutRule(t.rule)
	}
	if err != nil {
		return badBody(err)
	}
	m.refreshLocked(r.Context())
	m.settleLocked()
	return nil
}

func (m *Module) removeToxic(r *http.Request, _ []byte) (int, any, *apiError) {
	p, t, err := m.foundToxic(r)
	if err != nil {
		return 0, nil, err
	}
	m.changer.RemoveRule(t.rule.Name)
	p.toxics = slices.DeleteFunc(p.toxics, func(o *toxic) bool { return o == t })
	m.refreshLocked(r.Context())
	m.settleLocked()
	return http.StatusNoContent, nil, nil
}

// decode reads the first JSON value of a body, as toxiproxy does.
func decode(body []byte, into any) error {
	return json.NewDecoder(bytes.NewReader(body)).Decode(into)
}

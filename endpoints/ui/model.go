package ui

import (
	"cmp"
	"net/http"
	"runtime"

	"github.com/seed-4591fe7d/podinfo/internal/redact"
	"github.com/seed-4591fe7d/podinfo/internal/static"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/capability"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

// model is the part of the page's data that changes only when a module is
// switched.
type model struct {
	About   about         `json:"about"`
	Admin   admin         `json:"admin"`
	Modules []moduleModel `json:"modules"` // in chain order
	Routes  []routeModel  `json:"routes"`  // served routes

	Calls []capability.RPCMethod `json:"calls"` // gRPC methods
}

// about describes the running program.
type about struct {
	instance
	Revision string `json:"revision"`
	Color    string `json:"color"`
	Message  string `json:"message"`
	Logo     string `json:"logo"` // "" for the built-in logo
	GOOS     string `json:"goos"`
	GOARCH   string `json:"goarch"`
	Runtime  string `json:"runtime"`
}

// admin says whether the page may change the server.
type admin struct {
	Enabled bool `json:"enabled"`
	Token   bool `json:"token"` // whether a bearer token is required
}

// serveAbout responds with who responds, so that the page learns the colour of a
// version that fails every other request.
func (m *Module) serveAbout(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	reply.JSON(w, http.StatusOK, m.about())
}

type moduleModel struct {
	Name       string         `json:"name"`
	Doc        string         `json:"doc"`
	Phase      string         `json:"phase"`
	State      string         `json:"state"`
	Why        string         `json:"why"` // the setting that decided the state
	Switchable bool           `json:"switchable"`
	Fixed      string         `json:"fixed"` // why it is not switchable, or ""
	Settings   []settingModel `json:"settings"`
}

// settingModel is a setting with its value, secrets redacted.
type settingModel struct {
	Key     string `json:"key"`
	Flag    string `json:"flag"`
	Value   string `json:"value"`
	Default string `json:"default"`
	Source  string `json:"source"`
	Doc     string `json:"doc"`
	Accepts string `json:"accepts"`
	Secret  bool   `json:"secret"`
}

type routeModel struct {
	Method   string            `json:"method"` // "" for any
	Path     string            `json:"path"`   // below the prefix
	Module   string            `json:"module"`
	Label    string            `json:"label"`
	Summary  string            `json:"summary"`
	Tag      string            `json:"tag"`
	Params   map[string]string `json:"params"`
	Body     string            `json:"body"`
	Returns  map[int]any       `json:"returns"`
	Internal bool              `json:"internal"`
	Chain    []string          `json:"chain"` // outermost first
}

// cachedModel is the encoded model of one assembly.
type cachedModel struct {
	assembly *registry.Assembly
	file     *static.File
}

func (m *Module) serveModel(w http.ResponseWriter, r *http.Request) {
	now, c := m.host.Assembly(), m.model.Load()
	if c == nil || c.assembly != now {
		c = &cachedModel{now, static.New("model.json", encode(model{m.about(), admin{m.Admin, m.AdminToken != ""}, m.modules(now), m.routes(now), m.calls()}))}
		m.model.Store(c)
	}
	w.Header().Set("Cache-Control", "no-store")
	c.file.ServeHTTP(w, r)
}

func (m *Module) about() about {
	logo := m.setting("UI_LOGO")
	if logo.Source == registry.FromDefault {
		logo.Value = ""
	}
	return about{
		instance: m.instance, Revision: m.host.Build().Revision,
		Color: m.setting("UI_COLOR").Value, Logo: redact.UserInfo(logo.Value),
		Message: cmp.Or(m.setting("UI_MESSAGE").Value, "greetings from podinfo v"+m.instance.Version),
		GOOS:    runtime.GOOS, GOARCH: runtime.GOARCH, Runtime: runtime.Version(),
	}
}

func (m *Module) modules(now *registry.Assembly) []moduleModel {
	settings := map[string][]settingModel{}
	for _, s := range m.host.Settings() {
		settings[s.Module] = append(settings[s.Module], settingModel{
			Key: s.Key, Flag: s.Flag(), Value: s.Shown(), Default: redact.Setting(s.Default),
			Source: string(s.Source), Doc: s.Doc, Accepts: s.Accepts, Secret: s.Secret,
		})
	}
	out := []moduleModel{}
	for _, s := range now.InChain() {
		reason := m.notSwitchable(s)
		out = append(out, moduleModel{
			Name: s.Info.Name, Doc: s.Info.Doc, Phase: s.Info.Phase.String(),
			State: s.State.String(), Why: s.Why, Switchable: reason == "", Fixed: reason,
			Settings: append([]settingModel{}, settings[s.Info.Name]...),
		})
	}
	return out
}

func (m *Module) calls() []capability.RPCMethod {
	if m.peers.caller == nil {
		return []capability.RPCMethod{}
	}
	return append([]capability.RPCMethod{}, m.peers.caller.List()...)
}

func (m *Module) routes(now *registry.Assembly) []routeModel {
	out := []routeModel{}
	for _, rt := range now.Mounted() {
		out = append(out, routeModel{
			Method: rt.Method, Path: rt.Path, Module: rt.Module, Label: rt.Label, Summary: rt.Summary, Tag: rt.Tag,
			Params: rt.Params, Body: rt.Body, Returns: rt.Returns, Internal: rt.Internal, Chain: append([]string{}, rt.Chain...),
		})
	}
	return out
}

// notSwitchable returns the reason why the page may not switch a module, or ""
// when it may. It may not switch modules that open a port, modules that are
// off, modules that the page depends on and guards that would lock the page
// out. Without an admin token it may not switch any guard: anyone could then
// remove the protection of other routes.
func (m *Module) notSwitchable(s registry.Status) string {
	_, listens := s.Module.(registry.Listener)
	_, measures := s.Module.(capability.RequestMeasurer)
	covers, selective := s.Module.(registry.Selective)
	guard := s.Info.Phase == registry.Guard
	switch {
	case s.State == registry.Off:
		return "it is off; start podinfo with " + s.Info.EnabledKey() + "=standby"
	case listens:
		return "it opens a port"
	case measures, s.Info.Name == name, s.Info.Name == m.peers.routes().infoModule:
		return "the page depends on it"
	case guard && selective && covers.Covers(m.peers.routes().modelRoute):
		return "it guards the page itself"
	case guard && m.AdminToken == "":
		return "switching a guard requires " + registry.EnvPrefix + "UI_ADMIN_TOKEN"
	}
	return ""
}

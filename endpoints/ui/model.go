package ui

import (
	"cmp"
	"net/http"
	"runtime"

	"github.com/seed-4591fe7d/podinfo/internal/static"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/capability"
)

// model is what the page shows that changes only with a Switch.
type model struct {
	About   about         `json:"about"`
	Admin   admin         `json:"admin"`
	Modules []moduleModel `json:"modules"` // in chain order
	Routes  []routeModel  `json:"routes"`  // those that are served
}

// about is what runs here.
type about struct {
	instance
	Revision string `json:"revision"`
	Color    string `json:"color"`
	Message  string `json:"message"`
	Logo     string `json:"logo"` // "" for the page's own
	GOOS     string `json:"goos"`
	GOARCH   string `json:"goarch"`
	Runtime  string `json:"runtime"`
}

// admin is what the page may change.
type admin struct {
	Enabled bool `json:"enabled"`
	Token   bool `json:"token"` // a bearer token is wanted
}

type moduleModel struct {
	Name       string         `json:"name"`
	Doc        string         `json:"doc"`
	Phase      string         `json:"phase"`
	State      string         `json:"state"`
	Why        string         `json:"why"` // what decided the state
	Switchable bool           `json:"switchable"`
	Fixed      string         `json:"fixed"` // why it is not switchable
	Settings   []settingModel `json:"settings"`
}

// settingModel is a setting as people may see it.
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

// cachedModel is the model of one assembly.
type cachedModel struct {
	of   *registry.Assembly
	file *static.File
}

func (m *Module) serveModel(w http.ResponseWriter, r *http.Request) {
	now, c := m.host.Assembly(), m.model.Load()
	if c == nil || c.of != now {
		c = &cachedModel{now, static.New("model.json", encode(model{m.about(), admin{m.Admin, m.AdminToken != ""}, m.modules(now), m.routes(now)}))}
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
		Color: m.setting("UI_COLOR").Value, Logo: registry.RedactURL(logo.Value),
		Message: cmp.Or(m.setting("UI_MESSAGE").Value, "greetings from podinfo v"+m.instance.Version),
		GOOS:    runtime.GOOS, GOARCH: runtime.GOARCH, Runtime: runtime.Version(),
	}
}

func (m *Module) modules(now *registry.Assembly) []moduleModel {
	settings := map[string][]settingModel{}
	for _, s := range m.host.Settings() {
		settings[s.Module] = append(settings[s.Module], settingModel{
			Key: s.Key, Flag: s.Flag(), Value: s.Shown(), Default: registry.RedactURL(s.Default),
			Source: string(s.Source), Doc: s.Doc, Accepts: s.Accepts, Secret: s.Secret,
		})
	}
	out := []moduleModel{}
	for _, s := range now.InChain() {
		fixed := m.fixed(s)
		out = append(out, moduleModel{
			Name: s.Info.Name, Doc: s.Info.Doc, Phase: s.Info.Phase.String(),
			State: s.State.String(), Why: s.Why, Switchable: fixed == "", Fixed: fixed,
			Settings: append([]settingModel{}, settings[s.Info.Name]...),
		})
	}
	return out
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

// fixed says why the page may not switch a module, "" when it may: not one that
// opens a port or was not started, none that the page itself lives on, and no
// guard that would lock it out. Who needs no token must not take away what
// keeps others out.
func (m *Module) fixed(s registry.Status) string {
	_, listens := s.Module.(registry.Listener)
	_, measures := s.Module.(capability.DurationSource)
	covers, selective := s.Module.(registry.Selective)
	guard := s.Info.Phase == registry.Guard
	switch {
	case s.State == registry.Off:
		return "it is off"
	case listens:
		return "it opens a port"
	case measures, s.Info.Name == name, s.Info.Name == m.peers.answers:
		return "the page lives on it"
	case guard && selective && covers.Covers(m.peers.model):
		return "it stands before the page"
	case guard && m.AdminToken == "":
		return "guards need " + registry.EnvPrefix + "UI_ADMIN_TOKEN"
	}
	return ""
}

// Package ui serves podinfo's web page: which pod responds, live metrics, the
// chain of modules and, with PODINFO_UI_ADMIN, controls to change them. The
// page's files are in the folder assets, and it loads nothing from other hosts.
package ui

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/origin"
	"github.com/seed-4591fe7d/podinfo/registry"
)

const (
	name      = "ui"
	modelPath = "/ui/model"
)

// Module is the ui module.
type Module struct {
	Path       string        `env:"PATH" envDefault:"./ui" doc:"directory whose vue.html, if present, replaces the page" accepts:"a path" takes:"DIR"`
	Interval   time.Duration `env:"SAMPLE_INTERVAL" envDefault:"2s" doc:"time between the samples that the page plots; nothing is sampled while no page is open" accepts:"a duration from 500ms to 1m"`
	MaxViewers int           `env:"MAX_VIEWERS" envDefault:"100" doc:"maximum number of open pages that receive live metrics; further pages get 503" accepts:"a whole number above zero"`
	Admin      bool          `env:"ADMIN" doc:"let anyone who can open the page switch modules, readiness and faults; switching guards also requires --ui-admin-token"`
	AdminToken string        `env:"ADMIN_TOKEN" secret:"true" doc:"bearer token required to change anything from the page; empty requires none"`
	AdminHosts []string      `env:"ADMIN_HOSTS" doc:"host names under which the page may change the server without a token, besides IP addresses, localhost and the name of the pod" accepts:"a comma-separated list of host names without ports, such as podinfo.default.svc" takes:"HOST,…" needs:"UI_ADMIN"`

	hosts    *origin.Hosts
	host     *registry.Host
	instance instance
	files    files
	pages    func() pages
	peers    peers
	hub      hub

	refreshing sync.Mutex
	model      atomic.Pointer[cachedModel]
}

// instance identifies one of several servers that share an address.
type instance struct {
	Hostname string `json:"hostname"`
	Version  string `json:"version"`
	ID       string `json:"id"` // different for each process
}

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: name, Doc: "Serve the web page: live status, the chain of modules and a form for every route."}
}

// Limits of Module.Interval.
const (
	minInterval = 500 * time.Millisecond
	maxInterval = time.Minute
)

// Validate checks the settings.
func (m *Module) Validate() (err error) {
	var errs []error
	if m.hosts, err = origin.NewHosts(m.AdminHosts); err != nil {
		errs = append(errs, registry.Invalid("AdminHosts", origin.HostsFormat))
	}
	if m.Interval < minInterval || m.Interval > maxInterval {
		errs = append(errs, registry.Invalid("Interval", "a duration from 500ms to 1m"))
	}
	if m.MaxViewers < 1 {
		errs = append(errs, registry.Invalid("MaxViewers", "a whole number above zero"))
	}
	if m.AdminToken != "" && !m.Admin {
		errs = append(errs, errors.New("PODINFO_UI_ADMIN_TOKEN has no effect without PODINFO_UI_ADMIN=true"))
	}
	return errors.Join(errs...)
}

// Provision reads the page's files and finds the modules whose state the page shows.
func (m *Module) Provision(h *registry.Host) (err error) {
	m.host = h
	m.instance = instance{Version: h.Build().Version, ID: rand.Text()}
	if m.instance.Hostname, err = os.Hostname(); err != nil {
		return err
	}
	if m.files, err = readFiles(); err != nil {
		return err
	}
	m.pages = sync.OnceValue(m.builtinPages)
	m.hub.init(m.MaxViewers, m.instance)
	m.peers, err = findPeers(h)
	return err
}

// Start replaces the page by the vue.html in Path, if there is one.
func (m *Module) Start(context.Context) error {
	p, found, err := m.customPage()
	if err != nil {
		return fmt.Errorf("%sUI_PATH: %w", registry.EnvPrefix, err)
	}
	if found {
		m.pages = func() pages { return pages{p, p} }
	}
	return nil
}

// Routes returns the page and the routes it uses.
func (m *Module) Routes() []registry.Route {
	routes := []registry.Route{
		{Method: http.MethodGet, Path: "/", Handler: m.servePage, When: isBrowser, Returns: map[int]any{http.StatusOK: []byte{}}},
		{Method: http.MethodGet, Path: "/ui/assets/{hash}/{file}", Handler: m.serveAsset, Internal: true},
		{Method: http.MethodGet, Path: modelPath, Handler: m.serveModel, Internal: true},
		{Method: http.MethodGet, Path: "/ui/about", Handler: m.serveAbout, Internal: true},
		{Method: http.MethodGet, Path: "/ui/schema", Handler: serveSchema, Internal: true},
		{Method: http.MethodGet, Path: "/ui/events", Handler: m.serveEvents, Internal: true, Stream: true, Label: "ui_events"},
	}
	if m.Admin {
		routes = append(routes, m.adminRoutes()...)
	}
	return routes
}

// isBrowser reports whether the request gets the page rather than JSON. It is
// upstream's rule with one exception: a browser's script that accepts only JSON
// gets JSON.
func isBrowser(r *http.Request) bool {
	return strings.HasPrefix(r.UserAgent(), "Mozilla") && r.Header.Get("Accept") != "application/json"
}

// Drain tells every open page that the server is shutting down and waits until
// their streams have ended or ctx is done.
func (m *Module) Drain(ctx context.Context) error {
	m.hub.drain()
	select {
	case <-m.hub.drained.Empty():
	case <-ctx.Done(): // the listener cuts the streams of pages that do not read, and counts them
	}
	return nil
}

// Package ui serves the page for browsers: what runs here, how it is doing,
// the chain of modules, and, where that is allowed, their switches. Its parts
// live in the folder assets and need nothing from elsewhere.
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

	"github.com/seed-4591fe7d/podinfo/registry"
)

const (
	name      = "ui"
	modelPath = "/ui/model"
)

// Module is ui.
type Module struct {
	Path       string        `env:"PATH" envDefault:"./ui" doc:"directory whose vue.html, if there is one, replaces the page" accepts:"a path"`
	Interval   time.Duration `env:"SAMPLE_INTERVAL" envDefault:"2s" doc:"time between the figures that the page draws; none are taken while nobody looks" accepts:"a duration from 500ms to 1m"`
	MaxViewers int           `env:"MAX_VIEWERS" envDefault:"100" doc:"pages that are sent figures at once, above which new ones get 503" accepts:"a whole number above zero"`
	Admin      bool          `env:"ADMIN" doc:"let whoever opens the page switch modules, readiness and faults; guards only with a token"`
	AdminToken string        `env:"ADMIN_TOKEN" secret:"true" doc:"bearer token that switching over the page wants, empty for none"`

	host     *registry.Host
	instance instance
	files    files
	pages    pages
	peers    peers
	hub      hub

	refreshing sync.Mutex
	model      atomic.Pointer[cachedModel]
}

// instance tells servers apart that answer at one address.
type instance struct {
	Hostname string `json:"hostname"`
	Version  string `json:"version"`
	ID       string `json:"id"` // another one for each process
}

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: name, Doc: "Show browsers what runs here, live, and let them try it."}
}

// The shortest and the longest time between two samples.
const (
	minInterval = 500 * time.Millisecond
	maxInterval = time.Minute
)

// Validate checks the settings.
func (m *Module) Validate() error {
	var errs []error
	if m.Interval < minInterval || m.Interval > maxInterval {
		errs = append(errs, registry.Invalid("Interval", "a duration from 500ms to 1m"))
	}
	if m.MaxViewers < 1 {
		errs = append(errs, registry.Invalid("MaxViewers", "a whole number above zero"))
	}
	if m.AdminToken != "" && !m.Admin {
		errs = append(errs, registry.Invalid("AdminToken", "none without PODINFO_UI_ADMIN=true"))
	}
	return errors.Join(errs...)
}

// Provision makes what never changes and finds whom to ask and to tell.
func (m *Module) Provision(h *registry.Host) (err error) {
	m.host = h
	m.instance = instance{Version: h.Build().Version, ID: rand.Text()}
	if m.instance.Hostname, err = os.Hostname(); err != nil {
		return err
	}
	if m.files, err = readFiles(); err != nil {
		return err
	}
	m.pages = m.ownPages()
	m.hub.init(m.MaxViewers, m.instance)
	m.peers, err = findPeers(h)
	return err
}

// Start looks for a page to use instead.
func (m *Module) Start(context.Context) error {
	p, found, err := m.givenPage()
	if err != nil {
		return fmt.Errorf("the page of %sUI_PATH: %w", registry.EnvPrefix, err)
	}
	if found {
		m.pages = pages{p, p}
	}
	return nil
}

// Routes declares the page and what it lives on.
func (m *Module) Routes() []registry.Route {
	routes := []registry.Route{
		{Method: http.MethodGet, Path: "/", Handler: m.servePage, When: isBrowser},
		{Method: http.MethodGet, Path: "/ui/assets/{hash}/{file}", Handler: m.serveAsset, Internal: true},
		{Method: http.MethodGet, Path: modelPath, Handler: m.serveModel, Internal: true},
		{Method: http.MethodGet, Path: "/ui/events", Handler: m.serveEvents, Internal: true, Stream: true, Label: "ui_events"},
	}
	if m.Admin {
		routes = append(routes, m.adminRoutes()...)
	}
	return routes
}

// isBrowser is upstream's rule, but for a browser's script that wants JSON and
// nothing else.
func isBrowser(r *http.Request) bool {
	return strings.HasPrefix(r.UserAgent(), "Mozilla") && r.Header.Get("Accept") != "application/json"
}

// Drain says goodbye to everyone who looks and waits for them to have left.
func (m *Module) Drain(ctx context.Context) error {
	m.hub.drain()
	select {
	case <-m.hub.empty:
	case <-ctx.Done(): // who does not read is cut by the listener, and counted there
	}
	return nil
}

// Package configs serves /configs, which returns the current files of a
// directory.
package configs

import (
	"context"
	"net/http"
	"sync/atomic"

	"github.com/seed-4591fe7d/podinfo/internal/watch"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

// Module is the configs module.
type Module struct {
	Path   string `env:"CONFIG_PATH" doc:"directory of the config file, served and watched by /configs"`
	Config string `env:"CONFIG" envDefault:"config.yaml" doc:"name of the config file, YAML or JSON"`

	host  *registry.Host
	reply atomic.Pointer[[]byte] // encoded
}

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "configs", Doc: "Show the current files of the config directory.", Unprefixed: true}
}

// Provision prepares the response for an empty directory.
func (m *Module) Provision(h *registry.Host) error {
	m.host = h
	m.reply.Store(new([]byte("{}")))
	return nil
}

// Start reads the directory and watches it. If it cannot be watched, /configs
// returns no files.
func (m *Module) Start(context.Context) error {
	if m.Path == "" {
		return nil
	}
	follow, err := watch.Directory(m.Path)
	if err != nil {
		m.host.Log.WithError(err).Warn("cannot watch the config directory; /configs returns no files")
		return nil
	}
	m.host.Log.Info("fscache start watcher for " + m.Path)
	m.load() // the watch has begun, so no change is lost
	m.host.Go(func(ctx context.Context) { follow(ctx, m.load, m.missed) })
	return nil
}

func (m *Module) missed(err error) {
	m.host.Log.WithError(err).Warn("the watch of the config directory may have missed a change")
}

// load reads the directory and replaces the response. If reading fails, the
// previous response is kept.
func (m *Module) load() {
	files, err := m.read()
	if err != nil {
		m.host.Log.WithError(err).Warn("cannot read the config directory; /configs returns the previous files")
		return
	}
	b, err := reply.Encode(files)
	if err != nil {
		m.host.Log.WithError(err).Error("cannot encode the files of the config directory")
		return
	}
	m.reply.Store(&b)
	m.host.Log.WithField("files", len(files)).Debug("configs loaded")
}

// Routes declares /configs.
func (m *Module) Routes() []registry.Route {
	return []registry.Route{{
		Method: http.MethodGet, Path: "/configs", Handler: m.serve,
		Summary: "Files of the config directory", Tag: "HTTP API",
		Returns: map[int]any{http.StatusOK: map[string]string{"feature.json": "{}"}},
	}}
}

func (m *Module) serve(w http.ResponseWriter, _ *http.Request) {
	reply.Encoded(w, http.StatusOK, *m.reply.Load())
}

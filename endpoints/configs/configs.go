// Package configs serves /configs: the files of a directory, as they are now.
package configs

import (
	"context"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/seed-4591fe7d/podinfo/registry"
)

// Module is configs.
type Module struct {
	Path   string `env:"CONFIG_PATH" doc:"directory of the config file, served and watched by /configs"`
	Config string `env:"CONFIG" envDefault:"config.yaml" doc:"name of the config file, YAML or JSON"`

	host  *registry.Host
	reply atomic.Pointer[[]byte] // encoded; replaced as a whole
}

// settled is how long a directory must be quiet before it is read: a file is
// seldom written in one step.
const settled = 50 * time.Millisecond

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "configs", Doc: "Show the files of the config directory, as they are now.", Bare: true}
}

// Provision prepares the reply of an empty directory.
func (m *Module) Provision(h *registry.Host) error {
	m.host = h
	m.reply.Store(new([]byte("{}")))
	return nil
}

// Start reads the directory and watches it. One that cannot be watched is not
// served.
func (m *Module) Start(context.Context) error {
	if m.Path == "" {
		return nil
	}
	w, err := fsnotify.NewWatcher()
	if err != nil {
		m.host.Log.WithError(err).Warn("/configs cannot watch its directory and shows nothing")
		return nil
	}
	if err := w.Add(m.Path); err != nil {
		w.Close()
		m.host.Log.WithError(err).Warn("/configs cannot watch its directory and shows nothing")
		return nil
	}
	m.host.Log.Info("fscache start watcher for " + m.Path)
	m.load() // after Add: no change can come between
	m.host.Go(func(ctx context.Context) {
		defer w.Close()
		m.watch(ctx, w.Events, w.Errors)
	})
	return nil
}

// watch reads the directory anew when it changed: at once when the kubelet
// swaps a volume, which is one step, and else when it has settled.
func (m *Module) watch(ctx context.Context, events <-chan fsnotify.Event, errs <-chan error) {
	var quiet <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case e, ok := <-events:
			if !ok {
				m.host.Log.Error("/configs lost its watch, its files are shown as they were")
				return
			}
			if filepath.Base(e.Name) == dataLink && e.Has(fsnotify.Create) {
				m.load()
			}
			quiet = time.After(settled)
		case err := <-errs: // too many changes at once, some were lost
			if err != nil {
				m.host.Log.WithError(err).Warn("/configs may have missed a change")
				quiet = time.After(settled)
			}
		case <-quiet:
			m.load()
		}
	}
}

// load replaces the reply.
func (m *Module) load() {
	files, err := m.read()
	if err != nil {
		m.host.Log.WithError(err).Warn("the directory of /configs cannot be read, its files are shown as they were")
		return
	}
	b, err := registry.EncodeJSON(files)
	if err != nil {
		m.host.Log.WithError(err).Error("the files of /configs cannot be encoded")
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
	registry.WriteEncoded(w, http.StatusOK, *m.reply.Load())
}

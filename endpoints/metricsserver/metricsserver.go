// Package metricsserver serves metrics, health and profiles on a port of their
// own, at fixed paths whatever the prefix is.
package metricsserver

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/jsonlog"
	"github.com/seed-4591fe7d/podinfo/internal/profile"
	"github.com/seed-4591fe7d/podinfo/internal/serve"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/capability"
)

// Module is metrics-server.
type Module struct {
	Host string `env:"HOST" doc:"address to listen on, empty for all"`
	Port int    `env:"PORT_METRICS" envDefault:"0" doc:"port for metrics, health and profiles, 0 for none" accepts:"a port number, 0 to 65535"`

	host    *registry.Host
	metrics capability.MetricsPage
	health  capability.HealthProbes
	admins  []capability.AdminAPI
	server  *serve.Server
}

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "metrics-server", Doc: "Serve metrics, health and profiles on a port of their own.",
		OptIn: true, EnableVar: "PORT_METRICS", Unprefixed: true}
}

// Validate checks the settings.
func (m *Module) Validate() error {
	if m.Port < 1 || m.Port > 65535 {
		return registry.Invalid("Port", "a port number, 1 to 65535, as metrics-server is on")
	}
	return nil
}

// Provision finds what is served. It may be missing.
func (m *Module) Provision(h *registry.Host) (err error) {
	m.host = h
	m.admins = registry.All(h, capability.AdminAPIs)
	if m.metrics, err = registry.Optional(h, capability.MetricsPages); err != nil {
		return err
	}
	prober, err := registry.Optional(h, capability.HealthProbers)
	if prober != nil {
		m.health = prober.HealthProbes()
	}
	return err
}

// Start opens the port.
func (m *Module) Start(ctx context.Context) error {
	l, err := serve.Listen(ctx, m.Host, m.Port)
	if err != nil {
		return err
	}
	m.server = serve.New(&http.Server{
		Handler:           m.mux(),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      30 * time.Second, // a profile extends it by its own time
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          jsonlog.Std(m.host.Log),
		// A profile in the making ends with the module, not the other way around.
		BaseContext: func(net.Listener) context.Context { return m.host.Context() },
	}, l)
	m.host.Log.WithField("addr", l.Addr().String()).Info("Starting metrics server.")
	m.host.Go(func(context.Context) {
		if err := m.server.Serve(); err != nil {
			m.host.Fail(err)
		}
	})
	return nil
}

func (m *Module) mux() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc(profile.Path+"{name...}", func(w http.ResponseWriter, r *http.Request) {
		profile.Serve(w, r, r.PathValue("name"))
	})
	for _, a := range m.admins {
		for _, rt := range a.AdminRoutes() {
			mux.HandleFunc(rt.Method+" "+rt.Path, rt.Handler)
		}
	}
	if m.metrics != nil {
		mux.Handle("/metrics", m.metrics.MetricsPageHandler())
	}
	if m.health == nil {
		mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("OK")) })
		return mux
	}
	mux.Handle("/healthz", m.health.Healthz())
	mux.Handle("/readyz", m.health.Readyz())
	return mux
}

// Addr is where the server listens.
func (m *Module) Addr() net.Addr {
	if m.server == nil {
		return nil
	}
	return m.server.Addr()
}

// Stop closes the port and answers what has arrived until ctx is done. There
// is no Drain, so that the last moments of the others can still be watched.
func (m *Module) Stop(ctx context.Context) error {
	return errors.Join(m.server.Drain(ctx), m.server.Close())
}

// Package metricsserver serves metrics, health and profiles on a separate port,
// at paths that do not depend on the prefix.
package metricsserver

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/http"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/jsonlog"
	"github.com/seed-4591fe7d/podinfo/internal/profile"
	"github.com/seed-4591fe7d/podinfo/internal/serve"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/budget"
	"github.com/seed-4591fe7d/podinfo/registry/capability"
	"github.com/seed-4591fe7d/podinfo/registry/record"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
	"github.com/seed-4591fe7d/podinfo/registry/setting"
)

// Module is the metrics-server module.
type Module struct {
	setting.ListenHost
	Port int `env:"PORT_METRICS" envDefault:"0" doc:"port for metrics, health and profiles; 0 turns it off" accepts:"a port number, 0 to 65535"`

	host    *registry.Host
	metrics capability.MetricsPage
	health  capability.HealthProbes
	admins  []capability.AdminAPI
	namers  []capability.ResponseNamer
	server  *serve.Server
}

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "metrics-server", Doc: "Serve metrics, health and profiles on a separate port.",
		OptIn: true, EnableVar: "PORT_METRICS", Unprefixed: true}
}

// Validate checks the settings.
func (m *Module) Validate() error {
	if m.Port < 1 || m.Port > 65535 {
		return registry.Invalid("Port", "a port number, 1 to 65535, because metrics-server is on")
	}
	return nil
}

// Provision finds the modules whose handlers are served. Both are optional.
func (m *Module) Provision(h *registry.Host) (err error) {
	m.host = h
	m.admins = registry.All(h, capability.AdminAPIs)
	m.namers = registry.All(h, capability.ResponseNamers)
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
	l, err := serve.Listen(ctx, m.Host, m.Port, jsonlog.AcceptFailed(m.host.Log))
	if err != nil {
		return err
	}
	header := http.Header{}
	for _, n := range m.namers {
		maps.Copy(header, n.ResponseHeader())
	}
	limits := &serve.Limits{Pool: serve.NewPool(maxConnections).LogTo(m.host.Log), Streams: 1, Stall: stallTimeout, Budget: budget.New(headerBudget), Header: header}
	m.server = serve.New(&http.Server{
		Handler:           named(header, guarded(explained{m.mux()}, limits.Pool)),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      30 * time.Second, // a profile extends it by its duration
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          jsonlog.Std(m.host.Log),
		// A profile that is being recorded must not delay the module's stop.
		BaseContext: func(net.Listener) context.Context { return m.host.Context() },
	}, l, limits)
	m.host.Log.WithField("addr", l.Addr().String()).Info("Starting metrics server.")
	m.host.Go(func(context.Context) {
		if err := m.server.Serve(); err != nil {
			m.host.Fail(err)
		}
	})
	return nil
}

// The limits of the port are its own, so that no load on the others can starve
// probes and scrapes.
const (
	maxConnections = 128
	stallTimeout   = 10 * time.Second // of a request's body and of a response
	headerBudget   = 1 << 20          // bytes of request headers that are longer than usual
)

// named adds a header to each response.
func named(header http.Header, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		maps.Copy(w.Header(), header)
		next.ServeHTTP(w, r)
	})
}

// guarded refuses requests other than probes when the connections of pool are used
// up except for a reserve.
func guarded(next http.Handler, pool *serve.Pool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if pool.Overloaded() && r.URL.Path != "/healthz" && r.URL.Path != "/readyz" {
			serve.Leave(w, r)
			reply.Overloaded(w, r, record.RefusedConnections, "too many requests are served now: try again later")
			return
		}
		next.ServeHTTP(w, r)
	})
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

// explained gives the errors of a mux the body of every other error.
type explained struct{ *http.ServeMux }

// ServeHTTP serves the request.
func (e explained) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, pattern := e.Handler(r); pattern == "" {
		w = &explainer{ResponseWriter: w}
	}
	e.ServeMux.ServeHTTP(w, r)
}

// explainer is the writer for a request that no handler was registered for.
type explainer struct {
	http.ResponseWriter
	refused bool
}

// WriteHeader responds to 404 and 405.
func (w *explainer) WriteHeader(code int) {
	switch code {
	case http.StatusNotFound:
		reply.Error(w.ResponseWriter, code, "page not found")
	case http.StatusMethodNotAllowed:
		reply.Error(w.ResponseWriter, code, "method not allowed; use one of "+w.Header().Get("Allow"))
	default:
		w.ResponseWriter.WriteHeader(code)
		return
	}
	w.refused = true
}

// Write drops the mux's own text.
func (w *explainer) Write(b []byte) (int, error) {
	if w.refused {
		return len(b), nil
	}
	return w.ResponseWriter.Write(b)
}

// Addr returns the address of the port, or nil before Start.
func (m *Module) Addr() net.Addr {
	if m.server == nil {
		return nil
	}
	return m.server.Addr()
}

// Stop closes the port and responds to the requests that have arrived, until ctx
// is done. The module has no Drain, so that metrics can be read while other
// modules drain.
func (m *Module) Stop(ctx context.Context) error {
	return errors.Join(m.server.Drain(ctx), m.server.Close())
}

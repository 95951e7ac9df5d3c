// Package httpserver serves the App's routes on the HTTP and HTTPS ports.
package httpserver

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/drain"
	"github.com/seed-4591fe7d/podinfo/internal/jsonlog"
	"github.com/seed-4591fe7d/podinfo/internal/serve"
	"github.com/seed-4591fe7d/podinfo/internal/tlscert"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/capability"
	"github.com/seed-4591fe7d/podinfo/registry/setting"
)

// Module is the http-server module.
type Module struct {
	// Listener, when set, is served instead of the HTTP port, and Host and Port
	// are ignored. A test harness uses it to run the real server. The server
	// closes it.
	Listener net.Listener `env:"-"`

	// TLS, when set, serves HTTPS on Listener. It must have GetCertificate.
	TLS *tls.Config `env:"-"`

	setting.ListenHost
	setting.TLSFiles
	setting.ServerTimeout

	// A zero in a literal means the default. Set PODINFO_PORT=0 to say zero.
	Port       int           `env:"PORT" envDefault:"9898" doc:"HTTP port; 0 turns it off" accepts:"a port number, 0 to 65535"`
	SecurePort int           `env:"SECURE_PORT" envDefault:"0" doc:"HTTPS port; 0 turns it off" accepts:"a port number, 0 to 65535"`
	ClientCA   string        `env:"CLIENT_CA" doc:"PEM file of certificate authorities; HTTPS clients, probes included, must then present a certificate that one of them signed (mTLS)" takes:"FILE"`
	H2C        bool          `env:"H2C" doc:"accept HTTP/2 without TLS on the HTTP port (prior knowledge)"`
	Stall      time.Duration `env:"HTTP_SERVER_STALL_TIMEOUT" envDefault:"10s" doc:"time after which a request ends whose client sends nothing of the body, or takes nothing of the response" accepts:"a duration above zero"`
	MaxHeader  int           `env:"HTTP_SERVER_MAX_HEADER_BYTES" envDefault:"1048576" doc:"size limit of request headers; lower by default where HTTP/2 is on and memory is small" accepts:"a number of bytes, at least 1024"`

	MaxConnections int `env:"HTTP_SERVER_MAX_CONNECTIONS" doc:"maximum number of open connections of the HTTP and HTTPS ports, WebSockets included; by default as many as fit in an eighth of the memory" accepts:"a whole number, at least 16"`

	host    *registry.Host
	servers []*serve.Server
	limits  *serve.Limits
	cuts    drain.Cuts
	windows int // bytes that a client over HTTP/2 may send before the handler reads them
}

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "http-server", Doc: "Serve the routes over HTTP and HTTPS.", Unprefixed: true}
}

// Validate checks the settings.
func (m *Module) Validate() error {
	var errs []error
	if m.Port < 0 || m.Port > 65535 {
		errs = append(errs, registry.Invalid("Port", "a port number, 0 to 65535"))
	}
	if m.SecurePort < 0 || m.SecurePort > 65535 {
		errs = append(errs, registry.Invalid("SecurePort", "a port number, 0 to 65535"))
	}
	if m.ClientCA != "" && m.SecurePort == 0 {
		errs = append(errs, registry.Invalid("ClientCA", "PODINFO_SECURE_PORT as well"))
	}
	if m.Timeout <= 0 {
		errs = append(errs, registry.Invalid("Timeout", "a duration above zero"))
	}
	if m.Stall <= 0 {
		errs = append(errs, registry.Invalid("Stall", "a duration above zero"))
	}
	if m.MaxConnections != 0 && m.MaxConnections < minConnections {
		errs = append(errs, registry.Invalid("MaxConnections", "a whole number, at least 16"))
	}
	if m.MaxHeader < 1024 {
		errs = append(errs, registry.Invalid("MaxHeader", "a number of bytes, at least 1024"))
	}
	return errors.Join(errs...)
}

// Provision derives the limits.
func (m *Module) Provision(h *registry.Host) error {
	m.host = h
	m.derive()
	return nil
}

// ServesTLS implements [capability.TLSServer].
func (m *Module) ServesTLS() bool { return m.SecurePort > 0 || m.Listener != nil && m.TLS != nil }

// Start opens the ports and starts to serve once all of them are open.
func (m *Module) Start(ctx context.Context) error {
	if m.Listener != nil {
		m.open(m.Listener, m.TLS, "Starting HTTP Server.")
	} else if m.Port > 0 {
		if err := m.listen(ctx, m.Port, nil, "Starting HTTP Server."); err != nil {
			return err
		}
	}
	if m.SecurePort > 0 {
		conf, err := tlscert.Config(m.CertPath, m.ClientCA, func(err error) {
			m.host.Log.WithError(err).Warn("certificate not reloaded; keeping the current one")
		}, "h2", "http/1.1")
		if err != nil {
			return errors.Join(err, m.close())
		}
		if err := m.listen(ctx, m.SecurePort, conf, "Starting HTTPS Server."); err != nil {
			return errors.Join(err, m.close())
		}
	}
	for _, s := range m.servers {
		m.host.Go(func(context.Context) {
			if err := s.Serve(); err != nil {
				m.host.Fail(err)
			}
		})
	}
	return nil
}

// OwnPorts returns the HTTP and HTTPS ports.
func (m *Module) OwnPorts() (out []capability.OwnPort) {
	if m.Listener != nil {
		out = append(out, capability.OwnPort{Listen: m.Listener.Addr().String()})
	} else if m.Port > 0 {
		out = append(out, capability.OwnPort{Listen: serve.Address(m.Host, m.Port)})
	}
	if m.SecurePort > 0 {
		out = append(out, capability.OwnPort{Listen: serve.Address(m.Host, m.SecurePort)})
	}
	return out
}

func (m *Module) listen(ctx context.Context, port int, conf *tls.Config, message string) error {
	l, err := serve.Listen(ctx, m.Host, port, jsonlog.AcceptFailed(m.host.Log))
	if err != nil {
		return err
	}
	m.open(l, conf, message)
	return nil
}

func (m *Module) open(l net.Listener, conf *tls.Config, message string) {
	faulters := registry.All(m.host, capability.ConnectionFaulters)
	for _, f := range faulters {
		if conf != nil {
			conf = f.ConnectionFaults().TLS(conf, "h2", "http/1.1")
		}
	}
	m.limits.Header = responseHeader(m.host)
	s := serve.New(m.server(conf), l, m.limits)
	s.Cuts = &m.cuts
	if len(faulters) > 0 {
		s.OnAccept(func(c net.Conn) net.Conn {
			for _, f := range faulters {
				if c != nil {
					c = f.ConnectionFaults().Accept(c)
				}
			}
			return c
		})
	}
	if len(registry.All(m.host, capability.ConnectionBreakers)) > 0 {
		s.BreakHTTP2()
	}
	m.servers = append(m.servers, s)
	m.host.Log.WithField("addr", s.Addr().String()).Info(message)
}

func (m *Module) server(conf *tls.Config) *http.Server {
	srv := &http.Server{
		Handler:           m.host.Handler(),
		ReadHeaderTimeout: min(m.Timeout, 10*time.Second),
		ReadTimeout:       m.Timeout,
		WriteTimeout:      m.Timeout,
		IdleTimeout:       2 * m.Timeout,
		MaxHeaderBytes:    m.MaxHeader,
		TLSConfig:         conf,
		ErrorLog:          jsonlog.Std(m.host.Log),
		Protocols:         new(http.Protocols),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          m.limits.Streams,
			MaxReceiveBufferPerConnection: m.windows,
			MaxReceiveBufferPerStream:     m.windows,
			WriteByteTimeout:              m.Stall,
		},
	}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetHTTP2(conf != nil)
	srv.Protocols.SetUnencryptedHTTP2(conf == nil && m.H2C)
	return srv
}

// Addr returns the address of the HTTP port, or of the HTTPS port when that is
// the only one, or nil before Start.
func (m *Module) Addr() net.Addr {
	if len(m.servers) == 0 {
		return nil
	}
	return m.servers[0].Addr()
}

// Leave asks clients to open new connections, which may lead to other instances.
func (m *Module) Leave() {
	for _, s := range m.servers {
		s.Leave()
	}
}

// Drain closes the ports and responds to the requests that have arrived, on both
// ports in parallel.
func (m *Module) Drain(ctx context.Context) error {
	errs := make(chan error)
	for _, s := range m.servers {
		go func() { errs <- s.Drain(ctx) }()
	}
	var all []error
	for range m.servers {
		all = append(all, <-errs)
	}
	return errors.Join(all...)
}

// Stop closes the ports and all connections.
func (m *Module) Stop(context.Context) error { return m.close() }

func (m *Module) close() error {
	var errs []error
	for _, s := range m.servers {
		errs = append(errs, s.Close())
	}
	m.servers = nil
	return errors.Join(errs...)
}

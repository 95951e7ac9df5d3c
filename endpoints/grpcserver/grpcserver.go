// Package grpcserver serves the modules' gRPC services on a separate port.
package grpcserver

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/reflection"

	"github.com/seed-4591fe7d/podinfo/internal/drain"
	"github.com/seed-4591fe7d/podinfo/internal/jsonlog"
	"github.com/seed-4591fe7d/podinfo/internal/serve"
	"github.com/seed-4591fe7d/podinfo/internal/tlscert"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/setting"
)

// Module is the grpc-server module.
type Module struct {
	// Listener, when set, is served instead of the gRPC port, and Host and Port
	// are ignored. A test harness uses it to run the real server. The server
	// closes it.
	Listener net.Listener `env:"-"`

	// TLSConfig, when set, serves TLS in place of the certificate in CertPath.
	TLSConfig *tls.Config `env:"-"`

	setting.ListenHost
	setting.TLSFiles

	Port        int    `env:"GRPC_PORT" envDefault:"0" doc:"gRPC port; 0 turns it off" accepts:"a port number, 0 to 65535"`
	ServiceName string `env:"GRPC_SERVICE_NAME" envDefault:"podinfo" doc:"service name in gRPC health checks that stands for the whole server" takes:"NAME"`
	TLS         bool   `env:"GRPC_TLS" doc:"serve gRPC over TLS with the certificate in the cert-path directory"`
	ClientCA    string `env:"GRPC_CLIENT_CA" doc:"PEM file of certificate authorities; gRPC clients must then present a certificate that one of them signed (mTLS)" takes:"FILE"`
	MaxMessage  int    `env:"GRPC_MAX_MESSAGE_BYTES" envDefault:"4194304" doc:"size limit of a received gRPC message" accepts:"a number of bytes, at least 1024"`

	MaxConnections int           `env:"GRPC_MAX_CONNECTIONS" doc:"maximum number of open gRPC connections; by default as many as fit in a sixteenth of the memory" accepts:"a whole number, at least 16"`
	Stall          time.Duration `env:"GRPC_STALL_TIMEOUT" envDefault:"30s" doc:"time after which a call ends if its client sends nothing of a message, or reads nothing of a response" accepts:"a duration above zero"`

	host       *registry.Host
	server     *grpc.Server
	listener   net.Listener
	served     chan struct{} // closed when no further connections are accepted
	closing    atomic.Bool   // the listener is
	cutting    atomic.Bool   // the calls that are left are
	own        *ownListener  // for calls of the server itself
	health     *health
	services   []service
	owners     map[string]string // module of each full method
	registered map[string]string // module of each service, "" for health and reflection
	conns      *connections
	headers    lastHeader
	calls      atomic.Int64 // in flight, without health and reflection
	limits
}

// Limits of a connection.
const (
	minClientPing    = 10 * time.Second // shortest time between two pings from the client
	serverPing       = 2 * time.Minute  // idle time after which the server pings
	pingTimeout      = 20 * time.Second // for the client's response to a ping
	handshakeTimeout = 10 * time.Second // for TLS and the HTTP/2 preface
)

// workers is the number of goroutines that wait for calls. A new goroutine would first
// have to grow its stack. Calls that find all workers busy get one. More workers would
// take turns, each with a stack that is no longer in the processor's cache.
const workers = 2

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "grpc-server", Doc: "Serve the modules' gRPC services, health and reflection.", OptIn: true, EnableVar: "GRPC_PORT", Unprefixed: true}
}

// Validate checks the settings.
func (m *Module) Validate() error {
	var errs []error
	if m.Listener == nil && (m.Port < 1 || m.Port > 65535) {
		errs = append(errs, registry.Invalid("Port", "a port number, 1 to 65535, when grpc-server is on"))
	}
	if m.MaxMessage < 1024 {
		errs = append(errs, registry.Invalid("MaxMessage", "a number of bytes, at least 1024"))
	}
	if m.MaxConnections != 0 && m.MaxConnections < 16 {
		errs = append(errs, registry.Invalid("MaxConnections", "a whole number, at least 16"))
	}
	if m.Stall <= 0 {
		errs = append(errs, registry.Invalid("Stall", "a duration above zero"))
	}
	if m.ClientCA != "" && !m.TLS {
		errs = append(errs, registry.Invalid("ClientCA", "PODINFO_GRPC_TLS=true as well"))
	}
	return errors.Join(errs...)
}

// Provision collects the modules' services.
func (m *Module) Provision(h *registry.Host) (err error) {
	m.host = h
	m.health = newHealth(m)
	m.derive()
	m.services, err = collect(h)
	return err
}

// Start opens the port.
func (m *Module) Start(ctx context.Context) error {
	// grpc-go's own pool rounds a frame of 5 KiB up to 16 KiB.
	buffers, err := mem.NewBinaryTieredBufferPool(11, 12, 13, 14, 15, 17, 20)
	if err != nil {
		return err
	}
	codec := newCodec(m.host.Budget(), m.MaxMessage, m.coders)
	opts := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(m.MaxMessage),
		grpc.MaxHeaderListSize(m.metadata),
		grpc.MaxConcurrentStreams(m.streams),
		grpc.StaticStreamWindowSize(m.window), grpc.StaticConnWindowSize(m.window),
		grpc.ReadBufferSize(bufferSize), grpc.WriteBufferSize(bufferSize),
		grpc.NumStreamWorkers(workers),
		experimental.BufferPool(buffers), grpc.ForceServerCodecV2(codec),
		//lint:ignore SA1019 see codec
		grpc.RPCDecompressor(codec),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minClientPing, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: serverPing, Timeout: pingTimeout}),
		grpc.StreamInterceptor(m.stream),
		grpc.UnknownServiceHandler(m.unknown),
	}
	creds := insecure.NewCredentials()
	if m.TLSConfig != nil {
		creds = credentials.NewTLS(m.TLSConfig)
	} else if m.TLS {
		conf, err := m.tlsConfig()
		if err != nil {
			return err
		}
		creds = credentials.NewTLS(conf)
	}
	m.conns = &connections{TransportCredentials: creds, handshakes: handshakes{accepted: map[*serve.Conn]time.Time{}, begun: drain.New()}, accounts: accounts{
		budget: m.host.Budget(), stall: m.Stall, most: int(m.streams) + spareStreams, stalled: func() { m.stalled.Load().Inc() },
	}}
	opts = append(opts, grpc.Creds(m.conns))
	m.server = grpc.NewServer(opts...)
	if err := m.open(ctx); err != nil {
		m.server.Stop() // ends its workers
		return err
	}
	l := m.listener
	m.own = newOwnListener()
	m.host.Log.WithField("addr", l.Addr().String()).Info("Starting GRPC Server.")
	m.served = make(chan struct{})
	m.host.Go(func(context.Context) {
		defer close(m.served)
		if err := m.server.Serve(m.conns.handshakes.listener(m.pool.Limit(l))); err != nil && !m.closing.Load() && !errors.Is(err, grpc.ErrServerStopped) {
			m.host.Fail(err)
		}
	})
	m.host.Go(func(context.Context) { m.server.Serve(m.own) }) // ends when the server stops
	return nil
}

// open registers the services and opens the port.
func (m *Module) open(ctx context.Context) error {
	if err := m.register(); err != nil {
		return err
	}
	if m.Listener != nil {
		m.listener = m.Listener
		return nil
	}
	l, err := serve.Listen(ctx, m.Host, m.Port, jsonlog.AcceptFailed(m.host.Log))
	if err != nil {
		return err
	}
	m.listener = l
	return nil
}

// register registers the modules' services. It collects them again, because a
// module may have created its service in Provision.
func (m *Module) register() (err error) {
	if m.services, err = collect(m.host); err != nil {
		return err
	}
	m.owners = map[string]string{}
	for _, s := range m.services {
		unaryRegistrar{m}.RegisterService(s.desc, s.impl)
		for _, method := range s.methods() {
			m.owners[method] = s.module
		}
	}
	grpc_health_v1.RegisterHealthServer(unaryRegistrar{m}, m.health)
	reflection.Register(reflected{m.server, m}) // v1 and v1alpha
	m.registered = map[string]string{}
	for name := range m.server.GetServiceInfo() {
		m.registered[name] = ""
	}
	for _, s := range m.services {
		m.registered[s.desc.ServiceName] = s.module
	}
	return nil
}

func (m *Module) tlsConfig() (*tls.Config, error) {
	return tlscert.Config(m.CertPath, m.ClientCA, func(err error) {
		m.host.Log.WithError(err).Warn("certificate not reloaded; keeping the current one")
	})
}

// Addr returns the address of the port, or nil before Start.
func (m *Module) Addr() net.Addr {
	if m.listener == nil {
		return nil
	}
	return m.listener.Addr()
}

// Leave sends GOAWAY to every client, which may then connect to another instance. It
// does not wait for clients that read nothing.
func (m *Module) Leave() {
	m.conns.conns.Range(func(_, c any) bool {
		go c.(*frameConn).leave()
		return true
	})
}

// Drain reports NOT_SERVING to health watchers, closes the port, sends GOAWAY to
// every client and waits for the calls in flight. It cuts those that last longer
// than ctx and returns an error with their number.
func (m *Module) Drain(ctx context.Context) error {
	m.health.drain()
	m.closing.Store(true)
	m.conns.draining.Store(true)
	m.Leave() // grpc-go sends GOAWAY only when no handshake is under way
	serve.CloseAfterBacklog(m.listener)
	done := make(chan struct{})
	go func() {
		defer close(done)
		<-m.served
		select {
		case <-m.conns.handshakes.allBegun(): // grpc-go would close a connection that it has not begun to serve
		case <-ctx.Done():
		}
		m.server.GracefulStop()
	}()
	go m.conns.closeSilent(done)
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	cut := int(m.calls.Load())
	m.cutting.Store(true)
	m.server.Stop()
	<-done
	return m.cuts.Count(cut, "calls", ctx.Err())
}

// Stop closes the port and all connections.
func (m *Module) Stop(context.Context) error {
	m.server.Stop()
	return nil
}

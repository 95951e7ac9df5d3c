package podinfotest

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/seed-4591fe7d/podinfo"
	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver"
	"github.com/seed-4591fe7d/podinfo/endpoints/httpserver"
	"github.com/seed-4591fe7d/podinfo/endpoints/store"
	"github.com/seed-4591fe7d/podinfo/internal/glob"
	"github.com/seed-4591fe7d/podinfo/internal/jsonlog"
	"github.com/seed-4591fe7d/podinfo/middleware/faults"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// Config adds modules, gRPC services and options to a server, or puts it in front
// of a service. [Start] and [StartInMemory] use the zero value, [Proxy] sets Target.
type Config struct {
	// Target is the service that the server forwards every path to, in place of
	// the stock routes: its URL as a string, an *httptest.Server or an
	// http.Handler. A handler, which a *grpc.Server is too, is called directly.
	Target any

	// TLS serves HTTPS, and gRPC over TLS, see [StartTLS].
	TLS bool

	// Handler is someone's own handler, which gets the requests for every path
	// in place of the stock routes, with the faults in front. Unlike Target it is
	// called like the stock handlers, with the same request and writer, and
	// gRPC services are on their own port.
	Handler http.Handler

	// Strict fails the test at its end unless [Server.WantDone] and
	// [Server.WantNoOthers] hold.
	Strict bool

	// Modules are added to the stock modules and turned on. A module with the
	// name of a stock one replaces it. An instance belongs to one server.
	Modules []registry.Module

	// Services registers gRPC services, which can be called and scripted. It
	// may be nil, and is called more than once.
	Services func(grpc.ServiceRegistrar)

	// Options are applied after those of this package.
	Options []registry.Option
}

// Server is a podinfo server that runs until its test ends.
type Server struct {
	URL      string        // "http://127.0.0.1:40001", without a path
	GRPCAddr string        // address of the gRPC port
	App      *registry.App // the modules that are served

	t         testing.TB
	bubble    string      // the synctest bubble that it was started in, "" for none
	entrances [2]entrance // HTTP, gRPC
	transport *http.Transport
	faults    *faults.Module
	grpc      *grpcserver.Module
	stress    *stressed
	proxies   bool     // to another service, or to a handler
	foreign   []string // names of Config.Modules
	strict    bool
	bodies    *bodies
	dialled   dialled
	record    *recorder
	replies   *replies
	links     *links
	authority *authority     // nil without TLS
	pool      *x509.CertPool // with it

	mu      sync.Mutex
	conns   []*grpc.ClientConn
	exits   []Exit
	scripts []script
	given   []*scenario.Rule // the scenario's rules, which come after the scripts
	seed    *uint64
	made    int // number of scripts made so far
	others  []*Server
}

// entrance is a port, or the in-memory listener that replaces it.
type entrance struct {
	net.Listener
	addr string
	dial func(context.Context) (net.Conn, error)
}

const (
	web = iota
	rpcs
)

// Start serves on two loopback ports until the test ends: HTTP/1.1 and HTTP/2
// without TLS (with prior knowledge) on one, gRPC on the other. env configures the
// server, each entry as NAME=value. The environment of the process is not read,
// and PODINFO_SEED is 1 unless it is given. Start fails inside a testing/synctest
// bubble, because a goroutine that waits for the network stops the fake clock.
func Start(t testing.TB, env ...string) *Server { t.Helper(); return Config{}.Start(t, env...) }

// StartInMemory is like Start, and serves over in-memory connections. Inside a
// testing/synctest bubble the server uses the bubble's fake clock, and its clients
// must be in the same bubble. Only [Server.DialContext] and the clients that use
// it, such as [Server.Client] and [Server.GRPC], can connect to its address.
func StartInMemory(t testing.TB, env ...string) *Server {
	t.Helper()
	return Config{}.StartInMemory(t, env...)
}

// Start starts a server like the function [Start].
func (c Config) Start(t testing.TB, env ...string) *Server {
	t.Helper()
	if bubble() != "" {
		t.Fatal("podinfotest: Start inside a testing/synctest bubble, where the network stops the clock: use StartInMemory")
	}
	var open [2]entrance
	for i := range open {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := l.Addr().String()
		open[i] = entrance{newReopening(l, t), addr, func(ctx context.Context) (net.Conn, error) { return new(net.Dialer).DialContext(ctx, "tcp", addr) }}
	}
	return c.start(t, open, env)
}

// StartInMemory starts a server like the function [StartInMemory].
func (c Config) StartInMemory(t testing.TB, env ...string) *Server {
	t.Helper()
	host := fmt.Sprintf("podinfo%d.test", servers.Add(1))
	l, r := newMemory(9898), newMemory(9999)
	return c.start(t, [2]entrance{{l, host + ":9898", l.dial}, {r, host + ":9999", r.dial}}, env)
}

// servers counts the in-memory servers, to number their host names. Such a name
// never resolves (RFC 6761, 6.2), so a client that does not use DialContext fails
// immediately.
var servers atomic.Uint64

var inMemory = regexp.MustCompile(`^podinfo\d+\.test$`)

// The limits of the faults module, so high that they never shorten a script.
const (
	maxDelay = 30 * 24 * time.Hour
	maxHeld  = 1 << 20
)

func (c Config) start(t testing.TB, open [2]entrance, env []string) *Server {
	t.Helper()
	s := &Server{t: t, bubble: bubble(), entrances: open, record: newRecorder(), replies: new(replies), stress: new(stressed), links: newLinks()}
	s.record.replies, s.replies.failed = s.replies, t.Errorf
	s.URL, s.GRPCAddr = "http://"+open[web].addr, open[rpcs].addr
	s.transport = &http.Transport{DialContext: s.DialContext}
	s.bodies, s.strict = newBodies(s.transport), c.Strict
	vars, err := variables(env)
	if err == nil {
		err = s.assemble(c, vars)
	}
	if err == nil {
		err = s.App.Start(context.Background())
	}
	if err != nil {
		for _, e := range open {
			e.Close()
		}
		t.Fatalf("podinfotest: %v", err)
	}
	if s.on("grpc-server") != nil {
		open[rpcs].Close()
	}
	t.Cleanup(s.close)
	return s
}

func (s *Server) assemble(c Config, vars map[string]string) error {
	front := &httpserver.Module{Listener: accepting{s.entrances[web], s}, H2C: true}
	s.grpc = &grpcserver.Module{Listener: accepting{s.entrances[rpcs], s}}
	if c.TLS {
		conf, err := s.secure()
		if err != nil {
			return err
		}
		front.TLS, s.grpc.TLSConfig = conf, conf
	}
	given := []registry.Module{
		&faults.Module{MaxDelay: maxDelay, MaxHeld: maxHeld},
		&store.Module{Path: s.t.TempDir()},
		s.stress,
	}
	own := []registry.Module{s.record, s.replies, s.grpc, front}
	s.proxies = c.Target != nil
	if s.proxies {
		m, err := s.proxy(c, vars)
		if err != nil {
			return err
		}
		own = append(own, m)
	}
	if c.Handler != nil {
		if c.Target != nil {
			return errors.New("Config has both Target and Handler: use Handler for an http.Handler, and Target for another service")
		}
		s.proxies = true
		own = append(own, &handled{c.Handler})
	}
	for _, m := range c.Modules {
		if m != nil {
			s.foreign = append(s.foreign, m.Info().Name)
		}
	}
	given = append(given, own...)
	if c.Services != nil {
		given = append(given, services{c.Services})
	}
	opts := []registry.Option{
		registry.Env(vars), registry.Environ(environ(vars)), registry.Exit(s.exit),
		registry.Logger(s.logger(vars)), registry.With(append(given, c.Modules...)...),
	}
	app, err := podinfo.New(append(opts, c.Options...)...)
	if err != nil {
		return err
	}
	s.App = app
	if err := errors.Join(known(app, vars), s.own(own...), s.on(recorderName, repliesName, "http-server")); err != nil {
		return err
	}
	s.record.internal = sync.OnceValue(func() []glob.Pattern { return internalOf(app.Mounted()) })
	s.faults, _ = app.Get("faults").(*faults.Module)
	if s.faults != nil {
		s.replies.header = s.faults.Header
	}
	if s.faults != nil && s.faults.Inline != "" {
		if sc, err := scenario.Parse("PODINFO_FAULTS", []byte(s.faults.Inline)); err == nil { // a scenario, not just true
			s.given, s.seed = sc.Rules, sc.Seed
			s.replies.mount(nil, s.given)
		}
	}
	return nil
}

// own returns an error if one of the package's modules was replaced.
func (s *Server) own(mods ...registry.Module) error {
	for _, m := range mods {
		if name := m.Info().Name; s.App.Get(name) != m {
			return fmt.Errorf("module %s cannot be replaced in podinfotest: set its variables instead", name)
		}
	}
	return nil
}

// on returns an error if one of the modules is not on.
func (s *Server) on(names ...string) error {
	for _, m := range s.App.Modules() {
		if slices.Contains(names, m.Info.Name) && m.State != registry.On {
			return fmt.Errorf("module %s is %s by %s, and podinfotest needs it: turn it on", m.Info.Name, m.State, m.Why)
		}
	}
	return nil
}

// logger logs to the test if PODINFO_LEVEL is set.
func (s *Server) logger(vars map[string]string) *logrus.Logger {
	l := logrus.New()
	l.SetFormatter(jsonlog.Formatter{})
	l.SetOutput(io.Discard)
	if _, ok := vars["PODINFO_LEVEL"]; ok {
		l.SetOutput(s.t.Output())
	}
	return l
}

// services is a module that only registers gRPC services.
type services struct {
	register func(grpc.ServiceRegistrar)
}

func (services) Info() registry.Info {
	return registry.Info{Name: "podinfotest-services", Doc: "Serve the test's gRPC services."}
}

func (m services) RegisterGRPC(r grpc.ServiceRegistrar) { m.register(r) }

// DialContext connects to the server's gRPC port if addr is [Server.GRPCAddr],
// and otherwise to its HTTP port, whatever addr is. Use it to connect clients of
// other packages. The address of another server is an error before [Server.Reach],
// unless both servers listen on loopback.
func (s *Server) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	if bubble() != s.bubble {
		return nil, &net.OpError{Op: "dial", Net: network, Addr: s.entrances[web].Addr(), Err: errBubble}
	}
	host, port, _ := net.SplitHostPort(addr)
	ip, err := netip.ParseAddr(host)
	loopback := err == nil && ip.IsLoopback() || host == "localhost"
	_, memory := s.entrances[web].Listener.(*memory)
	if loopback && !memory {
		addr = net.JoinHostPort("127.0.0.1", port)
	}
	for _, at := range s.reached() {
		for i, e := range at.entrances {
			if e.addr == addr {
				return s.dialled.add(at.connect(ctx, &at.entrances[i], host))
			}
		}
	}
	switch {
	case loopback && !memory:
		return new(net.Dialer).DialContext(ctx, network, addr)
	case loopback, inMemory.MatchString(host) && !strings.HasPrefix(s.entrances[web].addr, host+":"):
		return nil, fmt.Errorf("podinfotest: %s is not the server %s: call Server.Reach to connect to other servers", addr, s.URL)
	}
	return s.dialled.add(s.connect(ctx, &s.entrances[web], host))
}

// reached returns the servers that clients of this one can connect to.
func (s *Server) reached() []*Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*Server{s}, s.others...)
}

// Reach lets the server's clients, and all other users of its DialContext, also
// connect to other servers by their addresses. Use it for a client that fails
// over or balances its load.
func (s *Server) Reach(others ...*Server) {
	s.t.Helper()
	for _, o := range others {
		if o.bubble != s.bubble {
			s.t.Fatalf("podinfotest: %s and %s: %v", s.URL, o.URL, errBubble)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.others = append(s.others, others...)
}

// Client returns an HTTP client for the server. All clients of the server share
// one connection pool, which is closed when the test ends. The caller may change
// the client's other fields. A response body that is neither closed nor read to its
// end fails the test, see [Server.Watch].
func (s *Server) Client() *http.Client { return &http.Client{Transport: s.bodies} }

// GRPC returns a connection to the server's gRPC port, which is closed when the
// test ends. opts are applied after the options that make it connect.
func (s *Server) GRPC(opts ...grpc.DialOption) *grpc.ClientConn {
	s.t.Helper()
	var err error
	if s.GRPCAddr != s.entrances[web].addr {
		err = s.on("grpc-server")
	}
	if bubble() != s.bubble {
		err = errBubble
	}
	if err != nil {
		s.t.Fatalf("podinfotest: %v", err)
	}
	dial := func(ctx context.Context, addr string) (net.Conn, error) { return s.DialContext(ctx, "tcp", addr) }
	creds := insecure.NewCredentials()
	if s.pool != nil {
		creds = credentials.NewTLS(s.TLSConfig())
	}
	opts = slices.Concat([]grpc.DialOption{grpc.WithTransportCredentials(creds), grpc.WithContextDialer(dial)}, opts)
	conn, err := grpc.NewClient("passthrough:///"+s.GRPCAddr, opts...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns = append(s.conns, conn)
	return conn
}

// Connections returns how many connections were made to both ports of the
// server, with or without a request.
func (s *Server) Connections() int {
	s.record.mu.Lock()
	defer s.record.mu.Unlock()
	return s.record.opened
}

// Exit is a request of a module to end the process.
type Exit struct {
	At   time.Time
	Code int
}

func (s *Server) exit(code int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.exits = append(s.exits, Exit{time.Now(), code})
}

// Exits returns the requests of modules, such as panic, to end the process. The
// process did not end. The HTTP response has status 500, and the call fails with
// Internal.
func (s *Server) Exits() []Exit {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.exits)
}

// Stress returns the values of PODINFO_STRESS_CPU, in processors, and
// PODINFO_STRESS_MEMORY, in MB. The server neither uses the processors nor
// allocates the memory.
func (s *Server) Stress() (cpu, memory int) { return s.stress.CPU, s.stress.Memory }

// stopping is how long the end of the test waits for handlers and goroutines.
const stopping = 10 * time.Second

// close stops the server without a grace period: it cuts the requests in flight.
func (s *Server) close() {
	if s.strict {
		s.WantDone(s.t)
		s.WantNoOthers(s.t)
	}
	s.mu.Lock()
	for _, c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	close(s.links.ended)
	s.transport.CloseIdleConnections()
	now, cancel := context.WithCancel(context.Background())
	cancel()
	s.App.Drain(now) // the error counts the requests that were cut
	ctx, cancel := context.WithTimeout(context.Background(), stopping)
	defer cancel()
	if err := s.App.Stop(ctx); err != nil {
		s.t.Errorf("podinfotest: stop: %v", err)
	}
	if left := s.record.wait(ctx); len(left) > 0 {
		s.t.Errorf("podinfotest: handlers have not returned %v after the server was closed:\n%v", stopping, left)
	}
	s.bodies.end(s.t, s.bubble != "")
	s.reportStuck()
	s.transport.CloseIdleConnections()
}

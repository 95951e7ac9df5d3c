package podinfotest

import (
	"context"
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
	"google.golang.org/grpc/credentials/insecure"

	"github.com/seed-4591fe7d/podinfo"
	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver"
	"github.com/seed-4591fe7d/podinfo/endpoints/httpserver"
	"github.com/seed-4591fe7d/podinfo/endpoints/store"
	"github.com/seed-4591fe7d/podinfo/internal/jsonlog"
	"github.com/seed-4591fe7d/podinfo/middleware/faults"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// Config is what a server is made of beside its environment. The zero value is
// what [Start] and [StartInMemory] use.
type Config struct {
	// Modules are served beside the stock ones and turned on. One with a stock
	// module's name takes its place. An instance belongs to one server.
	Modules []registry.Module

	// Services, when it is not nil, registers gRPC services to be called and
	// scripted. It is called more than once.
	Services func(grpc.ServiceRegistrar)

	// Options come after those of the package.
	Options []registry.Option
}

// Server is a podinfo server that lives as long as a test.
type Server struct {
	URL      string        // "http://127.0.0.1:40001", without a path
	GRPCAddr string        // address of the gRPC port
	App      *registry.App // what is served

	t         testing.TB
	bubble    string      // that it was started in
	entrances [2]entrance // HTTP, gRPC
	transport *http.Transport
	faults    *faults.Module
	grpc      *grpcserver.Module
	stress    *stressed
	record    *recorder
	replies   *replies

	mu      sync.Mutex
	conns   []*grpc.ClientConn
	exits   []Exit
	scripts []script
	given   []*scenario.Rule // of a scenario, behind the scripts
	seed    *uint64
	made    int // scripts, ever
	others  []*Server
}

// entrance is a port, or what stands for one.
type entrance struct {
	net.Listener
	addr string
	dial func(context.Context) (net.Conn, error)
}

const (
	web = iota
	rpcs
)

// Start serves on loopback ports until the test ends: HTTP/1.1 and, for clients
// that know, HTTP/2 without TLS on one, gRPC on the other. env are the variables to
// configure from, each as NAME=value; the process's own environment is not
// looked at. PODINFO_SEED is 1 when it is not given. It is not for a bubble of
// testing/synctest, where who waits for a network stops the clock.
func Start(t testing.TB, env ...string) *Server { t.Helper(); return Config{}.Start(t, env...) }

// StartInMemory is Start over connections in memory. Called in a bubble of
// testing/synctest, the server lives on the bubble's clock; its clients have to be
// in the same bubble. Its address means something to [Server.DialContext] and to
// what is made with it, such as [Server.Client] and [Server.GRPC], alone.
func StartInMemory(t testing.TB, env ...string) *Server {
	t.Helper()
	return Config{}.StartInMemory(t, env...)
}

// Start is the function Start for a Config.
func (c Config) Start(t testing.TB, env ...string) *Server {
	t.Helper()
	if bubble() != "" {
		t.Fatal("podinfotest: Start in a bubble of testing/synctest, where a network stops the clock: use StartInMemory")
	}
	var open [2]entrance
	for i := range open {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := l.Addr().String()
		open[i] = entrance{l, addr, func(ctx context.Context) (net.Conn, error) { return new(net.Dialer).DialContext(ctx, "tcp", addr) }}
	}
	return c.start(t, open, env)
}

// StartInMemory is the function StartInMemory for a Config.
func (c Config) StartInMemory(t testing.TB, env ...string) *Server {
	t.Helper()
	host := fmt.Sprintf("podinfo%d.test", servers.Add(1))
	l, r := newMemory(9898), newMemory(9999)
	return c.start(t, [2]entrance{{l, host + ":9898", l.dial}, {r, host + ":9999", r.dial}}, env)
}

// servers counts those in memory, so that each has a name of its own. Nobody
// else has such a name (RFC 6761, 6.2): a client that does not use DialContext
// fails at once.
var servers atomic.Uint64

var inMemory = regexp.MustCompile(`^podinfo\d+\.test$`)

// longest is the longest time a fault may hold a request, and most how many it
// may hold: scripts are to be taken at their word.
const (
	longest = 30 * 24 * time.Hour
	most    = 1 << 20
)

func (c Config) start(t testing.TB, open [2]entrance, env []string) *Server {
	t.Helper()
	s := &Server{t: t, bubble: bubble(), entrances: open, record: newRecorder(), replies: new(replies), stress: new(stressed)}
	s.record.replies = s.replies
	s.URL, s.GRPCAddr = "http://"+open[web].addr, open[rpcs].addr
	s.transport = &http.Transport{DialContext: s.DialContext}
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
	s.grpc = &grpcserver.Module{Listener: s.record.number(s.entrances[rpcs])}
	front := &httpserver.Module{Listener: s.record.number(s.entrances[web]), H2C: true}
	given := []registry.Module{
		&faults.Module{MaxDelay: longest, MaxHeld: most},
		&store.Module{Path: s.t.TempDir()},
		s.record,
		s.stress,
		s.replies,
		s.grpc,
		front,
	}
	if c.Services != nil {
		given = append(given, services{c.Services})
	}
	opts := []registry.Option{
		registry.Env(vars), registry.Exit(s.exit),
		registry.Logger(s.logger(vars)), registry.With(append(given, c.Modules...)...),
	}
	app, err := podinfo.New(append(opts, c.Options...)...)
	if err != nil {
		return err
	}
	s.App = app
	if err := errors.Join(known(app, vars), s.own(s.record, s.replies, s.grpc, front), s.on(recorderName, repliesName, "http-server")); err != nil {
		return err
	}
	s.faults, _ = app.Get("faults").(*faults.Module)
	if s.faults != nil {
		s.replies.header = s.faults.Header
	}
	if s.faults != nil && s.faults.Inline != "" {
		if sc, err := scenario.Parse("PODINFO_FAULTS", []byte(s.faults.Inline)); err == nil { // not a mere true
			s.given, s.seed = sc.Rules, sc.Seed
		}
	}
	return nil
}

// own refuses modules that take the place of the package's.
func (s *Server) own(mods ...registry.Module) error {
	for _, m := range mods {
		if name := m.Info().Name; s.App.Get(name) != m {
			return fmt.Errorf("module %s has to be the package's own: set its variables", name)
		}
	}
	return nil
}

// on says which of the modules is not, and why.
func (s *Server) on(names ...string) error {
	for _, m := range s.App.Modules() {
		if slices.Contains(names, m.Info.Name) && m.State != registry.On {
			return fmt.Errorf("module %s is needed, and it is %s by %s", m.Info.Name, m.State, m.Why)
		}
	}
	return nil
}

// logger logs to the test when a level is asked for.
func (s *Server) logger(vars map[string]string) *logrus.Logger {
	l := logrus.New()
	l.SetFormatter(jsonlog.Formatter{})
	l.SetOutput(io.Discard)
	if _, ok := vars["PODINFO_LEVEL"]; ok {
		l.SetOutput(s.t.Output())
	}
	return l
}

// services is a module of nothing but gRPC services.
type services struct {
	register func(grpc.ServiceRegistrar)
}

func (services) Info() registry.Info {
	return registry.Info{Name: "podinfotest-services", Doc: "Serve the test's own gRPC services."}
}

func (m services) RegisterGRPC(r grpc.ServiceRegistrar) { m.register(r) }

// DialContext connects to the server's HTTP port, whatever the address, or to
// the gRPC port when the address is [Server.GRPCAddr]. It is for clients of
// other packages. The address of another server is of that one: it is an error
// before [Server.Reach], but for an address on loopback when the server is on
// loopback itself.
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
				return at.entrances[i].dial(ctx)
			}
		}
	}
	switch {
	case loopback && !memory:
		return new(net.Dialer).DialContext(ctx, network, addr)
	case loopback, inMemory.MatchString(host) && !strings.HasPrefix(s.entrances[web].addr, host+":"):
		return nil, fmt.Errorf("podinfotest: %s is another server than %s: see Server.Reach", addr, s.URL)
	}
	return s.entrances[web].dial(ctx)
}

// reached are the servers that the clients of this one reach.
func (s *Server) reached() []*Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*Server{s}, s.others...)
}

// Reach lets the server's clients, and whoever uses its DialContext, connect to
// other servers too, each by its own address: it is for clients that fail over
// or balance a load.
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

// Client returns an HTTP client for the server. Its connections are pooled
// with those of the server's other clients and closed at the end of the test;
// the rest of it is the caller's to change.
func (s *Server) Client() *http.Client { return &http.Client{Transport: s.transport} }

// GRPC returns a connection to the server's gRPC port, which the end of the
// test closes. opts come after those that make it connect.
func (s *Server) GRPC(opts ...grpc.DialOption) *grpc.ClientConn {
	s.t.Helper()
	err := s.on("grpc-server")
	if bubble() != s.bubble {
		err = errBubble
	}
	if err != nil {
		s.t.Fatalf("podinfotest: %v", err)
	}
	dial := func(ctx context.Context, addr string) (net.Conn, error) { return s.DialContext(ctx, "tcp", addr) }
	opts = slices.Concat([]grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithContextDialer(dial)}, opts)
	conn, err := grpc.NewClient("passthrough:///"+s.GRPCAddr, opts...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns = append(s.conns, conn)
	return conn
}

// Connections is how many connections were made to the server, on both of its
// ports, those without a request too.
func (s *Server) Connections() int {
	s.record.mu.Lock()
	defer s.record.mu.Unlock()
	return s.record.opened
}

// Exit is an end of the process that was asked for.
type Exit struct {
	At   time.Time
	Code int
}

func (s *Server) exit(code int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.exits = append(s.exits, Exit{time.Now(), code})
}

// Exits are the times that a module, such as panic, asked for the end of the
// process. It did not end: the request is answered 500, the call Internal.
func (s *Server) Exits() []Exit {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.exits)
}

// Stress is what PODINFO_STRESS_CPU and PODINFO_STRESS_MEMORY asked for:
// processors to keep busy, and MB to take. Neither is done.
func (s *Server) Stress() (cpu, memory int) { return s.stress.CPU, s.stress.Memory }

// stopping is how long the end of the test waits for what does not end by
// itself.
const stopping = 10 * time.Second

// close ends everything at once: who still waits for the server does so in
// vain.
func (s *Server) close() {
	s.mu.Lock()
	for _, c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.transport.CloseIdleConnections()
	now, cancel := context.WithCancel(context.Background())
	cancel()
	s.App.Drain(now) // its error is about the requests it cuts
	ctx, cancel := context.WithTimeout(context.Background(), stopping)
	defer cancel()
	if err := s.App.Stop(ctx); err != nil {
		s.t.Errorf("podinfotest: stop: %v", err)
	}
	if left := s.record.wait(ctx); len(left) > 0 {
		s.t.Errorf("podinfotest: these are still being handled %v after the server was closed:\n%v", stopping, left)
	}
	s.transport.CloseIdleConnections()
}

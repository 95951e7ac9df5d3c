package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/seed-4591fe7d/podinfo"
	"github.com/seed-4591fe7d/podinfo/endpoints/echo/echopb"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// A growth is something that there can be many of.
type growth struct {
	name  string
	sizes []int
	start func(ctx context.Context, n int, podinfo string) (*program, error)
	work  func(n int) work
}

// point is what n of something take.
type point struct {
	n         int
	memory    float64 // bytes
	ready, do float64 // µs of CPU time
}

func growths(dir string) []growth {
	parts, rules, conns := []int{100, 1000, 10000}, []int{10, 100, 1000, 10000}, []int{1, 10, 100, 1000, 10000}
	many := func(name string, dial func(p *program, i int) (client, error), slice time.Duration) growth {
		return growth{name, conns, func(ctx context.Context, _ int, podinfo string) (*program, error) {
			return startPodinfo(ctx, name, podinfo)
		}, func(n int) work {
			i := 0
			return work{name: name, conns: n, slice: slice, dial: func(p *program) (client, error) { i++; return dial(p, i-1) }}
		}}
	}
	get := func(p *program, path string) (client, error) { return dialHTTP(p.http, "GET", path, "", "") }
	one := func(path func(n int) string) func(int) work {
		return func(n int) work {
			return work{name: "requests", conns: 8, dial: func(p *program) (client, error) { return get(p, path(n)) }}
		}
	}
	return []growth{
		{"modules with a route each", parts, startParts("modules"), one(func(n int) string { return fmt.Sprintf("/part/%d/x", n-1) })},
		{"routes of a module", parts, startParts("routes"), one(func(n int) string { return fmt.Sprintf("/part/%d/x", n-1) })},
		{"fault rules, none matches", rules, startRules(dir), one(func(int) string { return "/version" })},
		{"fault rules, the last one matches", rules, startRules(dir), one(func(n int) string { return fmt.Sprintf("/rule/%d", n-1) })},
		many("idle HTTP connections", func(p *program, _ int) (client, error) { c, err := get(p, "/version"); return idle{c}, err }, 2*time.Second),
		many("busy HTTP connections", func(p *program, _ int) (client, error) { return get(p, "/version") }, 2*time.Second),
		many("event streams", func(p *program, _ int) (client, error) { return dialViewer(p) }, 5*interval),
		many("idle WebSockets", func(p *program, _ int) (client, error) { return dialWSWaiter(p.http) }, 5*interval),
		many("busy WebSockets", func(p *program, _ int) (client, error) { return dialWS(p.http) }, 2*time.Second),
		many("gRPC streams, 100 on a connection", dialStream(), 2*time.Second),
	}
}

// idle is a client that does nothing after its first request.
type idle struct{ client }

func (c idle) do() error { time.Sleep(time.Second); return nil }

// dialStream opens streams that share connections.
func dialStream() func(p *program, i int) (client, error) {
	var conn *grpc.ClientConn
	return func(p *program, i int) (client, error) {
		if i%100 == 0 {
			var err error
			if conn, err = grpc.NewClient(p.grpc, grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
				return nil, err
			}
		}
		stream, err := echopb.NewEchoServiceClient(conn).Stream(context.Background())
		if err != nil {
			return nil, err
		}
		return &grpcClient{conn, func() error {
			if err := stream.Send(message); err != nil {
				return err
			}
			_, err := stream.Recv()
			return err
		}}, nil
	}
}

// startRules starts podinfo with n rules for a path each.
func startRules(dir string) func(context.Context, int, string) (*program, error) {
	return func(ctx context.Context, n int, podinfo string) (*program, error) {
		var rules strings.Builder
		rules.WriteString("rules:\n")
		for i := range n {
			fmt.Fprintf(&rules, "- {name: r%d, match: {path: /rule/%d}, fault: {status: 503}}\n", i, i)
		}
		scenario := filepath.Join(dir, "rules.yaml")
		if err := os.WriteFile(scenario, []byte(rules.String()), 0o600); err != nil {
			return nil, err
		}
		return startPodinfo(ctx, "rules", podinfo, "PODINFO_FAULTS_ENABLED=true", "PODINFO_FAULTS_FILE="+scenario)
	}
}

// startParts starts this program as podinfo with n more modules, or with one more
// module of n routes.
func startParts(kind string) func(context.Context, int, string) (*program, error) {
	return func(ctx context.Context, n int, _ string) (*program, error) {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		p := &program{name: kind, http: address()}
		p.grpc = p.http
		p.cmd = exec.CommandContext(ctx, self, "parts", kind, strconv.Itoa(n), p.http)
		return p, p.start()
	}
}

// part is a module with routes.
type part struct {
	name        string
	first, last int
}

func (p *part) Info() registry.Info { return registry.Info{Name: p.name, Doc: "Serve routes."} }

func (p *part) Routes() (out []registry.Route) {
	for i := p.first; i < p.last; i++ {
		out = append(out, registry.Route{Method: "GET", Path: fmt.Sprintf("/part/%d/{id}", i), Handler: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }})
	}
	return out
}

// serveParts serves podinfo with n more modules or routes.
func serveParts(kind string, n int, addr string) error {
	var parts []registry.Module
	switch kind {
	case "routes":
		parts = append(parts, &part{"many", 0, n})
	case "modules":
		for i := range n {
			parts = append(parts, &part{fmt.Sprintf("part-%d", i), i, i + 1})
		}
	default:
		return errors.New("unknown kind of parts " + kind)
	}
	app, err := podinfo.New(registry.Env(nil), registry.With(parts...))
	if err != nil {
		return err
	}
	if err := app.Start(context.Background()); err != nil {
		return err
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	return http.Serve(l, app)
}

// point measures n of something in a new process.
func (g growth) point(ctx context.Context, n int, podinfo string) (pt point, err error) {
	p, err := g.start(ctx, n, podinfo)
	if err != nil {
		return pt, err
	}
	defer p.stop()
	u, err := p.usage()
	if err != nil {
		return pt, err
	}
	pt = point{n: n, ready: float64(u.cpu) / 1e3}
	s, err := p.measure(ctx, g.work(n), func() { pt.memory = p.memory("VmRSS") })
	pt.do = s.cpu
	return pt, err
}

// scale prints how memory and CPU time grow, and plots them.
func scale(ctx context.Context, root, dir, podinfo string, selected *regexp.Regexp) error {
	var b strings.Builder
	b.WriteString("| What | Number | Memory, MiB | a further one, kB | Start, ms of CPU | CPU, µs |\n|---|--:|--:|--:|--:|--:|\n")
	var all []series
	for _, g := range growths(dir) {
		if !selected.MatchString(g.name) {
			continue
		}
		s := series{name: g.name}
		for _, n := range g.sizes {
			if n > *most {
				continue
			}
			pt, err := g.point(ctx, n, podinfo)
			if err != nil {
				return fmt.Errorf("%d %s: %w", n, g.name, err)
			}
			further := ""
			if len(s.points) > 0 {
				before := s.points[len(s.points)-1]
				further = fmt.Sprintf("%.1f", (pt.memory-before.memory)/1e3/float64(n-before.n))
			}
			s.points = append(s.points, pt)
			fmt.Fprintf(&b, "| %s | %d | %.1f | %s | %.0f | %.1f |\n", g.name, n, pt.memory/(1<<20), further, pt.ready/1e3, pt.do)
			fmt.Fprintln(os.Stderr, "measured", n, g.name)
		}
		if len(s.points) > 0 {
			all = append(all, s)
		}
	}
	if *write && len(all) > 0 {
		if err := plots(root, all); err != nil {
			return err
		}
	}
	return publish(root, "scale", b.String())
}

// Package podinfo is a small HTTP and gRPC server that is made of modules: it
// proves that a cluster, a mesh or a pipeline works, and breaks on request.
package podinfo

import (
	"context"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"syscall"

	"github.com/seed-4591fe7d/podinfo/endpoints/chunked"
	"github.com/seed-4591fe7d/podinfo/endpoints/configs"
	"github.com/seed-4591fe7d/podinfo/endpoints/crash"
	"github.com/seed-4591fe7d/podinfo/endpoints/delay"
	"github.com/seed-4591fe7d/podinfo/endpoints/echo"
	"github.com/seed-4591fe7d/podinfo/endpoints/env"
	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver"
	"github.com/seed-4591fe7d/podinfo/endpoints/headers"
	"github.com/seed-4591fe7d/podinfo/endpoints/health"
	"github.com/seed-4591fe7d/podinfo/endpoints/httpserver"
	"github.com/seed-4591fe7d/podinfo/endpoints/info"
	"github.com/seed-4591fe7d/podinfo/endpoints/metricsserver"
	"github.com/seed-4591fe7d/podinfo/endpoints/pprof"
	"github.com/seed-4591fe7d/podinfo/endpoints/proxy"
	"github.com/seed-4591fe7d/podinfo/endpoints/status"
	"github.com/seed-4591fe7d/podinfo/endpoints/store"
	"github.com/seed-4591fe7d/podinfo/endpoints/stress"
	"github.com/seed-4591fe7d/podinfo/endpoints/tcpproxy"
	"github.com/seed-4591fe7d/podinfo/endpoints/token"
	"github.com/seed-4591fe7d/podinfo/endpoints/version"
	"github.com/seed-4591fe7d/podinfo/endpoints/wsecho"
	"github.com/seed-4591fe7d/podinfo/internal/cli"
	"github.com/seed-4591fe7d/podinfo/internal/liblog"
	"github.com/seed-4591fe7d/podinfo/internal/memory"
	"github.com/seed-4591fe7d/podinfo/middleware/accesslog"
	"github.com/seed-4591fe7d/podinfo/middleware/bodylimit"
	"github.com/seed-4591fe7d/podinfo/middleware/crossorigin"
	"github.com/seed-4591fe7d/podinfo/middleware/faultinjection"
	"github.com/seed-4591fe7d/podinfo/middleware/faults"
	"github.com/seed-4591fe7d/podinfo/middleware/jwt"
	"github.com/seed-4591fe7d/podinfo/middleware/metrics"
	"github.com/seed-4591fe7d/podinfo/middleware/overload"
	"github.com/seed-4591fe7d/podinfo/middleware/randomdelay"
	"github.com/seed-4591fe7d/podinfo/middleware/randomerror"
	"github.com/seed-4591fe7d/podinfo/middleware/recovery"
	"github.com/seed-4591fe7d/podinfo/middleware/versionheaders"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/capability"
)

// Modules returns a new instance of every stock module that opens no port.
// List order is chain order within a phase, and start order. Those that [LeftOut]
// names are not in the list.
func Modules() []registry.Module {
	all := []registry.Module{
		new(recovery.Module),
		newTracing(), // before metrics, whose exemplars name the span
		new(metrics.Module),
		new(accesslog.Module),
		new(versionheaders.Module),
		new(overload.Module),
		new(bodylimit.Module),
		new(crossorigin.Module),
		new(jwt.Module),
		new(faultinjection.Module),
		new(faults.Module),
		new(randomdelay.Module),
		new(randomerror.Module),

		new(stress.Module),
		new(health.Module),
		newUI(),
		new(info.Module),
		new(version.Module),
		new(env.Module),
		new(headers.Module),
		new(echo.Module),
		new(status.Module),
		new(delay.Module),
		new(chunked.Module),
		new(token.Module),
		newCache(),
		new(store.Module),
		new(configs.Module),
		new(wsecho.Module),
		new(crash.Module),
		new(pprof.Module),
		newSwagger(),
		new(proxy.Module),
	}
	return slices.DeleteFunc(all, func(m registry.Module) bool { return m == nil })
}

// LeftOut returns the names of the stock modules that this program was built without.
// The build tag podinfo_slim leaves out tracing, ui, cache and swagger, with
// OpenTelemetry, the client of Redis, and the files of the page and of Swagger UI.
func LeftOut() []string { return slices.Clone(leftOut) }

// Listeners returns a new instance of the modules that open ports. Main adds
// them; a harness that calls the App as an http.Handler leaves them out.
func Listeners() []registry.Module {
	return []registry.Module{new(metricsserver.Module), new(grpcserver.Module), new(tcpproxy.Module), new(httpserver.Module)}
}

// New assembles the stock modules, without the listeners, into an
// http.Handler. Start it before the first request and stop it after the last.
func New(opts ...registry.Option) (*registry.App, error) {
	return registry.New(Modules(), slices.Concat([]registry.Option{registry.Version(Build()), checks()}, opts)...)
}

// checks refuses modules that miss a capability by a mistake.
func checks() registry.Option {
	all := []registry.Check{grpcserver.Services}
	for _, c := range capability.All() {
		all = append(all, c)
	}
	return registry.Checks(all...)
}

// Set by the linker: -X github.com/seed-4591fe7d/podinfo.release=6.15.0.
var (
	release  = "6.15.0"
	revision = ""
)

// Build is what the linker, or else the build information, says of this
// program.
func Build() registry.Build {
	b := registry.Build{Version: release, Revision: revision}
	if info, ok := debug.ReadBuildInfo(); ok && b.Revision == "" {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				b.Revision = s.Value
			}
		}
	}
	if b.Revision == "" {
		b.Revision = "unknown"
	}
	return b
}

// Main is the whole program: it reads the command line, the environment and
// the config file, serves the stock modules and mods until a signal comes, and
// exits. As with [registry.With], mods are on unless a variable says otherwise,
// and a module with the name of a stock one replaces it.
func Main(mods ...registry.Module) {
	ctx, stop := context.WithCancel(context.Background())
	environ := os.Environ()
	for _, name := range unaccepted(environ) {
		os.Unsetenv(name) // the tracing module warns of it; OpenTelemetry's SDK would too, in plain text
	}
	p := &cli.Program{
		Name:    "podinfo",
		Modules: slices.Concat(Modules(), Listeners()),
		Given:   mods,
		Options: []registry.Option{checks()},
		Build:   Build(),
		Args:    os.Args[1:],
		Env:     environ,
		Stdout:  os.Stdout,
		Stderr:  os.Stderr,
		Exit:    os.Exit,
		Logger:  liblog.Capture,
	}
	limit, from := memory.Limit()
	if limit > 0 {
		p.Options = append(p.Options, registry.MemoryLimit(memory.Data(limit, from)))
		if os.Getenv("GOMEMLIMIT") == "" {
			debug.SetMemoryLimit(memory.RuntimeLimit(limit))
		}
	}
	p.Runtime = memory.RuntimeSettings(limit, from, runtime.GOMAXPROCS(0), os.Getenv)
	go memory.Trim(ctx)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		stop()
		<-signals
		p.Abort(1)
	}()
	p.Exit(p.Run(ctx))
}

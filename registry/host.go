package registry

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// Host is a module's view of its App. Provision receives it, and the module may
// use it until it has stopped.
type Host struct {
	Log *logrus.Entry // carries the field "module"

	app    *App
	entry  *entry
	random *Random
	ctx    context.Context
	cancel context.CancelFunc
	tasks  sync.WaitGroup
}

// Handler returns the App, for modules that serve it on a port.
func (h *Host) Handler() http.Handler { return h.app }

// Build returns the version and the revision of the program.
func (h *Host) Build() Build { return h.app.build }

// Prefix returns the path that the App's routes are mounted under, "" for none.
func (h *Host) Prefix() string { return h.app.core.Prefix }

// Client returns the address of the client of r, without a port, and the scheme
// that it used, http or https. They are those of the connection unless a proxy
// that PODINFO_TRUSTED_PROXIES trusts says otherwise.
func (h *Host) Client(r *http.Request) (addr, scheme string) {
	c := h.app.core.Proxies.OfRequest(r)
	return c.Addr, c.Scheme
}

// Caller returns the address of the client of a gRPC call, see [Host.Client].
func (h *Host) Caller(c *rpc.Call) (addr string) { return h.app.core.Proxies.OfCall(c).Addr }

// Random returns the module's reproducible randomness.
func (h *Host) Random() *Random { return h.random }

// Settings lists what can be set of the App, with the values in effect. The caller
// must not modify the result.
func (h *Host) Settings() []Setting { return h.app.Settings() }

// Environ returns the environment of the process as New was given it, in the
// form of os.Environ. The caller must not modify it.
func (h *Host) Environ() []string { return h.app.environ }

// Assembly returns what is linked now: modules, routes and chains. It is nil
// during Provision, before anything is linked; see [Host.Modules].
func (h *Host) Assembly() *Assembly { return h.app.Assembly() }

// Modules lists every module of the App in list order. During Provision the states
// are those that were configured, later those that are linked.
func (h *Host) Modules() []Status {
	if now := h.app.Assembly(); now != nil {
		return now.Modules()
	}
	var out []Status
	for _, e := range h.app.entries {
		out = append(out, e.status(e.state == On))
	}
	return out
}

// Declared lists the routes of every module that is on or on standby, linked
// now or not, without those that are not served because another module wants to be
// alone. It may be called in Provision.
func (h *Host) Declared() []Route {
	var out []Route
	for _, e := range h.app.entries {
		if ep, ok := e.Module.(Endpoint); ok && e.state != Off {
			for _, rt := range ep.Routes() {
				out = append(out, h.app.place(e, rt))
			}
		}
	}
	return alone(out)
}

// Switch links or unlinks a module, see [App.Switch].
func (h *Host) Switch(name string, on bool) error { return h.app.Switch(name, on) }

// Reload assembles the App again because the module's Routes have changed.
// After an error the old routes are still served.
func (h *Host) Reload() error { return h.app.reload() }

// Error responds with the body {"code", "message"}, or with a page if a linked
// module has one for the request, see [ErrorPager]. The App responds so to
// requests that match no route. Do not call Error in Provision.
func (h *Host) Error(w http.ResponseWriter, r *http.Request, code int, message string) {
	h.app.Assembly().respondError(w, r, code, message)
}

// Ready returns nil, or why the App cannot serve now.
func (h *Host) Ready(ctx context.Context) error { return h.app.Ready(ctx) }

// Draining reports whether the App has been told to stop.
func (h *Host) Draining() bool { return h.app.draining.Load() }

// Go runs f in a goroutine. When the App stops, it cancels ctx, calls the
// module's Stop and waits for f to return.
func (h *Host) Go(f func(ctx context.Context)) { h.tasks.Go(func() { f(h.ctx) }) }

// Context returns a context that is cancelled when the module has to stop.
func (h *Host) Context() context.Context { return h.ctx }

// Fail makes Run stop the App and return err.
func (h *Host) Fail(err error) {
	select {
	case h.app.failed <- err:
	default: // one failure is enough to stop
	}
}

// Exit ends the process if the App was given a function for it, see [Exit], and
// logs an error otherwise.
func (h *Host) Exit(code int) {
	if h.app.exit == nil {
		h.Log.WithField("code", code).Error("a module asked to end the process, which this program does not allow")
		return
	}
	h.app.exit(code)
}

// afterDeadline is the time that goroutines have to return after they were
// cancelled, if the deadline has passed.
const afterDeadline = 250 * time.Millisecond

// wait waits for the module's goroutines, or for ctx.
func (h *Host) wait(ctx context.Context) error {
	idle := make(chan struct{})
	go func() { h.tasks.Wait(); close(idle) }()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
	}
	select {
	case <-idle:
		return nil
	case <-time.After(afterDeadline):
		return fmt.Errorf("goroutines still running: %w", ctx.Err())
	}
}

type progress int

const (
	unprovisioned progress = iota
	provisioning
	provisioned
)

func (a *App) provisionAll(vals values) error {
	var errs []error
	for _, e := range a.entries {
		if e.state == Off {
			continue
		}
		errs = append(errs, e.blame(explain(a.provision(e), e.fields, vals)))
	}
	return joinOnce(append(errs, a.problems...))
}

func (a *App) provision(e *entry) error {
	switch e.progress {
	case provisioned:
		return nil
	case provisioning:
		return fmt.Errorf("%s depends on itself", e.info.Name)
	}
	e.progress = provisioning
	e.host = &Host{Log: a.log.WithField("module", e.info.Name), app: a, entry: e, random: newRandom(a.seed, e.info.Name)}
	e.host.ctx, e.host.cancel = context.WithCancel(context.Background())
	if p, ok := e.Module.(Provisioner); ok {
		if err := p.Provision(e.host); err != nil {
			e.progress = unprovisioned
			return err
		}
	}
	e.progress = provisioned
	return nil
}

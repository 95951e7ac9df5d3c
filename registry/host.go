package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
)

// Host is what a module may reach of the App it belongs to. It is given to
// Provision and is good until the module has stopped.
type Host struct {
	Log *logrus.Entry // carries the field "module"

	app    *App
	random *Random
	ctx    context.Context
	cancel context.CancelFunc
	tasks  sync.WaitGroup
}

// Handler is the App, for modules that serve it on a port.
func (h *Host) Handler() http.Handler { return h.app }

// Build names what was built.
func (h *Host) Build() Build { return h.app.build }

// Prefix is the path the App's routes are mounted under, "" for none.
func (h *Host) Prefix() string { return h.app.core.Prefix }

// Random is the module's reproducible randomness.
func (h *Host) Random() *Random { return h.random }

// Settings lists what can be set of the App, with the values in effect.
func (h *Host) Settings() []Setting { return h.app.Settings() }

// Environ returns the environment of the process as New was given it, in the
// form of os.Environ. The caller must not modify it.
func (h *Host) Environ() []string { return h.app.environ }

// Assembly returns what is linked now: modules, routes and chains. It is nil
// during Provision, before anything is linked; see [Host.Modules].
func (h *Host) Assembly() *Assembly { return h.app.Assembly() }

// Modules lists every module of the App in list order. During Provision it
// says what was decided, and later what is linked.
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
// now or not. It may be called in Provision.
func (h *Host) Declared() []Route {
	var out []Route
	for _, e := range h.app.entries {
		if ep, ok := e.Module.(Endpoint); ok && e.state != Off {
			for _, rt := range ep.Routes() {
				out = append(out, h.app.place(e, rt))
			}
		}
	}
	return out
}

// Switch links or unlinks a module, see [App.Switch].
func (h *Host) Switch(name string, on bool) error { return h.app.Switch(name, on) }

// Reload assembles the App again because the module's Routes have changed.
// After an error the old routes are still served.
func (h *Host) Reload() error { return h.app.reload() }

// Ready says why the App cannot serve now, or nil.
func (h *Host) Ready(ctx context.Context) error { return h.app.Ready(ctx) }

// Draining reports whether the App has been told to stop.
func (h *Host) Draining() bool { return h.app.draining.Load() }

// Go runs f beside the module. When the App stops, ctx is cancelled, the
// module's Stop is called, and then f has to return.
func (h *Host) Go(f func(ctx context.Context)) { h.tasks.Go(func() { f(h.ctx) }) }

// Context ends when the module has to stop.
func (h *Host) Context() context.Context { return h.ctx }

// Fail makes Run stop the App and return err.
func (h *Host) Fail(err error) {
	select {
	case h.app.failed <- err:
	default: // one failure is enough to stop
	}
}

// Exit ends the process, where there is one of the App's own to end.
func (h *Host) Exit(code int) {
	if h.app.exit == nil {
		h.Log.WithField("code", code).Error("exit asked for and refused")
		return
	}
	h.app.exit(code)
}

// afterDeadline is the time goroutines have to see that they are cancelled,
// when the work before that used the deadline up.
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

type wiring int

const (
	unwired wiring = iota
	wiringNow
	wired
)

func (a *App) provisionAll(vals values) error {
	var errs []error
	for _, e := range a.entries {
		if e.state == Off {
			continue
		}
		err := explain(a.provision(e), e.fields, vals)
		if _, setting := errors.AsType[*SettingError](err); err != nil && !setting {
			err = fmt.Errorf("module %s: %w", e.info.Name, err)
		}
		errs = append(errs, err)
	}
	return joinOnce(append(errs, a.problems...))
}

func (a *App) provision(e *entry) error {
	switch e.wired {
	case wired:
		return nil
	case wiringNow:
		return fmt.Errorf("%s depends on itself", e.info.Name)
	}
	e.wired = wiringNow
	e.host = &Host{Log: a.log.WithField("module", e.info.Name), app: a, random: newRandom(a.seed, e.info.Name)}
	e.host.ctx, e.host.cancel = context.WithCancel(context.Background())
	if p, ok := e.Module.(Provisioner); ok {
		if err := p.Provision(e.host); err != nil {
			e.wired = unwired
			return err
		}
	}
	e.wired = wired
	return nil
}

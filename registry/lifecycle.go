package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// ErrStarted is the error of Start if the App was started or stopped before.
var ErrStarted = errors.New("already started or stopped: an App starts once")

// Start starts the modules that are on or on standby, in list order. If one
// fails, those before it are stopped. An App starts only once. To start again,
// make a new App of new module instances.
func (a *App) Start(ctx context.Context) error {
	a.mu.Lock()
	again := a.started || a.drained
	a.started = true
	a.mu.Unlock()
	if again {
		return ErrStarted
	}
	for _, e := range a.entries {
		if e.state == Off {
			continue
		}
		if s, ok := e.Module.(Starter); ok {
			if err := s.Start(ctx); err != nil {
				e.host.cancel()
				err = fmt.Errorf("module %s: %w", e.info.Name, err)
				err = errors.Join(err, e.host.wait(ctx), a.Stop(ctx))
				a.release()
				return err
			}
		}
		a.mu.Lock()
		a.running = append(a.running, e)
		a.mu.Unlock()
	}
	a.serving.Store(true)
	a.log.WithField("seed", a.seed).Debug("random faults are repeated with this seed")
	return nil
}

// Drain fails readiness and drains all running modules at the same time, until
// ctx is done. The error says what was cut.
func (a *App) Drain(ctx context.Context) error {
	a.draining.Store(true)
	a.mu.Lock()
	running, again := slices.Clone(a.running), a.drained
	a.drained = true
	a.mu.Unlock()
	if again {
		return nil
	}
	errs := make([]error, len(running))
	var all sync.WaitGroup
	for i, e := range running {
		if d, ok := e.Module.(Drainer); ok {
			all.Go(func() {
				if err := d.Drain(ctx); err != nil {
					errs[i] = fmt.Errorf("module %s: %w", e.info.Name, err)
				}
			})
		}
	}
	all.Wait()
	return errors.Join(errs...)
}

// Stop drains the modules and then stops them in reverse order: it cancels the
// goroutines of each, calls its Stop and waits for the goroutines until ctx is
// done.
func (a *App) Stop(ctx context.Context) error {
	errs := []error{a.Drain(ctx)}
	a.serving.Store(false)
	a.mu.Lock()
	running := a.running
	a.running = nil
	a.mu.Unlock()
	for _, e := range slices.Backward(running) {
		e.host.cancel()
		var err error
		if s, ok := e.Module.(Stopper); ok {
			err = s.Stop(ctx)
		}
		if err = errors.Join(err, e.host.wait(ctx)); err != nil {
			errs = append(errs, fmt.Errorf("module %s: %w", e.info.Name, err))
		}
	}
	return errors.Join(errs...)
}

// Leave fails readiness and makes the running modules ask their clients to leave:
// responses carry "Connection: close", and over HTTP/2 clients get a GOAWAY. The App
// still serves, until Drain or Stop. [App.Run] calls it at the beginning of the grace.
func (a *App) Leave() {
	a.draining.Store(true)
	a.mu.Lock()
	running := slices.Clone(a.running)
	a.mu.Unlock()
	for _, e := range running {
		if l, ok := e.Module.(Leaver); ok {
			l.Leave()
		}
	}
}

// Run starts the App and serves until ctx is done or a module fails. Then it
// fails readiness, asks clients to leave, serves for the grace time, and stops
// within the shutdown timeout. The error is nil if nothing was cut.
func (a *App) Run(ctx context.Context) error {
	if err := a.Start(ctx); err != nil {
		return err
	}
	var err error
	select {
	case <-ctx.Done():
		a.Leave()
		a.log.WithField("grace", a.core.Grace.String()).WithField("timeout", a.core.Timeout.String()).Info("shutting down")
		select {
		case <-time.After(a.core.Grace):
		case err = <-a.failed:
		}
	case err = <-a.failed:
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.core.Timeout)
	defer cancel()
	return errors.Join(err, a.Stop(ctx))
}

// ErrNotStarted and ErrDraining report that the App itself is not ready.
var (
	ErrNotStarted = errors.New("not started")
	ErrDraining   = errors.New("shutting down")
)

// Ready returns nil if every linked Checker is ready, or why the App cannot serve
// now.
func (a *App) Ready(ctx context.Context) error {
	switch {
	case a.draining.Load():
		return ErrDraining
	case !a.serving.Load():
		return ErrNotStarted
	}
	var errs []error
	now := a.Assembly()
	for _, e := range a.entries {
		if c, ok := e.Module.(Checker); ok && now.Linked(e.info.Name) {
			if err := c.Ready(ctx); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", e.info.Name, err))
			}
		}
	}
	return errors.Join(errs...)
}

package faults

import (
	"context"
	"sync"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/fault"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// callValues are of a call.
type callValues struct{ *rpc.Call }

func (v callValues) Header(name string) []string { return v.Metadata(name) }
func (v callValues) Query(string) []string       { return nil }
func (v callValues) Client() string              { return bare(v.Peer()) }

// ServeRPC does to a call what the rules say.
func (m *Module) ServeRPC(ctx context.Context, call *rpc.Call, next func(context.Context) error) error {
	if m.engine.Idle() && !m.ByHeader {
		return next(ctx)
	}
	d := m.engine.Decide(&scenario.Request{RPC: call.FullMethod, Internal: call.Internal, Values: callValues{call}})
	if m.ByHeader && !call.Internal {
		var err error
		if d, err = m.askedRPC(call, d); err != nil {
			return err
		}
	}
	if d == nil {
		return next(ctx)
	}
	defer d.Done()
	if len(d.Strikes) == 0 {
		return next(ctx)
	}
	return m.strikeRPC(ctx, next, d)
}

func (m *Module) strikeRPC(ctx context.Context, next func(context.Context) error, d *scenario.Decision) error {
	held := true
	if wait := d.Delay(); wait > 0 || d.Chunked() {
		if held = m.engine.Hold(); held {
			defer m.engine.Release()
		}
	}
	m.report(ctx, d, true, held)
	if held && !registry.Sleep(ctx, d.Delay()) {
		return rpc.FromContext(ctx)
	}
	var broken *rpc.Error
	after := 0
	if s := d.Broken(); s != nil {
		g := s.Fault.GRPC
		broken = &rpc.Error{Code: g.Code, Message: g.Message}
		if broken.Message == "" {
			broken.Message = "fault " + s.Rule
		}
		if after = g.After; after == 0 {
			return broken
		}
	}
	if broken == nil && !(held && d.Chunked()) {
		return next(ctx)
	}
	s := &messages{decision: d, held: held, broken: broken, after: after}
	if err := next(fault.WithMessages(ctx, s)); err != nil {
		return err
	}
	if broken != nil {
		return broken
	}
	return nil
}

// messages waits before the messages of a call, and ends it after some.
type messages struct {
	decision *scenario.Decision
	held     bool
	broken   *rpc.Error // nil for none
	after    int

	mu   sync.Mutex
	sent int
}

// Send implements fault.Messages.
func (s *messages) Send(ctx context.Context) error {
	s.mu.Lock()
	n := s.sent
	s.sent++
	s.mu.Unlock()
	if s.broken != nil && n >= s.after {
		return s.broken
	}
	if s.held && !registry.Sleep(ctx, s.decision.Chunk(n)) {
		return rpc.FromContext(ctx)
	}
	return nil
}

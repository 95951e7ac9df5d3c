package faults

import (
	"cmp"
	"context"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/fault"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
	"github.com/seed-4591fe7d/podinfo/registry/record"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// ServeRPC delays and breaks calls by the rules.
func (m *Module) ServeRPC(ctx context.Context, call *rpc.Call, next func(context.Context) error) error {
	if m.engine.Idle() && !m.ByHeader {
		return next(ctx)
	}
	v := &callValues{Call: call, m: m, ctx: ctx}
	d := m.engine.Decide(&scenario.Request{RPC: call.FullMethod, Internal: call.Internal, Values: v})
	if v.left {
		if d != nil {
			d.Done()
		}
		return rpc.FromContext(ctx)
	}
	if m.ByHeader && !call.Internal {
		var err error
		if d, err = m.addByMetadata(call, d); err != nil {
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
	return m.strikeRPC(ctx, call, next, d)
}

// noConnection is the connection of calls whose Client has none.
type noConnection struct{}

func (noConnection) SetTrailer(_, _ string) {}
func (noConnection) GoAway(string)          {}
func (noConnection) Reset()                 {}
func (noConnection) Close()                 {}

func connectionOf(call *rpc.Call) rpc.Connection {
	if t, ok := call.Client.(rpc.Connection); ok {
		return t
	}
	return noConnection{}
}

// BreaksConnections makes the gRPC port prepare its connections for faults below
// gRPC.
func (*Module) BreaksConnections() {}

func (m *Module) strikeRPC(ctx context.Context, call *rpc.Call, next func(context.Context) error, d *scenario.Decision) error {
	leave := m.hold(ctx, d, scenario.GRPCCalls)
	defer leave()
	if len(d.Strikes) == 0 { // all were delays, and no slot was free
		return next(ctx)
	}
	t := connectionOf(call)
	if m.header != "" { // in a trailer, as clients do not retry after a header
		t.SetTrailer(strings.ToLower(m.header), d.Names())
	}
	m.report(ctx, d, scenario.GRPCCalls)
	if !registry.Sleep(ctx, d.Delay()) {
		return rpc.FromContext(ctx)
	}
	slow := d.Slow(scenario.GRPCCalls)
	if !slow {
		leave() // the handler's own time does not count
	}
	var broken *rpc.Error
	after := 0
	if kind, b := breakerOf(d.Broken(), scenario.GRPCCalls); kind != nil {
		broken, after = b.grpc(t, d.Broken())
	}
	if broken != nil && after == 0 {
		return broken
	}
	if broken == nil && !slow {
		return next(ctx)
	}
	s := &messages{decision: d, broken: broken, after: after}
	if err := next(fault.WithMessages(ctx, s)); err != nil {
		return err
	}
	if broken != nil {
		return broken
	}
	return nil
}

// describe returns a message that names the rule.
func describe(s *scenario.Strike) string { return "fault " + s.Rule }

// endCall applies the kind grpc.
func endCall(t rpc.Connection, s *scenario.Strike) (broken *rpc.Error, after int) {
	g := s.Fault.GRPC
	broken = &rpc.Error{Code: g.Code, Message: cmp.Or(g.Message, describe(s)), Details: details(s)}
	if wait := broken.Details.RetryDelay; wait != nil {
		t.SetTrailer(pushback, strconv.FormatInt((*wait+time.Millisecond-1).Milliseconds(), 10))
	}
	return broken, g.After
}

// resetCall applies the kind reset.
func resetCall(t rpc.Connection, s *scenario.Strike) (broken *rpc.Error, after int) {
	t.Reset()
	return &rpc.Error{Code: rpc.Internal, Class: string(record.StreamReset), Message: describe(s)}, 0
}

// closeCall applies the kind empty.
func closeCall(t rpc.Connection, s *scenario.Strike) (broken *rpc.Error, after int) {
	t.Close()
	return &rpc.Error{Code: rpc.Unavailable, Class: string(record.NoResponse), Message: describe(s)}, 0
}

// leaveCall applies the kind goaway.
func leaveCall(t rpc.Connection, s *scenario.Strike) (broken *rpc.Error, after int) {
	t.GoAway(describe(s))
	return nil, 0
}

// pushback is the trailer that tells the client's library when to retry, in
// milliseconds (https://github.com/grpc/proposal/blob/master/A6-client-retries.md).
const pushback = "grpc-retry-pushback-ms"

// details returns the error details of a strike. Above a limit they contain when
// to retry.
func details(s *scenario.Strike) *rpc.Details {
	from := cmp.Or(s.Fault.GRPC.Details, new(scenario.Details))
	out := &rpc.Details{
		Fields: from.BadRequest, Quotas: from.QuotaFailure, Help: from.Help,
		Messages: from.LocalizedMessage, Debug: from.DebugInfo,
	}
	if i := from.ErrorInfo; i != nil {
		out.Info = &rpc.ErrorInfo{Reason: i.Reason, Domain: i.Domain, Metadata: i.Metadata}
	}
	if r := from.RetryInfo; r != nil {
		out.RetryDelay = (*time.Duration)(&r.Delay)
	} else if s.Retry > 0 {
		out.RetryDelay = &s.Retry
	}
	return out
}

// messages delays the messages of a call, and ends the call after some of them.
type messages struct {
	decision *scenario.Decision
	broken   *rpc.Error // nil when the call is not ended
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
	if !registry.Sleep(ctx, s.decision.Chunk(n)) {
		return rpc.FromContext(ctx)
	}
	return nil
}

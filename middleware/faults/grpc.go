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
	return m.strikeRPC(ctx, call, next, d)
}

// wire is what lies below a call. The Client of a call may be one; that of the
// gRPC port is.
type wire interface {
	// SetTrailer adds to the metadata that ends the call.
	SetTrailer(name, value string)
	// GoAway tells the client to leave the connection (HTTP/2 GOAWAY), on
	// which calls go on. why is for people.
	GoAway(why string)
	// Reset ends the call without a status (HTTP/2 RST_STREAM).
	Reset()
	// Close closes the connection, with every call on it.
	Close()
}

// nothing is the wire of a call that came over none.
type nothing struct{}

func (nothing) SetTrailer(_, _ string) {}
func (nothing) GoAway(string)          {}
func (nothing) Reset()                 {}
func (nothing) Close()                 {}

func wireOf(call *rpc.Call) wire {
	if w, ok := call.Client.(wire); ok {
		return w
	}
	return nothing{}
}

// BreaksConnections says that calls are broken below gRPC too, for the port to
// be ready for it.
func (*Module) BreaksConnections() {}

func (m *Module) strikeRPC(ctx context.Context, call *rpc.Call, next func(context.Context) error, d *scenario.Decision) error {
	leave := m.hold(d, true)
	defer leave()
	if len(d.Strikes) == 0 { // they were waits, and there was no room
		return next(ctx)
	}
	w := wireOf(call)
	if m.header != "" { // as a header it would keep clients from trying again
		w.SetTrailer(strings.ToLower(m.header), d.Names())
	}
	m.report(ctx, d, true)
	if !registry.Sleep(ctx, d.Delay()) {
		return rpc.FromContext(ctx)
	}
	slow := d.Slow(true)
	if !slow {
		leave() // what the handler takes is its own
	}
	broken, after := breakCall(w, d.Broken())
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

// breakCall does to a call what a strike says, which may be nil. Its error is
// what the client sees, after that many messages.
func breakCall(w wire, s *scenario.Strike) (broken *rpc.Error, after int) {
	if s == nil {
		return nil, 0
	}
	why := "fault " + s.Rule
	switch s.Fault.Kind(true) {
	case "grpc":
		g := s.Fault.GRPC
		broken = &rpc.Error{Code: g.Code, Message: cmp.Or(g.Message, why), Details: details(s)}
		if wait := broken.Details.RetryDelay; wait != nil {
			w.SetTrailer(pushback, strconv.FormatInt((*wait+time.Millisecond-1).Milliseconds(), 10))
		}
		return broken, g.After
	case "reset": // clients make these codes of it themselves
		w.Reset()
		return &rpc.Error{Code: rpc.Internal, Message: why}, 0
	case "empty":
		w.Close()
		return &rpc.Error{Code: rpc.Unavailable, Message: why}, 0
	case "goaway":
		w.GoAway(why)
	}
	return nil, 0
}

// pushback is when the client's library is to try again, in milliseconds
// (https://github.com/grpc/proposal/blob/master/A6-client-retries.md).
const pushback = "grpc-retry-pushback-ms"

// details are what a strike tells beside its code. Above a limit that is when
// to come back.
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

// messages waits before the messages of a call, and ends it after some.
type messages struct {
	decision *scenario.Decision
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
	if !registry.Sleep(ctx, s.decision.Chunk(n)) {
		return rpc.FromContext(ctx)
	}
	return nil
}

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
	req := &scenario.Request{RPC: call.FullMethod, Internal: call.Internal, Values: v}
	d := m.engine.Decide(req)
	if v.left {
		if d != nil {
			d.Done()
		}
		return rpc.FromContext(ctx)
	}
	if m.ByHeader && !call.Internal {
		var err error
		if d, err = m.addByMetadata(call, req, d); err != nil {
			return err
		}
	}
	if rules := m.engine.Await(req, d); rules != nil {
		next = m.awaitStatus(call, next, rules)
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

func (noConnection) SetHeader(_, _ string)  {}
func (noConnection) SetTrailer(_, _ string) {}
func (noConnection) GoAway(uint32, string)  {}
func (noConnection) Refuse(uint32, string)  {}
func (noConnection) Reset(uint32)           {}
func (noConnection) Close()                 {}

func connectionOf(call *rpc.Call) rpc.Connection {
	if t, ok := call.Client.(rpc.Connection); ok {
		return t
	}
	return noConnection{}
}

// BreaksConnections makes the HTTP ports follow the frames of their connections, for
// faults below HTTP/2.
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
	afterwards := d.DelayAfter()
	if !registry.Sleep(ctx, d.Delay()-afterwards) {
		return rpc.FromContext(ctx)
	}
	slow := d.Slow(scenario.GRPCCalls)
	strike := d.Broken()
	kind, b := breakerOf(strike, scenario.GRPCCalls)
	if !slow && afterwards == 0 && (kind == nil || !kind.Waits) {
		leave() // the handler's own time does not count
	}
	if afterwards > 0 {
		handle := next
		next = func(ctx context.Context) error {
			if err := handle(ctx); !registry.Sleep(ctx, afterwards) {
				return rpc.FromContext(ctx)
			} else {
				return err
			}
		}
	}
	if kind != nil && strike.After() {
		return m.breakAfter(ctx, t, next, d, b)
	}
	var broken *rpc.Error
	var at moment
	if kind != nil {
		broken, at = b.grpc(ctx, m, t, strike)
	}
	if broken != nil && at == (moment{}) {
		return broken
	}
	if broken == nil && !slow {
		return next(ctx)
	}
	s := &messages{decision: d, broken: broken, at: at, left: m.MaxDelay - d.Delay(), draining: m.draining}
	if err := s.serve(ctx, next); err != nil {
		return err
	}
	if broken != nil {
		return broken
	}
	return nil
}

// breakAfter handles the call, drops what the handler sends, and breaks the call.
func (m *Module) breakAfter(ctx context.Context, t rpc.Connection, next func(context.Context) error, d *scenario.Decision, b breaker) error {
	s := &messages{decision: d, broken: &rpc.Error{Cause: fault.ErrLost}}
	if g := d.Broken().Fault.GRPC; g != nil {
		s.at.messages = g.After
	}
	if err := next(fault.WithMessages(ctx, s)); ctx.Err() != nil {
		return err // the client has left
	}
	broken, _ := b.grpc(ctx, m, t, d.Broken())
	return broken
}

// describe returns a message that names the rule.
func describe(s *scenario.Strike) string { return "fault " + s.Rule }

// endCall applies the kind grpc.
func endCall(_ context.Context, _ *Module, t rpc.Connection, s *scenario.Strike) (broken *rpc.Error, at moment) {
	g := s.Fault.GRPC
	broken = &rpc.Error{Code: g.Code, Message: cmp.Or(g.Message, describe(s)), Details: details(s)}
	if wait := broken.Details.RetryDelay; wait != nil {
		t.SetTrailer(pushback, strconv.FormatInt((*wait+time.Millisecond-1).Milliseconds(), 10))
	}
	return broken, moment{messages: g.After, time: time.Duration(g.AfterTime)}
}

// resetCall applies the kind reset. Its error has the code that clients derive
// from the reset, for the records.
func resetCall(_ context.Context, m *Module, t rpc.Connection, s *scenario.Strike) (broken *rpc.Error, at moment) {
	m.saw(s, "RST_STREAM PROTOCOL_ERROR")
	t.Reset(protocolError)
	return &rpc.Error{Code: rpc.Internal, Class: string(record.StreamReset), Message: describe(s)}, moment{}
}

// closeCall applies the kind empty. Its error has the code that clients derive
// from the closed connection, for the records.
func closeCall(_ context.Context, m *Module, t rpc.Connection, s *scenario.Strike) (broken *rpc.Error, at moment) {
	m.saw(s, connClosed)
	t.Close()
	return &rpc.Error{Code: rpc.Unavailable, Class: string(record.NoResponse), Message: describe(s)}, moment{}
}

// leaveCall applies the kind goaway.
func leaveCall(_ context.Context, _ *Module, t rpc.Connection, s *scenario.Strike) (broken *rpc.Error, at moment) {
	t.GoAway(0, describe(s))
	return nil, moment{}
}

// protocolError is the error code of HTTP/2 with which the kind reset ends a call.
const protocolError = 1

// hangCall applies the kind hang.
func hangCall(ctx context.Context, m *Module, _ rpc.Connection, s *scenario.Strike) (broken *rpc.Error, at moment) {
	return waitInCall(ctx, m.draining, nil, describe(s)), moment{}
}

// waitInCall waits until over, and then returns nil. It returns an error when the client
// leaves or the App drains first; when both have happened, the client has left.
func waitInCall(ctx, draining context.Context, over <-chan time.Time, message string) *rpc.Error {
	select {
	case <-over:
		return nil
	case <-ctx.Done():
	case <-draining.Done():
		if ctx.Err() == nil {
			return &rpc.Error{Code: rpc.Unavailable, Message: message}
		}
	}
	return rpc.FromContext(ctx)
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

// stallCall applies the kind stall.
func stallCall(_ context.Context, _ *Module, _ rpc.Connection, s *scenario.Strike) (broken *rpc.Error, at moment) {
	return nil, moment{messages: s.Fault.Stall.After, pause: s.Fault.Stall}
}

// moment is when the messages of a call end or pause.
type moment struct {
	messages int           // messages that are sent before
	time     time.Duration // in place of messages, 0 for none
	pause    *scenario.Stall
}

// messages delays the messages of a call, and ends the call after some of them.
type messages struct {
	decision *scenario.Decision
	broken   *rpc.Error // nil when the call is not ended
	at       moment
	left     time.Duration   // most that the call may pause
	draining context.Context // ends a pause

	mu     sync.Mutex
	sent   int
	over   bool // the time is over
	paused bool
}

// serve calls the handler. It ends the handler's context when the time is over, and
// pauses before the end of the call unless a message has paused before.
func (s *messages) serve(ctx context.Context, next func(context.Context) error) error {
	within, cancel := context.WithCancel(ctx)
	defer cancel()
	if s.at.time > 0 {
		defer time.AfterFunc(s.at.time, func() {
			s.mu.Lock()
			s.over = true
			s.mu.Unlock()
			cancel()
		}).Stop()
	}
	err := next(fault.WithMessages(within, s))
	s.mu.Lock()
	over := s.over
	s.mu.Unlock()
	if over && ctx.Err() == nil {
		return s.broken
	}
	if err == nil && s.at.pause != nil {
		return s.stop(ctx)
	}
	return err
}

// Send implements fault.Messages.
func (s *messages) Send(ctx context.Context) error {
	s.mu.Lock()
	n, over := s.sent, s.over
	s.sent++
	s.mu.Unlock()
	if s.broken != nil && (over || s.at.time == 0 && n >= s.at.messages) {
		return s.broken
	}
	if s.at.pause != nil && n >= s.at.messages {
		if err := s.stop(ctx); err != nil {
			return err
		}
	}
	if !registry.Sleep(ctx, s.decision.Chunk(n)) {
		return rpc.FromContext(ctx)
	}
	return nil
}

// stop pauses once. It returns an error when the client leaves or the App stops
// meanwhile.
func (s *messages) stop(ctx context.Context) error {
	s.mu.Lock()
	again := s.paused
	s.paused = true
	s.mu.Unlock()
	if again {
		return nil
	}
	var over <-chan time.Time
	if !s.at.pause.Hang {
		timer := time.NewTimer(min(time.Duration(s.at.pause.For), s.left))
		defer timer.Stop()
		over = timer.C
	}
	if err := waitInCall(ctx, s.draining, over, "the server stops"); err != nil {
		return err
	}
	return nil
}

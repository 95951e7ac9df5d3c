package grpcserver_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver/grpctest"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// link is a middleware that records the calls it sees.
type link struct {
	name  string
	phase registry.Phase
	notes *notes
	do    func(ctx context.Context, c *rpc.Call, next func(context.Context) error) error
}

type notes struct {
	mu    sync.Mutex
	lines []string
}

func (n *notes) add(line string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, line)
}

func (n *notes) take() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := n.lines
	n.lines = nil
	return out
}

type trail struct{}

func (l *link) Info() registry.Info { return registry.Info{Name: l.name, Phase: l.phase} }

func (l *link) ServeRPC(ctx context.Context, c *rpc.Call, next func(context.Context) error) error {
	if l.notes != nil {
		l.notes.add(l.name)
	}
	if l.do != nil {
		return l.do(ctx, c, next)
	}
	before, _ := ctx.Value(trail{}).(string)
	err := next(context.WithValue(ctx, trail{}, before+l.name+" "))
	if l.notes != nil {
		l.notes.add(l.name + " saw " + rpc.CodeOf(err).String())
	}
	return err
}

func TestChainOrder(t *testing.T) {
	n := new(notes)
	svc := &grpctest.Service{Do: func(ctx context.Context) error {
		n.add(fmt.Sprint("handler after ", ctx.Value(trail{})))
		return status.Error(codes.Aborted, "x")
	}}
	s := grpctest.Serve(t, nil, &link{name: "fault", phase: registry.Fault, notes: n}, &link{name: "guard", phase: registry.Guard, notes: n}, svc,
		&link{name: "edge", phase: registry.Edge, notes: n}, &link{name: "guard-too", phase: registry.Guard, notes: n})
	for _, off := range []string{"", "guard"} {
		want := []string{"edge", "guard", "guard-too", "fault", "handler after edge guard guard-too fault ", "fault saw Aborted", "guard-too saw Aborted", "guard saw Aborted", "edge saw Aborted"}
		if off != "" {
			if err := s.App.Switch(off, false); err != nil {
				t.Fatal(err)
			}
			want = []string{"edge", "guard-too", "fault", "handler after edge guard-too fault ", "fault saw Aborted", "guard-too saw Aborted", "edge saw Aborted"}
		}
		for _, method := range grpctest.Methods {
			if code := status.Code(s.Call(t.Context(), method)); code != codes.Aborted {
				t.Errorf("%s: %v", method, code)
			}
			if diff := cmp.Diff(want, n.take()); diff != "" {
				t.Errorf("%s without %q: %s", method, off, diff)
			}
		}
	}
}

// TestCall checks what an rpc.Call says about the call and its client.
func TestCall(t *testing.T) {
	n := new(notes)
	look := &link{name: "look", phase: registry.Observe, do: func(ctx context.Context, c *rpc.Call, next func(context.Context) error) error {
		peer, agent := "no peer", "no agent"
		if strings.HasPrefix(c.Peer(), "127.0.0.1:") {
			peer = "peer"
		}
		if strings.HasPrefix(c.UserAgent(), "grpc-go/") {
			agent = "agent"
		}
		n.add(fmt.Sprint(c.Kind, " ", c.Service(), " ", c.Method(), " ", c.Internal, " ", peer, " ", agent, " ", c.Metadata("x-a"), c.Metadata("x-none")))
		return next(ctx)
	}}
	s := grpctest.Serve(t, nil, look, new(grpctest.Service))
	ctx := metadata.AppendToOutgoingContext(t.Context(), "X-A", "1", "x-a", "2")
	for _, method := range grpctest.Methods {
		s.Call(ctx, method)
	}
	if _, err := healthpb.NewHealthClient(s.Conn).Check(ctx, &healthpb.HealthCheckRequest{}); err != nil {
		t.Fatal(err)
	}
	reflect(t, s, "v1")
	want := []string{
		"unary grpc.testing.TestService UnaryCall false peer agent [1 2] []",
		"server_stream grpc.testing.TestService StreamingOutputCall false peer agent [1 2] []",
		"client_stream grpc.testing.TestService StreamingInputCall false peer agent [1 2] []",
		"bidi_stream grpc.testing.TestService FullDuplexCall false peer agent [1 2] []",
		"unary grpc.health.v1.Health Check true peer agent [1 2] []",
		"bidi_stream grpc.reflection.v1.ServerReflection ServerReflectionInfo true peer agent [] []",
	}
	if diff := cmp.Diff(want, n.take()); diff != "" {
		t.Error(diff)
	}
}

// TestStatuses checks that the client and the outer middleware get the status of
// the handler or of the inner middleware.
func TestStatuses(t *testing.T) {
	detailed, err := status.New(codes.NotFound, "gone").WithDetails(&errdetails.ErrorInfo{Reason: "why"})
	if err != nil {
		t.Fatal(err)
	}
	pass := func(ctx context.Context, next func(context.Context) error) error { return next(ctx) }
	for _, c := range []struct {
		what    string
		handler error
		inner   func(context.Context, func(context.Context) error) error
		want    *status.Status
	}{
		{"ok", nil, pass, status.New(codes.OK, "")},
		{"details", detailed.Err(), pass, detailed},
		{"plain", errors.New("plain"), pass, status.New(codes.Unknown, "plain")},
		{"the context's", context.Canceled, pass, status.New(codes.Canceled, "context canceled")},
		{"an invalid code", status.Error(99, "x"), pass, status.New(99, "x")},
		{"refused", nil, func(context.Context, func(context.Context) error) error {
			return &rpc.Error{Code: rpc.Unauthenticated, Message: "who"}
		}, status.New(codes.Unauthenticated, "who")},
		{"refused, wrapped", nil, func(context.Context, func(context.Context) error) error {
			return fmt.Errorf("guard: %w", &rpc.Error{Code: rpc.Unauthenticated, Message: "who"})
		}, status.New(codes.Unauthenticated, "who")},
		{"middleware's plain", nil, func(context.Context, func(context.Context) error) error { return errors.New("oh") }, status.New(codes.Unknown, "oh")},
		{"middleware's context", nil, func(context.Context, func(context.Context) error) error { return context.DeadlineExceeded }, status.New(codes.DeadlineExceeded, "context deadline exceeded")},
		{"replaced", errors.New("plain"), func(ctx context.Context, next func(context.Context) error) error {
			next(ctx)
			return &rpc.Error{Code: rpc.Unavailable, Message: "later"}
		}, status.New(codes.Unavailable, "later")},
	} {
		n := new(notes)
		s := grpctest.Serve(t, nil, &link{name: "outer", phase: registry.Edge, notes: n},
			&link{name: "inner", phase: registry.Guard, do: func(ctx context.Context, _ *rpc.Call, next func(context.Context) error) error {
				return c.inner(ctx, next)
			}},
			&grpctest.Service{Do: func(context.Context) error { return c.handler }})
		for _, method := range []string{"UnaryCall", "StreamingOutputCall"} {
			got := status.Convert(s.Call(t.Context(), method))
			if got.Code() != c.want.Code() || got.Message() != c.want.Message() || len(got.Details()) != len(c.want.Details()) {
				t.Errorf("%s, %s: %v %v, want %v", c.what, method, got, got.Details(), c.want)
			}
			if saw := n.take(); !slices.Contains(saw, "outer saw "+got.Code().String()) {
				t.Errorf("%s, %s: %v, and the client got %v", c.what, method, saw, got.Code())
			}
		}
	}
}

// TestNextTwice checks that a middleware may call next again.
func TestNextTwice(t *testing.T) {
	n, calls := new(notes), 0
	svc := &grpctest.Service{Do: func(context.Context) error {
		if calls++; calls == 1 {
			return errors.New("not yet")
		}
		return nil
	}}
	again := &link{name: "again", phase: registry.Edge, do: func(ctx context.Context, _ *rpc.Call, next func(context.Context) error) error {
		if next(ctx) == nil {
			t.Error("no first failure")
		}
		return next(ctx)
	}}
	s := grpctest.Serve(t, nil, again, &link{name: "inner", phase: registry.Guard, notes: n}, svc)
	if err := s.Call(t.Context(), "UnaryCall"); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"inner", "inner saw Unknown", "inner", "inner saw OK"}, n.take()); diff != "" {
		t.Error(diff)
	}
}

// TestHeaders checks that each call gets the header that its middleware has set, and
// that a call that fails gets it as a trailer.
func TestHeaders(t *testing.T) {
	var calls atomic.Int64
	numbered := &link{name: "numbered", phase: registry.Enrich, do: func(ctx context.Context, c *rpc.Call, next func(context.Context) error) error {
		conn := c.Client.(rpc.Connection)
		n := calls.Add(1) / 2 // two calls in a row have the same header
		for i := range n + 1 {
			conn.SetHeader("x-number", fmt.Sprint(i))
		}
		return next(ctx)
	}}
	fails := false
	s := grpctest.Serve(t, nil, numbered, &grpctest.Service{Do: func(context.Context) error {
		if fails {
			return status.Error(codes.Aborted, "x")
		}
		return nil
	}})
	c := pb.NewTestServiceClient(s.Conn)
	for i, want := range [][]string{{"0"}, {"0", "1"}, {"0", "1"}, {"0", "1", "2"}, {"0", "1", "2"}} {
		var header, trailer metadata.MD
		fails = i == 4
		_, err := c.UnaryCall(t.Context(), &pb.SimpleRequest{}, grpc.Header(&header), grpc.Trailer(&trailer))
		got, other := header, trailer
		if fails {
			got, other = trailer, header
		}
		if fails != (err != nil) || len(other.Get("x-number")) > 0 {
			t.Errorf("call %d: %v, header %v, trailer %v", i, err, header, trailer)
		}
		if diff := cmp.Diff(want, got.Get("x-number")); diff != "" {
			t.Errorf("call %d: %s", i, diff)
		}
	}
}

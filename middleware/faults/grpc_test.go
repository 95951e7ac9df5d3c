package faults_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver/grpctest"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/middleware/faults"
	"github.com/seed-4591fe7d/podinfo/registry/fault"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

func TestCalls(t *testing.T) {
	s := grpctest.Serve(t, rules(`
rules:
- { name: unary, match: { grpc: grpc.testing.TestService/UnaryCall, headers: { x-user: "b*" } }, fault: { grpc: { code: DATA_LOSS, message: gone } } }
- { name: streams, match: { grpc: "*/StreamingOutputCall" }, when: { every: 2 }, fault: { grpc: UNAVAILABLE } }
- { name: mid, match: { grpc: "*/FullDuplexCall" }, fault: { grpc: { code: ABORTED, after: 1 } } }
- { name: web, fault: { status: 500 } }
`), new(faults.Module), new(grpctest.Service), new(endpoint))
	for i, want := range []map[string]string{
		{"UnaryCall": "OK", "StreamingOutputCall": "OK", "StreamingInputCall": "OK", "FullDuplexCall": "Aborted"},
		{"UnaryCall": "OK", "StreamingOutputCall": "Unavailable", "StreamingInputCall": "OK", "FullDuplexCall": "Aborted"},
	} {
		if diff := cmp.Diff(want, s.Codes(t.Context())); diff != "" {
			t.Errorf("%d: %s", i, diff)
		}
	}
	once := grpctest.Serve(t, rules("rules: [{name: r, match: {grpc: '*', per: client}, when: {first: 1}, fault: {grpc: ABORTED}}]"), new(faults.Module), new(grpctest.Service))
	if a, b := status.Code(once.Call(t.Context(), "UnaryCall")), status.Code(once.Call(t.Context(), "FullDuplexCall")); a != codes.Aborted || b != codes.OK {
		t.Errorf("the first of a client: %v, %v", a, b)
	}
	ctx := metadata.AppendToOutgoingContext(t.Context(), "x-user", "beta")
	if st := status.Convert(s.Call(ctx, "UnaryCall")); st.Code() != codes.DataLoss || st.Message() != "gone" {
		t.Error(st)
	}
	all := grpctest.Serve(t, rules("rules: [{name: r, fault: {grpc: INTERNAL}}]"), new(faults.Module), new(grpctest.Service))
	if _, err := healthpb.NewHealthClient(all.Conn).Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil || status.Code(all.Call(t.Context(), "UnaryCall")) != codes.Internal {
		t.Errorf("health: %v", err)
	}
	named := grpctest.Serve(t, rules("rules: [{name: r, match: {grpc: grpc.health.v1.Health/Check, internal: true}, fault: {grpc: UNAVAILABLE}}]"), new(faults.Module), new(grpctest.Service))
	if _, err := healthpb.NewHealthClient(named.Conn).Check(t.Context(), &healthpb.HealthCheckRequest{}); status.Code(err) != codes.Unavailable {
		t.Errorf("health, by name: %v", err)
	}
}

// client implements rpc.Client with fixed metadata.
type client map[string]string

func (client) Peer() string { return "192.0.2.1:1234" }
func (c client) Metadata(key string) []string {
	if v, ok := c[key]; ok {
		return []string{v}
	}
	return nil
}

// Delays between the messages of a stream, and its end, for a sender that calls
// fault.Messages.
func TestMessages(t *testing.T) {
	for _, c := range []struct {
		rule string
		sent int
		took time.Duration
		code rpc.Code
	}{
		{"fault: {grpc: {code: ABORTED, after: 2}}", 2, 0, 10},
		{"fault: {grpc: {code: ABORTED, after: 20}}", 5, 0, 10},
		{"delay: {fixed: 1s, at: chunks}", 5, 4 * time.Second, 0},
		{"delay: {fixed: 1s, at: both}, fault: {grpc: {code: ABORTED, after: 2}}", 2, 2 * time.Second, 10},
		{"delay: 1s", 5, time.Second, 0},
		{"delay: 30s", 0, 10 * time.Second, rpc.DeadlineExceeded},
		{"delay: {fixed: 4s, at: chunks}", 3, 10 * time.Second, rpc.DeadlineExceeded},
		{"limit: {rate: 0.001}", 0, 0, rpc.ResourceExhausted},
	} {
		synctest.Test(t, func(t *testing.T) {
			m := new(faults.Module)
			registrytest.New(t, rules("rules: [{name: r, "+c.rule+"}]"), m)
			call := &rpc.Call{FullMethod: "/a.B/C", Kind: rpc.ServerStream, Client: client{}}
			if c.code == rpc.ResourceExhausted { // the bucket has one token
				m.ServeRPC(t.Context(), call, func(context.Context) error { return nil })
			}
			sent := 0
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			began := time.Now()
			err := m.ServeRPC(ctx, call, func(ctx context.Context) error {
				for range 5 {
					if s := fault.MessagesOf(ctx); s != nil {
						if err := s.Send(ctx); err != nil {
							return err
						}
					}
					sent++
				}
				return nil
			})
			if d := time.Since(began); rpc.CodeOf(err) != c.code || sent != c.sent || d != c.took {
				t.Errorf("%s: %v, %d sent, %v", c.rule, err, sent, d)
			}
		})
	}
}

func TestByMetadata(t *testing.T) {
	s := grpctest.Serve(t, rules("true", "BY_HEADER", "true"), new(faults.Module), new(grpctest.Service))
	for header, want := range map[string]codes.Code{ // over a connection
		"":                                    codes.OK,
		"x-envoy-fault-abort-grpc-request 14": codes.Unavailable,
		"x-envoy-fault-abort-request 403":     codes.PermissionDenied,
		"x-envoy-fault-delay-request 1":       codes.OK,
		"x-envoy-fault-throughput-response 1": codes.InvalidArgument,
		"x-podinfo-fault {fault: {grpc: {code: ABORTED, message: asked for}}}": codes.Aborted,
		"x-podinfo-fault {fault: {reset: true}}":                               codes.Internal,
	} {
		name, value, _ := strings.Cut(header, " ")
		ctx := t.Context()
		if name != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, name, value)
		}
		if got := status.Code(s.Call(ctx, "UnaryCall")); got != want {
			t.Errorf("%s: %v", header, got)
		}
	}
	m := new(faults.Module)
	registrytest.New(t, rules("true", "BY_HEADER", "true"), m)
	for _, c := range []struct {
		md   client
		code rpc.Code
	}{
		{client{}, rpc.OK},
		{client{"x-envoy-fault-abort-grpc-request": "14"}, rpc.Unavailable},
		{client{"x-envoy-fault-abort-grpc-request": "0"}, 3},
		{client{"x-envoy-fault-abort-grpc-request": "14", "x-envoy-fault-abort-request-percentage": "0"}, rpc.OK},
		{client{"x-envoy-fault-abort-grpc-request": "17"}, 3},
		{client{"x-envoy-fault-abort-grpc-request": "14", "x-envoy-fault-abort-request-percentage": "x"}, 3},
		{client{"x-envoy-fault-abort-request": "503"}, rpc.Unavailable},
		{client{"x-envoy-fault-abort-request": "403", "x-envoy-fault-abort-grpc-request": "14"}, 7},
		{client{"x-envoy-fault-abort-request": "404"}, 12},
		{client{"x-envoy-fault-abort-request": "500"}, rpc.Unknown},
		{client{"x-envoy-fault-abort-request": "200"}, 3},
		{client{"x-envoy-fault-delay-request": "1"}, rpc.OK},
		{client{"x-envoy-fault-delay-request": "1s"}, 3},
		{client{"x-envoy-fault-delay-request-percentage": "50"}, rpc.OK},
		{client{"x-podinfo-fault": "{delay: 1us, fault: {grpc: NOT_FOUND}}"}, 5},
		{client{"x-podinfo-fault": "fault"}, 3},
		{client{"x-podinfo-fault": "{delay: 1us, fault: {garbage: true}}"}, rpc.OK}, // only the delay applies to calls
		{client{"x-podinfo-fault": "{fault: {reset: true}}"}, rpc.Internal},
		{client{"x-podinfo-fault": "{fault: {status: 503}}"}, 3}, // which does nothing to calls
		{client{"x-podinfo-fault": "{fault: {grpc: ABORTED}, when: {first: 1}}"}, 3},
	} {
		for _, internal := range []bool{false, true} {
			want := c.code
			if internal {
				want = rpc.OK
			}
			err := m.ServeRPC(t.Context(), &rpc.Call{FullMethod: "/a.B/C", Internal: internal, Client: c.md}, func(context.Context) error { return nil })
			if rpc.CodeOf(err) != want {
				t.Errorf("%v: %v", c.md, err)
			}
		}
	}
}

package faults_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver/grpctest"
	"github.com/seed-4591fe7d/podinfo/endpoints/proxy"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/middleware/faults"
)

// The error details that a client gets with a status code, from podinfo's own
// methods and from a service behind the proxy.
func TestDetails(t *testing.T) {
	env := rules(detailed)
	t.Run("own", func(t *testing.T) {
		testDetails(t, pb.NewTestServiceClient(grpctest.Serve(t, env, new(faults.Module), new(grpctest.Service)).Conn))
	})
	t.Run("proxied", func(t *testing.T) {
		service := grpctest.Serve(t, nil, new(grpctest.Service))
		testDetails(t, pb.NewTestServiceClient(proxiedTo(t, service.Addr, env)))
	})
}

// proxiedTo returns a connection to the proxy in front of a gRPC server.
func proxiedTo(t *testing.T, addr string, env map[string]string) *grpc.ClientConn {
	t.Helper()
	vars := map[string]string{"PODINFO_PROXY_URL": "http://" + addr}
	maps.Copy(vars, env)
	app, _ := registrytest.New(t, vars, new(faults.Module), new(proxy.Module))
	front := httptest.NewUnstartedServer(app)
	front.Config.Protocols = new(http.Protocols)
	front.Config.Protocols.SetUnencryptedHTTP2(true)
	front.Start()
	t.Cleanup(front.Close)
	return grpctest.Dial(t, front.Listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
}

const detailed = `
rules:
- name: all
  match: { headers: { x: all } }
  fault:
    grpc:
      code: RESOURCE_EXHAUSTED
      details:
        retry-info: 1500ms
        error-info: { reason: OUT_OF_STOCK, domain: shop.example.com, metadata: { sku: "42" } }
        bad-request: { b: too long, a: missing }
        quota-failure: { "project:1": used up }
        help: { docs: "https://example.com/docs" }
        localized-message: { en: Sold out, de: Ausverkauft }
        debug-info: line 1
- { name: limit, match: { headers: { x: limit } }, limit: { rate: 0.01 } }
- { name: own, match: { headers: { x: own } }, limit: { rate: 0.01 }, fault: { grpc: { code: UNAVAILABLE, details: { retry-info: 9s } } } }
- { name: midway, match: { headers: { x: midway } }, fault: { grpc: { code: ABORTED, after: 1, details: { error-info: GONE } } } }
- { name: none, match: { headers: { x: none } }, fault: { grpc: ABORTED } }
`

func testDetails(t *testing.T, c pb.TestServiceClient) {
	retry := func(ms int64) *errdetails.RetryInfo {
		return &errdetails.RetryInfo{RetryDelay: &durationpb.Duration{Seconds: ms / 1000, Nanos: int32(ms%1000) * 1e6}}
	}
	for _, x := range []string{"limit", "own"} { // use up the token
		if _, err := c.UnaryCall(metadata.AppendToOutgoingContext(t.Context(), "x", x), &pb.SimpleRequest{}); err != nil {
			t.Errorf("%s: %v", x, err)
		}
	}
	for x, want := range map[string]struct {
		details  []any
		pushback string // milliseconds; ? for 50 s to 100 s
	}{
		"all": {[]any{
			retry(1500),
			&errdetails.ErrorInfo{Reason: "OUT_OF_STOCK", Domain: "shop.example.com", Metadata: map[string]string{"sku": "42"}},
			&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "a", Description: "missing"}, {Field: "b", Description: "too long"}}},
			&errdetails.QuotaFailure{Violations: []*errdetails.QuotaFailure_Violation{{Subject: "project:1", Description: "used up"}}},
			&errdetails.Help{Links: []*errdetails.Help_Link{{Description: "docs", Url: "https://example.com/docs"}}},
			&errdetails.LocalizedMessage{Locale: "de", Message: "Ausverkauft"}, &errdetails.LocalizedMessage{Locale: "en", Message: "Sold out"},
			&errdetails.DebugInfo{Detail: "line 1"},
		}, "1500"},
		"limit":  {nil, "?"},
		"own":    {[]any{retry(9000)}, "9000"},
		"midway": {[]any{&errdetails.ErrorInfo{Reason: "GONE"}}, ""},
		"none":   {nil, ""},
	} {
		var trailer metadata.MD
		ctx := metadata.AppendToOutgoingContext(t.Context(), "x", x)
		err := error(nil)
		if x == "midway" {
			stream, e := c.FullDuplexCall(ctx, grpc.Trailer(&trailer))
			must(t, e)
			for err == nil {
				must(t, stream.Send(&pb.StreamingOutputCallRequest{}))
				_, err = stream.Recv()
			}
		} else {
			_, err = c.UnaryCall(ctx, &pb.SimpleRequest{}, grpc.Trailer(&trailer))
		}
		pushback := append(trailer.Get("grpc-retry-pushback-ms"), "")[0]
		got := status.Convert(err).Details()
		if want.pushback == "?" { // there is a token every 100 s
			info, ok := got[0].(*errdetails.RetryInfo)
			if d := info.GetRetryDelay().AsDuration().Milliseconds(); !ok || len(got) != 1 || d <= 50_000 || d > 100_000 || len(pushback) < 5 {
				t.Errorf("%s: %v, %s", x, got, pushback)
			}
			continue
		}
		if diff := cmp.Diff(want.details, got, protocmp.Transform(), cmpopts.EquateEmpty()); diff != "" || pushback != want.pushback {
			t.Errorf("%s: %s %s", x, diff, pushback)
		}
		if rule := trailer.Get("x-podinfo-fault"); len(rule) != 1 || rule[0] != x {
			t.Errorf("%s: the trailer names %v", x, rule)
		}
	}
}

// A client with a retry policy retries, which it does only when it received
// nothing but the status.
func TestCallsAreRetried(t *testing.T) {
	s := grpctest.Serve(t, rules("rules: [{name: r, when: {first: 2}, fault: {grpc: {code: UNAVAILABLE, details: {retry-info: 1ms}}}}]"), new(faults.Module), new(grpctest.Service))
	conn := grpctest.Dial(t, s.Addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultServiceConfig(`{"methodConfig": [{"name": [{}],
		"retryPolicy": {"maxAttempts": 3, "initialBackoff": "100s", "maxBackoff": "100s", "backoffMultiplier": 1, "retryableStatusCodes": ["UNAVAILABLE"]}}]}`))
	if _, err := pb.NewTestServiceClient(conn).UnaryCall(t.Context(), &pb.SimpleRequest{}); err != nil {
		t.Error(err)
	}
}

package delay_test

import (
	"context"
	"math"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/seed-4591fe7d/podinfo/endpoints/delay"
	"github.com/seed-4591fe7d/podinfo/endpoints/delay/delaypb"
	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver/grpctest"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
	"github.com/seed-4591fe7d/podinfo/registry/setting"
)

func TestDelayRPC(t *testing.T) {
	conn := grpctest.Serve(t, map[string]string{"PODINFO_DELAY_MAX": "1500ms"}, new(delay.Module)).Conn
	got, err := delaypb.NewDelayServiceClient(conn).Delay(t.Context(), new(delaypb.DelayRequest))
	if err != nil || got.GetMessage() != 0 {
		t.Error(got, err)
	}
	if got := grpctest.Raw(t, conn, "/delay.DelayService/Delay", "\x08\x01"); got != "\x08\x01" {
		t.Errorf("%q", got)
	}
	for _, seconds := range []int64{-1, 2, 9223372037, 18446744074, math.MaxInt64, math.MinInt64} {
		_, err := delaypb.NewDelayServiceClient(conn).Delay(t.Context(), &delaypb.DelayRequest{Seconds: seconds})
		if s := status.Convert(err); s.Code() != codes.InvalidArgument || s.Message() != "wait out of range: want 0s to 1.5s" {
			t.Errorf("%d: %v", seconds, err)
		}
	}
}

// interceptor changes the context of every call and reports the call's error.
type interceptor struct {
	wrap  func(context.Context) (context.Context, context.CancelFunc)
	ended chan error
}

func (*interceptor) Info() registry.Info {
	return registry.Info{Name: "interceptor", Phase: registry.Guard}
}

func (i *interceptor) ServeRPC(ctx context.Context, _ *rpc.Call, next func(context.Context) error) error {
	ctx, cancel := i.wrap(ctx)
	defer cancel()
	err := next(ctx)
	i.ended <- err
	return err
}

var hour = &delaypb.DelayRequest{Seconds: 3600}

func TestContextEndsDelay(t *testing.T) {
	for code, wrap := range map[codes.Code]func(context.Context) (context.Context, context.CancelFunc){
		codes.DeadlineExceeded: func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Millisecond)
		},
		codes.Canceled: func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			return ctx, cancel
		},
	} {
		conn := grpctest.Serve(t, nil, &interceptor{wrap, make(chan error, 1)}, new(delay.Module)).Conn
		if _, err := delaypb.NewDelayServiceClient(conn).Delay(t.Context(), hour); status.Code(err) != code {
			t.Errorf("%v, want %v", err, code)
		}
	}
}

// TestClientCancels checks that the handler ends when the client cancels the
// call, not an hour later.
func TestClientCancels(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	i := &interceptor{func(ctx context.Context) (context.Context, context.CancelFunc) {
		cancel() // the call has reached the server
		return context.WithCancel(ctx)
	}, make(chan error, 1)}
	conn := grpctest.Serve(t, nil, i, new(delay.Module)).Conn
	if _, err := delaypb.NewDelayServiceClient(conn).Delay(ctx, hour); status.Code(err) != codes.Canceled {
		t.Error(err)
	}
	if err := <-i.ended; rpc.CodeOf(err) != rpc.Canceled {
		t.Errorf("the handler ended with %v", err)
	}
}

// TestDelayTime uses an in-memory connection, because only that works with the
// fake clock of testing/synctest.
func TestDelayTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, server := bufconn.Listen(1<<16), grpc.NewServer()
		(&delay.Module{DelayLimit: setting.DelayLimit{Max: time.Hour}}).RegisterGRPC(server)
		go server.Serve(l)
		defer server.Stop()
		conn, err := grpc.NewClient("passthrough:mem", grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		client := delaypb.NewDelayServiceClient(conn)
		for _, seconds := range []int64{0, 3, 3600} {
			began := time.Now()
			got, err := client.Delay(t.Context(), &delaypb.DelayRequest{Seconds: seconds})
			if took := time.Since(began); err != nil || got.GetMessage() != seconds || took != time.Duration(seconds)*time.Second {
				t.Errorf("%d: %v after %v, %v", seconds, got, took, err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		began := time.Now()
		_, err = client.Delay(ctx, hour)
		server.GracefulStop() // waits for the handler
		if took := time.Since(began); status.Code(err) != codes.DeadlineExceeded || took != 2*time.Second {
			t.Errorf("%v after %v", err, took)
		}
	})
}

// TestNames checks the names that clients use and that reflection lists.
func TestNames(t *testing.T) {
	for _, name := range []protoreflect.FullName{"delay.DelayService.Delay", "delay.DelayRequest.seconds", "delay.DelayResponse.message"} {
		if _, err := protoregistry.GlobalFiles.FindDescriptorByName(name); err != nil {
			t.Error(name, err)
		}
	}
}

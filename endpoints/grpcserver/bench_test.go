package grpcserver_test

import (
	"context"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/keepalive"

	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver/grpctest"
	"github.com/seed-4591fe7d/podinfo/middleware/accesslog"
	"github.com/seed-4591fe7d/podinfo/middleware/faultinjection"
	"github.com/seed-4591fe7d/podinfo/middleware/faults"
	"github.com/seed-4591fe7d/podinfo/middleware/metrics"
	"github.com/seed-4591fe7d/podinfo/middleware/recovery"
)

// BenchmarkUnary measures an echo call: of bare grpc-go, of grpc-server without
// middleware, and with the modules that are on by default.
func BenchmarkUnary(b *testing.B) {
	env := map[string]string{"PODINFO_LEVEL": "info"}
	for _, s := range []struct {
		name string
		conn func(b *testing.B) *grpc.ClientConn
	}{
		{"bare", bare},
		{"alone", func(b *testing.B) *grpc.ClientConn { return grpctest.Serve(b, env, new(grpctest.Service)).Conn }},
		{"default", func(b *testing.B) *grpc.ClientConn {
			return grpctest.Serve(b, env, new(recovery.Module), new(metrics.Module), new(accesslog.Module), new(faultinjection.Module), new(grpctest.Service)).Conn
		}},
		{"faults without rules", func(b *testing.B) *grpc.ClientConn {
			return grpctest.Serve(b, map[string]string{"PODINFO_FAULTS_ENABLED": "true"}, new(faults.Module), new(grpctest.Service)).Conn
		}},
	} {
		b.Run(s.name, func(b *testing.B) {
			c := pb.NewTestServiceClient(s.conn(b))
			in := &pb.SimpleRequest{Payload: &pb.Payload{Body: []byte("hello, world")}}
			b.ReportAllocs()
			b.SetParallelism(16)
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					if _, err := c.UnaryCall(context.Background(), in); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
		})
	}
}

// bare starts a grpc-go server with the module's options.
func bare(b *testing.B) *grpc.ClientConn {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	srv := grpc.NewServer(
		grpc.MaxRecvMsgSize(4<<20), grpc.MaxHeaderListSize(1<<20), grpc.MaxConcurrentStreams(1000),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 2 * time.Minute, Timeout: 20 * time.Second}),
	)
	pb.RegisterTestServiceServer(srv, new(grpctest.Service))
	go srv.Serve(l)
	b.Cleanup(srv.Stop)
	return grpctest.Dial(b, l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
}

package grpcserver_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver"
	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver/grpctest"
	"github.com/seed-4591fe7d/podinfo/endpoints/health"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
)

// closed returns when the port is closed.
func closed(t *testing.T, addr string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return
		}
		c.Close()
	}
	t.Fatal("the port is still open")
}

// TestDrainLosesNoCall has 64 callers on 8 connections. Each has a call in its
// handler when the drain begins and then keeps calling until a call is refused.
// Every call that reaches a handler must get its response.
func TestDrainLosesNoCall(t *testing.T) {
	const callers, conns = 64, 8
	var entered, answered atomic.Int64
	var draining atomic.Bool
	arrived, release := make(chan struct{}), make(chan struct{})
	s := grpctest.Serve(t, nil, new(health.Module), &grpctest.Service{Do: func(context.Context) error {
		if entered.Add(1) <= callers+1 { // the first of each caller, and the stream
			arrived <- struct{}{}
			<-release
		}
		return nil
	}})
	var all sync.WaitGroup
	var clients []pb.TestServiceClient
	for range conns {
		clients = append(clients, pb.NewTestServiceClient(grpctest.Dial(t, s.Addr, grpc.WithTransportCredentials(insecure.NewCredentials()))))
	}
	for i := range callers {
		all.Go(func() {
			for first := true; ; first = false {
				_, err := clients[i%conns].UnaryCall(context.Background(), &pb.SimpleRequest{})
				switch {
				case err == nil:
					answered.Add(1)
				case first || status.Code(err) != codes.Unavailable || !draining.Load():
					t.Errorf("lost: %v", err)
					return
				default:
					return
				}
			}
		})
	}
	stream, err := pb.NewTestServiceClient(s.Conn).FullDuplexCall(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range callers + 1 {
		<-arrived
	}
	draining.Store(true)
	drained := make(chan error)
	go func() { drained <- s.App.Drain(context.Background()) }()
	closed(t, s.Addr)
	close(release)
	all.Wait()
	if err := stream.Send(&pb.StreamingOutputCallRequest{}); err != nil {
		t.Error(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Errorf("a stream that was open: %v", err)
	}
	stream.CloseSend()
	stream.Recv()
	if err := <-drained; err != nil {
		t.Error(err)
	}
	if entered.Load() != answered.Load()+1 { // the stream
		t.Errorf("%d calls began and %d were answered", entered.Load(), answered.Load()+1)
	}
	t.Logf("%d calls answered after the port closed, none lost", answered.Load())
}

// TestDrainUnderLoad drains a server under steady load, so that the drain starts at
// a random moment of each call.
func TestDrainUnderLoad(t *testing.T) {
	const callers = 64
	for range 5 {
		var entered, answered, refused atomic.Int64
		s := grpctest.Serve(t, nil, &grpctest.Service{Do: func(context.Context) error { entered.Add(1); return nil }})
		c := pb.NewTestServiceClient(s.Conn)
		var all sync.WaitGroup
		busy := make(chan struct{}, 1)
		for range callers {
			all.Go(func() {
				for {
					_, err := c.UnaryCall(context.Background(), &pb.SimpleRequest{})
					if err == nil {
						if answered.Add(1) == 1000 {
							busy <- struct{}{}
						}
						continue
					}
					if status.Code(err) != codes.Unavailable {
						t.Error(err)
					}
					refused.Add(1)
					return
				}
			})
		}
		<-busy
		if err := s.App.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		all.Wait()
		if lost := entered.Load() - answered.Load(); lost != 0 || refused.Load() != callers {
			t.Errorf("%d calls lost of %d, %d refused", lost, entered.Load(), refused.Load())
		}
	}
}

func TestDrainCuts(t *testing.T) {
	arrived := make(chan struct{}, 3)
	s := grpctest.Serve(t, nil, &grpctest.Service{Do: func(ctx context.Context) error {
		arrived <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}})
	watching(t, s, "") // health calls do not count as cut
	var all sync.WaitGroup
	for _, method := range grpctest.Methods[:3] {
		all.Go(func() {
			if err := s.Call(context.Background(), method); status.Code(err) != codes.Unavailable {
				t.Errorf("%s: %v", method, err)
			}
		})
	}
	for range 3 {
		<-arrived
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := s.App.Drain(ctx)
	if err == nil || !strings.Contains(err.Error(), "module grpc-server: 3 calls cut: context deadline exceeded") {
		t.Error(err)
	}
	all.Wait()
}

// TestLeave: at the beginning of the grace, clients are asked to leave their
// connections. The calls on these continue, and new ones are served too.
func TestLeave(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	var calls atomic.Int64
	service := &grpctest.Service{Do: func(context.Context) error {
		if calls.Add(1) == 1 {
			close(arrived)
			<-release
		}
		return nil
	}}
	s := grpctest.Serve(t, nil, new(health.Module), service)
	var dialed atomic.Int64
	conn := grpctest.Dial(t, s.Addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
		dialed.Add(1)
		return new(net.Dialer).DialContext(ctx, "tcp", addr)
	}))
	client := pb.NewTestServiceClient(conn)
	slow := make(chan error)
	go func() {
		_, err := client.UnaryCall(t.Context(), &pb.SimpleRequest{})
		slow <- err
	}()
	<-arrived
	s.App.Leave()
	for end := time.Now().Add(10 * time.Second); dialed.Load() < 2; {
		if _, err := client.UnaryCall(t.Context(), &pb.SimpleRequest{}); err != nil {
			t.Fatalf("a call during the grace: %v", err)
		}
		if time.Now().After(end) {
			t.Fatal("the client has not left its connection")
		}
	}
	close(release)
	if err := <-slow; err != nil {
		t.Errorf("the call that was in flight: %v", err)
	}
}

// TestDrainTellsBesideSilentClients: a client that has connected and sends nothing does
// not keep the others from learning that the server leaves.
func TestDrainTellsBesideSilentClients(t *testing.T) {
	s := grpctest.Serve(t, nil, new(health.Module), &grpctest.Service{Do: func(context.Context) error { return nil }})
	silent, err := net.Dial("tcp", s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	conn := grpctest.Dial(t, s.Addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if _, err := pb.NewTestServiceClient(conn).UnaryCall(t.Context(), &pb.SimpleRequest{}); err != nil {
		t.Fatal(err)
	}
	drained := make(chan error)
	go func() { drained <- s.App.Drain(context.Background()) }()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if !conn.WaitForStateChange(ctx, connectivity.Ready) {
		t.Error("the client is not told while another one is silent")
	}
	silent.Close()
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

// TestDrainAfterOwnCalls: the connection of a call that the page made for its viewer
// ends with the call, and the server does not wait for it.
func TestDrainAfterOwnCalls(t *testing.T) {
	server := new(grpcserver.Module)
	app, _ := registrytest.New(t, map[string]string{"PODINFO_HOST": "127.0.0.1", "PODINFO_GRPC_PORT": fmt.Sprint(registrytest.FreePort(t))},
		new(health.Module), &grpctest.Service{Do: func(context.Context) error { return nil }}, server)
	if reply, err := server.OwnRPCs().Call(t.Context(), "/grpc.testing.TestService/UnaryCall", nil, []byte("{}")); err != nil || reply.Code != "OK" {
		t.Fatal(reply, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := app.Drain(ctx); err != nil || ctx.Err() != nil {
		t.Error("the drain lasted until its timeout", err)
	}
}

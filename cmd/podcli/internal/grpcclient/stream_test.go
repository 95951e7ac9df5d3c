package grpcclient

import (
	"errors"
	"net"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// serveStream runs a server whose method test.Service/Stream is f.
func serveStream(t *testing.T, f func(grpc.ServerStream) error) *Client {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	s.RegisterService(&grpc.ServiceDesc{ServiceName: "test.Service", HandlerType: (*any)(nil), Streams: []grpc.StreamDesc{{
		StreamName: "Stream", ServerStreams: true, ClientStreams: true,
		Handler: func(_ any, stream grpc.ServerStream) error { return f(stream) },
	}}}, nil)
	go s.Serve(l)
	t.Cleanup(s.Stop)
	c, err := New(l.Addr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// echoes sends back n messages, and then all others if it has no error to end with.
func echoes(n int, end error) func(grpc.ServerStream) error {
	return func(stream grpc.ServerStream) error {
		for i := 0; i < n; i++ {
			m := new(wrapperspb.StringValue)
			if err := stream.RecvMsg(m); err != nil {
				return nil // the client has ended the stream
			}
			if err := stream.SendMsg(m); err != nil {
				return err
			}
		}
		return end
	}
}

func TestPingPong(t *testing.T) {
	for _, c := range []struct {
		name     string
		serve    func(grpc.ServerStream) error
		messages int
		code     int
		want     string
	}{
		{"all", echoes(100, nil), 3, 0, ""},
		{"refused", echoes(0, status.Error(codes.Unavailable, "no")), 0, 14, "Unavailable: no"},
		{"broken", echoes(2, status.Error(codes.DataLoss, "lost")), 2, 15, "DataLoss: lost"},
		{"late status", echoes(3, status.Error(codes.Internal, "late")), 3, 13, "Internal: late"},
		{"short", echoes(1, nil), 1, 0, "the stream ended after 1 of 3 messages"},
		{"long", func(stream grpc.ServerStream) error {
			return errors.Join(echoes(3, nil)(stream), stream.SendMsg(wrapperspb.String("more")))
		}, 3, 0, "more messages than were sent"},
	} {
		client := serveStream(t, c.serve)
		n, size, err := client.PingPong(t.Context(), "test.Service/Stream", nil, AppendString(nil, 1, "hello"), 3)
		if n != c.messages || size != int64(n*7) || err == nil != (c.want == "") || err != nil && err.Error() != c.want {
			t.Errorf("%s: %d messages, %d bytes, %v", c.name, n, size, err)
		}
		if s, ok := errors.AsType[*Status](err); ok != (c.code != 0) || ok && s.Code != c.code {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestConcurrentCalls checks that concurrent calls share one connection: each waits
// until all have arrived.
func TestConcurrentCalls(t *testing.T) {
	const calls = 20
	var all sync.WaitGroup
	all.Add(calls)
	c := serveStream(t, func(stream grpc.ServerStream) error {
		all.Done()
		all.Wait()
		return echoes(1, nil)(stream)
	})
	var done sync.WaitGroup
	for range calls {
		done.Go(func() {
			if _, _, err := c.PingPong(t.Context(), "test.Service/Stream", nil, nil, 1); err != nil {
				t.Error(err)
			}
		})
	}
	done.Wait()
}

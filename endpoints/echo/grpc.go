package echo

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"github.com/seed-4591fe7d/podinfo/endpoints/echo/echopb"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// RegisterGRPC registers echo.EchoService.
func (*Module) RegisterGRPC(s grpc.ServiceRegistrar) {
	echopb.RegisterEchoServiceServer(s, new(service))
}

type service struct {
	echopb.UnimplementedEchoServiceServer
}

// Echo returns the message, even if /echo calls backends.
func (*service) Echo(_ context.Context, message *echopb.Message) (*echopb.Message, error) {
	return message, nil
}

// Stream returns each message as it comes.
func (*service) Stream(both grpc.BidiStreamingServer[echopb.Message, echopb.Message]) error {
	for {
		message, err := both.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := both.Send(message); err != nil {
			return err
		}
	}
}

// Repeat returns the message several times.
func (*service) Repeat(in *echopb.RepeatRequest, out grpc.ServerStreamingServer[echopb.Message]) error {
	pause := time.Duration(in.GetIntervalMs()) * time.Millisecond
	if in.GetCount() == 0 {
		pause = max(pause, time.Millisecond)
	}
	message := &echopb.Message{Body: in.GetBody()}
	for i := uint64(0); in.GetCount() == 0 || i < uint64(in.GetCount()); i++ {
		if i > 0 && !registry.Sleep(out.Context(), pause) {
			return status.FromContextError(out.Context().Err()).Err()
		}
		if err := out.Send(message); err != nil {
			return err
		}
	}
	return nil
}

package echo

import (
	"context"

	"google.golang.org/grpc"

	"github.com/seed-4591fe7d/podinfo/endpoints/echo/echopb"
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

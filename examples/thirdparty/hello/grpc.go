package hello

import (
	"context"

	"google.golang.org/grpc"

	"example.com/thirdparty/hello/hellopb"
)

// RegisterGRPC registers hello.HelloService. The grpc-server module calls it
// more than once, so it must not change the module.
func (m *Module) RegisterGRPC(s grpc.ServiceRegistrar) {
	hellopb.RegisterHelloServiceServer(s, &service{module: m})
}

type service struct {
	hellopb.UnimplementedHelloServiceServer
	module *Module
}

// Hello greets.
func (s *service) Hello(context.Context, *hellopb.HelloRequest) (*hellopb.HelloResponse, error) {
	return &hellopb.HelloResponse{Hello: s.module.Name}, nil
}

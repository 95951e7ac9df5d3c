// Package deadline is a gRPC client that retries with go-grpc-middleware.
package deadline

import (
	"context"
	"time"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/retry"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/seed-4591fe7d/podinfo/endpoints/echo/echopb"
)

const (
	patience = 10 * time.Second // of the caller
	attempt  = 2 * time.Second
)

// perCall has one deadline for the call with all its attempts. An attempt that gets no
// response leaves no time for another one.
func perCall() grpc.DialOption {
	return grpc.WithUnaryInterceptor(retry.UnaryClientInterceptor(
		retry.WithMax(3), retry.WithCodes(codes.Unavailable)))
}

// perAttempt has a deadline for each attempt too.
func perAttempt() grpc.DialOption {
	return grpc.WithUnaryInterceptor(retry.UnaryClientInterceptor(
		retry.WithMax(3), retry.WithCodes(codes.Unavailable), retry.WithPerRetryTimeout(attempt)))
}

func greet(ctx context.Context, conn grpc.ClientConnInterface) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, err := echopb.NewEchoServiceClient(conn).Echo(ctx, &echopb.Message{Body: "hello"})
	return err
}

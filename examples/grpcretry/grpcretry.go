// Package grpcretry configures a gRPC client with a retry policy.
package grpcretry

import "google.golang.org/grpc"

// ServiceConfig makes up to five attempts of a call that fails with UNAVAILABLE, with
// waits from one second to ten minutes between them
// (https://github.com/grpc/grpc-proto/blob/master/grpc/service_config/service_config.proto).
const ServiceConfig = `{"methodConfig": [{
	"name": [{"service": "echo.EchoService"}],
	"timeout": "3600s",
	"retryPolicy": {
		"maxAttempts": 5,
		"initialBackoff": "1s",
		"maxBackoff": "600s",
		"backoffMultiplier": 10,
		"retryableStatusCodes": ["UNAVAILABLE"]
	}
}]}`

// DialOptions returns the options to connect with.
func DialOptions() []grpc.DialOption {
	return []grpc.DialOption{grpc.WithDefaultServiceConfig(ServiceConfig)}
}

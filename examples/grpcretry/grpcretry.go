// Package grpcretry is a gRPC client whose service config has a retry policy.
package grpcretry

import "google.golang.org/grpc"

// ServiceConfig tries a call that fails with UNAVAILABLE up to five times, and waits
// from a second up to ten minutes before it does
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

// DialOptions are what the client connects with.
func DialOptions() []grpc.DialOption {
	return []grpc.DialOption{grpc.WithDefaultServiceConfig(ServiceConfig)}
}

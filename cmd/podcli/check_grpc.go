package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"

	"github.com/spf13/pflag"

	"github.com/seed-4591fe7d/podinfo/cmd/podcli/internal/grpcclient"
)

// The standard health service
// (https://github.com/grpc/grpc/blob/master/doc/health-checking.md).
const (
	healthMethod  = "grpc.health.v1.Health/Check"
	serviceField  = 1 // of HealthCheckRequest
	statusField   = 1 // of HealthCheckResponse
	statusServing = 1
)

func checkGRPC() *command {
	c := newCommand("grpc", "ADDR", "Check that a gRPC server's health service reports SERVING.")
	c.examples = []string{
		"podcli check grpc localhost:9999 --service podinfo --retry 1 --delay 2s --timeout 2s",
		"podcli check grpc localhost:9999 --tls --cacert ca.crt",
	}
	service := c.flags.String("service", "", "`name` of the service to check (default: the whole server)")
	conn := addGRPC(c.flags)
	return newCheck(c, func(address string) (string, probe, error) {
		client, err := conn.client(address)
		if err != nil {
			return "", nil, err
		}
		return address, func(ctx context.Context) (facts, error) {
			defer client.Close() // a new connection for each attempt
			return checkHealth(ctx, client, *service)
		}, nil
	})
}

func checkHealth(ctx context.Context, client *grpcclient.Client, service string) (facts, error) {
	reply, err := client.Call(ctx, healthMethod, nil, grpcclient.AppendString(nil, serviceField, service))
	if err != nil {
		return nil, err
	}
	status, err := grpcclient.Varint(reply, statusField)
	if err != nil {
		return nil, err
	}
	found := facts{{"status", servingStatus(status)}}
	if status != statusServing {
		return found, fmt.Errorf("the server reports %s", servingStatus(status))
	}
	return found, nil
}

func servingStatus(n uint64) string {
	if names := []string{"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"}; n < uint64(len(names)) {
		return names[n]
	}
	return fmt.Sprintf("status %d", n)
}

// grpcFlags are the flags for a gRPC connection.
type grpcFlags struct {
	secure *bool
	tls    *tlsFlags
}

func addGRPC(f *pflag.FlagSet) *grpcFlags {
	return &grpcFlags{secure: f.Bool("tls", false, "use TLS"), tls: addTLS(f)}
}

func (g *grpcFlags) client(address string) (*grpcclient.Client, error) {
	if !*g.secure && g.tls.given() {
		return nil, errors.New("the certificate flags require --tls")
	}
	var conf *tls.Config
	if *g.secure {
		var err error
		if conf, err = g.tls.config(); err != nil {
			return nil, err
		}
	}
	return grpcclient.New(address, conf)
}

package cache

import (
	"context"
	"errors"
	"net/url"
	"strings"
)

// traced runs an operation of a request with the time limit and, when it goes
// to a server, within a span of each tracer.
func (m *Module) traced(ctx context.Context, op operation, f func(context.Context) error) error {
	if m.Server == "" || len(m.tracers) == 0 {
		return m.withTimeout(ctx, f)
	}
	system, server := m.server()
	ends := make([]func(error), len(m.tracers))
	for i, t := range m.tracers {
		ctx, ends[i] = t.DatabaseSpan(ctx, system, string(op), server)
	}
	err := m.withTimeout(ctx, f)
	spanErr := err
	if errors.Is(err, errMiss) { // a miss is no failure of the server
		spanErr = nil
	}
	for _, end := range ends {
		end(spanErr)
	}
	return err
}

// server returns the database system of the server and, for a single server,
// its address.
func (m *Module) server() (system, address string) {
	system = "redis"
	if strings.HasPrefix(m.Server, "memcached:") {
		system = "memcached"
	}
	if u, err := url.Parse(m.Server); err == nil {
		address = u.Host
	}
	return system, address
}

package cache

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"strings"

	"github.com/seed-4591fe7d/podinfo/registry/capability"
)

// traced runs an operation of a request with the time limit and, when it goes
// to a server, within a span of each tracer.
func (m *Module) traced(ctx context.Context, op operation, f func(context.Context) error) error {
	if m.Server == "" || len(m.tracers) == 0 {
		return m.withTimeout(ctx, f)
	}
	database := m.database
	database.Name = string(op)
	if database.System == "redis" {
		database.Name = commands[op]
	}
	ends := make([]func(error, string), len(m.tracers))
	for i, t := range m.tracers {
		ctx, ends[i] = t.DatabaseSpan(ctx, database)
	}
	err := m.withTimeout(ctx, f)
	spanErr := err
	if errors.Is(err, errMiss) { // a miss is no failure of the server
		spanErr = nil
	}
	for _, end := range ends {
		end(spanErr, redisCode(spanErr))
	}
	return err
}

// commands are the Redis commands of the operations.
var commands = map[operation]string{opGet: "GET", opSet: "SET", opDelete: "DEL"}

// describe returns what the spans say about the server: its address only if it
// is a single one.
func (m *Module) describe() (d capability.DatabaseOperation) {
	u, err := url.Parse(m.Server)
	if err != nil {
		scheme, _, _ := strings.Cut(m.Server, "://")
		u = &url.URL{Scheme: scheme}
	}
	d.System, d.Server = "memcached", u.Host
	if u.Scheme != "memcached" {
		d.System, d.Namespace = "redis", cmp.Or(strings.Trim(u.Path, "/"), u.Query().Get("db"), "0")
	}
	return d
}

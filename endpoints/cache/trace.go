package cache

import (
	"context"
	"errors"
	"net/url"
	"strings"
)

// operate is ask for a request. What stays in this process makes no span.
func (m *Module) operate(ctx context.Context, op operation, f func(context.Context) error) error {
	if m.Server == "" || len(m.tracers) == 0 {
		return m.ask(ctx, f)
	}
	system, server := m.peer()
	ends := make([]func(error), len(m.tracers))
	for i, t := range m.tracers {
		ctx, ends[i] = t.DatabaseSpan(ctx, system, string(op), server)
	}
	err := m.ask(ctx, f)
	for _, end := range ends {
		if errors.Is(err, errMiss) { // an answer like any other
			end(nil)
			continue
		}
		end(err)
	}
	return err
}

// peer is the kind of server and, if there is one of it, its address.
func (m *Module) peer() (system, address string) {
	system = "redis"
	if strings.HasPrefix(m.Server, "memcached:") {
		system = "memcached"
	}
	if u, err := url.Parse(m.Server); err == nil {
		address = u.Host
	}
	return system, address
}

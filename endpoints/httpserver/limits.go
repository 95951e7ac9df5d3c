package httpserver

import (
	"maps"
	"net/http"

	"github.com/VictoriaMetrics/metrics"

	"github.com/seed-4591fe7d/podinfo/internal/serve"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/capability"
)

// Limits of the limits.
const (
	minConnections = 16
	leastDerived   = 256       // connections
	mostDerived    = 65536     // connections
	share          = 8         // connections get an eighth of the memory
	connectionSize = 16 << 10  // bytes of an HTTP/1 connection
	http2Share     = 64        // that many HTTP/2 connections fit, if each has fewer streams
	mostStreams    = 100       // concurrent requests of an HTTP/2 connection, as RFC 9113 recommends
	minWindow      = 1<<16 - 1 // bytes of a window in HTTP/2 (RFC 9113, section 6.9.2), and net/http's least
	mostWindow     = 1 << 20   // net/http's default
	minHeader      = 16 << 10  // bytes, with HTTP/2 on
)

// derive sets what follows from the memory.
func (m *Module) derive() {
	m.MaxConnections = m.host.DeriveCount("MaxConnections", m.MaxConnections, share, connectionSize, leastDerived, mostDerived)
	m.limits = &serve.Limits{
		Pool: serve.NewPool(m.MaxConnections).LogTo(m.host.Log), Stall: m.Stall, Budget: m.host.Budget(),
		Streams: min(max(m.MaxConnections/http2Share, 1), mostStreams),
	}
	// An HTTP/2 connection may hold as much as the connections that it counts as: a
	// quarter for the bodies that no handler has read yet, an eighth for a header.
	size := m.host.Memory().Limit / share / int64(m.MaxConnections) * int64(m.limits.Streams)
	m.windows = int(min(max(size/4, minWindow), mostWindow))
	header := int(max(size/8, minHeader))
	if m.http2() && header < m.MaxHeader && m.host.Derive("MaxHeader", header, "1/8 of what an HTTP/2 connection may hold") {
		m.MaxHeader = header
	}
}

// http2 reports whether a port serves HTTP/2.
func (m *Module) http2() bool { return m.H2C || m.SecurePort > 0 }

// ContributeMetrics adds the numbers of connections, and of requests that were cut, to
// set.
func (m *Module) ContributeMetrics(set *metrics.Set) {
	m.limits.Pool.ContributeMetrics(set, "http")
	m.cuts.ContributeMetrics(set, "http")
}

// DescribeMetrics says what they mean.
func (*Module) DescribeMetrics() map[string]string { return serve.DescribeMetrics("http") }

// responseHeader returns the headers of responses that do not pass the chain.
func responseHeader(h *registry.Host) http.Header {
	header := http.Header{}
	for _, n := range registry.All(h, capability.ResponseNamers) {
		maps.Copy(header, n.ResponseHeader())
	}
	return header
}

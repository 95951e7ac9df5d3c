package grpcserver

import (
	"sync/atomic"

	"github.com/VictoriaMetrics/metrics"

	"github.com/seed-4591fe7d/podinfo/internal/drain"
	"github.com/seed-4591fe7d/podinfo/internal/serve"
	"github.com/seed-4591fe7d/podinfo/registry/record"
)

// limits are what follows from the memory.
type limits struct {
	pool     *serve.Pool
	streams  uint32 // concurrent calls of a connection; the client queues further ones
	window   int32  // bytes that a stream may send before the handler reads them
	metadata uint32 // bytes of a call's metadata
	coders   coders
	stalled  atomic.Pointer[metrics.Counter]
	cuts     drain.Cuts
}

// What clients may do that the options of grpc-go do not limit.
const (
	spareStreams = 100    // streams above the maximum that a client opens before it knows it
	maxControl   = 128    // frames, other than DATA, that are read during one write
	maxSettings  = 32 * 6 // bytes of a SETTINGS frame; RFC 9113 has six settings of six bytes
	bufferSize   = 8 << 10
)

// derive sets the limits.
func (m *Module) derive() {
	const (
		share = 16       // connections get a sixteenth of the memory
		size  = 64 << 10 // bytes of an idle connection
	)
	m.MaxConnections = m.host.DeriveCount("MaxConnections", m.MaxConnections, share, size, 64, 16384)
	m.pool = serve.NewPool(m.MaxConnections).LogTo(m.host.Log)
	memory := m.host.Memory().Limit
	m.streams = uint32(min(max(memory/(8<<20), 8), 1000))
	m.window = int32(min(max(memory/2048, 64<<10), 1<<20)) // grpc-go's least is 64 KiB
	m.metadata = uint32(min(max(memory/8192, 8<<10), 1<<20))
	m.coders = make(coders, min(max(memory/(64<<20), 1), 64))
	m.stalled.Store(new(metrics.Counter))
}

// ContributeMetrics adds the numbers of connections, and of the calls whose client
// stood still or that were cut, to set.
func (m *Module) ContributeMetrics(set *metrics.Set) {
	m.pool.ContributeMetrics(set, "grpc")
	m.stalled.Store(set.GetOrCreateCounter(`podinfo_requests_refused_total{reason="` + record.RefusedStall + `"}`))
	m.cuts.ContributeMetrics(set, "grpc")
}

// DescribeMetrics says what they mean.
func (*Module) DescribeMetrics() map[string]string { return serve.DescribeMetrics("grpc") }

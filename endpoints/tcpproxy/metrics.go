package tcpproxy

import (
	"fmt"

	"github.com/VictoriaMetrics/metrics"
)

// maxLabels bounds the names of proxies in metrics, as the API can create any
// number of them. Further ones are counted as "other".
const maxLabels = 1000

// count creates the counters of the proxy. The caller must hold m.mu.
func (p *proxy) count() {
	m, name := p.m, p.name
	if !m.labels[name] && len(m.labels) >= maxLabels {
		name = "other"
	}
	m.labels[name] = true
	counter := func(metric, more string) *metrics.Counter {
		return m.set.GetOrCreateCounter(fmt.Sprintf(`podinfo_tcp_proxy_%s{proxy=%q%s}`, metric, name, more))
	}
	p.accepted, p.refused = counter("connections_total", ""), counter("connect_errors_total", "")
	p.bytes[in], p.bytes[out] = counter("bytes_total", `,direction="in"`), counter("bytes_total", `,direction="out"`)
}

// ContributeMetrics exports the module's metrics.
func (m *Module) ContributeMetrics(set *metrics.Set) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.set = set
	for _, p := range m.proxies {
		p.count()
	}
	m.cuts.ContributeMetrics(set, "tcp")
	set.NewGauge("podinfo_tcp_proxy_connections", func() float64 {
		m.mu.Lock()
		defer m.mu.Unlock()
		return float64(len(m.conns))
	})
}

// DescribeMetrics describes the metrics.
func (*Module) DescribeMetrics() map[string]string {
	return map[string]string{
		"podinfo_tcp_proxy_connections":          "Open connections through the TCP proxies.",
		"podinfo_tcp_proxy_connections_total":    "Connections accepted, by TCP proxy.",
		"podinfo_tcp_proxy_connect_errors_total": "Connections whose service could not be connected to, by TCP proxy. Faults do not count.",
		"podinfo_tcp_proxy_bytes_total":          "Bytes passed in, to the service, and out, to the client, by TCP proxy.",
	}
}

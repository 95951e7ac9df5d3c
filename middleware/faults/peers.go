package faults

import (
	"cmp"
	"context"
	"strings"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/sirupsen/logrus"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/capability"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// zoneLabel is the label of Kubernetes for the zone of a node, which a pod may have
// too.
const zoneLabel = "topology.kubernetes.io/zone"

// labelsOf parses labels.
func labelsOf(list []string) (map[string]string, error) {
	out := map[string]string{}
	for _, text := range list {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return nil, registry.Invalid("Labels", "a comma-separated list such as track=canary,team=a")
		}
		out[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	return out, nil
}

// findPeers tells the engine about this server, and finds the modules that verify
// tokens and that count together with other replicas.
func (m *Module) findPeers(h *registry.Host) error {
	labels, err := labelsOf(m.Labels)
	if err != nil {
		return err
	}
	m.self = scenario.Self{Version: h.Build().Version, Labels: labels, Zone: cmp.Or(m.Zone, labels[zoneLabel])}
	m.engine.SetSelf(m.self)
	m.fleet.log, m.fleet.ctx = h.Log, h.Context()
	for _, c := range registry.All(h, capability.SharedCounters) {
		if counts := c.SharedCounts(); counts != nil {
			m.fleet.counts = counts
			m.engine.SetShared(m.fleet.add)
		}
	}
	m.tokens = registry.All(h, capability.TokenVerifiers)
	m.ports, m.proxiers = registry.All(h, capability.TLSServers), registry.All(h, capability.TCPProxiers)
	return nil
}

// sharedLifetime is how long the count of an unused key is kept on the server.
const sharedLifetime = time.Hour

// awayFor is how long the replica counts alone before it tries the server again.
const awayFor = time.Second

// fleet counts together with other replicas. While the server is unavailable, one
// request a second waits for it, and the others do not.
type fleet struct {
	counts capability.SharedCounts // nil without a server
	log    *logrus.Entry
	ctx    context.Context

	mu     sync.Mutex
	away   time.Time // when the server is tried again; zero while it is available
	warned time.Time // when the last warning was logged
	total  [2]*metrics.Counter
}

// add implements the function of scenario.Engine.SetShared.
func (f *fleet) add(key string, add uint64) (n uint64, ok bool) {
	if f.try() {
		n, err := f.within(key, add)
		f.result(err)
		ok = err == nil
		f.count(ok)
		return n, ok
	}
	f.count(false)
	return 0, false
}

// within tries until the time limit, as a server that restarts refuses connections
// for a moment.
func (f *fleet) within(key string, add uint64) (n uint64, err error) {
	ctx, cancel := context.WithTimeout(f.ctx, f.counts.Timeout())
	defer cancel()
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		if n, err = f.counts.Add(ctx, key, add, sharedLifetime); err == nil || !registry.Sleep(ctx, pause) {
			return n, err
		}
	}
}

// try reports whether a request may use the server.
func (f *fleet) try() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if now.Before(f.away) {
		return false
	}
	if !f.away.IsZero() {
		f.away = now.Add(awayFor) // until the result of this request is known
	}
	return true
}

// result updates the state of the server, and logs a failure at most once a second.
func (f *fleet) result(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	switch {
	case f.ctx.Err() != nil:
	case err != nil:
		f.away = now.Add(awayFor)
		if now.Sub(f.warned) >= time.Second {
			f.warned = now
			f.log.WithError(err).Warn("shared rules count alone: the server is unavailable")
		}
	case err == nil && !f.away.IsZero():
		f.log.Info("shared rules count together again")
		f.away = time.Time{}
	}
}

func (f *fleet) count(shared bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	at := 0
	if shared {
		at = 1
	}
	if f.total[at] != nil {
		f.total[at].Inc()
	}
}

// contribute adds the metrics to set.
func (f *fleet) contribute(set *metrics.Set) {
	if f.counts == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.total = [2]*metrics.Counter{
		set.NewCounter(`podinfo_fault_shared_counts_total{by="replica"}`), set.NewCounter(`podinfo_fault_shared_counts_total{by="fleet"}`),
	}
}

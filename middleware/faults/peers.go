package faults

import (
	"cmp"
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

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
	m.fleet.host = h
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

// awayFor is the pause between attempts to reach the server.
const awayFor = time.Second

// fleet counts together with other replicas. Once the server is known to be
// unavailable, no request waits for it until it responds to the fleet's own attempts.
type fleet struct {
	counts capability.SharedCounts // nil without a server
	host   *registry.Host
	away   atomic.Bool // the server is unavailable

	mu    sync.Mutex // guards total
	total [2]*metrics.Counter
}

// add implements the function of scenario.Engine.SetShared.
func (f *fleet) add(key string, add uint64) (n uint64, ok bool) {
	if !f.away.Load() {
		var err error
		if n, err = f.within(key, add); err != nil {
			f.lost(key, err)
		}
		ok = err == nil
	}
	f.count(ok)
	return n, ok
}

// within tries until the time limit, as a server that restarts refuses connections
// for a moment.
func (f *fleet) within(key string, add uint64) (n uint64, err error) {
	ctx, cancel := context.WithTimeout(f.host.Context(), f.counts.Timeout())
	defer cancel()
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		if n, err = f.counts.Add(ctx, key, add, sharedLifetime); err == nil || !registry.Sleep(ctx, pause) {
			return n, err
		}
	}
}

// lost makes the replica count alone until the server responds again, to attempts
// that add nothing to the key.
func (f *fleet) lost(key string, err error) {
	if f.host.Context().Err() != nil || f.away.Swap(true) {
		return
	}
	f.host.Log.WithError(err).Warn("shared rules count alone: the server is unavailable")
	f.host.Go(func(ctx context.Context) {
		for registry.Sleep(ctx, awayFor) {
			if _, err := f.within(key, 0); err == nil {
				f.away.Store(false)
				f.host.Log.Info("shared rules count together again")
				return
			}
		}
	})
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

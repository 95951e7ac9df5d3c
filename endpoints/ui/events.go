package ui

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/wait"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

const (
	// heartbeat is the longest silence in a stream. It keeps proxies and
	// browsers from treating the stream as dead.
	heartbeat = 15 * time.Second
	// readinessTimeout bounds the readiness checks.
	readinessTimeout = 2 * time.Second
)

// heartbeatComment is a comment, which clients ignore.
var heartbeatComment = []byte(":\n\n")

// serveEvents streams events until the client leaves or falls behind, or the
// server drains.
func (m *Module) serveEvents(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	if r.Method == http.MethodHead {
		h.Set("Content-Type", "text/event-stream")
		return
	}
	if !m.hub.sampling() {
		m.refresh()
	}
	v, err := m.hub.join(m.Interval, m.startSampling)
	if err != nil {
		h.Set("Retry-After", "10")
		reply.Error(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	defer m.hub.leave(v)
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Accel-Buffering", "no") // stops nginx from buffering the events
	v.stream(w, r)
}

// stream writes the events that the hub sends to v.
func (v *viewer) stream(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	silence := time.NewTicker(heartbeat)
	defer silence.Stop()
	for {
		next := heartbeatComment
		select {
		case <-r.Context().Done():
			return
		case e, open := <-v.events:
			if !open {
				return
			}
			next = e
		case <-silence.C:
		}
		silence.Reset(heartbeat)
		wait.ExtendAll(w, r, heartbeat)
		if _, err := w.Write(next); err != nil {
			return
		}
		if control.Flush() != nil {
			return
		}
	}
}

// startSampling takes samples until the returned function is called.
func (m *Module) startSampling() context.CancelFunc {
	ctx, cancel := context.WithCancel(m.host.Context())
	meter := newMeter(m.peers.routes().ownLabels)
	stop := func() {}
	if m.peers.measurer != nil {
		stop = m.peers.measurer.WatchRequests(meter.record)
	}
	m.host.Go(func(context.Context) { m.runSampler(ctx, meter) })
	return func() { stop(); cancel() }
}

func (m *Module) runSampler(ctx context.Context, meter *meter) {
	tick := time.NewTicker(m.Interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Now()
		m.hub.add(ctx, now, encode(meter.sample(now)))
		m.refresh()
	}
}

// refresh collects the state, sends it to the open pages if it has changed, and
// returns it.
func (m *Module) refresh() state {
	m.refreshing.Lock() // without it, an older state could be sent after a newer one
	defer m.refreshing.Unlock()
	ctx, cancel := context.WithTimeout(m.host.Context(), readinessTimeout)
	defer cancel()
	s := m.state(ctx)
	m.hub.publish(encode(s))
	return s
}

// encode returns v as JSON. It panics when v cannot be encoded, which is a bug.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Errorf("ui: cannot encode %T: %w", v, err))
	}
	return b
}

package ui

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/wait"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

const (
	// heartbeat is how long a stream is silent at most, so that proxies and
	// browsers see that it lives.
	heartbeat = 15 * time.Second
	// checkWithin is how long the checks of readiness may take.
	checkWithin = 2 * time.Second
)

var beat = []byte(":\n\n") // a comment

// serveEvents streams until the client leaves, falls behind or the server
// drains.
func (m *Module) serveEvents(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	if r.Method == http.MethodHead {
		h.Set("Content-Type", "text/event-stream")
		return
	}
	if !m.hub.watched() {
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
	h.Set("X-Accel-Buffering", "no") // nginx would keep the events back
	v.stream(w, r)
}

// stream writes what the hub sends.
func (v *viewer) stream(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	silence := time.NewTicker(heartbeat)
	defer silence.Stop()
	for {
		next := beat
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

// startSampling samples until the returned function is called.
func (m *Module) startSampling() context.CancelFunc {
	ctx, cancel := context.WithCancel(m.host.Context())
	before := m.look()
	m.host.Go(func(context.Context) { m.sample(ctx, before) })
	return cancel
}

func (m *Module) sample(ctx context.Context, before look) {
	tick := time.NewTicker(m.Interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := m.look()
		m.hub.add(ctx, now.at, encode(between(before, now)))
		before = now
		m.refresh()
	}
}

// refresh looks at the state and sends it when it has changed.
func (m *Module) refresh() state {
	m.refreshing.Lock() // else an older one could be sent last
	defer m.refreshing.Unlock()
	ctx, cancel := context.WithTimeout(m.host.Context(), checkWithin)
	defer cancel()
	s := m.state(ctx)
	m.hub.publish(encode(s))
	return s
}

// encode is for what always can be encoded.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(errors.Join(errors.New("ui: a value that is not JSON"), err))
	}
	return b
}

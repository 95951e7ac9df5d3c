package ui

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/drain"
)

// The reasons to reject a viewer. The page knows the text of errDraining.
var (
	errFull     = errors.New("too many pages are open (raise PODINFO_UI_MAX_VIEWERS)")
	errDraining = errors.New("shutting down")
)

// maxQueued is how many events a viewer may fall behind before the hub
// disconnects it. Its page reconnects and gets the history.
const maxQueued = 16

// maxAge is how long the hub stores samples.
const maxAge = 15 * time.Minute

// viewer is an open page. Only the hub sends to events, without blocking. It
// closes the channel to disconnect the viewer.
type viewer struct{ events chan []byte }

// hub sends the same events to every viewer.
type hub struct {
	maxViewers int
	instance   []byte // JSON

	mu      sync.Mutex
	viewers map[*viewer]bool // false once disconnected
	drained drain.Signal
	stop    context.CancelFunc // stops the sampler; nil while it does not run
	history []storedSample
	state   []byte // the latest state event
}

// storedSample is a sample of the history.
type storedSample struct {
	at   time.Time
	json []byte
}

// event returns a server-sent event
// (https://html.spec.whatwg.org/multipage/server-sent-events.html). data must
// not contain line breaks; encoded JSON has none.
func event(name string, data []byte) []byte {
	return fmt.Appendf(nil, "event: %s\ndata: %s\n\n", name, data)
}

// init prepares the hub of an instance for at most maxViewers viewers.
func (h *hub) init(maxViewers int, from instance) {
	h.maxViewers, h.instance, h.drained, h.viewers = maxViewers, encode(from), drain.New(), map[*viewer]bool{}
}

// sampling reports whether the sampler runs, which also refreshes the state.
func (h *hub) sampling() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.stop != nil
}

// join adds a viewer, whose first events are the history and the state. It calls
// start for the first viewer; the function that start returns is called when the
// last viewer has left. join returns errFull or errDraining when it rejects the
// viewer.
func (h *hub) join(interval time.Duration, start func() (stop context.CancelFunc)) (*viewer, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.drained.Started():
		return nil, errDraining
	case len(h.viewers) >= h.maxViewers:
		return nil, errFull
	}
	v := &viewer{make(chan []byte, maxQueued)}
	v.events <- h.historyEventLocked(interval)
	v.events <- h.state
	h.viewers[v] = true
	if h.stop == nil {
		h.stop = start()
	}
	return v, nil
}

// historyEventLocked returns the event with the stored samples. The caller must
// hold h.mu.
func (h *hub) historyEventLocked(interval time.Duration) []byte {
	h.dropOldLocked()
	var samples [][]byte
	for _, s := range h.history {
		samples = append(samples, s.json)
	}
	return event("history", fmt.Appendf(nil, `{"from":%s,"interval":%d,"accuracy":%g,"samples":[%s]}`, h.instance, interval.Milliseconds(), math.Pow10(-digits), bytes.Join(samples, []byte(","))))
}

// dropOldLocked removes the samples that are older than maxAge. The caller must
// hold h.mu.
func (h *hub) dropOldLocked() {
	h.history = slices.DeleteFunc(h.history, func(s storedSample) bool { return time.Since(s.at) > maxAge })
}

// leave removes a viewer. After the last one it stops the sampler.
func (h *hub) leave(v *viewer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.viewers, v)
	if len(h.viewers) == 0 && h.stop != nil {
		h.stop()
		h.stop = nil
	}
	h.drained.Left(len(h.viewers))
}

// add stores a sample and sends it to the viewers. It ignores the sample once
// ctx, the sampler's context, is done.
func (h *hub) add(ctx context.Context, at time.Time, json []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	h.history = append(h.history, storedSample{at, json})
	h.dropOldLocked()
	h.sendLocked(event("sample", json))
}

// publish sends a state to the viewers if it differs from the previous one.
func (h *hub) publish(json []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e := event("state", json); !bytes.Equal(e, h.state) {
		h.state = e
		h.sendLocked(e)
	}
}

// sendLocked sends an event to every viewer and disconnects those that have
// fallen too far behind. The caller must hold h.mu.
func (h *hub) sendLocked(e []byte) {
	for v, open := range h.viewers {
		if !open {
			continue
		}
		select {
		case v.events <- e:
		default:
			h.disconnectLocked(v)
		}
	}
}

// disconnectLocked ends a viewer's stream after the events it was sent. The
// viewer counts as open until it has left. The caller must hold h.mu.
func (h *hub) disconnectLocked(v *viewer) {
	close(v.events)
	h.viewers[v] = false
}

// drain sends every viewer a bye event, disconnects them and rejects new ones.
func (h *hub) drain() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.drained.Start(len(h.viewers)) {
		return
	}
	h.sendLocked(event("bye", []byte("{}")))
	for v, open := range h.viewers {
		if open {
			h.disconnectLocked(v)
		}
	}
}

package ui

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Why a viewer is not taken.
var (
	errFull     = errors.New("too many pages are open")
	errDraining = errors.New("shutting down")
)

// backlog is how many events a viewer may be behind before it is cut. Its page
// connects anew and gets the history.
const backlog = 16

// memory is how long samples are kept.
const memory = 15 * time.Minute

// viewer is an open page. events is closed when it has to go; the hub alone
// sends to it, and never waits.
type viewer struct{ events chan []byte }

// hub gives every viewer the same events.
type hub struct {
	most  int
	from  []byte        // the instance, as JSON
	empty chan struct{} // closed when the last viewer has left, while draining

	mu       sync.Mutex
	viewers  map[*viewer]bool
	stop     context.CancelFunc // ends the sampler; nil while there is none
	history  []past
	state    []byte // the event sent last
	draining bool
}

// past is a sample that was sent.
type past struct {
	at   time.Time
	json []byte
}

// event is one of the stream (https://html.spec.whatwg.org/multipage/server-sent-events.html).
// JSON has no line breaks, which would end it.
func event(name string, data []byte) []byte {
	return fmt.Appendf(nil, "event: %s\ndata: %s\n\n", name, data)
}

// init makes a hub of an instance for so many viewers.
func (h *hub) init(most int, from instance) {
	h.most, h.from, h.empty, h.viewers = most, encode(from), make(chan struct{}), map[*viewer]bool{}
}

// watched reports whether anyone looks, so that the state is a fresh one.
func (h *hub) watched() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.stop != nil
}

// join adds a viewer, which gets the history and the state first. start is
// called for the first one, and what it returns when the last one has left.
func (h *hub) join(interval time.Duration, start func() (stop context.CancelFunc)) (*viewer, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.draining:
		return nil, errDraining
	case len(h.viewers) >= h.most:
		return nil, errFull
	}
	v := &viewer{make(chan []byte, backlog)}
	v.events <- h.recall(interval)
	v.events <- h.state
	h.viewers[v] = true
	if h.stop == nil {
		h.stop = start()
	}
	return v, nil
}

// recall is the event with the samples that are kept.
func (h *hub) recall(interval time.Duration) []byte {
	h.forget()
	var samples [][]byte
	for _, p := range h.history {
		samples = append(samples, p.json)
	}
	return event("history", fmt.Appendf(nil, `{"from":%s,"interval":%d,"samples":[%s]}`, h.from, interval.Milliseconds(), bytes.Join(samples, []byte(","))))
}

func (h *hub) forget() {
	h.history = slices.DeleteFunc(h.history, func(p past) bool { return time.Since(p.at) > memory })
}

// leave takes a viewer off. With the last one, sampling ends.
func (h *hub) leave(v *viewer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.viewers, v)
	if len(h.viewers) > 0 {
		return
	}
	if h.stop != nil {
		h.stop()
		h.stop = nil
	}
	h.signalEmpty()
}

// add keeps a sample and sends it, unless ctx is done, whose cancellation is
// what join's start returned.
func (h *hub) add(ctx context.Context, at time.Time, json []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	h.history = append(h.history, past{at, json})
	h.forget()
	h.send(event("sample", json))
}

// publish sends a state that differs from the one sent last.
func (h *hub) publish(json []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e := event("state", json); !bytes.Equal(e, h.state) {
		h.state = e
		h.send(e)
	}
}

// send gives an event to every viewer. One that is too far behind is cut.
func (h *hub) send(e []byte) {
	for v, open := range h.viewers {
		if !open {
			continue
		}
		select {
		case v.events <- e:
		default:
			h.cut(v)
		}
	}
}

// cut ends a viewer's stream behind what was sent to it. It counts until it
// has left.
func (h *hub) cut(v *viewer) {
	close(v.events)
	h.viewers[v] = false
}

// drain says goodbye to all and takes no more.
func (h *hub) drain() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.draining {
		return
	}
	h.draining = true
	h.send(event("bye", []byte("{}")))
	for v, open := range h.viewers {
		if open {
			h.cut(v)
		}
	}
	h.signalEmpty()
}

func (h *hub) signalEmpty() {
	if h.draining && len(h.viewers) == 0 {
		close(h.empty)
	}
}

// Package chunked serves /chunked, which sends the first half of a response
// immediately and the rest after the requested time.
package chunked

import (
	"bytes"
	"errors"
	"math"
	"net/http"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/wait"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
	"github.com/seed-4591fe7d/podinfo/registry/setting"
)

// minRandom is the shortest random wait, if the server's timeout allows it.
const minRandom = 10 * time.Second

// Module is the chunked module.
type Module struct {
	setting.DelayLimit
	setting.ServerTimeout

	random *registry.Random
}

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "chunked", Doc: "Send half of the response immediately and the rest after the requested time.", Unprefixed: true}
}

// Validate checks the settings.
func (m *Module) Validate() error {
	var errs []error
	if m.Max < 0 {
		errs = append(errs, registry.Invalid("Max", "a duration of 0 or more"))
	}
	if m.Timeout <= 0 {
		errs = append(errs, registry.Invalid("Timeout", "a duration above zero"))
	}
	return errors.Join(errs...)
}

// Provision stores the source of random numbers.
func (m *Module) Provision(h *registry.Host) error { m.random = h.Random(); return nil }

// Routes declares /chunked and /chunked/{seconds}.
func (m *Module) Routes() []registry.Route {
	returns := map[int]any{http.StatusOK: wait.Reply{Delay: 10}}
	paths := []string{"/chunked", "/chunked/{seconds}"}
	returnsWait := map[int]any{http.StatusOK: wait.Reply{Delay: 0.05}, http.StatusNotFound: reply.Problem{}, http.StatusBadRequest: reply.Problem{}}
	return []registry.Route{
		{
			Path: paths[0], Handler: m.serveRandom, SameAs: paths,
			Summary: "Chunked response after a random time", Tag: "HTTP API", Returns: returns,
		},
		{
			Path: paths[1], Handler: m.serveWait, SameAs: paths, Label: "chunked_wait_0_9", // upstream's pattern
			Summary: "Chunked response after a given time", Tag: "HTTP API", Returns: returnsWait,
			Examples: map[string]string{"seconds": "50ms"},
			Params:   map[string]string{"seconds": "time between the first and the last bytes: whole seconds, or a duration such as 250ms or 1.5s"},
		},
	}
}

func (m *Module) serveRandom(w http.ResponseWriter, r *http.Request) { serve(w, r, m.randomWait()) }

func (m *Module) serveWait(w http.ResponseWriter, r *http.Request) {
	if d, ok := wait.FromPath(w, r, m.Max); ok {
		serve(w, r, d)
	}
}

// randomWait returns a random number of whole seconds from minRandom up to the
// timeout, or half the timeout if the timeout is too short for that. Max limits
// both.
func (m *Module) randomWait() time.Duration {
	d := m.Timeout / 2
	if m.Timeout > minRandom {
		choices := int(math.Ceil((m.Timeout - minRandom).Seconds()))
		d = minRandom + time.Duration(m.random.Next().IntN(choices))*time.Second
	}
	return min(d, m.Max)
}

// serve sends the same body as reply.JSON, but waits before the number.
func serve(w http.ResponseWriter, r *http.Request, d time.Duration) {
	body, err := reply.Encode(wait.Reply{Delay: d.Seconds()})
	if err != nil {
		reply.Error(w, http.StatusInternalServerError, err.Error())
		return
	}
	split := bytes.IndexByte(body, ':') + 1
	wait.Extend(w, r, d)
	reply.Encoded(w, http.StatusOK, body[:split])
	_ = http.NewResponseController(w).Flush() // if the writer cannot flush, all bytes are sent at the end
	if !registry.Sleep(r.Context(), d) {
		return // the client disconnected
	}
	w.Write(body[split:])
}

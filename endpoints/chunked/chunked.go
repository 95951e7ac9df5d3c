// Package chunked sends the beginning of a reply at once and the end after the
// time that was asked for.
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
)

// shortest is the least that a wait nobody chose takes, if the timeout allows.
const shortest = 10 * time.Second

// Module is chunked.
type Module struct {
	Max     time.Duration `env:"DELAY_MAX" envDefault:"1h" doc:"longest wait that /delay and /chunked take" accepts:"a duration that is not negative"`
	Timeout time.Duration `env:"HTTP_SERVER_TIMEOUT" envDefault:"30s" doc:"time to read a request, and to write its reply; idle connections are kept twice as long" accepts:"a duration above zero"`

	random *registry.Random
}

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "chunked", Doc: "Send half a reply at once and the rest after the time that is asked for.", Unprefixed: true}
}

// Validate checks the settings.
func (m *Module) Validate() error {
	var errs []error
	if m.Max < 0 {
		errs = append(errs, registry.Invalid("Max", "a duration that is not negative"))
	}
	if m.Timeout <= 0 {
		errs = append(errs, registry.Invalid("Timeout", "a duration above zero"))
	}
	return errors.Join(errs...)
}

// Provision keeps the randomness.
func (m *Module) Provision(h *registry.Host) error { m.random = h.Random(); return nil }

// Routes declares /chunked and /chunked/{wait}.
func (m *Module) Routes() []registry.Route {
	returns := map[int]any{http.StatusOK: wait.Reply{}}
	refuses := map[int]any{http.StatusOK: wait.Reply{}, http.StatusBadRequest: reply.Problem{}}
	return []registry.Route{
		{
			Path: "/chunked", Handler: m.any, Label: "chunked",
			Summary: "Chunked reply after a random time", Tag: "HTTP API", Returns: returns,
		},
		{
			Path: "/chunked/{wait}", Handler: m.asked, Label: "chunked",
			Summary: "Chunked reply", Tag: "HTTP API", Returns: refuses,
			Params: map[string]string{"wait": "time between the first bytes and the last: whole seconds, or a duration such as 250ms or 1.5s"},
		},
	}
}

func (m *Module) any(w http.ResponseWriter, r *http.Request) { serve(w, r, m.draw()) }

func (m *Module) asked(w http.ResponseWriter, r *http.Request) {
	if d, ok := wait.FromPath(w, r, m.Max); ok {
		serve(w, r, d)
	}
}

// draw is a random number of whole seconds from shortest up to the timeout, or
// half the timeout when that leaves no choice.
func (m *Module) draw() time.Duration {
	d := m.Timeout / 2
	if m.Timeout > shortest {
		choices := int(math.Ceil((m.Timeout - shortest).Seconds()))
		d = shortest + time.Duration(m.random.Next().IntN(choices))*time.Second
	}
	return min(d, m.Max)
}

// serve splits what reply.JSON would write before the number.
func serve(w http.ResponseWriter, r *http.Request, d time.Duration) {
	body, err := reply.Encode(wait.Reply{Delay: d.Seconds()})
	if err != nil {
		reply.Error(w, http.StatusInternalServerError, err.Error())
		return
	}
	split := bytes.IndexByte(body, ':') + 1
	wait.Extend(w, r, d)
	reply.Encoded(w, http.StatusOK, body[:split])
	_ = http.NewResponseController(w).Flush() // a writer that cannot flush sends it all at the end
	if !registry.Sleep(r.Context(), d) {
		return // the client has left
	}
	w.Write(body[split:])
}

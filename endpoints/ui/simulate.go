package ui

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/faultroutes"
	"github.com/seed-4591fe7d/podinfo/internal/simulate"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

// The requests of a preview.
const (
	simulatedRequests = 2000
	simulatedRate     = 100 // per second
	simulatedTook     = 10 * time.Millisecond
	simulatedDelay    = time.Minute // longest
	simulationTimeout = 2 * time.Second
	previewName       = "preview"
)

// preview is what a rule would do to requests that it matches.
type preview struct {
	Requests int            `json:"requests"`
	Targets  []string       `json:"targets"` // what was requested
	Matched  uint64         `json:"matched"`
	Hits     int            `json:"hits"`
	Faults   map[string]int `json:"faults"` // hits by kind of fault
	Delay    *spread        `json:"delay"`  // of the delayed requests, nil without any
}

// spread summarizes durations in seconds.
type spread struct {
	Count int     `json:"count"`
	P50   float64 `json:"p50"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
}

// serveSimulation responds with what the rule in the body would do. It changes
// nothing.
func (m *Module) serveSimulation(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	buf := m.host.Budget().Buffer()
	defer buf.Close()
	body, ok := reply.ReadBytes(w, reply.Limit(w, r, scenario.MaxBytes), buf)
	if !ok {
		return
	}
	rule, err := scenario.ParseRule("body", previewName, body)
	if err != nil {
		respondError(w, err)
		return
	}
	out, err := m.previewOf(r.Context(), rule)
	if err != nil {
		respondError(w, statusErrorf(http.StatusServiceUnavailable, "the simulation takes too long: %w", err))
		return
	}
	reply.JSON(w, http.StatusOK, out)
}

// previewOf simulates a rule.
func (m *Module) previewOf(ctx context.Context, rule *scenario.Rule) (*preview, error) {
	checked, err := (&scenario.Scenario{Seed: new(uint64), Rules: []*scenario.Rule{rule}}).Checked()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, simulationTimeout)
	defer cancel()
	run := simulate.New(simulate.Options{
		N: simulatedRequests, Rate: simulatedRate, Took: simulatedTook, MaxDelay: simulatedDelay, Began: beginOf(rule),
		Internal: simulate.Internal(faultroutes.Of(m.host.Declared())),
	}, checked, nil)
	if err := run.Simulate(ctx); err != nil {
		return nil, err
	}
	result, faults := run.Order[0], map[string]int{}
	for _, r := range run.Order { // the rule and its alternatives
		for kind, n := range r.Faults {
			faults[kind] += n
		}
	}
	return &preview{run.N, run.Targets(), result.Matched, result.Hits, faults, spreadOf(run.Delays)}, nil
}

// beginOf returns when the simulation begins: now, or when the rule does.
func beginOf(rule *scenario.Rule) time.Time {
	if from := rule.When.From.Time; from.After(time.Now()) {
		return from
	}
	return time.Now()
}

func spreadOf(delays []time.Duration) *spread {
	if len(delays) == 0 {
		return nil
	}
	slices.Sort(delays)
	at := func(share float64) float64 { return delays[int(share*float64(len(delays)-1))].Seconds() }
	return &spread{len(delays), at(0.5), at(0.99), at(1)}
}

// serveSchema serves the schema of a scenario, by which the page completes keys.
func serveSchema(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-cache")
	h.Set("Content-Type", "application/schema+json")
	w.Write(scenario.Schema())
}

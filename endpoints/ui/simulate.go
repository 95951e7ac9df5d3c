package ui

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
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
	simulatedDelay    = time.Minute // longest, of a server that does not say
	simulationTimeout = 2 * time.Second
	maxCompared       = 1000 // rules that one is compared with for warnings
	previewName       = "preview"
)

// preview is what a rule would do to requests that it matches.
type preview struct {
	Requests int            `json:"requests"`
	Targets  []string       `json:"targets"`        // what was requested
	From     *time.Time     `json:"from,omitempty"` // when the simulation begins, if that is later
	Matched  uint64         `json:"matched"`
	Hits     int            `json:"hits"`
	Faults   map[string]int `json:"faults"`          // hits by kind of fault
	Delay    *spread        `json:"delay,omitempty"` // of the delayed requests, nil without any
	Warnings []string       `json:"warnings"`
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
	rule, err := parseRule(r.URL.Query().Get("name"), body)
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

// parseRule parses the rule of a name, which the body may repeat. With "" the rule
// may have any name or none.
func parseRule(name string, body []byte) (*scenario.Rule, error) {
	rule, err := scenario.ParseRule("body", cmp.Or(name, previewName), body)
	if err == nil && name != "" && rule.Name != name {
		err = fmt.Errorf("the body names the rule %q, and its name is %q: make them equal or remove the name from the body", rule.Name, name)
	}
	return rule, err
}

// server describes this server, also if the module faults is off.
func (m *Module) server() (name string, self scenario.Self, on scenario.Server) {
	if m.peers.ruler != nil {
		return m.peers.ruler.Server()
	}
	return m.instance.Hostname, scenario.Self{Version: m.host.Build().Version}, scenario.Server{Routes: faultroutes.Of(m.host.Declared())}
}

// warningsOf returns why a rule, which is added to those at work or replaces one,
// will not do what it says on a server.
func (m *Module) warningsOf(rule *scenario.Rule, on scenario.Server) []string {
	out, s, replaced := []string{}, scenario.Scenario{}, false
	if m.peers.ruler != nil {
		for _, x := range m.peers.ruler.Rules() {
			if x.Rule.Name == rule.Name {
				x.Rule, replaced = rule, true
			}
			s.Rules = append(s.Rules, x.Rule)
		}
	}
	if !replaced {
		s.Rules = append(s.Rules, rule)
	}
	if len(s.Rules) > maxCompared {
		s.Rules = []*scenario.Rule{rule}
	}
	for _, w := range scenario.Warnings("", &s, on) {
		if w.Rule == strconv.Quote(rule.Name) {
			out = append(out, strings.TrimPrefix(w.Error(), ": "))
		}
	}
	return out
}

// previewOf simulates a rule.
func (m *Module) previewOf(ctx context.Context, rule *scenario.Rule) (*preview, error) {
	checked, err := (&scenario.Scenario{Seed: new(uint64), Rules: []*scenario.Rule{rule}}).Checked()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, simulationTimeout)
	defer cancel()
	pod, self, server := m.server()
	now := time.Now()
	began := now
	var from *time.Time
	if later := rule.When.From.Time; later.After(now) {
		began, from = later, &later
	}
	run := simulate.New(simulate.Options{
		N: simulatedRequests, Rate: simulatedRate, Took: simulatedTook, MaxDelay: cmp.Or(server.MaxDelay, simulatedDelay), Began: began,
		Known: true, Pod: pod, Version: self.Version, Zone: self.Zone, Labels: self.Labels,
		Internal: simulate.Internal(server.Routes),
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
	return &preview{run.N, run.Targets(), from, result.Matched, result.Hits, faults, spreadOf(run.Delays), m.warningsOf(rule, server)}, nil
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

package faults

import (
	"encoding/json"
	"strings"

	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// maxWarned is the number of rules up to which a scenario is checked for warnings,
// which compares each rule with those above it.
const maxWarned = 1000

// warn returns and logs why rules of s, which is valid, will not do what they say
// on this server.
func (m *Module) warn(s *scenario.Scenario) (warnings []string) {
	if len(s.Rules) > maxWarned {
		return nil
	}
	on := scenario.Server{MaxDelay: m.MaxDelay, Routes: m.routes()}
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // impossible: it was read from JSON or YAML
	}
	_, found, _ := scenario.Lint("", b, on)
	for _, w := range found {
		w.Line = 0 // of the JSON
		text := strings.TrimPrefix(w.Error(), ": ")
		m.host.Log.WithField("warning", text).Warn("a fault rule will not do what it says")
		warnings = append(warnings, text)
	}
	return warnings
}

// routes returns the routes of the App, below its prefix.
func (m *Module) routes() (out []scenario.Route) {
	for _, rt := range m.host.Declared() {
		out = append(out, scenario.Route{Path: rt.Path, Internal: rt.Internal})
	}
	return out
}

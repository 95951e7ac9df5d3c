// Package faults delays and breaks requests, calls and WebSockets by the rules
// of a scenario.
package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/capability"
	"github.com/seed-4591fe7d/podinfo/registry/fault"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

const name = "faults"

// Module is faults.
type Module struct {
	Inline     string        `env:"FAULTS" doc:"a scenario of faults, which turns them on" accepts:"a scenario in YAML or JSON"`
	File       string        `env:"FAULTS_FILE" doc:"file with a scenario of faults; what is changed there is taken up whole" accepts:"a path, of a mounted ConfigMap for example"`
	MaxDelay   time.Duration `env:"FAULTS_MAX_DELAY" envDefault:"1m" doc:"longest time that faults make a request wait" accepts:"a duration above zero"`
	MaxHeld    int           `env:"FAULTS_MAX_HELD" envDefault:"1000" doc:"requests that faults make wait at once; the others do not wait" accepts:"a whole number above zero"`
	MaxKeys    int           `env:"FAULTS_MAX_KEYS" envDefault:"10000" doc:"keys that a rule counts for; those seen last are kept" accepts:"a whole number, at least 2"`
	Header     string        `env:"FAULTS_RESPONSE_HEADER" envDefault:"X-Podinfo-Fault" doc:"response header, or trailer of a gRPC call, that names the rules that hit; - for none" accepts:"the name of a header, or -"`
	ByHeader   bool          `env:"FAULTS_BY_HEADER" doc:"let requests ask for faults by the headers x-podinfo-fault and x-envoy-fault-*"`
	MaxPercent float64       `env:"FAULTS_BY_HEADER_PERCENT" envDefault:"100" doc:"share of the requests that ask for a fault that get one" accepts:"a number from 0 to 100"`
	Admin      bool          `env:"FAULTS_ADMIN" doc:"serve the API of faults on the metrics port"`
	AdminToken string        `env:"FAULTS_ADMIN_TOKEN" secret:"true" doc:"bearer token that the API of faults wants, empty for none"`

	host      *registry.Host
	engine    *scenario.Engine
	observers fault.Observers
	header    string
	labels    sync.Map // from a rule's name to what observers are told
	counts    counts
	closing   context.Context // of open WebSockets

	mu      sync.Mutex         // guards current and its application
	current *scenario.Scenario // what the engine was given last
	version uint64             // of current
	fileOK  atomic.Bool
	seen    *string // what the file held when it was read last; of the one that reads it
}

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{
		Name: name, Doc: "Delay and break requests by the rules of a scenario.",
		Phase: registry.Fault, OptIn: true, EnableVar: "FAULTS", Unprefixed: true,
	}
}

// Validate checks the settings.
func (m *Module) Validate() error {
	var errs []error
	if _, err := m.inline(); err != nil {
		errs = append(errs, registry.Invalid("Inline", "a scenario: "+strings.ReplaceAll(err.Error(), "\n", "; ")))
	} else if m.File != "" && m.inlined() {
		errs = append(errs, registry.Invalid("Inline", "none beside PODINFO_FAULTS_FILE"))
	}
	if m.MaxDelay <= 0 {
		errs = append(errs, registry.Invalid("MaxDelay", "a duration above zero"))
	}
	if m.MaxHeld < 1 {
		errs = append(errs, registry.Invalid("MaxHeld", "a whole number above zero"))
	}
	if m.MaxKeys < 2 {
		errs = append(errs, registry.Invalid("MaxKeys", "a whole number, at least 2"))
	}
	if !(m.MaxPercent >= 0 && m.MaxPercent <= 100) {
		errs = append(errs, registry.Invalid("MaxPercent", "a number from 0 to 100"))
	}
	if m.Header == "" || strings.ContainsAny(m.Header, " :\r\n\t") {
		errs = append(errs, registry.Invalid("Header", "the name of a header, or -"))
	}
	return errors.Join(errs...)
}

// inlined reports whether there is a scenario in the setting, which may also
// be a mere true.
func (m *Module) inlined() bool {
	_, mere := strconv.ParseBool(m.Inline)
	return m.Inline != "" && mere != nil
}

func (m *Module) inline() (*scenario.Scenario, error) {
	if !m.inlined() {
		return new(scenario.Scenario), nil
	}
	return scenario.Parse("PODINFO_FAULTS", []byte(m.Inline))
}

// Provision makes the engine.
func (m *Module) Provision(h *registry.Host) error {
	m.host, m.observers, m.closing = h, fault.ObserversOf(h), h.Context()
	server, err := os.Hostname()
	if err != nil {
		return err
	}
	m.engine = scenario.NewEngine(h.Random().Next().Uint64(), server, scenario.Limits{Delay: m.MaxDelay, Held: m.MaxHeld, Keys: m.MaxKeys})
	if m.header = m.Header; m.header == "-" {
		m.header = ""
	}
	s, err := m.inline()
	if err != nil {
		return err
	}
	m.apply(s)
	return nil
}

// Start reads the file and watches it.
func (m *Module) Start(context.Context) error {
	if m.File == "" {
		return nil
	}
	return m.watch()
}

// Apply replaces the whole scenario with a copy of s, while requests are under
// way: each is decided by the old rules or by the new ones. A rule that stays
// as it was goes on counting where it was, or stays away when it has removed
// itself. s is checked as a file is; on an
// error, which joins a [*scenario.Error] for every mistake, the rules stay as
// they were. The next change of the file of the setting File, or over the API,
// replaces what Apply set. It may be called once the App was made.
func (m *Module) Apply(s *scenario.Scenario) error {
	if m.engine == nil {
		return errors.New("faults: Apply before the module is part of an App")
	}
	checked, err := s.Checked()
	if err != nil {
		return err
	}
	m.apply(checked)
	return nil
}

// PutRule is Apply for one rule: it takes the place of the rule of its name, or
// comes behind the others. One that had removed itself begins again. It is not checked again: get it from
// [scenario.ParseRule].
func (m *Module) PutRule(r *scenario.Rule) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := with(m.alive(), r)
	if err != nil {
		return err
	}
	m.swap(s, r.Name)
	return nil
}

// RemoveRule is Apply without the rule of a name. It reports whether there was
// one.
func (m *Module) RemoveRule(name string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := without(m.alive(), name)
	if ok {
		m.swap(s)
	}
	return ok
}

// Rules are the rules at work in their order, with what they have done. Those
// that have removed themselves are not among them. The rules must not be
// changed.
func (m *Module) Rules() []scenario.State { return m.engine.Rules() }

// Pause stops all rules, or lets them go on. Their clocks are not stopped.
func (m *Module) Pause(paused bool) { m.engine.Pause(paused) }

// Paused reports whether all rules are stopped.
func (m *Module) Paused() bool { return m.engine.Paused() }

// apply gives the engine a scenario.
func (m *Module) apply(s *scenario.Scenario) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.swap(s)
}

// swap is apply for those who hold mu. anew are the names of rules that begin
// again, if they have removed themselves.
func (m *Module) swap(s *scenario.Scenario, anew ...string) {
	m.current = s
	m.version++
	m.labels.Clear() // of rules that are gone
	m.engine.Apply(s, anew...)
}

// alive is the scenario without the rules that have removed themselves. It is
// for those who hold mu.
func (m *Module) alive() scenario.Scenario {
	names := map[string]bool{}
	for _, s := range m.engine.Rules() {
		names[s.Rule.Name] = true
	}
	s := *m.current
	s.Rules = slices.DeleteFunc(slices.Clone(s.Rules), func(r *scenario.Rule) bool { return !names[r.Name] })
	return s
}

// Ready fails while a rule says so.
func (m *Module) Ready(context.Context) error {
	if rule := m.engine.Unready(); rule != "" {
		return fmt.Errorf("rule %s", rule)
	}
	return nil
}

// report tells everybody what hit a request.
func (m *Module) report(ctx context.Context, d *scenario.Decision, call bool) {
	for i := range d.Strikes {
		s := &d.Strikes[i]
		delayed := s.Delay > 0 || s.Chunked()
		if delayed {
			m.counts.add(s.Rule, "delay")
		}
		kind := s.Fault.Kind(call)
		if kind != "" {
			m.counts.add(s.Rule, kind)
		}
		if delayed || kind != "" {
			m.observers.Report(ctx, m.label(s.Rule))
		}
	}
}

// label is what observers are told of a rule.
func (m *Module) label(rule string) string {
	if l, ok := m.labels.Load(rule); ok {
		return l.(string)
	}
	l := name + "/" + rule
	m.labels.Store(rule, l)
	return l
}

// FaultRules implements [capability.FaultRuler].
func (m *Module) FaultRules() capability.FaultRules { return m }

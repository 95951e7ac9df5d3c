// Package faults delays and breaks requests, calls and WebSockets by the rules
// of a scenario.
package faults

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/origin"
	"github.com/seed-4591fe7d/podinfo/internal/redact"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/capability"
	"github.com/seed-4591fe7d/podinfo/registry/fault"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
	"github.com/seed-4591fe7d/podinfo/registry/record"
)

const name = "faults"

// Module is the faults module.
type Module struct {
	Inline   string        `env:"FAULTS" doc:"scenario of faults, which turns the module on; true turns it on without rules" accepts:"a scenario in YAML or JSON" takes:"SCENARIO"`
	File     string        `env:"FAULTS_FILE" doc:"file with a scenario of faults, reloaded atomically when it changes; that of the variable may be created after the start, that of the flag must exist" accepts:"a path, of a mounted ConfigMap for example" takes:"FILE" enables:"true"`
	Instance string        `env:"INSTANCE" doc:"name of this instance in match.server and in the draws of rules, so that instances with the same seed do not fail in step; the host name by default" accepts:"a name, such as that of the pod" takes:"NAME"`
	MaxDelay time.Duration `env:"FAULTS_MAX_DELAY" envDefault:"1m" doc:"longest delay of a request" accepts:"a duration above zero"`
	MaxHeld  int           `env:"FAULTS_MAX_HELD" envDefault:"1000" doc:"maximum number of requests delayed at the same time; further requests are not delayed" accepts:"a whole number above zero"`
	MaxKeys  int           `env:"FAULTS_MAX_KEYS" envDefault:"10000" doc:"keys tracked per rule; the least recently seen are evicted" accepts:"a whole number, at least 2"`
	Header   string        `env:"FAULTS_RESPONSE_HEADER" envDefault:"X-Podinfo-Fault" doc:"response header, or trailer of a gRPC call, that names the rules that hit; - for none" accepts:"the name of a header, or -" takes:"HEADER"`
	ByHeader bool          `env:"FAULTS_BY_HEADER" doc:"let requests ask for faults with the headers x-podinfo-fault and x-envoy-fault-*" enables:"true"`
	// A zero in a literal means the default. Set PODINFO_FAULTS_BY_HEADER_PERCENT=0 to say zero.
	MaxPercent float64  `env:"FAULTS_BY_HEADER_PERCENT" envDefault:"100" doc:"percentage of the requests with such a header that get their fault" accepts:"a number from 0 to 100" needs:"FAULTS_BY_HEADER"`
	Admin      bool     `env:"FAULTS_ADMIN" doc:"serve the API of fault rules on the metrics port" enables:"true" needs:"PORT_METRICS"`
	AdminToken string   `env:"FAULTS_ADMIN_TOKEN" secret:"true" doc:"bearer token of the API of fault rules; empty for none" needs:"FAULTS_ADMIN"`
	AdminHosts []string `env:"FAULTS_ADMIN_HOSTS" doc:"host names under which the API of fault rules responds without a token, besides IP addresses, localhost and the name of the pod" accepts:"a comma-separated list of host names without ports, such as podinfo.default.svc" takes:"HOST,…" needs:"FAULTS_ADMIN"`

	Labels []string `env:"FAULTS_LABELS" doc:"labels of this server, which match.instance.labels of a rule selects" accepts:"a comma-separated list such as track=canary,team=a" takes:"NAME=VALUE,…"`
	Zone   string   `env:"FAULTS_ZONE" doc:"zone of this server, which match.instance.zone of a rule selects; by default the label topology.kubernetes.io/zone" accepts:"text such as eu-west-1a"`

	hosts     *origin.Hosts
	tokens    []capability.TokenVerifier
	ports     []capability.TLSServer  // for warnings
	proxiers  []capability.TCPProxier // for warnings
	fleet     fleet
	host      *registry.Host
	engine    *scenario.Engine
	self      scenario.Self
	observers fault.Observers
	header    string
	labels    sync.Map // names of faults for observers, by rule
	counts    counts
	methods   []string        // of gRPC calls, for warnings
	closing   context.Context // canceled when the App stops; ends WebSockets
	draining  context.Context // canceled when the App drains; ends what hangs
	drain     context.CancelFunc
	hidden    sync.Once // the warning about writers without Unwrap

	mu      sync.Mutex         // guards current and version, and their application
	current *scenario.Scenario // last one given to the engine
	version uint64             // of current
	fileOK  atomic.Bool
	seen    *string         // content of the file at the last read; used only by load
	found   bool            // the file was there at some time; used only by load
	ends    *time.Timer     // calls logEnds when the next rule ends
	ended   map[string]bool // rules whose end was logged

	below  sync.Map // *belowLog of rules for connections and handshakes, by rule
	full   seldom   // log lines about delays that were dropped
	unread seldom   // log lines about bodies that rules cannot look into
}

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{
		Name: name, Doc: "Delay and break requests by the rules of a scenario.",
		Phase: registry.Fault, OptIn: true, EnableVar: "FAULTS", Unprefixed: true, Unmatched: true,
	}
}

// Validate checks the settings.
func (m *Module) Validate() (err error) {
	var errs []error
	if m.hosts, err = origin.NewHosts(m.AdminHosts); err != nil {
		errs = append(errs, registry.Invalid("AdminHosts", origin.HostsFormat))
	}
	if _, err := m.inline(); err != nil {
		errs = append(errs, registry.Invalid("Inline", "a valid scenario: "+strings.ReplaceAll(redact.Text(err.Error()), "\n", "; ")))
	} else if m.File != "" && m.inlined() {
		errs = append(errs, registry.Invalid("Inline", "only one of PODINFO_FAULTS and PODINFO_FAULTS_FILE"))
	}
	if _, err := labelsOf(m.Labels); err != nil {
		errs = append(errs, err)
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

// inlined reports whether the setting contains a scenario. It may also be true,
// which only turns the module on.
func (m *Module) inlined() bool {
	_, err := strconv.ParseBool(m.Inline)
	return m.Inline != "" && err != nil
}

func (m *Module) inline() (*scenario.Scenario, error) {
	if !m.inlined() {
		return new(scenario.Scenario), nil
	}
	return scenario.Parse("PODINFO_FAULTS", []byte(m.Inline))
}

// Provision creates the engine and applies the inline scenario.
func (m *Module) Provision(h *registry.Host) error {
	m.host, m.observers, m.closing = h, fault.ObserversOf(h), h.Context()
	m.draining, m.drain = context.WithCancel(m.closing)
	if m.Instance == "" {
		var err error
		if m.Instance, err = os.Hostname(); err != nil {
			return err
		}
	}
	m.engine = scenario.NewEngine(h.Random().Next().Uint64(), m.Instance, scenario.Limits{Delay: m.MaxDelay, Held: m.MaxHeld, Keys: m.MaxKeys})
	if err := errors.Join(m.findPeers(h), m.findMethods(h)); err != nil {
		return err
	}
	if m.header = http.CanonicalHeaderKey(m.Header); m.header == "-" {
		m.header = ""
	}
	s, err := m.inline()
	if err != nil {
		return err
	}
	m.apply(s)
	return nil
}

// Stop ends the log of rules that end.
func (m *Module) Stop(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ends != nil {
		m.ends.Stop()
	}
	return nil
}

// Start reads the file and watches it.
func (m *Module) Start(context.Context) error {
	if m.File == "" {
		return nil
	}
	return m.watch()
}

// Apply replaces the whole scenario with a copy of s. Each request is decided by
// the old rules or by the new ones. Unchanged rules keep their counters, and
// those that have ended stay so. s is checked like a file: on
// an error, which joins a [*scenario.Error] for every mistake, the current rules
// are kept. The next change of the file in the setting File, or through the API,
// replaces what Apply set. Call Apply after the App was created.
func (m *Module) Apply(s *scenario.Scenario) error {
	if m.engine == nil {
		return errors.New("faults: the module is not part of an App; call Apply after registry.New")
	}
	checked, err := s.Checked()
	if err != nil {
		return err
	}
	m.apply(checked)
	return nil
}

// PutRule replaces the rule with the name of r, or adds r after the others. A
// rule that has ended by its ttl starts over. r is not checked: use
// [scenario.ParseRule] to make it.
func (m *Module) PutRule(r *scenario.Rule) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := with(*m.current, r)
	if err != nil {
		return err
	}
	m.warn(s)
	m.swapLocked(s, r.Name)
	return nil
}

// RemoveRule removes the rule with a name. It returns false if no rule has it.
func (m *Module) RemoveRule(name string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := without(*m.current, name)
	if ok {
		m.swapLocked(s)
	}
	return ok
}

// Rules returns the rules in order, with their counters, those that have ended
// included. The rules are read-only.
func (m *Module) Rules() []scenario.State { return m.engine.Rules() }

// Pause stops or resumes all rules. Their clocks keep running.
func (m *Module) Pause(paused bool) { m.engine.Pause(paused) }

// Paused reports whether the rules are paused.
func (m *Module) Paused() bool { return m.engine.Paused() }

// apply makes s the current scenario, with warnings in the log.
func (m *Module) apply(s *scenario.Scenario) {
	m.warn(s)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.swapLocked(s)
}

// swapLocked is apply for callers that hold m.mu. Rules named in anew start over
// if their ttl has ended them.
func (m *Module) swapLocked(s *scenario.Scenario, anew ...string) {
	m.current = s
	m.version++
	m.labels.Clear() // of rules that no longer exist
	m.below.Clear()
	m.engine.Apply(s, anew...)
	m.logEndsLocked()
}

// Ready returns an error while a rule fails readiness.
func (m *Module) Ready(context.Context) error {
	if rule := m.engine.Unready(); rule != "" {
		return fmt.Errorf("rule %s fails readiness", rule)
	}
	return nil
}

// report counts the hits on a request or connection and notifies the observers.
func (m *Module) report(ctx context.Context, d *scenario.Decision, scope scenario.Scope) {
	m.reportPart(ctx, d, scope, false)
	m.reportPart(ctx, d, scope, true)
}

// reportPart is report for what acts on the body of a response, or for the rest. It
// returns the names of the rules that it reports first, joined by commas.
func (m *Module) reportPart(ctx context.Context, d *scenario.Decision, scope scenario.Scope, body bool) string {
	var names []string
	for i := range d.Strikes {
		s := &d.Strikes[i]
		kind := s.Kind(scope)
		paces := kind != nil && kind.Pauses
		onRest, onBody := s.Delay > 0 || kind != nil && !paces, paces || s.Chunked()
		if !body && s.Delay > 0 || body && s.Delay == 0 && s.Chunked() {
			m.counts.add(s.Rule, "delay")
		}
		if kind != nil && paces == body {
			m.counts.add(s.Rule, kind.Name)
		}
		if body != (onBody && !onRest) {
			continue
		}
		names = append(names, s.Rule)
		if onRest || onBody {
			m.observers.Report(ctx, m.label(s.Rule))
		}
	}
	return strings.Join(names, ",")
}

// announce names the rules that hit a request in the header of its response, and
// reports what does not act on the body. It returns the names of those rules.
func (m *Module) announce(w http.ResponseWriter, r *http.Request, d *scenario.Decision, scope scenario.Scope) (rest string) {
	if m.header != "" {
		w.Header().Add(m.header, d.Names())
	}
	return m.reportPart(r.Context(), d, scope, false)
}

// takeBack changes the rules that announce has named in a header to others, "" for
// none.
func (m *Module) takeBack(h http.Header, names, rest string) {
	if m.header == "" {
		return
	}
	h[m.header] = slices.DeleteFunc(h[m.header], func(value string) bool { return value == names })
	if rest != "" {
		h.Add(m.header, rest)
	}
}

// label returns the name of a rule's fault for observers.
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

// recordCut records a cut, or warns once that a middleware makes that impossible.
func (m *Module) recordCut(w http.ResponseWriter, status, sent int, class record.Class) {
	if !record.Cut(w, status, sent, class) {
		m.hidden.Do(func() {
			m.host.Log.Warn("a fault cut a response and cannot be recorded: a middleware wraps the response writer without an Unwrap method")
		})
	}
}

// saw counts what the client saw at the end of a response that a fault cut.
func (m *Module) saw(s *scenario.Strike, what string) { m.counts.addEnd(s.Rule, what) }

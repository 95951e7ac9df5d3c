package faults

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seed-4591fe7d/podinfo/internal/faultroutes"
	"github.com/seed-4591fe7d/podinfo/internal/watch"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/capability"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// maxWarned is the number of rules up to which a scenario is checked for warnings,
// which compares each rule with those above it.
const maxWarned = 1000

// warn returns and logs why rules of s, which is valid, will not do what they say
// on this server.
func (m *Module) warn(s *scenario.Scenario) (warnings []string) {
	if len(s.Rules) == 0 || len(s.Rules) > maxWarned {
		return nil
	}
	for _, w := range scenario.Warnings("", s, m.server()) {
		text := strings.TrimPrefix(w.Error(), ": ")
		m.host.Log.WithField("warning", text).Warn("a fault rule will not do what it says")
		warnings = append(warnings, text)
	}
	return warnings
}

// server describes this server for warnings about rules. A proxy may serve other
// methods, and a TCP proxy others besides.
func (m *Module) server() scenario.Server {
	routes := m.host.Declared()
	out := scenario.Server{
		MaxDelay: m.MaxDelay, Routes: faultroutes.Of(routes), Methods: m.methods, TCPProxies: []string{},
		NoTLS:    !slices.ContainsFunc(m.ports, capability.TLSServer.ServesTLS),
		NoTokens: len(m.tokens) == 0, NoCounts: m.fleet.counts == nil,
	}
	if slices.ContainsFunc(routes, func(rt registry.Route) bool { return rt.Proxied }) {
		out.Methods = nil
	}
	for _, p := range m.proxiers {
		names := p.TCPProxies()
		if names == nil {
			out.TCPProxies = nil
			break
		}
		out.TCPProxies = append(out.TCPProxies, names...)
	}
	return out
}

// Server describes this server: its name, by what else rules match it, and what it
// serves. The result is read-only.
func (m *Module) Server() (name string, self scenario.Self, on scenario.Server) {
	return m.Instance, m.self, m.server()
}

// findMethods finds the methods of gRPC calls that the App serves.
func (m *Module) findMethods(h *registry.Host) error {
	l, err := registry.Optional(h, capability.RPCListers)
	m.methods = []string{}
	if l != nil {
		m.methods = slices.AppendSeq(m.methods, maps.Keys(l.ListRPCs()))
	}
	return err
}

// CheckSettings implements [registry.SettingsChecker]: it returns the mistakes in the
// file, and the warnings about rules.
func (m *Module) CheckSettings() (out []string) {
	name, text := "PODINFO_FAULTS", []byte(m.Inline)
	if m.File != "" {
		var err error
		name = filepath.Base(m.File)
		if text, err = watch.ReadFile(m.File, scenario.MaxBytes); errors.Is(err, fs.ErrNotExist) {
			return nil // which the command reports
		} else if err != nil {
			return []string{fmt.Sprintf("PODINFO_FAULTS_FILE=%q: %v", m.File, err)}
		}
	} else if !m.inlined() {
		return nil
	}
	_, warnings, err := scenario.Lint(name, text, m.server())
	if err != nil {
		out = strings.Split(err.Error(), "\n")
	}
	for _, w := range warnings {
		out = append(out, w.Error())
	}
	return out
}

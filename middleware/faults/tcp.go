package faults

import (
	"context"
	"net/http"

	"github.com/seed-4591fe7d/podinfo/internal/bearer"
	"github.com/seed-4591fe7d/podinfo/registry/capability"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// ConnectionRules implements [capability.ConnectionRuler].
func (m *Module) ConnectionRules() capability.ConnectionRules { return tcpConnections{m} }

// tcpConnections are the rules as modules for connections use them.
type tcpConnections struct{ m *Module }

func (c tcpConnections) Engine() *scenario.Engine { return c.m.engine }

func (c tcpConnections) CountHit(rule, kind string) {
	c.m.counts.add(rule, kind)
	c.m.observers.Report(context.Background(), c.m.label(rule))
}

func (c tcpConnections) GuardAdmin(h http.HandlerFunc) http.HandlerFunc { return c.m.guarded(h) }

// guarded returns a handler behind the access control of the API.
func (m *Module) guarded(h http.HandlerFunc) http.HandlerFunc {
	h = ownPages(bearer.Require(m.AdminToken, h))
	if m.AdminToken == "" {
		h = m.hosts.Require("PODINFO_FAULTS_ADMIN_HOSTS", "PODINFO_FAULTS_ADMIN_TOKEN", h)
	}
	return h
}

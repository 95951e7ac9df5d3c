// Package crash is the panic module, whose /panic route and RPC end the process.
// A package named panic would shadow the built-in function.
package crash

import (
	"net/http"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

// Code is the exit code of the process.
const Code = 255

// noExit is the message when Exit returns, as it does in tests.
const noExit = "this server does not exit on request"

// Module is the panic module.
type Module struct{ host *registry.Host }

// Info describes the module.
func (*Module) Info() registry.Info {
	return registry.Info{Name: "panic", Doc: "End the process on request, to test that it is restarted."}
}

// Provision stores the host.
func (m *Module) Provision(h *registry.Host) error { m.host = h; return nil }

// Routes declares /panic. It is not internal, so that fault injection can block
// it.
func (m *Module) Routes() []registry.Route {
	return []registry.Route{{
		Method: http.MethodGet, Path: "/panic", Handler: m.serve,
		Summary: "End the process with exit code 255, without a response", Tag: "HTTP API",
		Returns: map[int]any{http.StatusForbidden: reply.Problem{}, http.StatusInternalServerError: reply.Problem{}},
	}}
}

// serve responds only if Exit returns or if the request comes from a page of
// another site. Such a page could otherwise end the process with an image of
// this URL (Fetch Metadata, Sec-Fetch-Site).
func (m *Module) serve(w http.ResponseWriter, r *http.Request) {
	if site := r.Header.Get("Sec-Fetch-Site"); site == "cross-site" || site == "same-site" {
		reply.Error(w, http.StatusForbidden, "request from a page of another site refused")
		return
	}
	m.host.Log.WithContext(r.Context()).WithField("remote", r.RemoteAddr).WithField("code", Code).Error("panic requested, exiting")
	m.host.Exit(Code)
	reply.Error(w, http.StatusInternalServerError, noExit)
}

package ui

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/wait"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

// callTimeout bounds a gRPC call that the page asks for.
const callTimeout = 30 * time.Second

// rpcRequest is a gRPC call that the page asks for.
type rpcRequest struct {
	Method   string            `json:"method"`
	Metadata map[string]string `json:"metadata"`
	Message  json.RawMessage   `json:"message"`
}

// serveCall calls a gRPC method of this server, because a browser cannot. The call
// passes the gRPC chain like any other.
func (m *Module) serveCall(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	var in rpcRequest
	if !m.readJSON(w, r, &in) {
		return
	}
	if m.peers.caller == nil {
		respondError(w, moduleOff("grpc-server"))
		return
	}
	if len(in.Message) == 0 {
		in.Message = json.RawMessage("{}")
	}
	wait.Extend(w, r, callTimeout)
	ctx, cancel := context.WithTimeout(r.Context(), callTimeout)
	defer cancel()
	out, err := m.peers.caller.Call(ctx, in.Method, in.Metadata, in.Message)
	if err != nil {
		respondError(w, err)
		return
	}
	m.host.Log.WithContext(r.Context()).WithField("method", in.Method).WithField("code", out.Code).Info("gRPC method called from the page")
	reply.JSON(w, http.StatusOK, out)
}

// readJSON reads the body of a request into v, which must be the whole of it. It
// responds to a body that is not one.
func (m *Module) readJSON(w http.ResponseWriter, r *http.Request, v any) (ok bool) {
	buf := m.host.Budget().Buffer()
	defer buf.Close()
	body, ok := reply.ReadBytes(w, reply.Limit(w, r, scenario.MaxBytes), buf)
	if !ok {
		return false
	}
	if err := json.Unmarshal(body, v); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			err = fmt.Errorf("invalid JSON at byte %d: %w", syntax.Offset, err)
		}
		respondError(w, err)
		return false
	}
	return true
}

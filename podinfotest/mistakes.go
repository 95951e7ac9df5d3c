package podinfotest

import (
	"fmt"
	"maps"
	"net/http"
	"slices"

	"google.golang.org/grpc"

	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver"
	"github.com/seed-4591fe7d/podinfo/internal/suggest"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// forCalls reports whether a step applies to calls alone, so that the script of "*"
// is for all calls.
func forCalls(steps []Step) bool {
	return slices.ContainsFunc(steps, func(s Step) bool {
		return s.fault != nil && s.fault.Kind(scenario.GRPCCalls) != nil && s.fault.Kind(scenario.HTTPRequests) == nil && s.fault.Kind(scenario.WebSockets) == nil
	})
}

// forBoth reports whether all steps apply to requests and to calls alike, so that
// the script of "*" is for both.
func forBoth(attempts []Step) bool {
	return !slices.ContainsFunc(attempts, func(s Step) bool {
		return s.reply != nil || s.fault != nil && s.fault.Kind(scenario.GRPCCalls) == nil
	})
}

// mistyped returns an error for a path that is written like that of an RPC, is not one
// and resembles one.
func (s *Server) mistyped(p pattern) error {
	path := p.path.String()
	if p.method != "" || !likeRPC.MatchString(path) || s.proxies || s.isRPC(p) {
		return nil
	}
	if like := suggest.Word(path, s.rpcs()); like != "" {
		return fmt.Errorf("the server has no such RPC%s; write \"POST %s\" for an HTTP route of this path", like, path)
	}
	return nil
}

// hidden returns an error for a pattern that matches probes, metrics, health or
// reflection alone, which a script must name in full.
func (s *Server) hidden(p pattern, call bool) error {
	if p.path.Literal() || s.proxies {
		return nil
	}
	if call {
		if of := slices.DeleteFunc(s.rpcs(), func(rpc string) bool { return !p.path.Match(rpc) }); len(of) > 0 && isInternalRPC(of[0]) && p.path.String() != everything.String() {
			return fmt.Errorf("health and reflection are hit only by a script that names the RPC in full: use %s", of[0])
		}
		return nil
	}
	only := ""
	for _, rt := range s.App.Mounted() {
		if p.path.Match(rt.Path) && !rt.Internal {
			return nil
		}
		if p.path.Match(rt.Path) && only == "" {
			only = rt.Path
		}
	}
	if only == "" {
		return nil
	}
	return fmt.Errorf("probes and metrics are hit only by a script that names the path in full: use %s", only)
}

// unary returns an error for a step that waits for messages of a stream, if all RPCs of
// the script are unary.
func (s *Server) unary(sc script, step Step) error {
	if !sc.call || step.fault == nil || step.fault.GRPC == nil || step.fault.GRPC.After == 0 {
		return nil
	}
	of := unaries{}
	for _, m := range s.App.Modules() {
		if x, ok := m.Module.(grpcserver.Service); ok && m.State != registry.Off {
			x.RegisterGRPC(of)
		}
	}
	matched := slices.DeleteFunc(s.rpcs(), func(rpc string) bool { return !sc.path.path.Match(rpc) })
	if len(matched) == 0 || slices.ContainsFunc(matched, func(rpc string) bool { return !of[rpc] }) {
		return nil
	}
	return fmt.Errorf("After ends a stream, and %s is unary: remove After; Handled fails after the handler", matched[0])
}

// unaries are the unary RPCs that modules register.
type unaries map[string]bool

// RegisterService implements grpc.ServiceRegistrar.
func (u unaries) RegisterService(desc *grpc.ServiceDesc, _ any) {
	for _, m := range desc.Methods {
		u["/"+desc.ServiceName+"/"+m.MethodName] = true
	}
}

func isInternalRPC(rpc string) bool { return slices.Contains(internalRPCs, rpc) }

// rpcs returns the RPCs that can be scripted.
func (s *Server) rpcs() []string {
	if s.on("grpc-server") != nil {
		return nil
	}
	return append(slices.Sorted(maps.Keys(s.grpc.ListRPCs())), internalRPCs...)
}

// internalRPCs are those that every gRPC server of podinfo has. A script must name
// them in full.
var internalRPCs = []string{
	"/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch", "/grpc.health.v1.Health/List",
	"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
}

// webSockets returns the paths that serve WebSockets.
func (s *Server) webSockets() (out []string) {
	for _, rt := range s.App.Mounted() {
		if _, ok := rt.Returns[http.StatusSwitchingProtocols]; ok {
			out = append(out, rt.Path)
		}
	}
	return out
}

// hasWebSocket reports whether a pattern may match the path of a WebSocket. Only
// the stock modules say which of their routes are.
func (s *Server) hasWebSocket(p pattern) bool {
	if s.proxies || slices.ContainsFunc(s.webSockets(), p.path.Match) {
		return true
	}
	return slices.ContainsFunc(s.App.Mounted(), func(rt registry.Mounted) bool {
		return slices.Contains(s.foreign, rt.Module) && (p.path.Match(rt.Path) || p.path.String() == rt.Path)
	})
}

package podinfotest

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-4591fe7d/podinfo/endpoints/proxy"
)

// Proxy serves in front of a service until the test ends, and forwards every path
// to it: scripts break its responses, and [Server.Requests] returns the requests.
// target is the service's URL as a string, an *httptest.Server or an http.Handler.
//
// Inside a testing/synctest bubble, where target must be a handler, Proxy is like
// [StartInMemory], and otherwise like [Start]. There is one port: [Server.GRPC] and
// GRPCAddr connect to it too, and calls are recorded as requests over HTTP/2.
func Proxy(t testing.TB, target any, env ...string) *Server {
	t.Helper()
	if target == nil {
		t.Fatalf("podinfotest: %v", errTarget(target))
	}
	if bubble() != "" {
		return Config{Target: target}.StartInMemory(t, env...)
	}
	return Config{Target: target}.Start(t, env...)
}

func errTarget(target any) error {
	return fmt.Errorf("proxy for a target of type %T: want the URL of a service as a string, an *httptest.Server or an http.Handler", target)
}

// proxy returns the proxy module for c.Target, and turns off the gRPC port.
func (s *Server) proxy(c Config, vars map[string]string) (*proxy.Module, error) {
	if c.Services != nil {
		return nil, fmt.Errorf("Config has both Target and Services: pass the *grpc.Server with the services as Target")
	}
	if value, ok := vars["PODINFO_PROXY_URL"]; ok {
		return nil, badEntry("PODINFO_PROXY_URL="+value, "the target is set in code: remove the variable")
	}
	m := &proxy.Module{All: true}
	switch target := c.Target.(type) {
	case string:
		if m.URL = target; !strings.Contains(target, "://") {
			return nil, fmt.Errorf("the target %q has no scheme: want a URL such as http://localhost:8080", target)
		}
	case *httptest.Server:
		if target == nil || target.URL == "" {
			return nil, fmt.Errorf("the httptest.Server is not started: call its Start, or pass its Config.Handler")
		}
		m.URL = target.URL
		if cert := target.Certificate(); cert != nil {
			m.CAFile = filepath.Join(s.t.TempDir(), "ca.crt")
			if err := os.WriteFile(m.CAFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}), 0o600); err != nil {
				return nil, err
			}
		}
	case http.Handler:
		m.Handler = target
	case func(http.ResponseWriter, *http.Request):
		return nil, fmt.Errorf("the target is a function: pass http.HandlerFunc(f)")
	case *http.Server:
		return nil, fmt.Errorf("the target is an *http.Server: pass its Handler")
	default:
		return nil, errTarget(target)
	}
	if s.bubble != "" && m.Handler == nil {
		return nil, fmt.Errorf("the target %s inside a testing/synctest bubble, where the network stops the clock: pass the http.Handler of the service", m.URL)
	}
	vars["PODINFO_GRPC_SERVER_ENABLED"] = "false" // calls come in on the HTTP port
	s.GRPCAddr = s.entrances[web].addr
	return m, nil
}

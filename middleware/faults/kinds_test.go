package faults_test

import (
	"fmt"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	promset "github.com/VictoriaMetrics/metrics"

	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver/grpctest"
	"github.com/seed-4591fe7d/podinfo/endpoints/wsecho"
	"github.com/seed-4591fe7d/podinfo/middleware/faults"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// varying are the header lines that differ between requests, and the one that
// names the rule.
var varying = regexp.MustCompile(`(?m)^(Date|X-Podinfo-Fault): .*\n`)

// observe returns what clients of a server with these rules receive in each
// scope, over real connections, and the metrics after the requests of each.
func observe(t *testing.T, rulesText string) (seen, metrics map[scenario.Scope]string) {
	t.Helper()
	m, set := new(faults.Module), promset.NewSet()
	s := grpctest.Serve(t, rules(rulesText), m, new(endpoint), new(wsecho.Module), new(grpctest.Service))
	m.ContributeMetrics(set)
	srv := httptest.NewServer(s.App)
	defer srv.Close()
	seen, metrics = map[scenario.Scope]string{}, map[scenario.Scope]string{}
	record := func(scope scenario.Scope, what ...any) {
		seen[scope], metrics[scope] = varying.ReplaceAllString(fmt.Sprint(what...), ""), page(set)
		set = promset.NewSet()
		m.ContributeMetrics(set)
	}

	const get = "GET /a HTTP/1.1\r\nHost: x\r\n"
	got, err := exchange(t, srv.Listener.Addr().String(), get+"\r\n"+get+"Connection: close\r\n\r\n")
	record(scenario.HTTPRequests, got, err)

	messages, err := talk(t, srv.URL, 1, "a")
	record(scenario.WebSockets, messages, err)

	var frames []string
	c := dialRaw(t, s.Addr, nil)
	c.open(1, "UnaryCall", "")
	c.sendEmpty(1, true)
	for ended := false; !ended; {
		frame := c.next()
		frames = append(frames, frame)
		ended = !strings.HasPrefix(frame, "HEADERS") && !strings.HasPrefix(frame, "DATA") && !strings.HasPrefix(frame, "GOAWAY")
	}
	record(scenario.GRPCCalls, frames)

	record(scenario.Readiness, s.App.Ready(t.Context()))
	return seen, metrics
}

// Each kind changes what clients receive in the scopes of its row in the table of
// kinds, and nothing in others. Hits are counted under its name.
func TestKindsOverConnections(t *testing.T) {
	without, _ := observe(t, "true")
	for _, k := range scenario.Kinds() {
		with, metrics := observe(t, fmt.Sprintf("rules: [{ name: r, fault: { %s: %s } }]", k.Name, k.Example))
		for scope := range scenario.Readiness + 1 {
			does := k.Does(scope)
			plain, observed := without[scope]
			if !observed {
				t.Fatalf("no client observes the scope %v: add one to observe", scope)
			}
			switch changed := with[scope] != plain; {
			case does != "" && !changed:
				t.Errorf("the kind %s changes nothing in the scope %v, where it should %q: breakers[%[1]q] in middleware/faults/breakers.go has a function without an effect, or the tag of its field of scenario.Fault is wrong\n%s", k.Name, scope, does, plain)
			case does == "" && changed:
				t.Errorf("the kind %s acts in the scope %v without a tag %[2]v on its field of scenario.Fault: %s", k.Name, scope, with[scope])
			}
			counted := strings.Contains(metrics[scope], fmt.Sprintf("podinfo_fault_hits_total{rule=%q,kind=%q}", "r", k.Name))
			if want := does != "" && scope != scenario.Readiness; counted != want {
				t.Errorf("the kind %s in the scope %v: hits are counted: %v, want %v\n%s", k.Name, scope, counted, want, metrics[scope])
			}
		}
	}
}

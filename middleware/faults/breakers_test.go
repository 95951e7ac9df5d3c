package faults

import (
	"testing"

	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// Each kind has a function for each scope that its row in the table of kinds has
// a tag for, and no other.
func TestBreakersMatchTheTableOfKinds(t *testing.T) {
	unknown := map[string]bool{}
	for name := range breakers {
		unknown[name] = true
	}
	for _, k := range scenario.Kinds() {
		b := breakers[k.Name]
		delete(unknown, k.Name)
		functions := map[scenario.Scope]bool{
			scenario.HTTPRequests: b.http != nil || b.pace != nil,
			scenario.WebSockets:   b.webSocket != nil,
			scenario.GRPCCalls:    b.grpc != nil,
			scenario.Connections:  b.connection != nil,
			scenario.Handshakes:   b.handshake != nil,
		}
		for scope := range scenario.Handshakes + 1 {
			if scope == scenario.Readiness || scope == scenario.TCPConnections { // module tcp-proxy has its own table
				continue
			}
			has, known := functions[scope]
			switch does := k.Does(scope); {
			case !known:
				t.Fatalf("breaker in middleware/faults/breakers.go has no field for the scope %v: add one, and to this test", scope)
			case does != "" && !has:
				t.Errorf("nothing applies the kind %s in the scope %v: write a function that does %q and add it to breakers[%[1]q] in middleware/faults/breakers.go, or remove the tag from its field of scenario.Fault", k.Name, scope, does)
			case does == "" && has:
				t.Errorf("breakers[%q] in middleware/faults/breakers.go has a function for the scope %v: add the tag %[2]v to its field of scenario.Fault, or remove the function", k.Name, scope)
			}
		}
		if k.Pauses != (b.pace != nil) || b.pace != nil && b.http != nil {
			t.Errorf(`breakers[%q] in middleware/faults/breakers.go: a kind with the tag pauses:"true" has pace and no http, and others have no pace`, k.Name)
		}
	}
	for name := range unknown {
		t.Errorf("breakers[%q] in middleware/faults/breakers.go: there is no such kind; add a field to scenario.Fault or remove the entry", name)
	}
}

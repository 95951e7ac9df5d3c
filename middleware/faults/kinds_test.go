package faults_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	promset "github.com/VictoriaMetrics/metrics"

	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver/grpctest"
	"github.com/seed-4591fe7d/podinfo/endpoints/wsecho"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/middleware/faults"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// varying are the header lines that differ between requests, and the one that
// names the rule.
var varying = regexp.MustCompile(`(?m)^(Date|X-Podinfo-Fault): .*\n`)

// timeline returns what a client receives for a POST and after how many seconds, on
// the fake clock of testing/synctest.
func timeline(t *testing.T, rulesText string) (out string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		app, _ := registrytest.New(t, rules(rulesText), new(faults.Module), new(endpoint))
		l := make(pipes)
		srv := &http.Server{Handler: app}
		go srv.Serve(l)
		defer srv.Close()
		client, server := net.Pipe()
		defer client.Close()
		l <- server
		began := time.Now()
		go io.WriteString(client, "POST /upload HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n\r\nabcde")
		client.SetReadDeadline(began.Add(time.Hour))
		for {
			b := make([]byte, 4<<10)
			n, err := client.Read(b)
			out += fmt.Sprintf("%v %s %v\n", time.Since(began), b[:n], err)
			if err != nil {
				return
			}
		}
	})
	return out
}

// observe returns what clients of a server with these rules receive in each
// scope, over real connections, and the metrics after the requests of each. The
// clients leave when their patience ends.
func observe(t *testing.T, rulesText string, patience time.Duration) (seen, metrics map[scenario.Scope]string) {
	t.Helper()
	seen, metrics = map[scenario.Scope]string{}, map[scenario.Scope]string{}
	var set *promset.Set
	serve := func() *grpctest.Server { // anew for each scope: a request that its client left may still be counted
		m := new(faults.Module)
		s := grpctest.Serve(t, rules(rulesText), m, new(endpoint), new(wsecho.Module), new(grpctest.Service))
		set = promset.NewSet()
		m.ContributeMetrics(set)
		return s
	}
	record := func(scope scenario.Scope, what ...any) {
		seen[scope], metrics[scope] = varying.ReplaceAllString(fmt.Sprint(what...), ""), page(set)
	}

	const get = "GET /a HTTP/1.1\r\nHost: x\r\n"
	srv := httptest.NewServer(serve().App)
	defer srv.Close()
	got, err := exchangeWithin(t, patience, srv.Listener.Addr().String(), get+"\r\n"+get+"Connection: close\r\n\r\n")
	record(scenario.HTTPRequests, got, err, timeline(t, rulesText))

	web := httptest.NewServer(serve().App)
	defer web.Close()
	messages, err := talkWithin(t, patience, web.URL, 1, "a")
	record(scenario.WebSockets, messages, err)

	var frames []string
	s := serve()
	c := dialRaw(t, s.Addr, nil)
	c.conn.SetDeadline(time.Now().Add(patience))
	c.open(1, "UnaryCall", "")
	c.sendEmpty(1, true)
	for ended := false; !ended; {
		frame := c.next()
		frames = append(frames, frame)
		ended = !strings.HasPrefix(frame, "HEADERS") && !strings.HasPrefix(frame, "DATA") && !strings.HasPrefix(frame, "GOAWAY")
	}
	record(scenario.GRPCCalls, frames)

	observeConnections(t, rulesText, patience, func(of *promset.Set, scope scenario.Scope, what ...any) {
		set = of
		record(scope, what...)
	})

	record(scenario.Readiness, serve().App.Ready(t.Context()))
	return seen, metrics
}

// Each kind changes what clients receive in the scopes of its row in the table of
// kinds, and nothing in others. Hits are counted under its name.
func TestKindsOverConnections(t *testing.T) {
	without, _ := observe(t, "true", 20*time.Second)
	for _, k := range scenario.Kinds() {
		for _, at := range []scenario.Stage{scenario.BeforeHandler, scenario.AfterHandler} {
			if at == scenario.BeforeHandler || k.After {
				checkKind(t, k, at, without)
			}
		}
	}
}

// checkKind checks what a kind changes at a stage. Nothing happens after the handler
// of a WebSocket.
func checkKind(t *testing.T, k *scenario.Kind, at scenario.Stage, without map[scenario.Scope]string) {
	t.Helper()
	patience := 20 * time.Second
	example := k.Example
	if k.Name == "stall" { // a client sees the pause of a call only when it does not end
		example = "{ after: 10, hang: true }"
	}
	if k.Name == "hang" || k.Name == "stall" {
		patience = 300 * time.Millisecond
	}
	with, metrics := observe(t, fmt.Sprintf("rules: [{ name: r, at: %s, fault: { %s: %s } }]", at, k.Name, example), patience)
	for scope := range scenario.Handshakes + 1 {
		if scope == scenario.TCPConnections { // module tcp-proxy breaks them, and tests it
			continue
		}
		does := k.Does(scope)
		if scope == scenario.WebSockets && at == scenario.AfterHandler {
			does = ""
		}
		plain, observed := without[scope]
		if !observed {
			t.Fatalf("no client observes the scope %v: add one to observe", scope)
		}
		switch changed := with[scope] != plain; {
		case does != "" && !changed:
			t.Errorf("the kind %s at %s changes nothing in the scope %v, where it should %q: breakers[%[1]q] in middleware/faults/breakers.go has a function without an effect, or the tag of its field of scenario.Fault is wrong\n%s", k.Name, at, scope, does, plain)
		case does == "" && changed:
			t.Errorf("the kind %s at %s acts in the scope %v without a tag %[3]v on its field of scenario.Fault: %s", k.Name, at, scope, with[scope])
		}
		counted := strings.Contains(metrics[scope], fmt.Sprintf("podinfo_fault_hits_total{rule=%q,kind=%q}", "r", k.Name))
		if want := does != "" && scope != scenario.Readiness; counted != want {
			t.Errorf("the kind %s at %s in the scope %v: hits are counted: %v, want %v\n%s", k.Name, at, scope, counted, want, metrics[scope])
		}
	}
}

package scenario_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

const scopes = scenario.Handshakes + 1

// Every field of Fault is a complete row of the table of kinds.
func TestTableOfKinds(t *testing.T) {
	var schema struct {
		Properties struct {
			Rules struct {
				Items struct {
					Properties struct {
						Fault struct {
							Properties map[string]struct{ Description string }
						}
					}
				}
			}
		}
	}
	if err := json.Unmarshal(scenario.Schema(), &schema); err != nil {
		t.Fatal(err)
	}
	documented := schema.Properties.Rules.Items.Properties.Fault.Properties
	kinds := map[string]*scenario.Kind{}
	for _, k := range scenario.Kinds() {
		kinds[k.Name] = k
	}
	tags := []string{"json", "doc", "example", "default", "of", "after", "beside", "edits", "pauses", "waits", "label", "min", "max", "scalar", "required"}
	for s := range scopes {
		tags = append(tags, s.String())
	}
	for f := range reflect.TypeFor[scenario.Fault]().Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		wrong := func(format string, args ...any) {
			t.Helper()
			t.Errorf("Fault.%s in registry/fault/scenario/fault.go: %s", f.Name, fmt.Sprintf(format, args...))
		}
		for _, m := range regexp.MustCompile(`(\S+?):"(?:[^"\\]|\\.)*"`).FindAllStringSubmatch(string(f.Tag), -1) {
			if !slices.Contains(tags, m[1]) {
				wrong("unknown tag %s; use one of %s", m[1], strings.Join(tags, ", "))
			}
		}
		if !regexp.MustCompile("^[a-z][a-z0-9-]*$").MatchString(name) || options != "omitempty" {
			wrong(`add the tag json:"NAME,omitempty" with a name in lower case`)
		}
		if name == "delay" || name == "skipped" {
			wrong("the name %q counts delays in metrics; use another one", name)
		}
		if _, ok := documented[name]; !ok {
			wrong("missing from the schema")
		}
		var of []string
		if text := f.Tag.Get("of"); text != "" {
			of = strings.Split(text, ",")
		}
		for _, whole := range of {
			if kinds[whole] == nil {
				wrong(`of:"%s": there is no kind %s`, strings.Join(of, ","), whole)
			}
		}
		k := kinds[name]
		switch {
		case k == nil && of == nil:
			wrong(`neither a kind nor a part of one; add a tag http, websocket, grpc, readiness or tcp for each scope that it acts in, with what it does there, or of:"KIND"`)
		case k == nil && f.Tag.Get("doc") == "":
			wrong("add a tag doc with what it is")
		case k != nil:
			checkKind(t, k, documented[name].Description)
		}
	}
}

// checkKind checks a row by its example.
func checkKind(t *testing.T, k *scenario.Kind, description string) {
	t.Helper()
	if k.Example == "" {
		t.Errorf("kind %s: add a tag example with a value in YAML", k.Name)
		return
	}
	for s := range scenario.Readiness {
		if (k.Does(s) == "") == (k.Not(s) == "") {
			t.Errorf(`kind %s: add a tag %v with what it does there, or "no: " and why it does nothing there`, k.Name, s)
		}
	}
	if k.After == (k.NotAfter() != "") {
		t.Errorf(`kind %s: add the tag after, "true" or "no: " and why it does not act after the handler`, k.Name)
	}
	parse := func(more string) (*scenario.Rule, error) {
		return scenario.ParseRule("example", "r", []byte(fmt.Sprintf("fault: { %s: %s }\n%s", k.Name, k.Example, more)))
	}
	r, err := parse("")
	if err != nil {
		t.Errorf("kind %s: its example is rejected: %v", k.Name, err)
		return
	}
	if diff := cmp.Diff([]string{k.Name}, kindNames(r.Fault)); diff != "" {
		t.Errorf("kind %s: its example gives other kinds: %s", k.Name, diff)
	}
	if again, err := scenario.ParseRule("example", "r", r.JSON()); err != nil || !reflect.DeepEqual(again, r) {
		t.Errorf("kind %s: its example does not survive JSON: %+v %v", k.Name, again, err)
	}
	for s := range scopes {
		acts := k.Does(s) != ""
		if acts && !strings.Contains(description, k.Does(s)) {
			t.Errorf("kind %s: the schema does not contain %q", k.Name, k.Does(s))
		}
		if got := r.Fault.Kind(s); (got == k) != acts || (got == nil) == acts || r.Meets(s) != acts || !strings.HasPrefix(k.Label(r.Fault), k.Name) {
			t.Errorf("kind %s: in the scope %v it acts: %v, is %v, meets: %v", k.Name, s, acts, got, r.Meets(s))
		}
	}
	// After the handler it acts in the same scopes, but for those of WebSockets and
	// readiness, or is rejected.
	late, err := parse("at: after")
	if (err == nil) != k.After || err != nil && !strings.Contains(err.Error(), k.NotAfter()) {
		t.Errorf("kind %s: at: after: %v, and its tag says %v %q", k.Name, err, k.After, k.NotAfter())
	}
	for s := range scopes {
		if acts := s != scenario.WebSockets && k.Does(s) != ""; err == nil && late.Meets(s) != acts {
			t.Errorf("kind %s: after the handler it acts in the scope %v: %v, want %v", k.Name, s, !acts, acts)
		}
	}
	// A rule that matches only requests that the kind does not break is rejected.
	web := k.Does(scenario.HTTPRequests)+k.Does(scenario.WebSockets) != ""
	for match, acts := range map[string]bool{
		"match: { path: /a }": web, "match: { grpc: '*' }": k.Does(scenario.GRPCCalls) != "", "match: { tcp: a }": k.Does(scenario.TCPConnections) != "",
	} {
		if _, err := parse(match); (err == nil) != acts {
			t.Errorf("kind %s: %s: it acts: %v, and the error is %v", k.Name, match, acts, err)
		}
	}
	// The engine hits exactly what it breaks.
	e := engine(t, fmt.Sprintf("- { name: r, fault: { %s: %s } }", k.Name, k.Example))
	ws := get("/a", nil)
	ws.WebSocket = true
	for _, req := range []*scenario.Request{get("/a", nil), ws, {RPC: "/a.B/C", Values: values{}}, {TCP: "a", Values: values{}}, {Connection: true, Values: values{}}, {Handshake: true, Values: values{}}} {
		if k.Name == "down" && e.Down("a") == "r" {
			continue // it closes the port and hits no connection
		}
		if hit := names(e, req) == "r"; hit != (k.Does(req.Scope()) != "") {
			t.Errorf("kind %s: in the scope %v it hits: %v", k.Name, req.Scope(), hit)
		}
	}
	if unready := e.Unready() == "r"; unready != (k.Does(scenario.Readiness) != "") {
		t.Errorf("kind %s: it fails readiness: %v", k.Name, unready)
	}
}

func kindNames(f *scenario.Fault) (out []string) {
	for _, k := range f.Kinds() {
		out = append(out, k.Name)
	}
	return out
}

// The kind of a fault in each scope, and what combines.
func TestKindOfFault(t *testing.T) {
	for fault, want := range map[string][scopes]string{ // by scope: HTTP, WebSocket, gRPC, readiness, TCP
		"status: 503":                   {"status 503", "status 503"},
		"status: 503, grpc: NOT_FOUND":  {"status 503", "status 503", "grpc NotFound"},
		"grpc: NOT_FOUND, goaway: true": {"goaway", "", "grpc NotFound"},
		"reset: true":                   {"reset", "reset", "reset", "", "reset"},
		"reset: true, truncate: 0":      {"truncate"},
		"latency: 1s, direction: both":  {"", "", "", "", "latency"},
		"reset: true, truncate: 0, grpc: { code: ABORTED, after: 1 }": {"truncate", "", "grpc Aborted"},
		"bandwidth: 1":             {"bandwidth", "", "", "", "bandwidth"},
		"websocket: { drop: 100 }": {"", "websocket"},
		"unready: true":            {"", "", "", "unready"},
		"status: 503, headers: {}": {"status 503", "status 503"},
		"empty: true, headers: {}": {"empty", "empty", "empty", "", "empty"},
	} {
		r, err := scenario.ParseRule("x", "r", []byte("fault: { "+fault+" }"))
		if err != nil {
			t.Errorf("%s: %v", fault, err)
			continue
		}
		var got [scopes]string
		for s := range scopes {
			got[s] = r.Fault.Kind(s).Label(r.Fault)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", fault, diff)
		}
	}
	if f := (*scenario.Fault)(nil); f.Kinds() != nil || f.Kind(scenario.HTTPRequests) != nil {
		t.Error("a nil fault has a kind")
	}
}

// Delays meet everything but, between chunks, WebSockets.
func TestMeets(t *testing.T) {
	for rule, want := range map[string][scopes]bool{ // by scope: HTTP, WebSocket, gRPC, readiness, TCP
		"delay: 1s":                                 {true, true, true, false, true},
		"delay: { fixed: 1s, at: chunks }":          {true, false, true, false, false},
		"limit: { rate: 1 }":                        {true, true, true, false, false},
		"delay: 1s, fault: { truncate: 1 }":         {true, false, true, false},
		"delay: 1s, fault: { grpc: ABORTED }":       {true, true, true, false},
		"fault: { grpc: ABORTED }":                  {false, false, true, false},
		"delay: 1s, fault: { websocket: {drop: 1}}": {false, true, true, false},
		"delay: 1s, fault: { slice: 1 }":            {true, true, true, false, true},
		"fault: { hold: true }":                     {false, false, false, false, true},
		"fault: { unready: true }":                  {false, false, false, true},
	} {
		r, err := scenario.ParseRule("x", "r", []byte("{ "+rule+" }"))
		if err != nil {
			t.Fatal(rule, err)
		}
		var got [scopes]bool
		for s := range scopes {
			got[s] = r.Meets(s)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", rule, diff)
		}
	}
}

package scenario

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
)

// Scope is a part of the server that a fault can break.
type Scope uint8

// The scopes. Each has a tag in the table of kinds, the fields of [Fault].
const (
	HTTPRequests Scope = iota // those that do not ask for a WebSocket
	WebSockets                // their handshakes and messages
	GRPCCalls
	Readiness
	TCPConnections // those through a TCP proxy
	Connections    // those that an HTTP or HTTPS port accepts
	Handshakes     // of TLS
	scopeCount
)

var scopeTags = [scopeCount]string{"http", "websocket", "grpc", "readiness", "tcp", "connection", "handshake"}

// String returns the scope's tag in the table of kinds: "http".
func (s Scope) String() string { return scopeTags[s] }

var scopeTitles = [scopeCount]string{"HTTP", "WebSocket", "gRPC", "Readiness", "TCP", "Connection", "TLS handshake"}

// Kind is a kind of fault: one row of the table that is the fields of [Fault].
type Kind struct {
	Name    string // key in a scenario, and value of the label "kind" in metrics
	Example string // a value in YAML
	Pauses  bool   // the response is sent with pauses
	Waits   bool   // the request waits, as for all kinds that pause
	After   bool   // the kind also acts after the handler

	does     [scopeCount]string // empty where the kind does nothing
	not      [scopeCount]string // why the kind does nothing there
	notAfter string             // why the kind does not act after the handler
	scopes   []Scope            // those it acts in; none when it is merely a part of other kinds
	field    int                // index in Fault
	scalar   string             // key of the value that may stand for the whole
	of       []string           // kinds that it is a part of when they are given
	edits    bool               // the kind changes the handler's response
	beside   bool               // combines with any other kind, and wins in its scopes
	labeled  bool               // simulations count each value separately
}

// Does describes what k does in a scope, in words. It is empty when k does
// nothing there.
func (k *Kind) Does(s Scope) string { return k.does[s] }

// Not says why k does nothing in a scope, and what to use there.
func (k *Kind) Not(s Scope) string { return k.not[s] }

// NotAfter says why k does not act after the handler, and what to do instead.
func (k *Kind) NotAfter() string { return k.notAfter }

// not is what a tag begins with that says why there is nothing.
const not = "no: "

// kindTable is the rows of the table, those of mere parts included, as the tags
// of Fault give them.
var kindTable = sync.OnceValue(func() (rows []*Kind) {
	for i, t := 0, reflect.TypeFor[Fault](); i < t.NumField(); i++ {
		f := t.Field(i)
		k := &Kind{
			Name: keyOf(f), Example: f.Tag.Get("example"), Pauses: f.Tag.Get("pauses") != "", After: f.Tag.Get("after") == "true",
			field: i, scalar: f.Tag.Get("scalar"), beside: f.Tag.Get("beside") != "", edits: f.Tag.Get("edits") != "", labeled: f.Tag.Get("label") != "",
		}
		k.Waits = k.Pauses || f.Tag.Get("waits") != ""
		k.notAfter, _ = strings.CutPrefix(f.Tag.Get("after"), not)
		if k.After {
			k.notAfter = ""
		}
		if of := f.Tag.Get("of"); of != "" {
			k.of = strings.Split(of, ",")
		}
		for s := range scopeCount {
			does := f.Tag.Get(s.String())
			if why, ok := strings.CutPrefix(does, not); ok {
				k.not[s] = why
			} else if does != "" {
				k.does[s], k.scopes = does, append(k.scopes, s)
			}
		}
		rows = append(rows, k)
	}
	return rows
})

// Kinds returns the kinds of faults that act in any of the scopes, or in any
// scope at all when none is given, in the order of the table.
func Kinds(scopes ...Scope) (kinds []*Kind) {
	for _, k := range kindTable() {
		acts := func(s Scope) bool { return len(scopes) == 0 || slices.Contains(scopes, s) }
		if slices.ContainsFunc(k.scopes, acts) {
			kinds = append(kinds, k)
		}
	}
	return kinds
}

func (k *Kind) value(f *Fault) reflect.Value { return reflect.ValueOf(f).Elem().Field(k.field) }

// isUnset reports whether a field of a fault is not given.
func isUnset(v reflect.Value) bool { return v.IsZero() || v.Kind() == reflect.Map && v.Len() == 0 }

// isPart reports whether f gives a kind that k is a part of.
func (k *Kind) isPart(f *Fault) bool {
	return slices.ContainsFunc(kindTable(), func(of *Kind) bool {
		return slices.Contains(k.of, of.Name) && !isUnset(of.value(f))
	})
}

// Kinds returns the kinds that f gives, in the order of the table.
func (f *Fault) Kinds() (kinds []*Kind) {
	if f == nil {
		return nil
	}
	for _, k := range kindTable() {
		if len(k.scopes) > 0 && !isUnset(k.value(f)) && !k.isPart(f) {
			kinds = append(kinds, k)
		}
	}
	return kinds
}

// kindIn returns the kind of f in each scope.
func (f *Fault) kindIn() (out [scopeCount]*Kind) {
	for _, k := range f.Kinds() {
		for _, s := range k.scopes {
			if out[s] == nil || k.beside {
				out[s] = k
			}
		}
	}
	return out
}

// Kind returns what f is in a scope. It is nil when f does nothing there.
func (f *Fault) Kind(s Scope) *Kind { return f.kindIn()[s] }

// Label returns the name of k, followed by its value in f where simulations count
// each value separately: "status 503". It is empty when k is nil.
func (k *Kind) Label(f *Fault) string {
	if k == nil {
		return ""
	}
	if !k.labeled {
		return k.Name
	}
	v := reflect.Indirect(k.value(f))
	if k.scalar != "" {
		field, _ := fieldOf(v.Type(), k.scalar)
		v = v.FieldByIndex(field.Index)
	}
	return fmt.Sprintf("%s %v", k.Name, v)
}

// Meets reports whether r, whatever its match, does something in a scope. A
// fault for one of HTTP requests and WebSockets leaves the other alone, and so
// do delays between chunks with WebSockets. A rule with alternatives does what any of
// them does.
func (r *Rule) Meets(s Scope) bool {
	if len(r.Choose) > 0 {
		return slices.ContainsFunc(r.Alternatives(), func(a *Rule) bool { return a.Meets(s) })
	}
	return r.meets(s, r.kindIn())
}

// kindIn returns the kind of the rule's fault in each scope. Nothing happens after
// the handler of a WebSocket, which returns when the connection is closed.
func (r *Rule) kindIn() [scopeCount]*Kind {
	kinds := r.Fault.kindIn()
	if r.late() {
		kinds[WebSockets] = nil
	}
	return kinds
}

func (r *Rule) meets(s Scope, kinds [scopeCount]*Kind) bool {
	switch {
	case kinds[s] != nil:
		return true
	case s == TCPConnections:
		return r.meetsTCP(kinds)
	case s >= Readiness || kinds[Readiness] != nil || s == WebSockets && r.late():
		return false
	case s != GRPCCalls && (kinds[HTTPRequests] != nil || kinds[WebSockets] != nil):
		return false
	case r.Delay == nil:
		return r.Fault == nil
	}
	return s != WebSockets || r.Delay.At != Chunks
}

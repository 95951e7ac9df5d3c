package scenario

import (
	"cmp"
	"fmt"
	"net/textproto"
	"reflect"
	"slices"
	"strings"

	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// Fault is one way for a request to break. Its fields are the table of fault
// kinds: each field is a kind or a part of one, and its tags are the row.
//
//	json         the kind's name in scenarios, metrics and simulations
//	http, websocket, grpc, readiness
//	             what the kind does in this scope; without the tag, nothing
//	example      a value in YAML, for the schema and the tests
//	pauses       "true": the response is sent with pauses
//	of           the kinds that the field is a part of when they are given
//	beside       "any": the kind combines with any other, and wins in its scopes
//	label        "value": simulations count each value separately
//	doc          what a part is
//	min, max, scalar, required
//	             limits of the value; a type with a check method checks more
//
// The other half is the table breakers in middleware/faults, with the functions
// that apply each kind. Tests fail when the two disagree.
type Fault struct {
	Status  int         `json:"status,omitempty" min:"400" max:"599" example:"503" label:"value" http:"respond with this status" websocket:"refuse the handshake with this status"`
	Headers ReplyHeader `json:"headers,omitempty" of:"status" doc:"headers of that response"`
	Body    string      `json:"body,omitempty" of:"status" doc:"body of that response"`

	RetryAfter *RetryAfter `json:"retry-after,omitempty" of:"status" scalar:"after" doc:"header Retry-After of that response"`

	Empty     bool   `json:"empty,omitempty" example:"true" http:"close the connection without a response; over HTTP/2, reset the stream" websocket:"close the connection without a response" grpc:"close the connection, which ends every call on it"`
	Reset     bool   `json:"reset,omitempty" of:"truncate" example:"true" http:"reset the connection (TCP RST; over HTTP/2, RST_STREAM), with truncate after its bytes" websocket:"reset the connection" grpc:"reset the stream (RST_STREAM)"`
	Truncate  *int   `json:"truncate,omitempty" min:"0" max:"1048576" example:"10" http:"send the first N bytes of the body, fewer than its Content-Length, then close the connection"`
	BadChunk  bool   `json:"bad-chunk,omitempty" example:"true" http:"end the body with a malformed chunk"`
	Garbage   bool   `json:"garbage,omitempty" example:"true" http:"send bytes that are not HTTP" websocket:"send bytes that are not HTTP"`
	Stall     *Stall `json:"stall,omitempty" scalar:"for" pauses:"true" example:"{ after: 10, for: 100ms }" http:"pause in the middle of the body"`
	Bandwidth int    `json:"bandwidth,omitempty" min:"1" pauses:"true" example:"1024" http:"send N bytes of the body per second"`
	GoAway    bool   `json:"goaway,omitempty" example:"true" http:"respond, and tell the client to leave the connection (Connection: close; over HTTP/2, GOAWAY)" grpc:"tell the client to leave the connection (GOAWAY); the call goes on"`

	WebSocket *WebSocket `json:"websocket,omitempty" example:"{ close: 1011 }" websocket:"drop or delay messages, or close the connection with a status code"`
	GRPC      *GRPC      `json:"grpc,omitempty" scalar:"code" beside:"any" example:"UNAVAILABLE" label:"value" grpc:"end the call with this status code"`
	Unready   bool       `json:"unready,omitempty" example:"true" readiness:"fail while the conditions of when hold; such a rule has no match"`
}

// ReplyHeader is the header of a response, by name.
type ReplyHeader map[string]string

// framing are the headers that the server sets to mark the end of a message.
var framing = []string{"Content-Length", "Transfer-Encoding", "Trailer"}

func (h ReplyHeader) check(d *decoder, field string) {
	for name, value := range h {
		if !token().MatchString(name) || strings.ContainsAny(value, "\r\n\x00") {
			d.wrong(field, "%q: invalid header; use letters, digits and - in the name and one line as the value", name)
		} else if slices.Contains(framing, textproto.CanonicalMIMEHeaderKey(name)) {
			d.wrong(field, "the server sets %s itself; use truncate or bad-chunk to break a body", name)
		}
	}
}

// Stall is a pause in the middle of a body.
type Stall struct {
	After int      `json:"after,omitempty" min:"0" doc:"bytes sent before the pause"`
	For   Duration `json:"for" required:"true" doc:"length of the pause"`
}

func (s *Stall) check(d *decoder, field string) {
	if s.For <= 0 {
		d.wrong(field, "the pause must be above zero")
	}
}

// WebSocket breaks an open WebSocket. Each direction counts its own messages.
type WebSocket struct {
	Close     int       `json:"close,omitempty" min:"1000" max:"4999" doc:"close the connection with this status code (RFC 6455, 7.4)"`
	Reason    string    `json:"reason,omitempty" doc:"reason sent with the status code, at most 123 bytes"`
	After     int       `json:"after,omitempty" min:"0" doc:"messages that pass untouched first"`
	Drop      *float64  `json:"drop,omitempty" min:"0" max:"100" doc:"percentage of messages to drop, 0 to 100"`
	Delay     *Delay    `json:"delay,omitempty" scalar:"fixed" doc:"delay of each message, which later ones wait for"`
	Direction Direction `json:"direction,omitempty" doc:"messages to break: out, those of the server (the default), in, those of the client, or both"`
}

func (w *WebSocket) check(d *decoder, field string) {
	if w.Close == 0 && w.Drop == nil && w.Delay == nil {
		d.wrong(field, "no effect; add close, drop or delay")
	}
	if w.Close >= 1004 && w.Close <= 1006 || w.Close >= 1015 && w.Close < 3000 {
		d.wrong(field+".close", "%d is reserved; use 1000 to 1003, 1007 to 1014 or 3000 to 4999", w.Close)
	}
	if len(w.Reason) > 123 {
		d.wrong(field+".reason", "longer than 123 bytes")
	}
	if w.Delay != nil {
		d.checkDelay(w.Delay, field+".delay")
		if w.Delay.At != "" {
			d.wrong(field+".delay.at", "no effect, as each message is delayed; remove it")
		}
	}
}

// Direction is the direction of messages, seen from the server.
type Direction string

// The directions.
const (
	Out     Direction = "out"
	In      Direction = "in"
	BothWay Direction = "both"
)

// Has reports whether d includes one, which is Out or In. An empty d is Out.
func (d Direction) Has(one Direction) bool { return cmp.Or(d, Out) == one || d == BothWay }

// GRPC ends a call with a status.
type GRPC struct {
	Code    rpc.Code `json:"code" required:"true" doc:"status code other than OK"`
	Message string   `json:"message,omitempty" doc:"message sent with the status code"`
	Details *Details `json:"details,omitempty" doc:"error details, as in google/rpc/error_details.proto"`
	After   int      `json:"after,omitempty" min:"1" doc:"messages sent before the status, which comes at the latest when the handler returns"`
}

func (g *GRPC) check(d *decoder, field string) {
	if g.Details != nil && reflect.DeepEqual(g.Details, new(Details)) {
		d.wrong(field+".details", "empty; add at least one of %s", strings.Join(keysOf(reflect.TypeFor[Details]()), ", "))
	}
}

// Details are the error details of a gRPC status.
type Details struct {
	RetryInfo        *RetryInfo        `json:"retry-info,omitempty" scalar:"delay" doc:"when to retry; set automatically above a limit"`
	ErrorInfo        *ErrorInfo        `json:"error-info,omitempty" scalar:"reason" doc:"machine-readable reason"`
	BadRequest       map[string]string `json:"bad-request,omitempty" doc:"descriptions of invalid request fields, by field"`
	QuotaFailure     map[string]string `json:"quota-failure,omitempty" doc:"descriptions of exceeded quotas, by subject"`
	Help             map[string]string `json:"help,omitempty" doc:"URLs, by description"`
	LocalizedMessage map[string]string `json:"localized-message,omitempty" doc:"messages for users, by locale such as en-US"`
	DebugInfo        string            `json:"debug-info,omitempty" doc:"message for developers"`
}

// RetryInfo tells the client when to retry.
type RetryInfo struct {
	Delay Duration `json:"delay" required:"true" doc:"time to wait before the retry"`
}

// ErrorInfo is the machine-readable reason of an error.
type ErrorInfo struct {
	Reason   string            `json:"reason" required:"true" doc:"reason in UPPER_SNAKE_CASE"`
	Domain   string            `json:"domain,omitempty" doc:"service that the reason belongs to, such as podinfo.example.com"`
	Metadata map[string]string `json:"metadata,omitempty" doc:"additional values, by name"`
}

// checker is implemented by values that need more checks than their tags say.
type checker interface {
	// check reports mistakes through d.wrong; field is the path to the value.
	check(d *decoder, field string)
}

func (d *decoder) checkFault(f *Fault) {
	given := f.Kinds()
	alone := slices.DeleteFunc(slices.Clone(given), func(k *Kind) bool { return k.beside })
	switch {
	case len(given) == 0:
		d.wrong("fault", "no fault; add one of %s", namesOf(Kinds()))
	case len(alone) > 1:
		d.wrong("fault", "%s cannot be combined; keep one of them", namesOf(alone))
	}
	for _, row := range kindTable() {
		v := row.value(f)
		if isUnset(v) {
			continue
		}
		if len(row.scopes) == 0 && !row.isPart(f) {
			d.wrong("fault."+row.Name, "no effect without %s; add it or remove %[2]s", strings.Join(row.of, " or "), row.Name)
		}
		if c, ok := v.Interface().(checker); ok {
			c.check(d, "fault."+row.Name)
		}
	}
}

// checkScopes reports a fault that breaks nothing that the rule matches.
func (d *decoder) checkScopes(r *Rule) {
	f := r.Fault
	if f == nil || len(f.Kinds()) == 0 {
		return
	}
	if k := f.Kind(Readiness); k != nil {
		w := r.When
		if w.counts() || w.Ramp != nil || r.Delay != nil || r.Limit != nil || len(f.Kinds()) > 1 || !r.Match.empty() {
			d.wrong("fault."+k.Name, "combines only with match.server, match.instance and with for, window, daily, cron, weekdays and flap of when; remove the rest")
		}
		return
	}
	misses := func(what string, scopes ...Scope) {
		if !slices.ContainsFunc(scopes, func(s Scope) bool { return f.Kind(s) != nil }) {
			d.wrong("fault", "%s does nothing to %s; use one of %s", namesOf(f.Kinds()), what, namesOf(Kinds(scopes...)))
		}
	}
	if r.Match.web() {
		misses("HTTP requests, which path, methods, host and query match", HTTPRequests, WebSockets)
	}
	if r.Match.GRPC != "" {
		misses("gRPC calls, which match.grpc matches", GRPCCalls)
	}
}

// namesOf lists the names of kinds for an error.
func namesOf(kinds []*Kind) string {
	var names []string
	for _, k := range kinds {
		names = append(names, k.Name)
	}
	if n := len(names); n > 1 {
		return fmt.Sprintf("%s and %s", strings.Join(names[:n-1], ", "), names[n-1])
	}
	return strings.Join(names, "")
}

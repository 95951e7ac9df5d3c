// Package scenario is the engine of the faults module: rules that say which
// requests are to be delayed or broken, and how. It knows no HTTP and no gRPC:
// it is told of a request and says what happens to it.
//
// What the n-th request of a rule, or of one of its keys, gets is a function
// of the seed, the rule's name, the key and n alone, whatever the number of
// clients. Only what is about time (when, ttl, limit) depends on the clock too.
// A rule does not count the requests that a rule above it hit.
package scenario

import (
	"cmp"
	"encoding/json"
	"time"

	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// Scenario is a file of rules.
type Scenario struct {
	Seed  *uint64 `json:"seed,omitempty" doc:"repeats a run; the seed of the server when there is none"`
	Rules []*Rule `json:"rules" doc:"the first rule that hits a request wins"`
}

// Rule says what happens to some of the requests.
type Rule struct {
	Name    string   `json:"name" required:"true" accepts:"name" doc:"what metrics, logs and the API call the rule: letters, digits, - _ and ."`
	Match   Match    `json:"match,omitzero" doc:"which requests and calls the rule is about; all, when empty"`
	When    When     `json:"when,omitzero" doc:"which of those it hits"`
	Limit   *Limit   `json:"limit,omitempty" doc:"hit only what is above a limit"`
	Delay   *Delay   `json:"delay,omitempty" scalar:"fixed" doc:"how long they wait"`
	Fault   *Fault   `json:"fault,omitempty" doc:"how they break"`
	TTL     Duration `json:"ttl,omitzero" doc:"time after which the rule removes itself"`
	Combine bool     `json:"combine,omitempty" doc:"go on to the rules below; delays add up, the first fault is taken"`
}

// Match is the conditions that a request has to meet, all of them.
type Match struct {
	Path     string            `json:"path,omitempty" doc:"path below the server's prefix; * is any text, {name} one segment"`
	Methods  []string          `json:"methods,omitempty" doc:"HTTP methods"`
	Host     string            `json:"host,omitempty" doc:"host without the port; * is any text"`
	Headers  map[string]string `json:"headers,omitempty" doc:"headers or gRPC metadata by name; * is any text, and nothing means without it"`
	Query    map[string]string `json:"query,omitempty" doc:"query parameters by name; * is any text, and nothing means without it"`
	GRPC     string            `json:"grpc,omitempty" doc:"service/method of a gRPC call; * is any text"`
	Percent  *float64          `json:"percent,omitempty" min:"0" max:"100" doc:"share of the requests, 0 to 100; when counts only these"`
	Per      string            `json:"per,omitempty" doc:"count for each key: header:NAME, query:NAME, client or route; requests without the key do not match"`
	Server   string            `json:"server,omitempty" doc:"host name of the server, which is the pod's; * is any text"`
	Internal bool              `json:"internal,omitempty" doc:"touch an internal route, health or reflection; the path or method must be literal"`
}

// When picks among the requests that match, by their number among those and by time. All
// that is given must hold. Times count from when the rule was loaded.
type When struct {
	After    uint64    `json:"after,omitempty" min:"1" doc:"let the first N pass"`
	Every    uint64    `json:"every,omitempty" min:"1" doc:"hit every Nth"`
	First    uint64    `json:"first,omitempty" min:"1" doc:"hit the first N and no more"`
	Outcomes []Outcome `json:"outcomes,omitempty" doc:"hit or pass for each in turn; what comes after the last passes"`
	Cycle    bool      `json:"cycle,omitempty" doc:"begin the outcomes again after the last"`

	For    Duration `json:"for,omitzero" doc:"only this long"`
	Window *Window  `json:"window,omitempty" doc:"only in this stretch of time"`
	Daily  *Daily   `json:"daily,omitempty" doc:"only at this time of the day, UTC"`
	Flap   *Flap    `json:"flap,omitempty" doc:"on and off in turn"`
	Ramp   *Ramp    `json:"ramp,omitempty" doc:"a share that changes with time"`
}

// Outcome is one of a list: Hit or Pass.
type Outcome string

// The outcomes.
const (
	Hit  Outcome = "hit"
	Pass Outcome = "pass"
)

// Window is a stretch of time since the rule was loaded.
type Window struct {
	From Duration `json:"from,omitzero" doc:"where it begins"`
	To   Duration `json:"to,omitzero" doc:"where it ends; never, when missing"`
}

// Daily is a stretch of every day in UTC. It may pass midnight.
type Daily struct {
	From Clock `json:"from" required:"true" doc:"time of the day, 22:30"`
	To   Clock `json:"to" required:"true" doc:"time of the day, 06:00"`
}

// Flap is on and off in turn, beginning with on. (Those are no good names:
// YAML 1.1 reads them as true and false.)
type Flap struct {
	Hit  Duration `json:"hit" required:"true" doc:"how long it is on"`
	Pass Duration `json:"pass" required:"true" doc:"how long it is off"`
}

// Ramp is a share that goes evenly from one value to another and stays there.
type Ramp struct {
	From float64  `json:"from" min:"0" max:"100" doc:"percent at the beginning"`
	To   float64  `json:"to" min:"0" max:"100" doc:"percent at the end"`
	Over Duration `json:"over" required:"true" doc:"how long it takes"`
}

// Limit sheds load: the rule hits only what is above it. Without a fault that
// is 503 or UNAVAILABLE above a concurrency and 429 or RESOURCE_EXHAUSTED
// above a rate, with Retry-After.
type Limit struct {
	Concurrency int     `json:"concurrency,omitempty" min:"1" doc:"requests at once"`
	Rate        float64 `json:"rate,omitempty" min:"0.001" doc:"requests a second, by a token bucket"`
	Burst       int     `json:"burst,omitempty" min:"1" doc:"size of the bucket; the rate, rounded up, when missing"`
}

// Delay is a distribution of waiting times, one of those below.
type Delay struct {
	Fixed       *Duration           `json:"fixed,omitempty" doc:"always the same"`
	Uniform     *Uniform            `json:"uniform,omitempty" doc:"evenly between two"`
	Normal      *Normal             `json:"normal,omitempty" doc:"a bell around the mean, cut at zero"`
	Lognormal   map[string]Duration `json:"lognormal,omitempty" percentiles:"inline" doc:"through two percentiles, { p50: 80ms, p99: 1200ms }; the name may be left out"`
	Exponential *Exponential        `json:"exponential,omitempty" scalar:"mean" doc:"memoryless, by its mean"`
	Pareto      *Pareto             `json:"pareto,omitempty" doc:"with a heavy tail"`
	Table       map[string]Duration `json:"table,omitempty" doc:"a measured one, by its percentiles, p0 to p100; straight lines between them"`
	At          At                  `json:"at,omitempty" doc:"before the reply, between its chunks or messages, or both"`
}

// At is where a delay happens.
type At string

// The places of a delay.
const (
	Before At = "before"
	Chunks At = "chunks"
	Both   At = "both"
)

// Uniform is evenly distributed.
type Uniform struct {
	Min Duration `json:"min" doc:"the shortest"`
	Max Duration `json:"max" required:"true" doc:"the longest"`
}

// Normal is Gauss's distribution.
type Normal struct {
	Mean   Duration `json:"mean" required:"true" doc:"the middle"`
	StdDev Duration `json:"stddev" required:"true" doc:"the standard deviation"`
}

// Exponential is the time between independent events.
type Exponential struct {
	Mean Duration `json:"mean" required:"true" doc:"the mean"`
}

// Pareto has a tail that falls by a power.
type Pareto struct {
	Min   Duration `json:"min" required:"true" doc:"the shortest"`
	Shape float64  `json:"shape" required:"true" min:"0.01" doc:"how fast the tail falls; smaller is heavier"`
}

// Fault is one way for a request to break. GRPC, which may stand beside the
// others, is the one for a call then.
type Fault struct {
	Status  int               `json:"status,omitempty" min:"400" max:"599" doc:"answer with this status"`
	Headers map[string]string `json:"headers,omitempty" doc:"headers of that answer"`
	Body    string            `json:"body,omitempty" doc:"body of that answer"`

	Empty     bool   `json:"empty,omitempty" doc:"close the connection without an answer; of a gRPC call, with all the calls on it"`
	Reset     bool   `json:"reset,omitempty" doc:"reset the connection (TCP RST), over HTTP/2 and gRPC the stream (RST_STREAM); with truncate, after those bytes"`
	Truncate  *int   `json:"truncate,omitempty" min:"0" max:"1048576" doc:"send N bytes of the body, fewer than its Content-Length, and close"`
	BadChunk  bool   `json:"bad-chunk,omitempty" doc:"break off with a chunk that is none"`
	Garbage   bool   `json:"garbage,omitempty" doc:"send something that is not HTTP"`
	Stall     *Stall `json:"stall,omitempty" scalar:"for" doc:"stop in the middle of the body, then go on"`
	Bandwidth int    `json:"bandwidth,omitempty" min:"1" doc:"send the body at N bytes a second"`
	GoAway    bool   `json:"goaway,omitempty" doc:"answer, and tell the client to leave the connection (HTTP/2 GOAWAY, Connection: close)"`

	WebSocket *WebSocket `json:"websocket,omitempty" doc:"what happens to the messages over a WebSocket"`
	GRPC      *GRPC      `json:"grpc,omitempty" scalar:"code" doc:"end the call with this code"`
	Unready   bool       `json:"unready,omitempty" doc:"fail readiness for as long as when says; without match"`
}

// Stall is a pause in the middle of a body.
type Stall struct {
	After int      `json:"after,omitempty" min:"0" doc:"bytes sent before"`
	For   Duration `json:"for" required:"true" doc:"how long"`
}

// WebSocket breaks an open WebSocket. Each direction has its own messages.
type WebSocket struct {
	Close     int       `json:"close,omitempty" min:"1000" max:"4999" doc:"close the connection with this code (RFC 6455, 7.4)"`
	Reason    string    `json:"reason,omitempty" doc:"text beside the code, at most 123 bytes"`
	After     int       `json:"after,omitempty" min:"0" doc:"messages before"`
	Drop      *float64  `json:"drop,omitempty" min:"0" max:"100" doc:"share of messages that are lost, 0 to 100"`
	Delay     *Delay    `json:"delay,omitempty" scalar:"fixed" doc:"how long each message waits, and all behind it"`
	Direction Direction `json:"direction,omitempty" doc:"whose messages: out, the server's, which is so when it is missing; in, the client's; or both"`
}

// Direction is a way that messages go, seen from the server.
type Direction string

// The directions.
const (
	Out     Direction = "out"
	In      Direction = "in"
	BothWay Direction = "both"
)

// Has reports whether d, which may be empty for Out, is about one of Out and
// In.
func (d Direction) Has(one Direction) bool { return cmp.Or(d, Out) == one || d == BothWay }

// GRPC ends a call.
type GRPC struct {
	Code    rpc.Code `json:"code" required:"true" doc:"a status code, never OK"`
	Message string   `json:"message,omitempty" doc:"text beside the code"`
	Details *Details `json:"details,omitempty" doc:"what else the client is told, in the forms of google/rpc/error_details.proto"`
	After   int      `json:"after,omitempty" min:"1" doc:"messages sent before, for mid-stream; the end of the handler comes first"`
}

// Details are what a client is told beside a code.
type Details struct {
	RetryInfo        *RetryInfo        `json:"retry-info,omitempty" scalar:"delay" doc:"when to try again; beside a limit it is there by itself"`
	ErrorInfo        *ErrorInfo        `json:"error-info,omitempty" scalar:"reason" doc:"the reason, for programs"`
	BadRequest       map[string]string `json:"bad-request,omitempty" doc:"what is wrong with each field of the request"`
	QuotaFailure     map[string]string `json:"quota-failure,omitempty" doc:"what is exceeded, by the subject of the quota"`
	Help             map[string]string `json:"help,omitempty" doc:"URLs, by what they are of"`
	LocalizedMessage map[string]string `json:"localized-message,omitempty" doc:"what to show to people, by locale: en-US"`
	DebugInfo        string            `json:"debug-info,omitempty" doc:"what to show to developers"`
}

// RetryInfo says when to try again.
type RetryInfo struct {
	Delay Duration `json:"delay" required:"true" doc:"how long to wait before"`
}

// ErrorInfo is why something failed, for programs.
type ErrorInfo struct {
	Reason   string            `json:"reason" required:"true" doc:"UPPER_SNAKE_CASE"`
	Domain   string            `json:"domain,omitempty" doc:"what the reason belongs to, such as podinfo.example.com"`
	Metadata map[string]string `json:"metadata,omitempty" doc:"what else is known"`
}

// Duration is written as Go writes it: 50µs, 1.5s, 2m.
type Duration time.Duration

// MarshalText writes a duration.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// Clock is a time of the day, since midnight.
type Clock time.Duration

// MarshalText writes a time of the day.
func (c Clock) MarshalText() ([]byte, error) {
	return []byte(time.Unix(0, int64(c)).UTC().Format("15:04:05")), nil
}

// JSON is the rule as a file would say it.
func (r *Rule) JSON() []byte {
	b, err := json.Marshal(r)
	if err != nil {
		panic(err) // a rule is texts, numbers and durations
	}
	return b
}

// Kind is what a fault is called in metrics, the one of calls when call is
// true. It is "" when there is none.
func (f *Fault) Kind(call bool) string {
	switch {
	case f == nil:
		return ""
	case call:
		return f.callKind()
	case f.Status != 0:
		return "status"
	case f.Truncate != nil:
		return "truncate"
	case f.Reset:
		return "reset"
	case f.Empty:
		return "empty"
	case f.BadChunk:
		return "bad-chunk"
	case f.Garbage:
		return "garbage"
	case f.Stall != nil:
		return "stall"
	case f.Bandwidth != 0:
		return "bandwidth"
	case f.GoAway:
		return "goaway"
	case f.WebSocket != nil:
		return "websocket"
	case f.Unready:
		return "unready"
	}
	return ""
}

// slows reports a fault that sends the body of a reply with pauses.
func (f *Fault) slows() bool { return f != nil && (f.Stall != nil || f.Bandwidth > 0) }

// Meets reports whether the rule can do something to a request that asks for a
// WebSocket, or to one that does not. The answer to the first has no body.
func (r *Rule) Meets(websocket bool) bool {
	switch f := r.Fault; f.Kind(false) {
	case "websocket":
		return websocket
	case "truncate", "bad-chunk", "stall", "bandwidth", "goaway":
		return !websocket
	case "":
		return !websocket || r.Delay == nil || r.Delay.At != Chunks
	}
	return true
}

func (f *Fault) callKind() string {
	switch {
	case f.GRPC != nil:
		return "grpc"
	case f.Reset && f.Truncate == nil:
		return "reset"
	case f.Empty:
		return "empty"
	case f.GoAway:
		return "goaway"
	}
	return ""
}

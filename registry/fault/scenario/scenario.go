// Package scenario is the engine of the faults module: rules that say which
// requests are delayed or broken, and how. It imports neither HTTP nor gRPC:
// callers describe a request to it and carry out its decision.
//
// What happens to the n-th request of a rule depends on the seed, the rule's
// name, the instance's name and n alone, whatever the number of clients. With
// sync: fleet, or for one of the keys of match.per, every instance gives the
// n-th request the same draws, and the key takes the place of the instance's
// name. Only conditions about time (when, ttl, limit) also depend on the clock.
// A rule does not count requests that a rule above it hit.
package scenario

import (
	"encoding/json"
	"time"
)

// Scenario is a list of rules.
type Scenario struct {
	Seed  *uint64 `json:"seed,omitempty" example:"42" doc:"seed that repeats a run; the server's seed by default"`
	Rules []*Rule `json:"rules" required:"true" doc:"rules in order; the first one that hits a request wins"`
}

// Rule says what happens to some of the requests.
type Rule struct {
	Name    string    `json:"name" example:"payments-fail" required:"true" accepts:"name" doc:"name of the rule in metrics, logs and the API: letters, digits, -, _ and ."`
	Match   Match     `json:"match,omitzero" doc:"requests and calls that the rule matches; all of them when empty"`
	When    When      `json:"when,omitzero" doc:"matching requests that the rule hits"`
	Limit   *Limit    `json:"limit,omitempty" doc:"hit only requests above a limit"`
	Delay   *Delay    `json:"delay,omitempty" scalar:"fixed" doc:"how long requests are delayed"`
	Fault   *Fault    `json:"fault,omitempty" doc:"how requests are broken"`
	Choose  []*Choice `json:"choose,omitempty" doc:"alternatives of delay and fault, of which at most one hits a request, each with its percentage of all requests"`
	Sync    Sync      `json:"sync,omitempty" doc:"fleet: the n-th request gets the same draws on every instance with the same seed; by default each instance draws for itself"`
	At      Stage     `json:"at,omitempty" default:"before" doc:"when the rule acts: before the handler (the default), or after it, when the request was handled and its response is lost or delayed. A delayed response is held back up to 1 MiB; a larger one, or one that is flushed, is delayed there, while the handler waits. WebSockets have no after: such a rule leaves them alone"`
	TTL     Duration  `json:"ttl,omitzero" example:"1h" doc:"time from the loading of the rule, or from when.from, after which it ends; a restart loads it anew, so prefer when.until for an end that holds on every instance"`
	Shared  bool      `json:"shared,omitempty" unpredictable:"the requests that other replicas count" doc:"count after, every, first and outcomes of when together with the other replicas, on the server of module cache"`
	Combine bool      `json:"combine,omitempty" doc:"also apply the rules below: delays add up, and the first fault wins"`
}

// Choice is one of the alternatives of a rule.
type Choice struct {
	Name    string  `json:"name,omitempty" example:"busy" accepts:"name" doc:"name in metrics, logs and the response header; the rule's name, a dot and the position from 1 by default"`
	Percent float64 `json:"percent" example:"5" required:"true" min:"0" max:"100" doc:"percentage of the requests that the rule selects"`
	Delay   *Delay  `json:"delay,omitempty" scalar:"fixed" doc:"how long requests are delayed"`
	Fault   *Fault  `json:"fault,omitempty" doc:"how requests are broken"`
}

// Sync says which instances share draws.
type Sync string

// Fleet gives every instance with the same seed the same draws.
const Fleet Sync = "fleet"

// Match selects requests. All conditions must hold. A text that begins with ~ is a
// regular expression (RE2) for the whole value, instead of a pattern with *.
type Match struct {
	Path       string            `json:"path,omitempty" example:"/api/*" doc:"path below the server's prefix, compared decoded: /a%2Fb is /a/b; * is any text, {name} one segment"`
	Methods    Texts             `json:"methods,omitempty" example:"[GET, POST]" doc:"HTTP methods"`
	Host       string            `json:"host,omitempty" example:"'*.example.com'" doc:"host without the port; * is any text"`
	Headers    map[string]string `json:"headers,omitempty" example:"{ x-user: beta-* }" doc:"HTTP headers or gRPC metadata, by name; * is any text, and an empty text means absent"`
	Query      map[string]string `json:"query,omitempty" example:"{ debug: '1' }" doc:"query parameters, by name; * is any text, and an empty text means absent"`
	Cookie     map[string]string `json:"cookie,omitempty" example:"{ session: '*' }" doc:"cookies, by name; * is any text, and an empty text means absent"`
	Claim      map[string]string `json:"claim,omitempty" example:"{ sub: ann }" doc:"claims of the bearer token, a JSON Web Token that module jwt accepts, by name or by path such as $.realm_access.roles[*]; * is any text, and an empty text means absent"`
	JSON       map[string]string `json:"json,omitempty" example:"{ $.user.id: '7' }" doc:"values in a JSON body, by path such as $.user.id or $.items[*].sku; * is any text, and an empty text means absent; a rule that looks into a body, also within not, does not hit one longer than 64 KiB or one that breaks off"`
	Body       string            `json:"body,omitempty" example:"'*error*'" doc:"body of at most 64 KiB; * is any text"`
	Reply      *ReplyMatch       `json:"reply,omitempty" doc:"what the handler, or the service behind the proxy, responds; the rule acts on the response, and is asked after the rules without reply"`
	GRPC       string            `json:"grpc,omitempty" example:"echo.EchoService/*" doc:"service/method of a gRPC call; * is any text"`
	TCP        string            `json:"tcp,omitempty" example:"db" doc:"name of a TCP proxy; * is any text"`
	Percent    *float64          `json:"percent,omitempty" default:"100" example:"5" min:"0" max:"100" doc:"percentage of the requests, 0 to 100; when counts only these"`
	Per        string            `json:"per,omitempty" example:"header:x-user" doc:"count separately for each key: header:NAME, query:NAME, cookie:NAME, claim:NAME, json:PATH, client or route; requests without the key do not match"`
	Sticky     *float64          `json:"sticky,omitempty" example:"5" min:"0" max:"100" doc:"percentage of the keys of per, 0 to 100: always the same keys for a rule's name, on every replica and after a restart"`
	Server     Texts             `json:"server,omitempty" example:"podinfo-*" doc:"names of instances (PODINFO_INSTANCE, by default the host name, such as the pod's name); * is any text"`
	Instance   *Instance         `json:"instance,omitempty" doc:"name, version, labels and zone of the server; * is any text"`
	Not        *Match            `json:"not,omitempty" omits:"percent,per,sticky,internal,unverified,not,tcp,reply" doc:"requests that do not match: those that meet all of these conditions"`
	Unverified bool              `json:"unverified,omitempty" unpredictable:"whether a token was verified" doc:"claim and per: claim also count tokens that module jwt did not verify, because another server did"`
	Internal   bool              `json:"internal,omitempty" doc:"also match an internal route such as health or reflection, whose path or method must be literal"`
}

// Instance selects servers. All conditions must hold.
type Instance struct {
	Name    string            `json:"name,omitempty" example:"podinfo-0" doc:"name, as in match.server"`
	Version string            `json:"version,omitempty" example:"6.*" doc:"version of podinfo, such as 6.*"`
	Labels  map[string]string `json:"labels,omitempty" example:"{ track: canary }" doc:"labels of the server, by name; an empty text means absent"`
	Zone    string            `json:"zone,omitempty" example:"eu-west-1a" doc:"zone of the server"`
}

// When selects among the matching requests, by number and by time. All
// conditions must hold. Times count from the loading of the rule or, with from,
// from then, alike on every instance and after a restart.
type When struct {
	After    uint64    `json:"after,omitempty" example:"10" min:"1" doc:"let the first N requests pass"`
	Every    uint64    `json:"every,omitempty" example:"3" min:"1" doc:"hit every Nth request"`
	First    uint64    `json:"first,omitempty" example:"2" min:"1" doc:"hit only the first N requests"`
	Outcomes []Outcome `json:"outcomes,omitempty" example:"[hit, hit, pass]" doc:"hit or pass for each request in turn; requests after the last one pass"`
	Cycle    bool      `json:"cycle,omitempty" doc:"start the outcomes over after the last one"`
	Burst    *Burst    `json:"burst,omitempty" example:"{ enter: 1%, leave: 20% }" doc:"hit in bursts: a Markov chain of two states for each rule, or for each of its keys"`

	From     Time      `json:"from,omitzero" example:"'2026-03-01T09:30:00Z'" doc:"hit only from this time on (RFC 3339)"`
	Until    Time      `json:"until,omitzero" example:"'2026-03-01T10:30:00Z'" doc:"time at which the rule ends (RFC 3339)"`
	For      Duration  `json:"for,omitzero" example:"10m" doc:"hit only for this long; with cron, the length of each period"`
	Window   *Window   `json:"window,omitempty" doc:"hit only in this period"`
	Daily    *Daily    `json:"daily,omitempty" doc:"hit only at this time of day"`
	Cron     string    `json:"cron,omitempty" example:"0 9 * * 1-5" doc:"hit only in periods that begin at these times (minute, hour, day of the month, month, day of the week) and last for"`
	Weekdays []Weekday `json:"weekdays,omitempty" example:"[mon, tue]" doc:"hit only on these days, mon to sun"`
	Zone     string    `json:"zone,omitempty" default:"UTC" example:"Europe/Berlin" doc:"time zone of daily, cron and weekdays; UTC by default"`
	Flap     *Flap     `json:"flap,omitempty" doc:"alternate between hitting and passing"`
	Ramp     *Ramp     `json:"ramp,omitempty" doc:"hit a percentage that changes over time"`
}

// Outcome is what happens to one request of a list: Hit or Pass.
type Outcome string

// The outcomes.
const (
	Hit  Outcome = "hit"
	Pass Outcome = "pass"
)

// Window is a period that starts and ends relative to the loading of the rule.
type Window struct {
	From Duration `json:"from,omitzero" default:"0s" example:"5m" doc:"start"`
	To   Duration `json:"to,omitzero" example:"10m" doc:"end; never by default"`
}

// Daily is a period of every day. It may span midnight.
type Daily struct {
	From Clock `json:"from" example:"'22:30'" required:"true" doc:"time of day, such as 22:30"`
	To   Clock `json:"to" example:"'06:00'" required:"true" doc:"time of day, such as 06:00"`
}

// Flap alternates between hitting and passing, beginning with hitting. (The
// keys are not on and off, as YAML 1.1 reads these as true and false.)
type Flap struct {
	Hit  Duration `json:"hit" example:"10s" required:"true" doc:"how long requests are hit"`
	Pass Duration `json:"pass" example:"50s" required:"true" doc:"how long requests pass"`
}

// Ramp is a percentage that changes linearly and then remains constant.
type Ramp struct {
	From float64  `json:"from" default:"0" example:"5" min:"0" max:"100" doc:"percentage at the start"`
	To   float64  `json:"to" default:"0" example:"50" min:"0" max:"100" doc:"percentage at the end"`
	Over Duration `json:"over" example:"10m" required:"true" doc:"length of the change"`
}

// Limit sheds load: the rule hits only requests above it. Without a fault,
// requests above a concurrency get 503 or UNAVAILABLE, and those above a rate
// 429 or RESOURCE_EXHAUSTED, with Retry-After. With a queue, requests above the
// concurrency wait for their turn, so latency grows with load, and the rule hits
// those that find the queue full or wait too long.
type Limit struct {
	Concurrency int      `json:"concurrency,omitempty" example:"10" min:"1" doc:"maximum number of requests at the same time"`
	Queue       int      `json:"queue,omitempty" example:"100" min:"1" doc:"number of requests above the concurrency that wait for their turn, in order; each is one of the requests that PODINFO_FAULTS_MAX_HELD limits"`
	Wait        Duration `json:"wait,omitzero" example:"2s" bounded:"true" doc:"longest wait in the queue; the server's limit of delays by default"`
	Rate        float64  `json:"rate,omitempty" example:"50" min:"0.001" doc:"maximum number of requests per second, by a token bucket"`
	Burst       int      `json:"burst,omitempty" example:"100" min:"1" doc:"size of the token bucket; the rate, rounded up, by default"`
}

// Delay is a distribution of delays. Exactly one is given.
type Delay struct {
	Fixed       *Duration           `json:"fixed,omitempty" example:"200ms" doc:"constant"`
	Uniform     *Uniform            `json:"uniform,omitempty" doc:"uniform between two durations"`
	Normal      *Normal             `json:"normal,omitempty" doc:"normal, cut off at zero"`
	Lognormal   map[string]Duration `json:"lognormal,omitempty" example:"{ p50: 80ms, p99: 1200ms }" percentiles:"inline" doc:"log-normal through two percentiles, { p50: 80ms, p99: 1200ms }, which may also stand in place of this key"`
	Exponential *Exponential        `json:"exponential,omitempty" scalar:"mean" doc:"exponential"`
	Pareto      *Pareto             `json:"pareto,omitempty" doc:"Pareto, with a heavy tail"`
	Table       map[string]Duration `json:"table,omitempty" example:"{ p0: 10ms, p50: 80ms, p100: 2s }" doc:"measured percentiles from p0 to p100, interpolated linearly"`
	At          At                  `json:"at,omitempty" default:"before" doc:"delay before the response, between its chunks or messages, or both"`
}

// At is where a delay happens.
type At string

// The places of a delay.
const (
	Before At = "before"
	Chunks At = "chunks"
	Both   At = "both"
)

// Uniform is the uniform distribution.
type Uniform struct {
	Min Duration `json:"min" default:"0s" example:"10ms" doc:"shortest delay"`
	Max Duration `json:"max" example:"200ms" required:"true" doc:"longest delay"`
}

// Normal is the normal distribution.
type Normal struct {
	Mean   Duration `json:"mean" example:"100ms" required:"true" doc:"mean"`
	StdDev Duration `json:"stddev" example:"20ms" required:"true" doc:"standard deviation"`
}

// Exponential is the exponential distribution: the time between independent
// events.
type Exponential struct {
	Mean Duration `json:"mean" example:"100ms" required:"true" doc:"mean"`
}

// Pareto is the Pareto distribution, whose tail falls by a power.
type Pareto struct {
	Min   Duration `json:"min" example:"50ms" required:"true" doc:"shortest delay"`
	Shape float64  `json:"shape" example:"1.5" required:"true" min:"0.01" doc:"how fast the tail falls; smaller is heavier"`
}

// Duration is written as in Go: 50µs, 1.5s, 2m.
type Duration time.Duration

// MarshalText returns d as Go writes it.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// Texts is a list of texts. In a scenario a single one needs no list.
type Texts []string

// Time is a point in time, in UTC.
type Time struct{ time.Time }

// Clock is a time of day, as the time since midnight.
type Clock time.Duration

// MarshalText returns c as 22:30:00.
func (c Clock) MarshalText() ([]byte, error) {
	return []byte(time.Unix(0, int64(c)).UTC().Format("15:04:05")), nil
}

// JSON returns the rule as a scenario file would contain it.
func (r *Rule) JSON() []byte {
	b, err := json.Marshal(r)
	if err != nil {
		panic(err) // impossible: a rule consists of strings, numbers and durations
	}
	return b
}

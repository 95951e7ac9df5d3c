package podinfotest

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"golang.org/x/net/http/httpguts"
	"google.golang.org/grpc/codes"

	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// Step is what happens to one attempt of a script, or to several in a row. Its
// methods return a changed copy.
type Step struct {
	name   string // in the rule's name
	times  int
	delay  time.Duration
	fault  *scenario.Fault
	reply  *canned // in place of the handler's, nil for the handler's
	repeat bool
	per    string
	wrong  string // how it was made
}

// canned is an answer of the script's own.
type canned struct {
	status int
	header map[string]string
	body   string
}

// problem says what is wrong with the answer, "" when nothing is.
func (r *canned) problem() string {
	if r.status < 200 || r.status > 599 {
		return fmt.Sprintf("a reply of status %d, want 200 to 599", r.status)
	}
	if r.body != "" && (r.status == http.StatusNoContent || r.status == http.StatusNotModified) {
		return fmt.Sprintf("a reply of status %d has no body", r.status)
	}
	for _, name := range slices.Sorted(maps.Keys(r.header)) {
		if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(r.header[name]) {
			return fmt.Sprintf("header %q: want the name of a header and a value in one line", name)
		}
	}
	return ""
}

func broke(name string, f scenario.Fault) Step { return Step{name: name, times: 1, fault: &f} }

// Fail answers the given number of attempts with a status from 400 to 599.
func Fail(status, times int) Step {
	return broke(fmt.Sprint(status), scenario.Fault{Status: status}).Times(times)
}

// FailGRPC ends the given number of calls with a code, which must not be OK.
func FailGRPC(code codes.Code, times int) Step {
	return broke(code.String(), scenario.Fault{GRPC: &scenario.GRPC{Code: rpc.Code(code)}}).Times(times)
}

// Delay answers as usual, but that late.
func Delay(d time.Duration) Step { return Step{name: "delay", times: 1, delay: d} }

// Reset resets the connection without an answer: TCP RST, which is
// syscall.ECONNRESET at the client, or RST_STREAM over HTTP/2 and gRPC.
func Reset() Step { return broke("reset", scenario.Fault{Reset: true}) }

// Empty closes the connection without an answer, and with all the calls on it.
// Over HTTP/2 it resets the stream alone.
func Empty() Step { return broke("empty", scenario.Fault{Empty: true}) }

// Garbage answers with something that is not HTTP, and closes. Over HTTP/2 it
// resets the stream.
func Garbage() Step { return broke("garbage", scenario.Fault{Garbage: true}) }

// Truncate answers with n bytes of the body, fewer than its Content-Length
// says, and closes.
func Truncate(n int) Step { return broke("truncate", scenario.Fault{Truncate: &n}) }

// BadChunk answers with a chunked body that breaks off with a chunk that is
// none.
func BadChunk() Step { return broke("bad-chunk", scenario.Fault{BadChunk: true}) }

// Stall stops after so many bytes of the body, and goes on after d.
func Stall(after int, d time.Duration) Step {
	return broke("stall", scenario.Fault{Stall: &scenario.Stall{After: after, For: scenario.Duration(d)}})
}

// Bandwidth answers with a body of so many bytes a second.
func Bandwidth(bytes int) Step {
	s := broke("bandwidth", scenario.Fault{Bandwidth: bytes})
	if bytes < 1 {
		s.wrong = fmt.Sprintf("a bandwidth of %d bytes a second, want at least 1", bytes)
	}
	return s
}

// GoAway answers as usual and has the client leave the connection: GOAWAY over
// HTTP/2 and gRPC, Connection: close over HTTP/1.1.
func GoAway() Step { return broke("goaway", scenario.Fault{GoAway: true}) }

// CloseWebSocket closes a WebSocket with a code (RFC 6455, 7.4) once so many
// messages were sent to the client.
func CloseWebSocket(code, after int) Step {
	return broke("websocket", scenario.Fault{WebSocket: &scenario.WebSocket{Close: code, After: after}})
}

// Fault breaks an attempt in any way that the rules of a scenario can.
func Fault(f scenario.Fault) Step { return broke("fault", f) }

// OK lets the handler answer: 200 and {"status":"OK"} where there is none. As
// the last step it stays.
func OK() Step { return Step{name: "ok", times: 1} }

// Reply answers in place of the handler, with a status from 200 to 599.
func Reply(status int, body string) Step {
	return Step{name: fmt.Sprint(status), times: 1, reply: &canned{status: status, body: body}}
}

// Repeat, as the last of a script, begins it again.
func Repeat() Step { return Step{repeat: true} }

// Per counts the attempts of each key by themselves: "header:NAME",
// "query:NAME", "client" or "route". Requests without the key are not about
// the script. It may stand anywhere in a script, and is no attempt.
func Per(key string) Step {
	s := Step{per: key}
	if key == "" {
		s.wrong = "Per of no key, want header:NAME, query:NAME, client or route"
	}
	return s
}

// Times is the step for n attempts in a row.
func (s Step) Times(n int) Step { s.times = n; return s }

// Delay is the step after d.
func (s Step) Delay(d time.Duration) Step { s.delay = d; return s }

// Header is the step with a header in its answer, such as Retry-After.
func (s Step) Header(name, value string) Step {
	if s.failure() {
		f := *s.fault
		f.Headers = with(f.Headers, name, value)
		s.fault = &f
		return s
	}
	s = s.replying()
	s.reply.header = with(s.reply.header, name, value)
	return s
}

// Body is the step with a body of its own in place of the handler's.
func (s Step) Body(body string) Step {
	if s.failure() {
		f := *s.fault
		f.Body = body
		s.fault = &f
		return s
	}
	s = s.replying()
	s.reply.body = body
	return s
}

// Message is the step of FailGRPC with a message beside the code.
func (s Step) Message(text string) Step {
	return s.status(func(g *scenario.GRPC) { g.Message = text })
}

// Details is the step of FailGRPC with details beside the code.
func (s Step) Details(d scenario.Details) Step {
	return s.status(func(g *scenario.GRPC) { g.Details = &d })
}

// status is a copy whose code of a call is changed.
func (s Step) status(change func(*scenario.GRPC)) Step {
	if s.fault == nil || s.fault.GRPC == nil {
		s.wrong = "Message and Details are for FailGRPC"
		return s
	}
	f, g := *s.fault, *s.fault.GRPC
	change(&g)
	f.GRPC = &g
	s.fault = &f
	return s
}

// passes reports that the step is no fault.
func (s Step) passes() bool { return s.fault == nil && s.delay == 0 }

// failure reports that the step is an answer with a status by the engine.
func (s Step) failure() bool { return s.fault != nil && s.fault.Status != 0 }

// replying is the step with a copy of its reply, 200 when it has none.
func (s Step) replying() Step {
	for _, k := range s.fault.Kinds() {
		switch k.Name {
		case "reset", "empty", "garbage", "websocket":
			s.wrong = s.name + " has no header and no body"
		}
	}
	r := canned{status: 200}
	if s.reply != nil {
		r = *s.reply
	}
	s.reply = &r
	return s
}

func with(m map[string]string, name, value string) map[string]string {
	m = maps.Clone(m)
	if m == nil {
		m = map[string]string{}
	}
	m[name] = value
	return m
}

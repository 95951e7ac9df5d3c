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

// Step is what happens to one attempt of a script, or to several consecutive ones.
// Its methods return a changed copy.
type Step struct {
	name   string // part of the rule's name
	times  int
	delay  time.Duration
	fault  *scenario.Fault
	reply  *canned // nil: the handler responds
	repeat bool
	per    string
	wrong  string // mistake in the call that made it
}

// canned is a response that the script defines.
type canned struct {
	status int
	header map[string]string
	body   string
}

// problem says what is wrong with the response, "" if it is valid.
func (r *canned) problem() string {
	if r.status < 200 || r.status > 599 {
		return fmt.Sprintf("Reply with status %d: want 200 to 599", r.status)
	}
	if r.body != "" && (r.status == http.StatusNoContent || r.status == http.StatusNotModified) {
		return fmt.Sprintf("a response with status %d cannot have a body: remove it", r.status)
	}
	for _, name := range slices.Sorted(maps.Keys(r.header)) {
		if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(r.header[name]) {
			return fmt.Sprintf("header %q: want a valid header name and a value on one line", name)
		}
	}
	return ""
}

// broken returns the step of one attempt with a fault.
func broken(name string, f scenario.Fault) Step { return Step{name: name, times: 1, fault: &f} }

// Fail responds to the given number of attempts with a status from 400 to 599.
func Fail(status, times int) Step {
	return broken(fmt.Sprint(status), scenario.Fault{Status: status}).Times(times)
}

// FailGRPC ends the given number of calls with a code other than OK.
func FailGRPC(code codes.Code, times int) Step {
	return broken(code.String(), scenario.Fault{GRPC: &scenario.GRPC{Code: rpc.Code(code)}}).Times(times)
}

// Delay delays the attempt by d.
func Delay(d time.Duration) Step { return Step{name: "delay", times: 1, delay: d} }

// Reset resets the connection without a response: with RST over TCP, which the
// client gets as syscall.ECONNRESET, and with RST_STREAM over HTTP/2 and gRPC.
func Reset() Step { return broken("reset", scenario.Fault{Reset: true}) }

// Empty closes the connection without a response. Over gRPC this ends all calls on
// the connection. Over HTTP/2 it resets only the stream.
func Empty() Step { return broken("empty", scenario.Fault{Empty: true}) }

// Garbage sends bytes that are not HTTP, and closes the connection. Over HTTP/2 it
// resets the stream.
func Garbage() Step { return broken("garbage", scenario.Fault{Garbage: true}) }

// Truncate sends the first n bytes of the body, fewer than Content-Length says,
// and closes the connection.
func Truncate(n int) Step { return broken("truncate", scenario.Fault{Truncate: &n}) }

// BadChunk sends a chunked body that ends with a malformed chunk.
func BadChunk() Step { return broken("bad-chunk", scenario.Fault{BadChunk: true}) }

// Stall stops after the given number of bytes of the body, and continues after d.
func Stall(after int, d time.Duration) Step {
	return broken("stall", scenario.Fault{Stall: &scenario.Stall{After: after, For: scenario.Duration(d)}})
}

// Bandwidth sends the body at the given number of bytes per second.
func Bandwidth(bytes int) Step {
	s := broken("bandwidth", scenario.Fault{Bandwidth: bytes})
	if bytes < 1 {
		s.wrong = fmt.Sprintf("a bandwidth of %d bytes per second: want at least 1", bytes)
	}
	return s
}

// GoAway handles the attempt normally and tells the client to use another
// connection: with GOAWAY over HTTP/2 and gRPC, with Connection: close over
// HTTP/1.1.
func GoAway() Step { return broken("goaway", scenario.Fault{GoAway: true}) }

// CloseWebSocket closes a WebSocket with a code (RFC 6455, 7.4) after the given
// number of messages to the client.
func CloseWebSocket(code, after int) Step {
	return broken("websocket", scenario.Fault{WebSocket: &scenario.WebSocket{Close: code, After: after}})
}

// Fault breaks an attempt in any way that a scenario's rule can.
func Fault(f scenario.Fault) Step { return broken("fault", f) }

// OK lets the handler respond. On a path that the script has added the response is
// 200 with {"status":"OK"}. As the last step it applies to all further attempts.
func OK() Step { return Step{name: "ok", times: 1} }

// Reply responds in place of the handler, with a status from 200 to 599.
func Reply(status int, body string) Step {
	return Step{name: fmt.Sprint(status), times: 1, reply: &canned{status: status, body: body}}
}

// Repeat, as the last step, restarts the script.
func Repeat() Step { return Step{repeat: true} }

// Per counts the attempts separately for each value of a key: "header:NAME",
// "query:NAME", "client" or "route". The script does not match requests without
// the key. Per may stand anywhere in a script and is not an attempt.
func Per(key string) Step {
	s := Step{per: key}
	if key == "" {
		s.wrong = "Per without a key: want header:NAME, query:NAME, client or route"
	}
	return s
}

// Times returns the step for n consecutive attempts.
func (s Step) Times(n int) Step { s.times = n; return s }

// Delay returns the step, delayed by d.
func (s Step) Delay(d time.Duration) Step { s.delay = d; return s }

// Header returns the step with a response header, such as Retry-After.
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

// Body returns the step with a response body that replaces the handler's.
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

// Message returns a step of FailGRPC with a message.
func (s Step) Message(text string) Step {
	return s.status(func(g *scenario.GRPC) { g.Message = text })
}

// Details returns a step of FailGRPC with error details.
func (s Step) Details(d scenario.Details) Step {
	return s.status(func(g *scenario.GRPC) { g.Details = &d })
}

// status returns a copy of a step of FailGRPC with a changed status.
func (s Step) status(change func(*scenario.GRPC)) Step {
	if s.fault == nil || s.fault.GRPC == nil {
		s.wrong = "Message and Details apply only to FailGRPC"
		return s
	}
	f, g := *s.fault, *s.fault.GRPC
	change(&g)
	f.GRPC = &g
	s.fault = &f
	return s
}

// passes reports whether the step is not a fault.
func (s Step) passes() bool { return s.fault == nil && s.delay == 0 }

// failure reports whether the faults module responds with a status.
func (s Step) failure() bool { return s.fault != nil && s.fault.Status != 0 }

// replying returns the step with a copy of its response, with status 200 if it has
// none.
func (s Step) replying() Step {
	for _, k := range s.fault.Kinds() {
		switch k.Name {
		case "reset", "empty", "garbage", "websocket":
			s.wrong = s.name + " sends no response: remove Header and Body"
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

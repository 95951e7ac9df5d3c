package podinfotest

import (
	"fmt"
	"maps"
	"net/http"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// Step is what happens to one attempt of a script, or to several consecutive ones.
// Its methods return a changed copy.
//
// What follows the last step: [OK] and the replies stay and apply to all further
// attempts, [Repeat] starts the script over, and after every other step requests are
// handled normally, as if there were no script.
type Step struct {
	name   string // part of the rule's name
	times  int
	delay  time.Duration
	fault  *scenario.Fault
	reply  *canned // nil: the handler responds
	repeat bool
	per    string
	wrong  string // mistake in the call that made it

	link   *link                                                                // what it does to the establishing of a connection
	wired  func(*wire, http.ResponseWriter) (w http.ResponseWriter, end func()) // what it does to a connection
	called func(*wire)                                                          // the same for a call

	match   *scenario.Match // a condition of the script; not an attempt
	bounded bool            // Times was called
	handled bool            // the fault comes after the handler
	more    http.Header     // further values of the headers of a failure
}

// broken returns the step of one attempt with a fault.
func broken(name string, f scenario.Fault) Step { return Step{name: name, times: 1, fault: &f} }

// Fail responds to the given number of attempts with a status from 400 to 599.
//
// If it is the last step, further requests are handled normally.
func Fail(status, times int) Step {
	s := broken(fmt.Sprint(status), scenario.Fault{Status: status}).Times(times)
	if status < 400 || status > 599 {
		s.wrong = fmt.Sprintf("Fail with status %d: want 400 to 599; Reply sends any other", status)
	}
	return s
}

// FailGRPC ends the given number of calls with a code other than OK.
//
// If it is the last step, further calls are handled normally.
func FailGRPC(code codes.Code, times int) Step {
	s := broken(code.String(), scenario.Fault{GRPC: &scenario.GRPC{Code: rpc.Code(code)}}).Times(times)
	if code == codes.OK || code > codes.Unauthenticated {
		s.wrong = fmt.Sprintf("FailGRPC with %v: OK is not an error; want codes.Canceled to codes.Unauthenticated, and OK() to let the call pass", code)
	}
	return s
}

// Delay delays the attempt by d.
//
// If it is the last step, further requests are handled normally.
func Delay(d time.Duration) Step { return Step{name: "delay", times: 1}.Delay(d) }

// Reset resets the connection without a response: with RST over TCP, which the
// client gets as syscall.ECONNRESET, and with RST_STREAM over HTTP/2 and gRPC.
//
// If it is the last step, further requests are handled normally.
func Reset() Step { return broken("reset", scenario.Fault{Reset: true}) }

// Empty closes the connection without a response. Over gRPC this ends all calls on
// the connection. Over HTTP/2 it resets only the stream.
//
// If it is the last step, further requests are handled normally.
func Empty() Step { return broken("empty", scenario.Fault{Empty: true}) }

// Garbage sends bytes that are not HTTP, and closes the connection. Over HTTP/2 it
// resets the stream.
//
// If it is the last step, further requests are handled normally.
func Garbage() Step { return broken("garbage", scenario.Fault{Garbage: true}) }

// Truncate sends the first n bytes of the body, fewer than Content-Length says,
// and closes the connection.
//
// If it is the last step, further requests are handled normally.
func Truncate(n int) Step {
	s := broken("truncate", scenario.Fault{Truncate: &n})
	if n < 0 {
		s.wrong = fmt.Sprintf("Truncate(%d): want a number of bytes, 0 for none of them", n)
	}
	return s
}

// BadChunk sends a chunked body that ends with a malformed chunk.
//
// If it is the last step, further requests are handled normally.
func BadChunk() Step { return broken("bad-chunk", scenario.Fault{BadChunk: true}) }

// Stall stops after the given number of bytes of the body, and continues after d.
//
// If it is the last step, further requests are handled normally.
func Stall(after int, d time.Duration) Step {
	s := broken("stall", scenario.Fault{Stall: &scenario.Stall{After: after, For: scenario.Duration(d)}})
	if d <= 0 || after < 0 {
		s.wrong = fmt.Sprintf("Stall(%d, %v): want the bytes before the pause, and a pause above 0", after, d)
	}
	return s
}

// Bandwidth sends the body at the given number of bytes per second.
//
// If it is the last step, further requests are handled normally.
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
//
// If it is the last step, further requests are handled normally.
func GoAway() Step { return broken("goaway", scenario.Fault{GoAway: true}) }

// CloseWebSocket closes a WebSocket with a code (RFC 6455, 7.4) after the given
// number of messages to the client.
//
// If it is the last step, further connections are handled normally.
func CloseWebSocket(code, after int) Step {
	s := broken("websocket", scenario.Fault{WebSocket: &scenario.WebSocket{Close: code, After: after}})
	if code < 1000 || code > 4999 || after < 0 {
		s.wrong = fmt.Sprintf("CloseWebSocket(%d, %d): want a code from 1000 to 4999, such as 1011, and the messages before it", code, after)
	}
	return s
}

// Fault breaks an attempt in any way that a scenario's rule can.
//
// If it is the last step, further requests are handled normally.
func Fault(f scenario.Fault) Step { return broken("fault", f) }

// OK lets the handler respond. On a path that the script has added the response is
// 200 with {"status":"OK"}. As the last step it applies to all further attempts.
func OK() Step { return Step{name: "ok", times: 1} }

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
func (s Step) Times(n int) Step { s.times, s.bounded = n, true; return s }

// Delay returns the step, delayed by d.
func (s Step) Delay(d time.Duration) Step {
	if s.delay = d; d < 0 {
		s.wrong = fmt.Sprintf("a delay of %v: want 0 or more", d)
	}
	return s
}

// Handled returns the step, applied after the handler has handled the attempt and in
// place of its response: an order is booked, and the client does not learn it. It is for
// steps without a response of the handler, such as Reset, Fail, FailGRPC and Truncate.
func (s Step) Handled() Step {
	if s.handled = true; s.fault == nil && s.wrong == "" {
		s.wrong = s.name + " cannot be Handled: want a step that breaks the response, such as Reset"
	}
	for _, k := range s.fault.Kinds() {
		if !k.After && s.wrong == "" {
			s.wrong = s.name + " lets the handler respond anyway: remove Handled"
		}
	}
	return s
}

// Header returns the step with a response header, such as Retry-After. It adds a
// value: call it twice to send two Set-Cookie.
func (s Step) Header(name, value string) Step {
	name = http.CanonicalHeaderKey(name)
	if !s.failure() {
		s = s.replying()
		s.reply.header.Add(name, value)
		return s
	}
	f := *s.fault
	if _, ok := f.Headers[name]; ok { // the engine has one value for each
		s.more = cloned(s.more)
		s.more.Add(name, value)
		return s
	}
	f.Headers = with(f.Headers, name, value)
	s.fault = &f
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
	s.reply.body, s.reply.template = body, nil
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
	r.header = cloned(r.header)
	s.reply = &r
	return s
}

// cloned returns a copy of h that is not nil.
func cloned(h http.Header) http.Header {
	if h == nil {
		return http.Header{}
	}
	return h.Clone()
}

// stays reports whether the step, as the last one, applies to all further attempts.
func (s Step) stays() bool {
	return s.name == "ok" && s.delay == 0 || s.reply != nil && s.fault == nil && !s.bounded
}

// empty reports whether the step is Step{}, which no function of the package made.
func (s Step) empty() bool {
	return s.name == "" && s.per == "" && !s.repeat && s.match == nil && s.wrong == ""
}

func with(m map[string]string, name, value string) map[string]string {
	m = maps.Clone(m)
	if m == nil {
		m = map[string]string{}
	}
	m[name] = value
	return m
}

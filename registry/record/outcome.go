package record

import (
	"net/http"
	"strconv"
)

// Outcome is how a request ended.
type Outcome struct {
	Kind   Kind
	Status int   // that was sent, 0 if none
	Bytes  int   // of the body that were sent
	Class  Class // of a response that was cut or never sent
	Left   bool  // the client left after the status was sent; it may have the whole response
}

// Kind says what was sent.
type Kind uint8

// The kinds of outcomes.
const (
	KindSent       Kind = iota // the whole response
	KindCut                    // a status and a part of the body
	KindUnanswered             // no status
	KindClientLeft             // nothing, because the client left before the response
	KindSwitched               // 101, after which the connection belongs to another protocol
)

// Class names the error of a response that the client did not get whole. Its values
// are values of error.type in the semantic conventions of OpenTelemetry.
type Class string

// The classes of errors.
const (
	ConnectionReset Class = "connection_reset"   // the connection was reset (TCP RST)
	StreamReset     Class = "stream_reset"       // the stream was reset without a status (HTTP/2 RST_STREAM)
	NoResponse      Class = "no_response"        // the connection was closed without a response
	Malformed       Class = "malformed_response" // what was sent is not HTTP
	Truncated       Class = "truncated"          // the body ended too early
)

// Statuses that no response has, as labels of requests that got none or no whole
// one.
const (
	// LabelClientLeft counts requests whose client left before the response. nginx
	// uses this number too.
	LabelClientLeft = 499
	// LabelFailed counts requests that the server cut or did not answer. It is a
	// server error, so that queries for statuses of 5xx find it.
	LabelFailed = 599
)

// ServerCut is the cause with which the server cancels the context of a request that it
// cuts because it shuts down (see [context.Cause]). The request has not ended as its
// handler believes.
type ServerCut struct {
	Status int // of the response that the server has sent instead, 0 if none
}

// Error implements error.
func (ServerCut) Error() string { return "cut by the shutdown of the server" }

func cutOff(status, sent int, class Class) Outcome {
	kind := KindCut
	if status == 0 {
		kind = KindUnanswered
	}
	return Outcome{Kind: kind, Status: status, Bytes: sent, Class: class}
}

// Label returns the status under which the request is counted and logged: the one
// that was sent, [LabelFailed] or [LabelClientLeft].
func (o Outcome) Label() int {
	switch o.Kind {
	case KindCut, KindUnanswered:
		return LabelFailed
	case KindClientLeft:
		return LabelClientLeft
	}
	return o.Status
}

// Failed reports whether the server failed.
func (o Outcome) Failed() bool { return o.Label() >= http.StatusInternalServerError }

// ErrorType returns the value of error.type in the semantic conventions of
// OpenTelemetry: the class, or the status of a server error that was sent. It is
// empty if the server did not fail.
func (o Outcome) ErrorType() string {
	switch {
	case o.Class != "":
		return string(o.Class)
	case o.Failed():
		return strconv.Itoa(o.Status)
	}
	return ""
}

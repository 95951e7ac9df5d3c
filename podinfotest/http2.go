package podinfotest

import (
	"time"

	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

func overHTTP2(name string, f scenario.HTTP2) Step { return broken(name, scenario.Fault{HTTP2: &f}) }

// RefuseStream resets the stream with REFUSED_STREAM, which says that the request was
// not processed. Clients send it again by themselves. Over HTTP/1.1 the connection is
// reset.
func RefuseStream() Step {
	return overHTTP2("refuse-stream", scenario.HTTP2{RST: "REFUSED_STREAM"})
}

// GoAwayUnprocessed ends the connection with a GOAWAY that says that the request was
// not processed. Clients send it again by themselves, on another connection. Over
// HTTP/1.1 the connection is closed.
func GoAwayUnprocessed() Step {
	return overHTTP2("goaway-unprocessed", scenario.HTTP2{GoAway: "NO_ERROR", Unprocessed: true})
}

// EnhanceYourCalm ends the connection, with all requests on it, with a GOAWAY of the
// code ENHANCE_YOUR_CALM. Over HTTP/1.1 the connection is closed.
func EnhanceYourCalm() Step {
	return overHTTP2("enhance-your-calm", scenario.HTTP2{GoAway: "ENHANCE_YOUR_CALM"})
}

// EndConnection ends the connection, with all requests on it, without GOAWAY.
func EndConnection() Step { return overHTTP2("end-connection", scenario.HTTP2{Close: true}) }

// WithholdWindow does not read the request's body for d, so that the client gets no
// WINDOW_UPDATE and has to wait when it has sent as much as the window allows. A body of
// at most 64 KiB has been read for the record before.
func WithholdWindow(d time.Duration) Step {
	s := StallUpload(0, d)
	s.name = "withhold-window"
	return s
}

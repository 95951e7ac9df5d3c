package faults

import (
	"cmp"
	"net/http"
	"strconv"
	"time"

	"github.com/urfave/negroni/v3"

	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// beat is the time between two writes of a body with a bandwidth.
const beat = 100 * time.Millisecond

// slow writes a body with pauses, whose sum is at most left. Then it writes at
// full speed.
type slow struct {
	negroni.ResponseWriter
	m        *Module
	r        *http.Request
	decision *scenario.Decision
	strike   *scenario.Strike // nil without a fault
	pace     pacer            // nil when only chunks are delayed
	left     time.Duration
	rest     string // names of the rules that also do something else
	leave    func() // frees the slot of the request

	begun    bool // the header of the response was sent
	bodiless bool // the response has no body
	chunks   int
	sent     int
	length   int // of the body, 0 when unknown
	stalled  bool
}

// Unwrap implements the convention of http.ResponseController.
func (s *slow) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// WriteHeader reports the pauses if the response has a body, and takes them back if it
// has none.
func (s *slow) WriteHeader(status int) {
	if !s.begun && (status >= 200 || status == http.StatusSwitchingProtocols) {
		s.begun = true
		if s.bodiless = !bodyAllowed(status) || s.Header().Get("Content-Length") == "0"; s.bodiless {
			s.m.takeBack(s.Header(), s.decision.Names(), s.rest)
			s.leave()
		} else {
			s.m.reportPart(s.r.Context(), s.decision, scenario.HTTPRequests, true)
		}
	}
	s.ResponseWriter.WriteHeader(status)
}

// begin sends the header if the handler has not.
func (s *slow) begin() {
	if !s.begun {
		s.WriteHeader(http.StatusOK)
	}
}

// Flush sends what was written.
func (s *slow) Flush() {
	s.begin()
	http.NewResponseController(s.ResponseWriter).Flush()
}

// pause sends what was written and waits. It returns false when the client has
// left.
func (s *slow) pause(d time.Duration) bool {
	if d == forever {
		s.Flush()
		s.m.waitForClient(s.ResponseWriter, s.r, s.sent)
		return false
	}
	d = min(d, s.left)
	if d <= 0 {
		return true
	}
	s.left -= d
	s.Flush()
	return pause(s.ResponseWriter, s.r, d)
}

func (s *slow) Write(b []byte) (n int, err error) {
	if s.begin(); s.bodiless {
		return s.ResponseWriter.Write(b)
	}
	if !s.pause(s.decision.Chunk(s.chunks)) {
		return 0, s.r.Context().Err()
	}
	s.chunks++
	if s.sent == 0 {
		s.length, _ = strconv.Atoi(s.Header().Get("Content-Length"))
	}
	for {
		part, wait := b[n:], time.Duration(0)
		if s.pace != nil && (s.left > 0 || s.strike.Fault.Stall != nil) {
			wait, part = s.pace(s, part, false)
		}
		if !s.pause(wait) {
			return n, cmp.Or(s.r.Context().Err(), errCut)
		}
		k, err := s.ResponseWriter.Write(part)
		n, s.sent = n+k, s.sent+k
		if err != nil || n == len(b) {
			return n, err
		}
	}
}

// finish waits at the end of the body, unless the client knows that it is there.
func (s *slow) finish() {
	if !s.begun { // the handler has written nothing
		s.m.takeBack(s.Header(), s.decision.Names(), s.rest)
		return
	}
	if s.pace != nil && !s.bodiless && s.Header().Get("Content-Length") == "" && s.r.Context().Err() == nil {
		wait, _ := s.pace(s, nil, true)
		s.pause(wait)
	}
}

// stall applies the kind stall. A body that is too short to stall in the middle
// stalls before its last byte, which is where clients wait, or at its end when its
// length is unknown.
func stall(s *slow, b []byte, end bool) (wait time.Duration, part []byte) {
	f := s.strike.Fault.Stall
	after := f.After
	if s.length > 0 {
		after = min(after, s.length-1)
	}
	switch {
	case s.stalled || !end && s.sent+len(b) <= after:
		return 0, b
	case !end && s.sent < after:
		return 0, b[:after-s.sent]
	}
	s.stalled = true
	if f.Hang {
		return forever, b
	}
	return time.Duration(f.For), b
}

// throttle applies the kind bandwidth.
func throttle(s *slow, b []byte, _ bool) (wait time.Duration, part []byte) {
	rate := s.strike.Fault.Bandwidth
	n := min(len(b), perBeat(rate))
	return time.Duration(n) * time.Second / time.Duration(rate), b[:n]
}

// perBeat returns how many bytes pass in a beat at a rate per second.
func perBeat(rate int) int { return max(1, rate*int(beat)/int(time.Second)) }

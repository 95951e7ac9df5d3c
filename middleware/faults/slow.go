package faults

import (
	"net/http"
	"time"

	"github.com/urfave/negroni/v3"

	"github.com/seed-4591fe7d/podinfo/internal/wait"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// beat is the time between two writes of a body with a bandwidth.
const beat = 100 * time.Millisecond

// slow writes a body with pauses, whose sum is at most left. Then it writes at
// full speed.
type slow struct {
	negroni.ResponseWriter
	r        *http.Request
	decision *scenario.Decision
	strike   *scenario.Strike // nil without a fault
	pace     pacer            // nil when only chunks are delayed
	left     time.Duration

	chunks  int
	sent    int
	stalled bool
}

// Unwrap implements the convention of http.ResponseController.
func (s *slow) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// Flush sends what was written.
func (s *slow) Flush() { http.NewResponseController(s.ResponseWriter).Flush() }

// pause sends what was written and waits. It returns false when the client has
// left.
func (s *slow) pause(d time.Duration) bool {
	d = min(d, s.left)
	if d <= 0 {
		return true
	}
	s.left -= d
	s.Flush()
	wait.ExtendAll(s.ResponseWriter, s.r, d)
	return registry.Sleep(s.r.Context(), d)
}

func (s *slow) Write(b []byte) (n int, err error) {
	if !s.pause(s.decision.Chunk(s.chunks)) {
		return 0, s.r.Context().Err()
	}
	s.chunks++
	for {
		part, wait := b[n:], time.Duration(0)
		if s.pace != nil && s.left > 0 {
			part, wait = s.pace(s, part, false)
		}
		k, err := s.ResponseWriter.Write(part)
		n, s.sent = n+k, s.sent+k
		if err != nil {
			return n, err
		}
		if !s.pause(wait) {
			return n, s.r.Context().Err()
		}
		if n == len(b) {
			return n, nil
		}
	}
}

// finish waits at the end of the body.
func (s *slow) finish() {
	if s.pace != nil && s.r.Context().Err() == nil {
		_, wait := s.pace(s, nil, true)
		s.pause(wait)
	}
}

// stall applies the kind stall: at the end of a body that is too short to stall
// in the middle.
func stall(s *slow, b []byte, end bool) (part []byte, wait time.Duration) {
	f := s.strike.Fault.Stall
	if s.stalled || !end && s.sent+len(b) <= f.After {
		return b, 0
	}
	s.stalled = true
	return b[:max(0, min(len(b), f.After-s.sent))], time.Duration(f.For)
}

// throttle applies the kind bandwidth.
func throttle(s *slow, b []byte, _ bool) (part []byte, wait time.Duration) {
	rate := s.strike.Fault.Bandwidth
	n := min(len(b), max(1, rate*int(beat)/int(time.Second)))
	return b[:n], time.Duration(n) * time.Second / time.Duration(rate)
}

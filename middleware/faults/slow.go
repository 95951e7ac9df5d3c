package faults

import (
	"net/http"
	"time"

	"github.com/urfave/negroni/v3"

	"github.com/seed-4591fe7d/podinfo/internal/wait"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// beat is how often a body with a bandwidth is written to.
const beat = 100 * time.Millisecond

// slow writes a body with pauses. Together they are no longer than left; after
// that it is as fast as any.
type slow struct {
	negroni.ResponseWriter
	r        *http.Request
	decision *scenario.Decision
	fault    *scenario.Fault // nil for none
	left     time.Duration

	chunks  int
	sent    int
	stalled bool
}

// Unwrap is for http.ResponseController.
func (s *slow) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// Flush sends what was written.
func (s *slow) Flush() { http.NewResponseController(s.ResponseWriter).Flush() }

// pause sends what was written and waits. It is false when the client left.
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
		part, wait := s.part(b[n:])
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

// part is the bytes to write next, and how long to wait then.
func (s *slow) part(b []byte) ([]byte, time.Duration) {
	switch f := s.fault; {
	case f == nil || s.left <= 0:
	case f.Stall != nil && !s.stalled && s.sent+len(b) > f.Stall.After:
		s.stalled = true
		return b[:f.Stall.After-s.sent], time.Duration(f.Stall.For)
	case f.Bandwidth > 0:
		n := min(len(b), max(1, f.Bandwidth*int(beat)/int(time.Second)))
		return b[:n], time.Duration(n) * time.Second / time.Duration(f.Bandwidth)
	}
	return b, 0
}

// finish stalls at the end of a body that was too short to stall in.
func (s *slow) finish() {
	if s.fault != nil && s.fault.Stall != nil && !s.stalled && s.r.Context().Err() == nil {
		s.stalled = true
		s.pause(time.Duration(s.fault.Stall.For))
	}
}

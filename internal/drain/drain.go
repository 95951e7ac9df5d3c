// Package drain signals that a set which takes no new members has become empty.
package drain

// A Signal belongs to a set of connections or the like. The lock that guards the set
// guards its Signal, except for Empty.
type Signal struct {
	started, closed bool
	empty           chan struct{}
}

// New returns a Signal.
func New() Signal { return Signal{empty: make(chan struct{})} }

// Start notes that the set, which has n members, takes no new ones. It returns false
// if it was called before.
func (s *Signal) Start(n int) bool {
	if s.started {
		return false
	}
	s.started = true
	s.Left(n)
	return true
}

// Started reports whether Start was called.
func (s *Signal) Started() bool { return s.started }

// Left notes that members have left and n remain.
func (s *Signal) Left(n int) {
	if s.started && n == 0 && !s.closed {
		s.closed = true
		close(s.empty)
	}
}

// Empty returns a channel that is closed when the set is empty for good.
func (s *Signal) Empty() <-chan struct{} { return s.empty }

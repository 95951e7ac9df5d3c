package tcpproxy

import (
	"time"

	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// A breaker applies a kind of fault to connections: by accept when they are
// accepted, by effect while they are open, or the proxy closes its port.
type breaker struct {
	accept func(*conn)
	effect func(*conn, *scenario.Strike) *effect
	port   bool
}

// breakers apply the kinds of faults, by name. A test holds them against the table
// of kinds, the fields of [scenario.Fault].
var breakers = map[string]breaker{
	"down":       {port: true},
	"reset":      {accept: func(c *conn) { c.closeLocked(true) }},
	"empty":      {accept: func(c *conn) { c.ends = true }},
	"close":      {effect: closeLater},
	"silence":    {effect: silence},
	"hold":       {effect: hold},
	"latency":    {effect: latency},
	"bandwidth":  {effect: bandwidth},
	"slice":      {effect: slice},
	"stall":      {effect: stall},
	"slow-close": {effect: slowClose},
	"corrupt":    {effect: corrupt},
}

// effect is what one rule does to one connection.
type effect struct {
	strike *scenario.Strike
	stages [2]*stage // nil for a direction that is not affected
	timers []*time.Timer
	closes bool // the connection is closed when the rule ends
}

// stop stops the timers. The effect is not used any more.
func (e *effect) stop() {
	for _, t := range e.timers {
		t.Stop()
	}
}

// each returns an effect with a stage for each direction that the fault breaks.
func each(s *scenario.Strike, of func(way scenario.Direction) *stage) *effect {
	e := new(effect)
	for _, way := range s.Fault.Ways() {
		at := out
		if way == scenario.In {
			at = in
		}
		e.stages[at] = of(way)
	}
	return e
}

// later returns the later time.
func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func latency(_ *conn, s *scenario.Strike) *effect {
	return each(s, func(way scenario.Direction) *stage {
		var n uint64
		var last time.Time
		return &stage{buffers: true, pass: func(p piece, emit func(piece)) {
			if len(p.data) > 0 {
				p.read = p.read.Add(s.Latency(way, n))
				n++
				p.at = later(p.at, p.read)
			}
			p.at = later(p.at, last)
			last = p.at
			emit(p)
		}}
	})
}

// interval is the longest time between two writes of the kind bandwidth.
const interval = 100 * time.Millisecond

func bandwidth(_ *conn, s *scenario.Strike) *effect {
	rate := s.Fault.Bandwidth
	step := max(1, rate/int(time.Second/interval))
	took := func(n int) time.Duration { return time.Duration(float64(n) / float64(rate) * float64(time.Second)) }
	return each(s, func(scenario.Direction) *stage {
		var free time.Time // when everything before has passed
		return &stage{
			late: func(d time.Duration) { free = free.Add(d) },
			pass: func(p piece, emit func(piece)) {
				free = later(free, p.at)
				for len(p.data) > step {
					free = free.Add(took(step))
					emit(piece{data: p.data[:step], read: p.read, at: free})
					p.data = p.data[step:]
				}
				free = free.Add(took(len(p.data)))
				p.at = free
				emit(p)
			},
		}
	})
}

func slice(_ *conn, s *scenario.Strike) *effect {
	x := s.Fault.Slice
	return each(s, func(way scenario.Direction) *stage {
		var n uint64
		var free time.Time
		// lengths halves a length until the parts have about the size, as
		// toxiproxy does.
		var lengths func(length int) []int
		lengths = func(length int) []int {
			if length-x.Size <= x.Variation {
				return []int{length}
			}
			left := length / 2
			if x.Variation > 0 {
				left += int(s.Uniform(way, n)*float64(2*x.Variation)) - x.Variation
				n++
			}
			left = min(max(left, 1), length-1)
			return append(lengths(left), lengths(length-left)...)
		}
		return &stage{pass: func(p piece, emit func(piece)) {
			for _, length := range lengths(len(p.data)) {
				part := p
				part.data, p.data = p.data[:length], p.data[length:]
				part.at = later(free, p.at)
				if free = part.at; length > 0 {
					free = free.Add(time.Duration(x.Delay))
				}
				emit(part)
			}
		}}
	})
}

func stall(_ *conn, s *scenario.Strike) *effect {
	return each(s, func(scenario.Direction) *stage {
		left, stalled := s.Fault.Stall.After, false
		var free time.Time
		return &stage{pass: func(p piece, emit func(piece)) {
			if n := min(left, len(p.data)); !stalled && len(p.data) > n {
				if n > 0 {
					emit(piece{data: p.data[:n], read: p.read, at: p.at})
				}
				p.data, stalled = p.data[n:], true
				free = p.at.Add(time.Duration(s.Fault.Stall.For))
			} else {
				left -= n
			}
			p.at = later(p.at, free)
			emit(p)
		}}
	})
}

func hold(_ *conn, s *scenario.Strike) *effect {
	const never = 100 * 365 * 24 * time.Hour
	return each(s, func(scenario.Direction) *stage {
		return &stage{pass: func(p piece, emit func(piece)) {
			if len(p.data) > 0 {
				p.at = p.at.Add(never)
			}
			emit(p)
		}}
	})
}

func slowClose(_ *conn, s *scenario.Strike) *effect {
	return each(s, func(scenario.Direction) *stage {
		return &stage{pass: func(p piece, emit func(piece)) {
			if p.fate == atEnd {
				p.at = p.at.Add(time.Duration(*s.Fault.SlowClose))
			}
			emit(p)
		}}
	})
}

func corrupt(_ *conn, s *scenario.Strike) *effect {
	share := *s.Fault.Corrupt / 100
	return each(s, func(way scenario.Direction) *stage {
		var n uint64
		return &stage{pass: func(p piece, emit func(piece)) {
			for i := range p.data {
				if s.Uniform(way, n) < share {
					p.data[i] ^= 1 + byte(s.Uniform(way, n+1)*255)
				}
				n += 2
			}
			emit(p)
		}}
	})
}

func silence(c *conn, s *scenario.Strike) *effect {
	after := time.Duration(s.Fault.Silence.Close)
	var timers []*time.Timer
	e := each(s, func(scenario.Direction) *stage {
		restart := func() {}
		if after > 0 {
			t := time.AfterFunc(after, func() { c.close(false) })
			timers = append(timers, t)
			restart = func() { t.Reset(after) }
		}
		return &stage{drops: true, pass: func(p piece, emit func(piece)) {
			if p.fate != goOn {
				p.data = nil
				emit(p)
				return
			}
			restart()
		}}
	})
	e.timers, e.closes = timers, true
	return e
}

// closeLater applies the kind close.
func closeLater(c *conn, s *scenario.Strike) *effect {
	x := s.Fault.Close
	switch {
	case x.Bytes != nil:
		return each(s, func(scenario.Direction) *stage { return closeAfterBytes(x) })
	case x.Idle > 0:
		t := time.AfterFunc(time.Duration(x.Idle), func() { c.close(x.Reset) })
		watch := &stage{pass: func(p piece, emit func(piece)) {
			t.Reset(time.Duration(x.Idle))
			emit(p)
		}}
		return &effect{stages: [2]*stage{in: watch, out: {pass: watch.pass}}, timers: []*time.Timer{t}}
	}
	return &effect{timers: []*time.Timer{time.AfterFunc(time.Duration(x.After), func() { c.close(x.Reset) })}}
}

func closeAfterBytes(x *scenario.TCPClose) *stage {
	left, closed := *x.Bytes, false
	return &stage{pass: func(p piece, emit func(piece)) {
		if closed {
			return
		}
		p.data = p.data[:min(left, len(p.data))]
		left -= len(p.data)
		if left > 0 || *x.Bytes > 0 && len(p.data) == 0 {
			emit(p)
			return
		}
		closed = true
		last := piece{read: p.read, at: p.at.Add(time.Duration(x.After)), fate: closing}
		if x.Reset {
			last.fate = resetting
		}
		if len(p.data) > 0 {
			p.fate = goOn
			emit(p)
		}
		emit(last)
	}}
}

// Package budget bounds the memory that requests hold at the same time.
//
// An App has one [Budget]. Whatever receives bytes reserves them as they
// arrive, never because a client announced them, and releases them when they
// have left. A reservation that does not fit fails with [ErrExceeded], and the
// request is refused; nothing else in the process notices.
package budget

import (
	"errors"
	"sync"
	"sync/atomic"
)

// ErrExceeded is what Reserve returns when the budget is used up.
var ErrExceeded = errors.New("memory budget exceeded")

// Budget counts the bytes in flight. All methods may be called concurrently,
// and on nil, which stands for a budget without a limit.
type Budget struct {
	limit   int64
	used    atomic.Int64
	refused atomic.Uint64

	small, large sync.Pool // of *chunk
	buffers      sync.Pool // of *Buffer
}

// New returns a budget of limit bytes.
func New(limit int64) *Budget { return &Budget{limit: limit} }

// Limit returns the size of the budget in bytes.
func (b *Budget) Limit() int64 {
	if b == nil {
		return 0
	}
	return b.limit
}

// Used returns the bytes that are reserved.
func (b *Budget) Used() int64 {
	if b == nil {
		return 0
	}
	return b.used.Load()
}

// Refused returns how many reservations failed so far.
func (b *Budget) Refused() uint64 {
	if b == nil {
		return 0
	}
	return b.refused.Load()
}

// Reserve takes n bytes, or returns ErrExceeded and takes nothing.
func (b *Budget) Reserve(n int) error {
	if b == nil || n == 0 {
		return nil
	}
	// Adding first and subtracting what does not fit would, for a moment, refuse
	// smaller reservations that do fit.
	for {
		used := b.used.Load()
		if int64(n) > b.limit-used {
			b.refused.Add(1)
			return ErrExceeded
		}
		if b.used.CompareAndSwap(used, used+int64(n)) {
			return nil
		}
	}
}

// Release gives n reserved bytes back.
func (b *Budget) Release(n int) {
	if b != nil {
		b.used.Add(int64(-n))
	}
}

// A Lease is what one request holds. It is not safe for concurrent use. The
// zero Lease belongs to no budget and has no limit.
type Lease struct {
	budget *Budget
	held   int
}

// Lease returns a lease that holds nothing yet.
func (b *Budget) Lease() Lease { return Lease{budget: b} }

// Grow reserves n more bytes.
func (l *Lease) Grow(n int) error {
	if err := l.budget.Reserve(n); err != nil {
		return err
	}
	l.held += n
	return nil
}

// Held returns the bytes of the lease.
func (l *Lease) Held() int { return l.held }

// Free releases all that the lease holds. It may be used again after that.
func (l *Lease) Free() {
	if l.held != 0 {
		l.budget.Release(l.held)
		l.held = 0
	}
}

package cache

import (
	"bytes"
	"cmp"
	"context"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"
)

// entryCost is what an entry takes beside its key and value, in bytes.
const entryCost = 128

// young is how many writes a value is safe from, unless there is no other way
// to make room.
const young = 64

// embedded keeps values in this process. What leaves when they are too many is
// what was read least, which would often be what was written last: nobody had
// the time to read it. Left to itself a full otter drops most new values at
// once, so set makes room before it writes.
type embedded struct {
	max   int64
	cache *otter.Cache[string, item]

	mu     sync.Mutex // one writer at a time
	writes uint64
}

// item is a value, and which write it came with.
type item struct {
	value []byte
	n     uint64
}

func newEmbedded(maxBytes int64, ttl time.Duration) *embedded {
	o := &otter.Options[string, item]{
		MaximumWeight: uint64(maxBytes),
		Weigher:       func(key string, i item) uint32 { return uint32(weigh(key, i.value)) },
		Executor:      func(f func()) { f() }, // no goroutines for its upkeep
	}
	if ttl > 0 {
		o.ExpiryCalculator = otter.ExpiryWriting[string, item](ttl)
	}
	return &embedded{max: maxBytes, cache: otter.Must(o)}
}

func weigh(key string, value []byte) int64 { return int64(len(key) + len(value) + entryCost) }

func (e *embedded) get(_ context.Context, key string) ([]byte, error) {
	i, ok := e.cache.GetIfPresent(key)
	if !ok {
		return nil, errMiss
	}
	return i.value, nil
}

func (e *embedded) set(_ context.Context, key string, value []byte) error {
	need := weigh(key, value)
	if need > min(e.max, math.MaxUint32) {
		return errTooLarge
	}
	// Both arrive with more memory than they need: the whole URL, the buffer.
	key, value = strings.Clone(key), bytes.Clone(value)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.makeRoom(key, need)
	e.writes++
	e.cache.Set(key, item{value, e.writes})
	return nil
}

// makeRoom evicts until there is room for need bytes under key.
func (e *embedded) makeRoom(key string, need int64) {
	over := int64(e.cache.WeightedSize()) + need - e.max
	if old, ok := e.cache.GetEntryQuietly(key); ok {
		over -= int64(old.Weight)
	}
	if over <= 0 {
		return
	}
	for _, v := range e.victims(key, over) {
		e.cache.Invalidate(v.Key)
		over -= int64(v.Weight)
	}
	if over > 0 { // all that is left has expired and was not swept up yet
		e.cache.InvalidateAll()
	}
}

// victims are entries of at least size bytes in all, if there are as many: the
// coldest, but the youngest only after all others, in the order of their age.
func (e *embedded) victims(spare string, size int64) []otter.Entry[string, item] {
	var out, last []otter.Entry[string, item]
	for entry := range e.cache.Coldest() {
		if entry.Key == spare {
			continue
		}
		if entry.Value.n+young > e.writes {
			last = append(last, entry)
			continue
		}
		out = append(out, entry)
		if size -= int64(entry.Weight); size <= 0 {
			return out
		}
	}
	slices.SortFunc(last, func(a, b otter.Entry[string, item]) int { return cmp.Compare(a.Value.n, b.Value.n) })
	for _, entry := range last {
		if size <= 0 {
			break
		}
		out = append(out, entry)
		size -= int64(entry.Weight)
	}
	return out
}

func (e *embedded) delete(_ context.Context, key string) error {
	e.cache.Invalidate(key)
	return nil
}

func (*embedded) ping(context.Context) error                 { return nil }
func (*embedded) beat(context.Context, string, string) error { return nil }

func (e *embedded) close() error {
	e.cache.StopAllGoroutines()
	return nil
}

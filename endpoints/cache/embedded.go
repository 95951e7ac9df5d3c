package cache

import (
	"bytes"
	"context"
	"hash/maphash"
	"maps"
	"strings"
	"sync"
	"time"
)

// entryCost is the memory that an entry takes besides its key and value, in
// bytes: the entry itself, its slot in the map and the rounding of its key.
const entryCost = 128

// embedded keeps values in this process. It evicts the least recently used
// entries until a new one fits into max bytes. Removed values that are still
// being sent may take as much again, then it refuses new ones.
type embedded struct {
	max   int64
	ttl   time.Duration // 0 means that entries do not expire
	start time.Time
	timer *time.Timer // runs expire, so that an idle cache frees memory; nil without a TTL
	hash  func(key string) uint64

	mu      sync.Mutex
	entries map[uint64]*entry // by hash; keys with equal hashes replace each other
	peak    int               // largest number of entries since the map was made
	used    int64             // sum of all sizes
	sending int64             // sum of the sizes of removed entries that are still being sent
	lists   entry             // head of both lists
}

// An entry is in two circular lists, newest first. All entries have the same
// lifetime, so the last one by age expires next. container/list and a map by key
// would take twice as much memory per entry.
type entry struct {
	key     string
	value   []byte        // shared with readers, so never modified
	written time.Duration // since start
	links   [2]struct{ prev, next *entry }
	readers int32
	removed bool // but not yet released by its readers
}

const (
	byUse = iota
	byAge
)

func newEmbedded(maxBytes int64, ttl time.Duration) *embedded {
	seed := maphash.MakeSeed()
	hash := func(key string) uint64 { return maphash.String(seed, key) }
	e := &embedded{max: maxBytes, ttl: ttl, start: time.Now(), hash: hash, entries: map[uint64]*entry{}}
	for i := range e.lists.links {
		e.lists.links[i].prev, e.lists.links[i].next = &e.lists, &e.lists
	}
	if ttl > 0 {
		e.timer = time.AfterFunc(ttl, e.expire)
	}
	return e
}

func (e *embedded) get(_ context.Context, key string) (value, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.expireLocked()
	n := e.entries[e.hash(key)]
	if n == nil || n.key != key {
		return value{}, errMiss
	}
	n.unlink(byUse)
	e.lists.insert(n, byUse)
	n.readers++
	return value{n.value, n, e}, nil
}

// release gives back an entry that get returned. Slow clients would otherwise
// keep any number of removed values in memory.
func (e *embedded) release(n *entry) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if n.readers--; n.readers == 0 && n.removed {
		e.sending -= n.size()
	}
}

func (e *embedded) set(_ context.Context, key string, value []byte) error {
	if int64(len(key)+len(value)+entryCost) > e.max {
		return errTooLarge
	}
	// Clone, because the arguments refer to a whole URL and to a larger buffer.
	n := &entry{key: strings.Clone(key), value: bytes.Clone(value)}
	e.mu.Lock()
	defer e.mu.Unlock()
	n.written = e.expireLocked()
	if e.sending > 0 && e.sending+n.size() > e.max {
		return errBusy
	}
	e.removeLocked(e.entries[e.hash(key)])
	for e.used+n.size() > e.max && len(e.entries) > 0 {
		e.removeLocked(e.lists.links[byUse].prev)
	}
	if e.timer != nil && len(e.entries) == 0 {
		e.timer.Reset(e.ttl)
	}
	e.entries[e.hash(key)] = n
	e.peak = max(e.peak, len(e.entries))
	e.used += n.size()
	e.lists.insert(n, byUse)
	e.lists.insert(n, byAge)
	return nil
}

func (e *embedded) delete(_ context.Context, key string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if n := e.entries[e.hash(key)]; n != nil && n.key == key {
		e.removeLocked(n)
	}
	return nil
}

// removeLocked removes n unless it is nil. It replaces a map that is half empty,
// because maps do not shrink. The caller must hold e.mu.
func (e *embedded) removeLocked(n *entry) {
	if n == nil {
		return
	}
	delete(e.entries, e.hash(n.key))
	e.used -= n.size()
	if n.readers > 0 {
		n.removed = true
		e.sending += n.size()
	}
	n.unlink(byUse)
	n.unlink(byAge)
	if len(e.entries) < e.peak/2 {
		smaller := make(map[uint64]*entry, len(e.entries))
		maps.Copy(smaller, e.entries)
		e.entries, e.peak = smaller, len(smaller)
	}
}

// expire removes the expired entries and sets the timer to the next expiry.
func (e *embedded) expire() {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.expireLocked()
	if len(e.entries) > 0 {
		e.timer.Reset(e.ttl - (now - e.lists.links[byAge].prev.written))
	}
}

// expireLocked removes the expired entries and returns the time since start. The
// caller must hold e.mu.
func (e *embedded) expireLocked() time.Duration {
	if e.ttl == 0 {
		return 0
	}
	now := time.Since(e.start)
	for len(e.entries) > 0 && now-e.lists.links[byAge].prev.written >= e.ttl {
		e.removeLocked(e.lists.links[byAge].prev)
	}
	return now
}

// size returns the bytes that n counts against the limit. The capacity of a
// cloned value includes the rounding of the allocator.
func (n *entry) size() int64 { return int64(len(n.key) + cap(n.value) + entryCost) }

// insert makes n the first entry of the list with the given head.
func (head *entry) insert(n *entry, list int) {
	next := head.links[list].next
	n.links[list].prev, n.links[list].next = head, next
	head.links[list].next, next.links[list].prev = n, n
}

func (n *entry) unlink(list int) {
	l := n.links[list]
	l.prev.links[list].next, l.next.links[list].prev = l.next, l.prev
}

func (*embedded) ping(context.Context) error                 { return nil }
func (*embedded) beat(context.Context, string, string) error { return nil }

func (e *embedded) close() error {
	if e.timer != nil {
		e.timer.Stop()
	}
	return nil
}

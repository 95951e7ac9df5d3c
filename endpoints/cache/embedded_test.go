package cache

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A model is an embedded store that is too simple to be wrong: a list, the most
// recently used entry first.
type model struct {
	max     int
	ttl     time.Duration
	entries []modelEntry
}

type modelEntry struct {
	key     string
	value   []byte
	expires time.Time
}

func (m *model) index(key string) int {
	m.entries = slices.DeleteFunc(m.entries, func(e modelEntry) bool { return !time.Now().Before(e.expires) })
	return slices.IndexFunc(m.entries, func(e modelEntry) bool { return e.key == key })
}

func (m *model) get(key string) ([]byte, error) {
	i := m.index(key)
	if i < 0 {
		return nil, errMiss
	}
	e := m.entries[i]
	m.entries = slices.Insert(slices.Delete(m.entries, i, i+1), 0, e)
	return e.value, nil
}

func (m *model) delete(key string) {
	if i := m.index(key); i >= 0 {
		m.entries = slices.Delete(m.entries, i, i+1)
	}
}

func (m *model) set(key string, value []byte) error {
	if len(key)+len(value)+entryCost > m.max {
		return errTooLarge
	}
	m.delete(key)
	m.entries = slices.Insert(m.entries, 0, modelEntry{key, value, time.Now().Add(m.ttl)})
	for m.used() > m.max {
		m.entries = m.entries[:len(m.entries)-1]
	}
	return nil
}

func (m *model) used() (sum int) {
	for _, e := range m.entries {
		sum += len(e.key) + len(e.value) + entryCost
	}
	return sum
}

func (m *model) keys() (out []string) {
	for _, e := range m.entries {
		out = append(out, e.key)
	}
	return out
}

// TestModel compares the store with the model after each of many random
// operations.
func TestModel(t *testing.T) {
	for seed := range uint64(10) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			m := &model{max: 10_000, ttl: time.Minute}
			e := newEmbedded(int64(m.max), m.ttl)
			t.Cleanup(func() { e.close() })
			for step := range 1000 {
				key := fmt.Sprint(random.IntN(40))
				switch random.IntN(8) {
				case 0:
					time.Sleep(time.Duration(random.ExpFloat64() * float64(15*time.Second)))
				case 1:
					m.delete(key)
					if err := e.delete(t.Context(), key); err != nil {
						t.Fatal(err)
					}
				case 2, 3, 4:
					// Sizes that the allocator does not round.
					value := bytes.Repeat([]byte{byte(step)}, []int{0, 8, 256, 512, 1024, 8192, 9472, 10240}[random.IntN(8)])
					want, err := m.set(key, value), e.set(t.Context(), key, value)
					if !errors.Is(err, want) {
						t.Fatalf("step %d: set %s to %d bytes: %v, want %v", step, key, len(value), err, want)
					}
				default:
					want, wantErr := m.get(key)
					got, err := e.get(t.Context(), key)
					if !bytes.Equal(got.data, want) || !errors.Is(err, wantErr) {
						t.Fatalf("step %d: get %s: %.9q, %v, want %.9q, %v", step, key, got.data, err, want, wantErr)
					}
					got.release()
				}
				m.index("") // removes what has expired
				synctest.Wait()
				keys, used := e.state(t, byUse)
				if want := m.keys(); !slices.Equal(keys, want) || used != int64(m.used()) {
					t.Fatalf("step %d: %d bytes used, want %d: %s", step, used, m.used(), cmp.Diff(want, keys))
				}
			}
		})
	}
}

// state returns the keys of one list of the store and the bytes it counts. It
// fails the test unless the lists and the map agree.
func (e *embedded) state(t *testing.T, list int) (keys []string, used int64) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	for n := e.lists.links[list].next; n != &e.lists; n = n.links[list].next {
		if n.links[list].next.links[list].prev != n || e.entries[e.hash(n.key)] != n {
			t.Fatalf("inconsistent links of %s", n.key)
		}
		keys = append(keys, n.key)
	}
	if len(keys) != len(e.entries) {
		t.Fatalf("%d entries in the list, %d in the map", len(keys), len(e.entries))
	}
	return keys, e.used
}

// TestConcurrentUse reads, writes, deletes and expires at the same time. A hit
// must be a value of its key, and the limit must hold at every moment.
func TestConcurrentUse(t *testing.T) {
	const limit, workers = 10_000, 8
	e := newEmbedded(limit, time.Millisecond)
	t.Cleanup(func() { e.close() })
	var all sync.WaitGroup
	for worker := range workers {
		all.Go(func() {
			random := rand.New(rand.NewPCG(uint64(worker), 0))
			for range 5000 {
				k := random.IntN(100)
				key, value := fmt.Sprint(k), bytes.Repeat([]byte{byte(k)}, k)
				switch random.IntN(4) {
				case 0:
					if err := e.delete(t.Context(), key); err != nil {
						t.Error(err)
					}
				case 1:
					if err := e.set(t.Context(), key, value); err != nil {
						t.Error(err)
					}
				default:
					got, err := e.get(t.Context(), key)
					if err == nil && !bytes.Equal(got.data, value) || err != nil && !errors.Is(err, errMiss) {
						t.Errorf("%s: %v, %v", key, got.data, err)
					}
					got.release()
				}
				e.mu.Lock()
				if e.used < 0 || e.used > limit {
					t.Errorf("%d bytes used", e.used)
				}
				e.mu.Unlock()
			}
		})
	}
	all.Wait()
	used, _ := e.state(t, byUse)
	aged, _ := e.state(t, byAge)
	slices.Sort(used)
	slices.Sort(aged)
	if diff := cmp.Diff(used, aged); diff != "" {
		t.Error(diff)
	}
	if e.sending != 0 {
		t.Errorf("%d bytes are counted as being sent", e.sending)
	}
}

// TestRemovedValuesCountUntilTheyAreSent evicts, overwrites and deletes values
// while clients read them.
func TestRemovedValuesCountUntilTheyAreSent(t *testing.T) {
	const size, fit = 1024, 4
	e := newEmbedded(fit*(size+entryCost+1), 0)
	data := make([]byte, size)
	set := func(key string) error { return e.set(t.Context(), key, data) }
	fill := func() {
		for i := range fit {
			if err := set(string(rune('a' + i))); err != nil {
				t.Fatal(err)
			}
		}
	}
	var reading []value
	for i, remove := range []func(key string){
		func(key string) { e.delete(t.Context(), key) },
		func(key string) { e.set(t.Context(), key, nil); e.delete(t.Context(), key) },
		func(string) { fill() },
	} {
		key := fmt.Sprint(i)
		if err := set(key); err != nil {
			t.Fatal(err)
		}
		v, err := e.get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		again, _ := e.get(t.Context(), key)
		again.release()
		reading = append(reading, v)
		remove(key)
		if want := int64((i + 1) * (size + entryCost + 1)); e.sending != want || e.used > e.max {
			t.Errorf("%d bytes are being sent, want %d; %d of %d are used", e.sending, want, e.used, e.max)
		}
	}
	v, _ := e.get(t.Context(), "d")
	reading = append(reading, v)
	e.delete(t.Context(), "d")
	if err := set("d"); !errors.Is(err, errBusy) {
		t.Errorf("as many bytes are being sent as fit: %v", err)
	}
	for _, v := range reading {
		v.release()
	}
	if fill(); e.sending != 0 {
		t.Errorf("%d bytes are being sent", e.sending)
	}
	e.state(t, byUse)
}

// TestLateTimer reads an expired value that the timer has not removed yet.
func TestLateTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEmbedded(1000, time.Minute)
		e.set(t.Context(), "a", nil)
		e.timer.Stop()
		time.Sleep(time.Minute)
		if got, err := e.get(t.Context(), "a"); !errors.Is(err, errMiss) {
			t.Errorf("%q, %v", got.data, err)
		}
	})
}

func TestHashCollision(t *testing.T) {
	e := newEmbedded(1000, 0)
	e.hash = func(string) uint64 { return 1 }
	holds := func(key, want string) {
		t.Helper()
		if got, err := e.get(t.Context(), key); string(got.data) != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v, want %q", key, got.data, err, want)
		}
	}
	e.set(t.Context(), "a", []byte("1"))
	e.delete(t.Context(), "b")
	holds("a", "1")
	holds("b", "")
	e.set(t.Context(), "b", []byte("2"))
	holds("a", "")
	holds("b", "2")
	e.state(t, byUse)
}

func BenchmarkEmbedded(b *testing.B) {
	const held = 10_000
	value := make([]byte, 1000)
	names := make([]string, 4*held)
	for i := range names {
		names[i] = fmt.Sprintf("key-%06d", i)
	}
	full := func(b *testing.B) *embedded {
		e := newEmbedded(held*1200, time.Hour)
		b.Cleanup(func() { e.close() })
		for _, name := range names[:held] {
			e.set(b.Context(), name, value)
		}
		b.ReportAllocs()
		b.ResetTimer()
		return e
	}
	b.Run("get", func(b *testing.B) {
		e, i := full(b), 0
		for b.Loop() {
			v, _ := e.get(b.Context(), names[i%1000])
			v.release()
			i++
		}
	})
	b.Run("overwrite", func(b *testing.B) {
		e, i := full(b), 0
		for b.Loop() {
			e.set(b.Context(), names[i%1000], value)
			i++
		}
	})
	b.Run("evict", func(b *testing.B) {
		e, i := full(b), 0
		for b.Loop() {
			e.set(b.Context(), names[i%len(names)], value)
			i++
		}
	})
	b.Run("parallel", func(b *testing.B) { // one write in ten operations
		e := full(b)
		b.RunParallel(func(pb *testing.PB) {
			for random := rand.New(rand.NewPCG(rand.Uint64(), 0)); pb.Next(); {
				name := names[random.IntN(len(names))]
				if random.IntN(10) == 0 {
					e.set(b.Context(), name, value)
				} else {
					v, _ := e.get(b.Context(), name)
					v.release()
				}
			}
		})
	})
}

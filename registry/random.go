package registry

import (
	"hash/fnv"
	"math/rand/v2"
	"sync/atomic"
)

// Random is a module's share of its App's randomness. It may be used
// concurrently. What the n-th draw yields is a function of the seed, the
// module's name and n alone, so a run is repeated by repeating its seed,
// whatever the number of clients.
type Random struct {
	key uint64
	n   atomic.Uint64
}

func newRandom(seed uint64, name string) *Random {
	h := fnv.New64a()
	h.Write([]byte(name))
	return &Random{key: mix(seed ^ h.Sum64())}
}

// Next is the next draw: a generator for the one request that asked. It is not
// safe for concurrent use.
func (r *Random) Next() *rand.Rand {
	n := r.n.Add(1)
	return rand.New(rand.NewPCG(mix(r.key+n), mix(r.key^^n)))
}

// mix is the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014):
// neighbouring numbers come out unrelated.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

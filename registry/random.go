package registry

import (
	"math/rand/v2"
	"sync/atomic"

	"github.com/seed-4591fe7d/podinfo/internal/splitmix"
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
	return &Random{key: splitmix.Mix(seed ^ splitmix.Hash(name))}
}

// Next is the next draw: a generator for the one request that asked. It is not
// safe for concurrent use.
func (r *Random) Next() *rand.Rand {
	n := r.n.Add(1)
	return rand.New(rand.NewPCG(splitmix.Mix(r.key+n), splitmix.Mix(r.key^^n)))
}

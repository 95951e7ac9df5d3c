package registry

import (
	"math/rand/v2"
	"sync/atomic"

	"github.com/seed-4591fe7d/podinfo/internal/splitmix"
)

// Random is a module's share of its App's randomness. It is safe for concurrent
// use. The n-th draw is a function of the seed, the module's name and n alone, so
// the same seed repeats a run, whatever the number of clients.
type Random struct {
	key uint64
	n   atomic.Uint64
}

func newRandom(seed uint64, name string) *Random {
	return &Random{key: splitmix.Mix(seed ^ splitmix.Hash(name))}
}

// Next returns a generator for one request. The generator is not safe for
// concurrent use.
func (r *Random) Next() *rand.Rand {
	n := r.n.Add(1)
	return rand.New(rand.NewPCG(splitmix.Mix(r.key+n), splitmix.Mix(r.key^^n)))
}

package splitmix_test

import (
	"hash/fnv"
	"testing"

	"github.com/seed-4591fe7d/podinfo/internal/splitmix"
)

// TestMix compares with the first numbers that SplitMix64 yields from seed 0.
func TestMix(t *testing.T) {
	var gamma uint64 = 0x9e3779b97f4a7c15
	for i, want := range []uint64{0xe220a8397b1dcdaf, 0x6e789e6aa1b965f4, 0x06c45d188009454f} {
		if got := splitmix.Mix(uint64(i) * gamma); got != want {
			t.Errorf("number %d is %#x, want %#x", i, got, want)
		}
	}
}

func TestHash(t *testing.T) {
	for _, s := range []string{"", "a", "random-delay", "\xff\x00ä"} {
		h := fnv.New64a()
		h.Write([]byte(s))
		if got := splitmix.Hash(s); got != h.Sum64() {
			t.Errorf("%q: %#x, want %#x", s, got, h.Sum64())
		}
	}
}

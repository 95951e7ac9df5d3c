// Package splitmix derives numbers that look unrelated from seeds, names and
// counters, the same on every machine.
package splitmix

// Mix is the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014). Its
// results for neighbouring numbers are unrelated.
func Mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Hash returns the 64-bit FNV-1a hash of s. It does not allocate.
func Hash(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

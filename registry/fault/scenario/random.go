package scenario

// The draws of one request. Each has its own sequence of random numbers, so a
// change of one setting does not change the other draws.
const (
	drawPercent uint64 = iota + 1
	drawDelay
	drawChunk
	drawFrame
	drawFrameDelay
	drawGarbage
	drawFrameIn
	drawFrameInDelay
)

// draws generates the random numbers of one request, a function of the seed, the
// rule's name, the key and the request's number.
type draws uint64

func (d draws) at(what, i uint64) uint64 { return mix(uint64(d) ^ mix(what<<32+i)) }

// uniform returns a number above 0 and below 1.
func (d draws) uniform(what, i uint64) float64 {
	return (float64(d.at(what, i)>>11) + 0.5) / (1 << 53)
}

// mix is the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), which
// maps neighbouring numbers to unrelated ones.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// hash is 64-bit FNV-1a, whose results do not vary between processes.
func hash(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

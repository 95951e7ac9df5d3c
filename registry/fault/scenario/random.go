package scenario

// What is drawn of one request. Each has numbers of its own, so that a change
// of one setting leaves the other draws as they were.
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

// draws are the random numbers of one request: a function of the seed, the
// rule's name, the key and the request's number.
type draws uint64

func (d draws) at(what, i uint64) uint64 { return mix(uint64(d) ^ mix(what<<32+i)) }

// uniform is above 0 and below 1.
func (d draws) uniform(what, i uint64) float64 {
	return (float64(d.at(what, i)>>11) + 0.5) / (1 << 53)
}

// mix is the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014):
// neighbouring numbers come out unrelated.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// hash is FNV-1a, which is the same everywhere, in 64 bits.
func hash(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

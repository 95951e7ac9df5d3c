package scenario

import "github.com/seed-4591fe7d/podinfo/internal/splitmix"

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
	drawSticky
	drawBurst
	drawChoice
	drawCorrupt
	drawDuplicate
	drawReorder
)

// draws generates the random numbers of one request, a function of the seed, the
// rule's name, the key and the request's number.
type draws uint64

func (d draws) at(what, i uint64) uint64 { return splitmix.Mix(uint64(d) ^ splitmix.Mix(what<<32+i)) }

// uniform returns a number above 0 and below 1.
func (d draws) uniform(what, i uint64) float64 {
	return (float64(d.at(what, i)>>11) + 0.5) / (1 << 53)
}

package wsecho

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
)

// FuzzFrames feeds a server what is no frames at all. The bubble finds hangs
// and goroutines left behind: it panics when all in it wait for ever.
func FuzzFrames(f *testing.F) {
	for _, c := range conversations {
		if len(c.send) < 4096 {
			f.Add([]byte(c.send), uint16(0))
			f.Add([]byte(c.send), uint16(3))
		}
	}
	f.Fuzz(func(t *testing.T, frames []byte, behind uint16) {
		synctest.Test(t, func(t *testing.T) {
			app, _ := registrytest.New(t, quiet, new(Module))
			early := min(int(behind), len(frames), 2048)
			p := pipe(t, app, string(frames[:early]))
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				closed := false
				for {
					heard := p.next(t)
					if heard == "end" {
						return
					}
					if closed {
						t.Errorf("%q after the close frame", heard)
					}
					closed = strings.HasPrefix(heard, "close")
				}
			}()
			p.Write(frames[early:])
			synctest.Wait() // all is answered
			p.Close()
			<-ended
		})
	})
}

package wsecho

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
)

// FuzzFrames sends arbitrary data to the server. The testing/synctest bubble
// detects hangs and leaked goroutines: it panics when all of its goroutines are
// blocked forever.
func FuzzFrames(f *testing.F) {
	for _, c := range conversations {
		if len(c.send) < 4096 {
			f.Add([]byte(c.send), uint16(0))
			f.Add([]byte(c.send), uint16(3))
		}
	}
	f.Fuzz(func(t *testing.T, frames []byte, withHandshake uint16) {
		synctest.Test(t, func(t *testing.T) {
			app, _ := registrytest.New(t, quiet, new(Module))
			early := min(int(withHandshake), len(frames), 2048)
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
			synctest.Wait() // until the server has processed everything
			p.Close()
			<-ended
		})
	})
}

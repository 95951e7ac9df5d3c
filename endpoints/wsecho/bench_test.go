package wsecho

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
)

// BenchmarkEcho measures messages over connections that send one after the other.
// What the client does is the same for all sizes: it copies bytes.
func BenchmarkEcho(b *testing.B) {
	for _, size := range []int{100, 4 << 10, 64 << 10, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s := registrytest.Serve(b, quiet, new(Module))
			frame := text(strings.Repeat("hello wörld ", size/13+1)[:size])
			b.SetBytes(int64(size))
			b.ReportAllocs()
			b.SetParallelism(4)
			b.RunParallel(func(pb *testing.PB) {
				p := dial(b, s.URL, "")
				for pb.Next() {
					io.WriteString(p, frame)
					h, err := ws.ReadHeader(p.in)
					if err != nil || h.OpCode != ws.OpText {
						b.Error(h, err)
						return
					}
					if _, err := p.in.Discard(int(h.Length)); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

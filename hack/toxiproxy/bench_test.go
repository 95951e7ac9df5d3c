package toxiproxy

import (
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2/client"
)

// spliced starts a proxy of a few lines, which splices.
func spliced(b *testing.B, to string) string {
	return listener(b, func(client net.Conn) {
		target, err := net.Dial("tcp", to)
		if err != nil {
			b.Error(err)
			return
		}
		defer target.Close()
		var both sync.WaitGroup
		for _, way := range [][2]net.Conn{{client, target}, {target, client}} {
			both.Go(func() {
				io.Copy(way[0], way[1])
				way[0].(*net.TCPConn).CloseWrite()
			})
		}
		both.Wait()
	})
}

// through returns what starts a proxy with toxics by toxiproxy's API.
func through(api func(testing.TB) string, toxics ...toxiproxy.Toxic) func(*testing.B, string) string {
	return func(b *testing.B, to string) string {
		p, err := toxiproxy.NewClient(api(b)).CreateProxy("bench", "127.0.0.1:0", to)
		if err != nil {
			b.Fatal(err)
		}
		for _, t := range toxics {
			if _, err := p.AddToxic("", t.Type, "", 1, t.Attributes); err != nil {
				b.Fatal(err)
			}
		}
		return p.Listen
	}
}

var proxies = []struct {
	name  string
	start func(*testing.B, string) string
}{
	{"direct", func(_ *testing.B, to string) string { return to }},
	{"splice", spliced},
	{"podinfo", through(ours)},
	{"toxiproxy", through(original)},
	{"podinfo with a toxic", through(ours, toxiproxy.Toxic{Type: "slicer", Attributes: attrs{"average_size": 1 << 20}})},
	{"toxiproxy with a toxic", through(original, toxiproxy.Toxic{Type: "slicer", Attributes: attrs{"average_size": 1 << 20}})},
}

// cpu returns the processor time of the process.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkStream measures a stream of 1 GB from the service. The processor time
// includes that of the service and of the client.
func BenchmarkStream(b *testing.B) {
	const size = 1 << 30
	part := make([]byte, 128<<10)
	for _, p := range proxies {
		b.Run(p.name, func(b *testing.B) {
			addr := p.start(b, listener(b, func(c net.Conn) {
				for range size / len(part) {
					if _, err := c.Write(part); err != nil {
						return
					}
				}
			}))
			buf := make([]byte, 128<<10)
			b.SetBytes(size)
			before := cpu(b)
			for b.Loop() {
				c, err := net.Dial("tcp", addr)
				if err != nil {
					b.Fatal(err)
				}
				n := 0
				for {
					k, err := c.Read(buf)
					if n += k; err != nil {
						break
					}
				}
				c.Close()
				if n != size {
					b.Fatalf("%d bytes", n)
				}
			}
			b.ReportMetric((cpu(b)-before).Seconds()/float64(b.N), "cpu-s/op")
		})
	}
}

// BenchmarkRoundTrip measures a request of 64 bytes and its response, one after the
// other on one connection.
func BenchmarkRoundTrip(b *testing.B) {
	for _, p := range proxies {
		b.Run(p.name, func(b *testing.B) {
			c, err := net.Dial("tcp", p.start(b, listener(b, echo)))
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			buf := make([]byte, 64)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Write(buf); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(c, buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

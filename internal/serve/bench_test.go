package serve_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/urfave/negroni/v3"

	"github.com/seed-4591fe7d/podinfo/internal/serve"
	"github.com/seed-4591fe7d/podinfo/registry/budget"
)

// BenchmarkServe measures what limits cost a request over a connection that is
// kept alive.
func BenchmarkServe(b *testing.B) {
	large := make([]byte, 1<<20)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if l := serve.LimitsOf(r); l != nil {
			t := l.Watch(negroni.NewResponseWriter(w), r)
			defer t.End(r)
			w = t.Writer(r)
		}
		io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/large" {
			w.Write(large)
			return
		}
		io.WriteString(w, "ok")
	})
	limits := &serve.Limits{Pool: serve.NewPool(1000), Streams: 10, Stall: 10 * time.Second, Budget: budget.New(1 << 20)}
	for _, c := range []struct {
		name   string
		limits *serve.Limits
	}{{"without", nil}, {"with", limits}} {
		for _, req := range []struct{ name, head, body string }{
			{"small", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", ""},
			{"upload", fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", len(large)), string(large)},
			{"download", "GET /large HTTP/1.1\r\nHost: x\r\n\r\n", ""},
		} {
			b.Run(req.name+"/"+c.name, func(b *testing.B) {
				l, err := serve.Listen(b.Context(), "127.0.0.1", 0, nil)
				if err != nil {
					b.Fatal(err)
				}
				s := serve.New(&http.Server{Handler: handler, ReadTimeout: 30 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute}, l, c.limits)
				done := make(chan error)
				go func() { done <- s.Serve() }()
				defer func() { s.Close(); <-done }()
				b.RunParallel(func(pb *testing.PB) {
					conn, err := net.Dial("tcp", s.Addr().String())
					if err != nil {
						b.Error(err)
						return
					}
					defer conn.Close()
					in := bufio.NewReaderSize(conn, 64<<10)
					for pb.Next() {
						io.WriteString(conn, req.head)
						io.WriteString(conn, req.body)
						res, err := http.ReadResponse(in, nil)
						if err != nil {
							b.Error(err)
							return
						}
						io.Copy(io.Discard, res.Body)
					}
				})
			})
		}
	}
}

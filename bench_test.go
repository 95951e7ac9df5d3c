package podinfo_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/seed-4591fe7d/podinfo/endpoints/token"
	"github.com/seed-4591fe7d/podinfo/internal/jsonlog"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

// Each figure stands beside bare net/http doing the same work: read them as
// ratios, of one run.

// work is a request, and the bare handler that answers it with the same bytes.
type work struct {
	name, method, path, body string
	bare                     http.HandlerFunc
}

func works(b *testing.B) []work {
	b.Helper()
	app := start(b, nil)
	same := func(path string) http.HandlerFunc {
		rec := get(app, path)
		body, code := rec.Body.Bytes(), rec.Code
		return func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			h["Content-Type"], h["X-Content-Type-Options"] = rec.Header()["Content-Type"], rec.Header()["X-Content-Type-Options"]
			w.WriteHeader(code)
			w.Write(body)
		}
	}
	echo := func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusAccepted)
		w.Write(body)
	}
	signer := app.Get("token").(*token.Module)
	issue := func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		t, expires, err := signer.Issue(string(body))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		reply.JSON(w, http.StatusOK, struct {
			Token   string    `json:"token"`
			Expires time.Time `json:"expires_at"`
		}{t, expires})
	}
	return []work{
		{"version", "GET", "/version", "", same("/version")},
		{"healthz", "GET", "/healthz", "", same("/healthz")},
		{"status", "GET", "/status/200", "", same("/status/200")},
		{"echo", "POST", "/echo", "hello, world", echo},
		{"token", "POST", "/token", "me", issue},
	}
}

// discard is a writer that keeps nothing, and no more than it must of the
// header: its allocations are not part of the figures.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}

// handlers are what is compared. The access log goes to the null device.
func handlers(b *testing.B, w work) []struct {
	name string
	http.Handler
} {
	b.Helper()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { null.Close() })
	logger := logrus.New()
	logger.SetFormatter(jsonlog.Formatter{})
	logger.SetOutput(jsonlog.NewWriter(null))
	return []struct {
		name string
		http.Handler
	}{
		{"bare", w.bare},
		{"podinfo", start(b, nil)},
		{"podinfo+log", start(b, map[string]string{"PODINFO_ACCESS_LOG_LEVEL": "info"}, registry.Logger(logger))},
	}
}

func BenchmarkServeHTTP(b *testing.B) {
	for _, w := range works(b) {
		for _, h := range handlers(b, w) {
			b.Run(w.name+"/"+h.name, func(b *testing.B) {
				body := strings.NewReader(w.body)
				req := httptest.NewRequest(w.method, w.path, nil)
				req.ContentLength = int64(len(w.body))
				req.Body = io.NopCloser(body)
				out := &discard{http.Header{}}
				b.ReportAllocs()
				for b.Loop() {
					body.Seek(0, io.SeekStart)
					h.ServeHTTP(out, req)
				}
			})
		}
	}
}

// unbudgeted is /echo without a memory budget: it reads into a pooled buffer.
type unbudgeted struct{ pool sync.Pool }

func (*unbudgeted) Info() registry.Info { return registry.Info{Name: "unbudgeted"} }

func (u *unbudgeted) Routes() []registry.Route {
	color := []string{"#34577c"}
	return []registry.Route{{Path: "/unbudgeted", Handler: func(w http.ResponseWriter, r *http.Request) {
		buf, _ := u.pool.Get().(*bytes.Buffer)
		if buf == nil {
			buf = new(bytes.Buffer)
		}
		if _, err := buf.ReadFrom(r.Body); err != nil {
			reply.BodyError(w, r, err)
			return
		}
		w.Header()["X-Color"] = color
		reply.Raw(w, http.StatusAccepted, buf.Bytes())
		buf.Reset()
		u.pool.Put(buf)
	}}}
}

// BenchmarkBudget is what the memory budget costs a request that stays small.
func BenchmarkBudget(b *testing.B) {
	app := start(b, nil, registry.With(new(unbudgeted)))
	text := strings.Repeat("x", 1000)
	for _, path := range []string{"/unbudgeted", "/echo"} {
		b.Run(path[1:], func(b *testing.B) {
			body := strings.NewReader(text)
			req := httptest.NewRequest("POST", path, nil)
			req.ContentLength = int64(len(text))
			req.Body = struct {
				io.Reader
				io.Closer
			}{body, io.NopCloser(nil)}
			out := &discard{http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				body.Seek(0, io.SeekStart)
				app.ServeHTTP(out, req)
			}
		})
	}
}

// BenchmarkChain is what modules add, one after the other.
func BenchmarkChain(b *testing.B) {
	chain := []string{"recovery", "metrics", "access-log", "version-headers", "body-limit", "fault-injection"}
	for n := range len(chain) + 1 {
		b.Run(fmt.Sprintf("%d", n), func(b *testing.B) {
			app := start(b, map[string]string{"PODINFO_MODULES": strings.Join(append([]string{"none", "version"}, chain[:n]...), ",")})
			req, out := httptest.NewRequest("GET", "/version", nil), &discard{http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				app.ServeHTTP(out, req)
			}
		})
	}
}

// BenchmarkLoopback sends requests over keep-alive connections. The client is
// as cheap as one can be, so that most of what is measured is the server.
func BenchmarkLoopback(b *testing.B) {
	for _, w := range works(b)[:4] {
		for _, h := range handlers(b, w) {
			b.Run(w.name+"/"+h.name, func(b *testing.B) {
				srv := httptest.NewServer(h)
				defer srv.Close()
				request := fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", w.method, w.path, len(w.body), w.body)
				b.SetParallelism(16)
				b.RunParallel(func(pb *testing.PB) {
					c, err := net.Dial("tcp", srv.Listener.Addr().String())
					if err != nil {
						b.Error(err)
						return
					}
					defer c.Close()
					r := bufio.NewReader(c)
					for pb.Next() {
						c.Write(request)
						if err := skipReply(r); err != nil {
							b.Error(err)
							return
						}
					}
				})
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
			})
		}
	}
}

// skipReply reads one reply with a Content-Length.
func skipReply(r *bufio.Reader) error {
	length := 0
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			length, _ = strconv.Atoi(string(bytes.TrimSpace(value)))
		}
		if len(line) == 2 {
			_, err := r.Discard(length)
			return err
		}
	}
}

// BenchmarkProcess measures the stripped binary: its size, the time from its
// start to the first healthy answer, and its resident memory when idle.
func BenchmarkProcess(b *testing.B) {
	bin := filepath.Join(b.TempDir(), "podinfo")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", bin, "./cmd/podinfo")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	info, err := os.Stat(bin)
	if err != nil {
		b.Fatal(err)
	}
	var took time.Duration
	var rss float64
	for b.Loop() {
		began := time.Now()
		cmd := exec.Command(bin, "--host=127.0.0.1", "--port=19898")
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		for {
			if c, err := net.Dial("tcp", "127.0.0.1:19898"); err == nil {
				fmt.Fprint(c, "GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
				line, _ := bufio.NewReader(c).ReadString('\n')
				c.Close()
				if strings.Contains(line, "200") {
					break
				}
			}
			time.Sleep(100 * time.Microsecond)
		}
		took += time.Since(began)
		rss += resident(b, cmd.Process.Pid)
		cmd.Process.Kill()
		cmd.Wait()
	}
	b.ReportMetric(float64(took.Microseconds())/1000/float64(b.N), "ms-to-ready")
	b.ReportMetric(rss/float64(b.N), "idle-MiB")
	b.ReportMetric(float64(info.Size())/1e6, "binary-MB")
}

// resident is a process's memory in MiB.
func resident(b *testing.B, pid int) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	if err != nil {
		b.Fatal(err)
	}
	return kb / 1024
}

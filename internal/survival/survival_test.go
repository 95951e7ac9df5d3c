//go:build linux

// Package survival_test runs podinfo with little memory and many clients that
// would use it up.
package survival_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
)

const (
	limit = 64 << 20 // bytes of memory for podinfo

	// patience is how long a probe may take. It is long because the test must not
	// depend on the speed of the machine.
	patience = 20 * time.Second

	// attempts is how often a probe may fail in a row, as for the kubelet. A client
	// that gets no processor for a quarter of a second is taken for a silent one.
	attempts = 3
)

// pod is podinfo in a control group.
type pod struct {
	cmd     *exec.Cmd
	web     string // host:port
	metrics string
	grpc    string
	log     *tail
	done    chan struct{} // closed when the process has ended
}

// tail keeps the last part of what a process writes.
type tail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *tail) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.buf.Len() > 4<<10 {
		o.buf.Reset()
	}
	return o.buf.Write(p)
}

func (o *tail) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// startPod builds podinfo and starts it in a group.
func startPod(t *testing.T, g *cgroup) *pod {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "podinfo")
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", binary, "../../cmd/podinfo")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	port := func() string { return strconv.Itoa(registrytest.FreePort(t)) }
	web, metrics, grpc := port(), port(), port()
	p := &pod{web: "127.0.0.1:" + web, metrics: "127.0.0.1:" + metrics, grpc: "127.0.0.1:" + grpc, log: new(tail), done: make(chan struct{})}
	// The shell enters the group before it becomes podinfo. The program is copied
	// there, because the pages of a file count for the group that reads it first.
	p.cmd = exec.Command("/bin/sh", "-c", `echo $$ >"$0/cgroup.procs" && cp "$1" "$1.copy" && binary=$1.copy && shift && exec "$binary" "$@"`, g.dir, binary,
		"--host=127.0.0.1", "--port="+web, "--port-metrics="+metrics, "--grpc-port="+grpc, "--h2c", "--data-path="+t.TempDir(), "--shutdown-grace=0s")
	p.cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.done:
		case <-time.After(patience):
			p.cmd.Process.Kill()
			<-p.done
		}
	})
	for deadline := time.Now().Add(patience); ; {
		if code, err := ask(&http.Client{Timeout: time.Second}, "http://"+p.web+"/readyz"); err == nil && code == 200 {
			return p
		}
		if time.Now().After(deadline) || !p.alive() {
			t.Fatalf("podinfo does not start\n%s", p.log)
		}
	}
}

func (p *pod) alive() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// rss returns the resident memory of podinfo in bytes.
func (p *pod) rss(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid)) // the second field is the resident set in pages
	if err != nil {
		t.Fatalf("%v\n%s", err, p.log)
	}
	pages, err := strconv.Atoi(strings.Fields(string(b))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

func ask(c *http.Client, url string) (int, error) {
	res, err := c.Get(url)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, err
}

// prober requests the probes of a pod all the time, each over a new connection.
type prober struct {
	pod    *pod
	rounds atomic.Int64
	failed atomic.Bool
	stop   func()
}

func probe(t *testing.T, p *pod) *prober {
	ctx, cancel := context.WithCancel(t.Context())
	pr := &prober{pod: p}
	var all sync.WaitGroup
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	all.Go(func() {
		for ctx.Err() == nil && !pr.failed.Load() {
			for _, url := range []string{p.web + "/healthz", p.web + "/readyz", p.web + "/version", p.metrics + "/healthz", p.metrics + "/readyz"} {
				var code int
				var err error
				for range attempts {
					if code, err = ask(client, "http://"+url); err == nil && code == 200 || ctx.Err() != nil {
						break
					}
				}
				if (err != nil || code != 200) && ctx.Err() == nil {
					t.Errorf("%s: %d %v", url, code, err)
					pr.failed.Store(true)
				}
			}
			pr.rounds.Add(1)
		}
	})
	pr.stop = sync.OnceFunc(func() { cancel(); all.Wait() })
	t.Cleanup(pr.stop)
	return pr
}

// wait waits until all probes were answered n more times.
func (pr *prober) wait(n int) {
	for end := pr.rounds.Load() + int64(n); pr.rounds.Load() < end && pr.pod.alive() && !pr.failed.Load(); {
		time.Sleep(5 * time.Millisecond)
	}
}

// TestSmallPod runs podinfo with 64 MiB of memory against clients of many kinds,
// one kind after the other. It must refuse some of them and respond to the probes
// all the while. Nothing but the life of the process, its responses to probes and
// its memory at the end depends on how fast the machine is or how many clients
// were refused.
func TestSmallPod(t *testing.T) {
	if os.Getenv("SURVIVAL") != "true" {
		t.Skip("probes must get their responses in time, so nothing may run beside it: use make survival")
	}
	g := newCgroup(t, limit)
	p := startPod(t, g)
	post(t, p, 64, "POST", "/cache/N", 1<<20) // fills the cache
	before := settled(t, p, 0, 5*time.Second) // longer than it takes to return memory
	pr := probe(t, p)
	for _, a := range attacks {
		ok := t.Run(a.name, func(t *testing.T) {
			began := time.Now()
			held := a.run(t, p)
			pr.wait(3)
			peak := 0
			if p.alive() {
				peak = p.rss(t)
			}
			held.close()
			pr.wait(1)
			switch {
			case !p.alive():
				t.Fatalf("podinfo has ended: %v\n%s", p.cmd.ProcessState, p.log)
			case g.kills(t) > 0:
				t.Fatal("a process was killed for lack of memory")
			case pr.failed.Load():
				t.Fatalf("a probe has failed\n%s", p.log)
			}
			t.Logf("%v, %d MB: %v", time.Since(began).Round(time.Millisecond), peak>>20, held)
		})
		if !ok {
			return
		}
	}
	pr.stop()
	after := settled(t, p, before*3/2, patience)
	t.Logf("%d MB before and %d MB after the clients", before>>20, after>>20)
	if after > before*3/2 {
		t.Errorf("%d MB before and %d MB after the clients", before>>20, after>>20)
	}
}

// settled waits until the resident memory of podinfo is at most want, or has not
// shrunk for a while.
func settled(t *testing.T, p *pod, want int, while time.Duration) int {
	t.Helper()
	least, since := p.rss(t), time.Now()
	for time.Since(since) < while && least > want {
		time.Sleep(100 * time.Millisecond)
		if now := p.rss(t); now < least {
			least, since = now, time.Now()
		}
	}
	return least
}

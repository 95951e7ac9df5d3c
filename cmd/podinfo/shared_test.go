package main_test

import (
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
)

// fleet is three servers that count together, behind a client that sends each
// attempt to the next one.
type fleet struct {
	servers []*process
	next    atomic.Int64
}

const twoFail = "rules: [{name: warming-up, match: {path: /version, per: 'header:x-request-id'}, when: {first: 2}, shared: true, fault: {status: 503}}]"

func newFleet(t *testing.T, server string, more ...string) *fleet {
	f := new(fleet)
	for range 3 {
		words := []string{
			"PODINFO_FAULTS=" + twoFail, "PODINFO_CACHE_SERVER=" + server, "PODINFO_CACHE_TIMEOUT=20s",
			fmt.Sprintf("PODINFO_PORT_METRICS=%d", registrytest.FreePort(t)),
		}
		f.servers = append(f.servers, serve(t, append(words, more...)...))
	}
	return f
}

// attempt sends one attempt of a request to the next server and reports whether it
// failed.
func (f *fleet) attempt(t *testing.T, id string) bool {
	t.Helper()
	p := f.servers[f.next.Add(1)%int64(len(f.servers))]
	res, body := p.call(t, "GET", "/version", "", "X-Request-Id", id)
	if res.StatusCode != http.StatusOK && res.StatusCode != http.StatusServiceUnavailable {
		t.Fatalf("%d %s", res.StatusCode, body)
	}
	return res.StatusCode != http.StatusOK
}

// check sends five attempts of a request, the first two of which must fail.
func (f *fleet) check(t *testing.T, id string) {
	t.Helper()
	got := ""
	for range 5 {
		got += map[bool]string{true: "x", false: "."}[f.attempt(t, id)]
	}
	if got != "xx..." {
		t.Errorf("request %s: %s, want xx...", id, got)
	}
}

// runServer runs a real server until the test ends or stop is called.
func runServer(t *testing.T, addr string, args ...string) (stop func()) {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v: run `make deps` to install %s", err, args[0])
	}
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cmd.Process.Kill()
			cmd.Wait()
		}
	}
	t.Cleanup(stop)
	for began := time.Now(); time.Since(began) < 20*time.Second; time.Sleep(2 * time.Millisecond) {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return stop
		}
	}
	t.Fatalf("no connection to %s", args[0])
	return nil
}

// The first two attempts of each request fail, whichever replica they reach, also
// while redis-server restarts.
func TestReplicasCountOnRedis(t *testing.T) {
	port := registrytest.FreePort(t)
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	dir := t.TempDir()
	start := func() func() {
		return runServer(t, addr, "redis-server", "--port", fmt.Sprint(port), "--bind", "127.0.0.1", "--dir", dir, "--save", "", "--appendonly", "yes", "--appendfsync", "always")
	}
	stop := start()
	f := newFleet(t, "redis://"+addr)
	for id := range 20 {
		f.check(t, fmt.Sprint(id))
	}
	if !f.attempt(t, "interrupted") {
		t.Error("the first attempt")
	}
	stop()
	done := make(chan bool)
	go func() { // these wait until the server is back
		defer close(done)
		for id := range 20 {
			f.check(t, fmt.Sprint("during-", id))
		}
	}()
	start()
	<-done
	if !f.attempt(t, "interrupted") || f.attempt(t, "interrupted") {
		t.Error("the attempts after the restart")
	}
	for _, p := range f.servers {
		if strings.Contains(p.log.String(), "count alone") {
			t.Error(p.log)
		}
	}
}

func TestReplicasCountOnMemcached(t *testing.T) {
	port := registrytest.FreePort(t)
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	runServer(t, addr, "memcached", "-l", "127.0.0.1", "-p", fmt.Sprint(port), "-U", "0", "-u", "nobody")
	f := newFleet(t, "memcached://"+addr)
	for id := range 20 {
		f.check(t, fmt.Sprint(id))
	}
}

// Without the server each replica counts alone, and says so in a metric and in the
// log. It joins the others when the server is back.
func TestReplicasCountAlone(t *testing.T) {
	port := registrytest.FreePort(t)
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	metrics := registrytest.FreePort(t)
	f := &fleet{servers: []*process{serve(t, "PODINFO_FAULTS="+twoFail, "PODINFO_CACHE_SERVER=redis://"+addr, "PODINFO_CACHE_TIMEOUT=20ms", fmt.Sprintf("PODINFO_PORT_METRICS=%d", metrics))}}
	began := time.Now()
	for id := range 30 {
		f.check(t, fmt.Sprint("alone-", id))
	}
	seconds := int(time.Since(began)/time.Second) + 1
	p := f.servers[0]
	if n := strings.Count(p.log.String(), "shared rules count alone"); n < 1 || n > seconds {
		t.Errorf("%d warnings in %d s", n, seconds)
	}
	scrape := func() string {
		page := *p
		page.url = fmt.Sprintf("http://127.0.0.1:%d", metrics)
		_, body := page.call(t, "GET", "/metrics", "")
		return body
	}
	if body := scrape(); !strings.Contains(body, `podinfo_fault_shared_counts_total{by="replica"} 150`) {
		t.Error(body)
	}
	runServer(t, addr, "redis-server", "--port", fmt.Sprint(port), "--bind", "127.0.0.1", "--save", "")
	for began := time.Now(); !strings.Contains(p.log.String(), "count together again"); time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > 20*time.Second {
			t.Fatal(p.log)
		}
		f.attempt(t, "again")
	}
	f.check(t, "together")
	if body := scrape(); strings.Contains(body, `podinfo_fault_shared_counts_total{by="fleet"} 0`) {
		t.Error(body)
	}
}

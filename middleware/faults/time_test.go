package faults_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/middleware/faults"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/record"
)

// pipes is a listener whose connections are sent to it.
type pipes chan net.Conn

func (l pipes) Accept() (net.Conn, error) {
	c, ok := <-l
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (l pipes) Close() error { close(l); return nil }
func (pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// When the bytes of a body arrive, on the fake clock of testing/synctest, from a
// server whose timeouts are shorter than the faults.
func TestSlowBodies(t *testing.T) {
	for _, c := range []struct {
		rule, path string
		want       string // seconds:bytes, for each read
	}{
		{"delay: 5s", "/a", "5:" + text},
		{"delay: {fixed: 5s, at: chunks}", "/three", "0:x 5:x 10:x"},
		{"delay: {fixed: 5s, at: both}", "/three", "5:x 10:x 15:x"},
		{"fault: {stall: {after: 10, for: 20s}}", "/a", "0:" + text[:10] + " 20:" + text[10:]},
		{"fault: {stall: 20s}", "/a", "20:" + text},
		{"fault: {stall: {after: 100, for: 20s}}", "/a", "0:" + text[:35] + " 20:" + text[35:]}, // before the last byte
		{"fault: {bandwidth: 12}", "/a", ""},
		{"fault: {stall: {after: 10, for: 2h}}", "/a", "0:" + text[:10] + " 3600:" + text[10:]},
		{"fault: {stall: 20s}, delay: {fixed: 59m50s}", "/a", "3600:" + text},
	} {
		synctest.Test(t, func(t *testing.T) {
			app, _ := registrytest.New(t, rules("rules: [{name: r, "+c.rule+"}]", "MAX_DELAY", "1h"), new(faults.Module), new(endpoint))
			l := make(pipes)
			srv := &http.Server{Handler: app, ReadTimeout: 2 * time.Second, WriteTimeout: 2 * time.Second}
			go srv.Serve(l)
			defer srv.Close()
			client, server := net.Pipe()
			defer client.Close()
			l <- server
			began := time.Now()
			go io.WriteString(client, "GET "+c.path+" HTTP/1.1\r\nHost: x\r\n\r\n")
			res, err := http.ReadResponse(bufio.NewReader(client), nil)
			if err != nil {
				t.Fatalf("%s: %v", c.rule, err)
			}
			var got []string
			whole, buf := "", make([]byte, 100)
			for {
				n, err := res.Body.Read(buf)
				if n > 0 {
					whole += string(buf[:n])
					got = append(got, fmt.Sprintf("%.0f:%s", time.Since(began).Seconds(), buf[:n]))
				}
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatalf("%s: %v", c.rule, err)
				}
			}
			if c.want == "" { // 36 bytes at 12 per second, one at a time
				if d := time.Since(began); whole != text || d < 2900*time.Millisecond || d > 3100*time.Millisecond || len(got) < 30 {
					t.Errorf("%s: %v after %v", c.rule, got, d)
				}
				return
			}
			if diff := cmp.Diff(c.want, strings.Join(got, " ")); diff != "" {
				t.Errorf("%s: %s", c.rule, diff)
			}
		})
	}
}

func TestEndsWhenTheClientLeaves(t *testing.T) {
	for rule, hits := range map[string]int{"delay: 1h": 0, "fault: {stall: 1h}": 1, "fault: {bandwidth: 1}": 1} {
		synctest.Test(t, func(t *testing.T) {
			e := new(endpoint)
			app, _ := registrytest.New(t, rules("rules: [{name: r, "+rule+"}]", "MAX_DELAY", "1h"), new(faults.Module), e)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			began := time.Now()
			app.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/a", nil).WithContext(ctx))
			if d := time.Since(began); d != time.Second || e.hits != hits {
				t.Errorf("%s: %v, %d hits", rule, d, e.hits)
			}
		})
	}
}

// MaxHeld bounds the number of requests delayed at the same time.
func TestHeldRequestsAreCapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app, _ := registrytest.New(t, rules("rules: [{name: r, delay: 10s}]", "MAX_HELD", "3"), new(faults.Module), new(endpoint))
		var mu sync.Mutex
		var took []time.Duration
		var all sync.WaitGroup
		began := time.Now()
		for range 5 {
			all.Go(func() {
				app.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/a", nil))
				mu.Lock()
				took = append(took, time.Since(began))
				mu.Unlock()
			})
		}
		all.Wait()
		slices.Sort(took)
		if diff := cmp.Diff([]time.Duration{0, 0, 10 * time.Second, 10 * time.Second, 10 * time.Second}, took); diff != "" {
			t.Error(diff)
		}
	})
}

func TestReadiness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app, _ := registrytest.New(t, rules("rules: [{name: flaps, when: {flap: { hit: 10s, pass: 20s }}, fault: {unready: true}}]"), new(faults.Module), new(endpoint))
		got := ""
		for range 6 {
			got += fmt.Sprint(app.Ready(t.Context()), ", ")
			time.Sleep(10 * time.Second)
		}
		if want := "faults: rule flaps fails readiness, <nil>, <nil>, faults: rule flaps fails readiness, <nil>, <nil>, "; got != want {
			t.Error(got)
		}
	})
}

// Outcomes do not depend on which client sends a request, over one real
// connection per client.
func TestSeedRepeatsOutcomesForAnyNumberOfClients(t *testing.T) {
	const n = 640
	run := func(seed string, clients int) map[string]int {
		env := rules(`
rules:
- { name: keyed, match: { path: /api/*, per: "header:x", percent: 50 }, when: { every: 2 }, fault: { truncate: 5 } }
- { name: a, match: { path: /a, percent: 30 }, fault: { status: 503 } }
- { name: b, match: { path: /a, percent: 20 }, when: { after: 20 }, delay: { uniform: { max: 200us } }, fault: { status: 504 } }
`)
		env["PODINFO_SEED"] = seed
		s := registrytest.Serve(t, env, new(faults.Module), new(endpoint))
		var mu sync.Mutex
		out := map[string]int{}
		var all sync.WaitGroup
		for c := range clients {
			all.Go(func() {
				client := &http.Client{Transport: new(http.Transport)}
				defer client.CloseIdleConnections()
				for i := c; i < n; i += clients {
					path := []string{"/a", "/api/info"}[i/64%2]
					req, _ := http.NewRequest("POST", s.URL+path, nil) // POST is not retried
					req.Header.Set("x", fmt.Sprint(i%3))
					saw := "no response"
					if res, err := client.Do(req); err == nil {
						b, err := io.ReadAll(res.Body)
						res.Body.Close()
						saw = fmt.Sprint(res.StatusCode, " ", res.Header.Get("X-Podinfo-Fault"), " ", len(b), " ", err)
					}
					mu.Lock()
					out[saw]++
					mu.Unlock()
				}
			})
		}
		all.Wait()
		return out
	}
	want := run("7", 1)
	for _, clients := range []int{8, 64} {
		if diff := cmp.Diff(want, run("7", clients)); diff != "" {
			t.Errorf("%d clients: %s", clients, diff)
		}
	}
	if cmp.Equal(want, run("8", 1)) || len(want) != 4 {
		t.Errorf("another seed gave the same: %v", want)
	}
}

// A request occupies a slot only while a fault delays it, not while its handler
// runs. Without a free slot it is not hit, reported or marked.
func TestSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := new(faults.Module)
		e := new(endpoint)
		app, log := registrytest.New(t, rules("rules: [{name: quick, match: {path: /a}, delay: 1s}, {name: stalls, match: {path: /api/*}, fault: {stall: 1m}}, {name: both, match: {path: /three}, delay: 1s, fault: {status: 503}}]", "MAX_HELD", "1"),
			m, e, working{})
		held := make(chan struct{})
		go func() {
			app.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/a?work=1h", nil))
			close(held)
		}()
		time.Sleep(10 * time.Second) // into the handler
		send := func(path string) *httptest.ResponseRecorder {
			rec := httptest.NewRecorder()
			app.ServeHTTP(rec, httptest.NewRequest("GET", path, nil))
			return rec
		}
		began := time.Now()
		if send("/a"); time.Since(began) != time.Second {
			t.Error("a request that is not delayed occupies the slot")
		}
		stalls := make(chan struct{})
		go func() { send("/api/x"); close(stalls) }()
		synctest.Wait()
		e.faults = nil
		began = time.Now()
		for path, want := range map[string]string{"/a": "200 ", "/api/x": "200 ", "/three": "503 both"} {
			rec := send(path)
			if got := fmt.Sprint(rec.Code, " ", rec.Header().Get("X-Podinfo-Fault")); got != want {
				t.Errorf("%s without a slot: %s, want %s", path, got, want)
			}
		}
		if n := strings.Count(log.String(), "requests are not delayed, or not queued, because PODINFO_FAULTS_MAX_HELD others are"); n != 1 {
			t.Errorf("%d lines:\n%s", n, log)
		}
		if d := time.Since(began); d != 0 || !slices.Equal(slices.Sorted(slices.Values(e.faults)), []string{"faults/both", "faults/both/skipped", "faults/quick/skipped", "faults/stalls/skipped"}) {
			t.Errorf("%v, observed %v", d, e.faults)
		}
		<-stalls
		<-held
	})
}

// TestLeavingFreesTheSlot checks that a client that leaves during a delay or in a
// queue frees its slot and is recorded as having left, also when its request has a body.
func TestLeavingFreesTheSlot(t *testing.T) {
	for _, size := range []int{0, 6, 600_000, 3_000_000} {
		for _, rule := range []string{"delay: 1h", "limit: {concurrency: 1, queue: 5}", "limit: {concurrency: 1, queue: 5}, delay: 1h", "match: {body: '*x*'}, delay: 1h"} {
			if strings.Contains(rule, "body") && (size == 0 || size > 6) {
				continue // which the rule does not hit
			}
			synctest.Test(t, func(t *testing.T) {
				m, e := new(faults.Module), new(endpoint)
				app, _ := registrytest.New(t, rules("rules: [{name: r, "+rule+"}]", "MAX_DELAY", "1h", "ADMIN", "true"), m, e, working{})
				l := make(pipes)
				srv := &http.Server{Handler: app}
				go srv.Serve(l)
				defer srv.Close()
				var working sync.WaitGroup
				defer working.Wait()
				if strings.Contains(rule, "queue") {
					working.Go(func() { app.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/a?work=2h", nil)) })
					synctest.Wait()
				}
				client, server := net.Pipe()
				l <- server
				fmt.Fprintf(client, "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", size, strings.Repeat("x", size))
				held := func() bool { return strings.Contains(ask(admin(m), "GET", "/faults", "").Body.String(), `"held": 1`) }
				time.Sleep(time.Minute)
				if !held() {
					t.Errorf("%s, %d bytes: not delayed", rule, size)
				}
				client.Close()
				time.Sleep(time.Second)
				if held() {
					t.Errorf("%s, %d bytes: still delayed", rule, size)
				}
				if _, outcomes := e.seen(1); !cmp.Equal([]record.Outcome{{Kind: record.KindClientLeft}}, outcomes) {
					t.Errorf("%s, %d bytes: %v", rule, size, outcomes)
				}
			})
		}
	}
}

// working is a middleware that sleeps for the duration in the query.
type working struct{}

func (working) Info() registry.Info { return registry.Info{Name: "working", Phase: registry.Fault} }
func (working) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	if d, err := time.ParseDuration(r.URL.Query().Get("work")); err == nil {
		time.Sleep(d)
	}
	next(w, r)
}

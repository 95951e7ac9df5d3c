package podinfotest

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/glob"
)

// The record keeps a limited number of requests and bytes.
func TestRecordIsBounded(t *testing.T) {
	m := newRecorder()
	body := bytes.Repeat([]byte("x"), 2*maxBody)
	const n = maxRequests + 100
	for i := range n {
		r := &Request{Method: "GET", Path: "/", Conn: i}
		m.begin(r, "")
		m.keep(r, body, true)
		m.end(r, func() {})
	}
	all := m.find(everything)
	if len(all) != maxRequests {
		t.Errorf("%d requests", len(all))
	}
	sum, cut := 0, 0
	for _, r := range all {
		sum += len(r.Body)
		if r.BodyCut {
			cut++
		}
		if len(r.Body) > maxBody {
			t.Fatalf("a body of %d bytes", len(r.Body))
		}
	}
	if sum > maxBodies || cut != maxRequests || m.bodies != sum || m.lost() != n-maxRequests {
		t.Errorf("%d bytes, counted as %d; %d cut; %d dropped", sum, m.bodies, cut, m.lost())
	}
}

// A body takes no memory before it arrives, whatever length is announced.
func TestAnnouncedBodiesTakeNoMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n, sent = 32, "hello world"
		s := StartInMemory(t)
		inUse := func() int {
			synctest.Wait()
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return int(m.HeapAlloc + m.StackInuse)
		}
		before := inUse()
		for range n {
			c, err := s.DialContext(t.Context(), "tcp", strings.TrimPrefix(s.URL, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			fmt.Fprintf(c, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", maxBody, sent)
		}
		if each := (inUse() - before) / n; each >= maxBody {
			t.Errorf("%d kB for each request that sent %d bytes", each>>10, len(sent))
		}
		requests := s.Requests("/echo")
		for _, r := range requests {
			if string(r.Body) != sent {
				t.Errorf("%q is recorded", r.Body)
			}
		}
		if len(requests) != n {
			t.Errorf("%d requests", len(requests))
		}
	})
}

// The gap between requests that overlap is 0.
func TestOverlap(t *testing.T) {
	rs := Requests{{At: time.Unix(0, 0), ended: time.Unix(9, 0), Done: true, exact: true}, {At: time.Unix(5, 0)}}
	if rs.early(1, 0) || !rs.early(1, 1) {
		t.Error("the gap is not 0")
	}
}

// Over real time a request is too early only if no delay of the server explains
// it. In a bubble the server has no delay.
func TestEarly(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	next := Request{At: at(10)}
	for what, c := range map[string]struct {
		before Request
		wait   int // the longest time that the client may have waited, over real time
	}{
		"answered":            {Request{At: at(0), answered: at(6), ended: at(8), Status: 503, Done: true}, 4},
		"cut":                 {Request{At: at(0), ended: at(8), Status: 599, Done: true}, 2},
		"left":                {Request{At: at(0), ended: at(8), Status: 499, Left: true, Done: true}, 10},
		"left mid-body":       {Request{At: at(0), answered: at(6), ended: at(8), Status: 200, Left: true, Done: true}, 10},
		"still being handled": {Request{At: at(0)}, 10},
		"call":                {Request{RPC: true, At: at(0), ended: at(8), Done: true}, 2},
		"call given up":       {Request{RPC: true, At: at(0), ended: at(8), Left: true, Done: true}, 10},
	} {
		for _, exact := range []bool{false, true} {
			if c.before.exact = exact; exact {
				c.wait = 2
			}
			if exact && !c.before.Done {
				continue // its end is the time now
			}
			rs := Requests{c.before, next}
			if wait := time.Duration(c.wait) * time.Second; rs.early(1, wait) || !rs.early(1, wait+1) {
				t.Errorf("%s, exact %v: a wait of %v", what, exact, wait)
			}
		}
	}
}

// Waiters count the requests in the record, which come and go.
func TestWaiters(t *testing.T) {
	m := newRecorder()
	enough := func(w *waiter) bool {
		select {
		case <-w.enough:
			return true
		default:
			return false
		}
	}
	p := pattern{path: glob.Text("/a")}
	arrived, answered := m.await(p, false, 2), m.await(p, true, 2)
	send := func(path string) *Request {
		r := &Request{Method: "GET", Path: path}
		m.begin(r, "")
		return r
	}
	end := func(r *Request) { m.end(r, func() {}) }
	first := send("/a")
	end(send("/b"))
	end(first)
	for range maxRequests { // these push the first one out
		end(send("/b"))
	}
	second := send("/a")
	if enough(arrived) || enough(answered) {
		t.Error("a request that is no longer kept counts")
	}
	third := send("/a")
	end(second)
	if !enough(arrived) || enough(answered) {
		t.Error("two have arrived, and one has been answered")
	}
	end(third)
	if !enough(answered) || !enough(m.await(p, true, 2)) || !enough(m.await(p, false, 0)) || len(m.waiters) != 0 {
		t.Error("two have been answered")
	}
	if w := m.await(p, true, 3); m.leave(w) != 2 || len(m.waiters) != 0 {
		t.Error("a waiter that has left still counts")
	}
}

// BenchmarkWait waits for as many requests as are kept.
func BenchmarkWait(b *testing.B) {
	for b.Loop() {
		m := newRecorder()
		w := m.await(everything, true, maxRequests)
		for range maxRequests {
			r := new(Request)
			m.begin(r, "")
			m.end(r, func() {})
		}
		<-w.enough
	}
}

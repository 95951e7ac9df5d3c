package scenario_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// patient is the values of a request that can wait in a queue, until leave is closed.
type patient struct {
	values
	leave <-chan struct{}
}

func (p patient) Wait(turn <-chan struct{}, most time.Duration) bool {
	select {
	case <-turn:
		return true
	case <-time.After(most):
	case <-p.leave:
	}
	return false
}

func waiting(leave <-chan struct{}) *scenario.Request {
	req := get("/", nil)
	req.Values = patient{leave: leave}
	return req
}

// Requests above the concurrency wait in order, and no turn is lost when one gives
// up.
func TestQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := scenario.NewEngine(1, "", scenario.Limits{Delay: time.Minute, Held: 3, Keys: 2})
		apply(t, e, "- {name: r, limit: {concurrency: 1, queue: 4, wait: 10s}}")
		first := e.Decide(waiting(nil))
		leave := make(chan struct{})
		type result struct {
			n     int
			after time.Duration
			hit   bool
		}
		results := make(chan result, 10)
		began := time.Now()
		for i := range 5 {
			go func() {
				d := e.Decide(waiting(map[bool]chan struct{}{true: leave}[i == 1]))
				results <- result{i, time.Since(began), len(d.Strikes) > 0}
				if len(d.Strikes) == 0 {
					time.Sleep(3 * time.Second)
				}
				d.Done()
			}()
			synctest.Wait()
		}
		// Three wait; the others are above the limit of held requests.
		for _, want := range []result{{3, 0, true}, {4, 0, true}} {
			if got := <-results; got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
		}
		if e.Held() != 3 {
			t.Errorf("%d held", e.Held())
		}
		time.Sleep(time.Second)
		close(leave)
		time.Sleep(time.Second)
		first.Done()
		for _, want := range []result{{1, time.Second, true}, {0, 2 * time.Second, false}, {2, 5 * time.Second, false}} {
			if got := <-results; got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
		}
		time.Sleep(time.Minute)
		if d := e.Decide(get("/", nil)); len(d.Strikes) != 0 || e.Held() != 0 {
			t.Errorf("%+v, %d held", d, e.Held())
		}
	})
}

// A request that waits too long is hit, and so is one that finds the queue full.
func TestQueueLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := scenario.NewEngine(1, "", scenario.Limits{Delay: time.Minute, Held: 10, Keys: 2})
		apply(t, e, "- {name: r, limit: {concurrency: 1, queue: 1, wait: 10s}}")
		e.Decide(waiting(nil))
		began := time.Now()
		slow := make(chan *scenario.Decision)
		go func() { slow <- e.Decide(waiting(nil)) }()
		synctest.Wait()
		if d := e.Decide(waiting(nil)); len(d.Strikes) != 1 || d.Strikes[0].Retry != 10*time.Second || time.Since(began) != 0 {
			t.Errorf("%+v", d)
		}
		if d := <-slow; len(d.Strikes) != 1 || d.Strikes[0].Fault.Status != 503 || time.Since(began) != 10*time.Second {
			t.Errorf("%+v after %v", d, time.Since(began))
		}
	})
}

// However requests come, leave and give up, the concurrency is never exceeded and
// no slot is lost.
func TestQueueUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := scenario.NewEngine(1, "", scenario.Limits{Delay: time.Minute, Held: 1000, Keys: 2})
		apply(t, e, "- {name: r, limit: {concurrency: 3, queue: 20, wait: 7ms}}")
		var running, most, served atomic.Int64
		for i := range 500 {
			go func() {
				time.Sleep(time.Duration(i*37%400) * time.Millisecond / 4)
				d := e.Decide(waiting(nil))
				defer d.Done()
				if len(d.Strikes) > 0 {
					return
				}
				if n := running.Add(1); n > most.Load() {
					most.Store(n)
				}
				served.Add(1)
				time.Sleep(time.Duration(1+i%5) * time.Millisecond)
				running.Add(-1)
			}()
		}
		time.Sleep(time.Minute)
		if most.Load() != 3 || served.Load() < 50 {
			t.Errorf("%d at a time, %d served", most.Load(), served.Load())
		}
		for range 3 {
			if d := e.Decide(get("/", nil)); len(d.Strikes) != 0 {
				t.Error("a slot is lost")
			}
		}
	})
}

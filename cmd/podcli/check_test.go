package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRetry(t *testing.T) {
	failure := errors.New("failure")
	for name, c := range map[string]struct {
		retry    int
		fails    int // number of attempts that fail
		attempts int
		err      bool
		at       []time.Duration
	}{
		"first attempt":  {3, 0, 1, false, []time.Duration{0}},
		"third attempt":  {3, 2, 3, false, []time.Duration{0, 4 * time.Second, 8 * time.Second}},
		"never":          {1, 9, 2, true, []time.Duration{0, 4 * time.Second}},
		"without retry":  {0, 9, 1, true, []time.Duration{0}},
		"the last works": {1, 1, 2, false, []time.Duration{0, 4 * time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start, at := time.Now(), []time.Duration(nil)
				ch := &checker{retry: c.retry, delay: 3 * time.Second, timeout: time.Minute}
				r := ch.run(t.Context(), func(context.Context) (facts, error) {
					at = append(at, time.Since(start))
					time.Sleep(time.Second)
					if len(at) <= c.fails {
						return nil, failure
					}
					return nil, nil
				})
				if diff := cmp.Diff(c.at, at); diff != "" || r.attempts != c.attempts || (r.err != nil) != c.err || r.took != time.Second {
					t.Errorf("%+v %s", r, diff)
				}
				if end := c.at[len(c.at)-1] + time.Second; time.Since(start) != end {
					t.Errorf("it took %s, want %s", time.Since(start), end)
				}
			})
		})
	}
}

func TestTimeoutIsOfOneTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		ch := &checker{retry: 1, delay: time.Second, timeout: 5 * time.Second}
		r := ch.run(t.Context(), func(ctx context.Context) (facts, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		if r.err == nil || r.err.Error() != "no response within 5s: context deadline exceeded" || time.Since(start) != 11*time.Second {
			t.Errorf("%v after %s", r.err, time.Since(start))
		}
	})
}

func TestInterrupt(t *testing.T) {
	for name, after := range map[string]time.Duration{"during an attempt": time.Second, "between two attempts": 3 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeoutCause(t.Context(), after, nil)
			defer cancel()
			start := time.Now()
			ch := &checker{retry: 9, delay: 2 * time.Second, timeout: 2 * time.Second}
			r := ch.run(ctx, func(ctx context.Context) (facts, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			})
			if r.err == nil || r.attempts != 1 || time.Since(start) != after {
				t.Errorf("%s: %+v after %s", name, r, time.Since(start))
			}
		})
	}
}

func TestCheckTCP(t *testing.T) {
	addr := silent(t)
	run(t, "check", "tcp", addr).expect(t, 0, "check succeed: tcp "+addr, "attempts=1")
	addr = refused(t)
	run(t, "check", "tcp", addr, "--retry=1", "--delay=1ms").expect(t, 1, "check failed: tcp "+addr, "attempts=2", "connection refused")
	o := run(t, "check", "tcp", addr, "-o", "json").object(t)
	if o["ok"] != false || o["check"] != "tcp" || o["address"] != addr || o["attempts"] != 1.0 || o["error"] == nil || o["duration"].(float64) <= 0 {
		t.Errorf("%v", o)
	}
}

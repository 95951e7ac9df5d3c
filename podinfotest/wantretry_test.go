package podinfotest_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	. "github.com/seed-4591fe7d/podinfo/podinfotest"
)

// The assertions about retries accept what they should, and say what is wrong otherwise.
func TestRetryAssertions(t *testing.T) {
	type gaps = []time.Duration
	second := time.Second
	for what, c := range map[string]struct {
		steps  []Step
		gaps   gaps // between the client's requests
		edit   func(i int, r *http.Request)
		after  time.Duration // between the last request and the assertion
		assert func(testing.TB, Requests)
		want   string // "" for no failure
	}{
		"capped": {
			gaps:   gaps{second, 30 * second},
			assert: func(t testing.TB, rs Requests) { rs.WantBackoffAtMost(t, 30*second) },
		},
		"beyond the cap": {
			gaps:   gaps{second, 30*second + 1},
			assert: func(t testing.TB, rs Requests) { rs.WantBackoffAtMost(t, 30*second) },
			want:   "request 3 came 30.000000001s after the previous one: the backoff exceeds its cap of 30s; apply the cap after the jitter\n",
		},
		"an unclear Retry-After": {
			steps: []Step{Fail(503, 1).Header("Retry-After", "soon")}, gaps: gaps{second},
			assert: func(t testing.TB, rs Requests) { rs.WantRetryAfter(t, 0) },
			want:   "Retry-After \"soon\" is neither seconds nor a date\n",
		},
		"no backoff": {
			assert: func(t testing.TB, rs Requests) { rs.WantBackoffAtMost(t, 30*second) },
			want:   "1 requests to /api/pay, want at least 2",
		},
		"fast": {
			steps:  []Step{Delay(2 * second)},
			assert: func(t testing.TB, rs Requests) { rs.WantTookAtMost(t, 2*second) },
		},
		"slow": {
			steps: []Step{OK().Times(1), Delay(10 * second)}, gaps: gaps{second},
			assert: func(t testing.TB, rs Requests) { rs.WantTookAtMost(t, 2*second) },
			want:   "request 2 of 2 took 10s, want at most 2s; give each attempt a deadline, not only the whole call\n",
		},
		"took none": {
			assert: func(t testing.TB, rs Requests) { rs[:0].WantTookAtMost(t, 2*second) },
			want:   "0 requests to /api/pay, want at least 1",
		},
		"recovers": {
			steps: []Step{Fail(500, 2), Reset()}, gaps: gaps{second, second, 10 * second, 5 * time.Minute}, after: time.Hour,
			assert: func(t testing.TB, rs Requests) { rs.WantRecovery(t, 10*second) },
		},
		"recovers late": {
			steps: []Step{Fail(429, 1), Fail(503, 1)}, gaps: gaps{second, 11 * second},
			assert: func(t testing.TB, rs Requests) { rs.WantRecovery(t, 10*second) },
			want:   "request 3 came 11s after request 2 (503), want it within 10s\n",
		},
		"never recovers": {
			steps: []Step{Reset()}, after: time.Minute,
			assert: func(t testing.TB, rs Requests) { rs.WantRecovery(t, 10*second) },
			want:   "no request in the 1m0s after request 1 (cut), want one within 10s; a circuit breaker that has opened must half-open and let a request through\n",
		},
		"may recover": {
			steps: []Step{Truncate(1)}, after: second,
			assert: func(t testing.TB, rs Requests) { rs.WantRecovery(t, 10*second) },
			want:   "request 1 (cut) failed only 1s ago; call the client for more than 10s before WantRecovery\n",
		},
		"never failed": {
			steps:  []Step{Fail(404, 1)},
			assert: func(t testing.TB, rs Requests) { rs.WantRecovery(t, 10*second) },
			want:   "no request failed, so there is nothing to recover from\n",
		},
		"with a key": {
			steps: []Step{Fail(504, 1), Truncate(0)}, gaps: gaps{second, second},
			edit:   func(_ int, r *http.Request) { r.Header.Set("Idempotency-Key", "k1") },
			assert: func(t testing.TB, rs Requests) { rs.WantSafeRetries(t) },
		},
		"without a key": {
			steps: []Step{Fail(504, 1)}, gaps: gaps{second},
			assert: func(t testing.TB, rs Requests) { rs.WantSafeRetries(t) },
			want:   "request 2 repeats request 1 (504), which may have been handled, and POST is not idempotent; send both with the same Idempotency-Key, or do not retry\n",
		},
		"with a new key": {
			steps: []Step{Fail(504, 1)}, gaps: gaps{second},
			edit:   func(i int, r *http.Request) { r.Header.Set("Idempotency-Key", string(rune('1'+i))) },
			assert: func(t testing.TB, rs Requests) { rs.WantSafeRetries(t) },
			want:   "request 2 repeats request 1 (504)",
		},
		"idempotent": {
			steps: []Step{Fail(504, 1)}, gaps: gaps{second},
			edit:   func(_ int, r *http.Request) { r.Method = "PUT" },
			assert: func(t testing.TB, rs Requests) { rs.WantSafeRetries(t) },
		},
		"another request": {
			steps: []Step{Fail(504, 1)}, gaps: gaps{second},
			edit: func(i int, r *http.Request) {
				if i > 0 {
					r.URL.RawQuery = "order=2"
				}
			},
			assert: func(t testing.TB, rs Requests) { rs.WantSafeRetries(t) },
		},
		"refused": { // and so not handled
			steps: []Step{Fail(429, 1), Fail(404, 1)}, gaps: gaps{second, second},
			assert: func(t testing.TB, rs Requests) { rs.WantSafeRetries(t) },
		},
		"safe none": {
			assert: func(t testing.TB, rs Requests) { rs[:0].WantSafeRetries(t) },
			want:   "0 requests to /api/pay, want at least 1",
		},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := StartInMemory(t)
				if len(c.steps) > 0 {
					srv.Script("/api/pay", c.steps...)
				}
				rs := attempts(t, srv, c.gaps, c.edit)
				time.Sleep(c.after)
				got := listen(t, func(tb testing.TB) { c.assert(tb, rs) })
				if (got == "") != (c.want == "") || !strings.Contains(got, c.want) || c.want != "" && !strings.Contains(got, "/api/pay") {
					t.Errorf("%q, want it to contain %q and the table", got, c.want)
				}
			})
		})
	}
}

// A stream that the server did not process may be sent again, and a client that has
// left may have been served. An RPC does not say whether it is idempotent.
func TestSafeRetriesOfWhatWasNotAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := StartTLS(t)
		srv.Script("/orders", RefuseStream(), GoAwayUnprocessed(), OK())
		post := func(timeout time.Duration, path string) {
			client := srv.Client()
			client.Timeout = timeout
			if res, err := client.Post(srv.URL+path, "", strings.NewReader("{}")); err == nil {
				res.Body.Close()
			}
		}
		post(time.Minute, "/orders")
		synctest.Wait()
		srv.Requests("/orders").WantCount(t, 3)
		srv.Requests("/orders").WantSafeRetries(t)

		srv.Script("/slow", Delay(time.Minute), OK())
		post(time.Second, "/slow")
		post(time.Second, "/slow")
		synctest.Wait()
		if got := listen(t, func(tb testing.TB) { srv.Requests("/slow").WantSafeRetries(tb) }); !strings.HasPrefix(got, "request 2 repeats request 1 (client left), which may have been handled, and POST is not") {
			t.Error(got)
		}

		srv.Script(echoMethod, FailGRPC(codes.Unavailable, 1))
		if _, err := echo(t.Context(), srv.GRPC(), "x"); err == nil {
			t.Error("no failure")
		}
		if got := listen(t, func(tb testing.TB) { srv.Requests(echoMethod).WantSafeRetries(tb) }); !strings.HasPrefix(got, "request 1 is a call; WantSafeRetries needs") {
			t.Error(got)
		}
		time.Sleep(time.Minute)
		if got := listen(t, func(tb testing.TB) { srv.Requests(echoMethod).WantRecovery(tb, time.Second) }); !strings.HasPrefix(got, "no request in the 1m0s after request 1 (Unavailable), want one within 1s") {
			t.Error(got)
		}
	})
}

// Too many requests are named with what was looked for, and with their overlap.
func TestTooManyAtTheSameTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := StartInMemory(t)
		srv.Script("POST /oauth/token", Reply(200, "t").Delay(time.Second))
		var all sync.WaitGroup
		for range 5 {
			all.Go(func() {
				if res, err := srv.Client().Post(srv.URL+"/oauth/token", "", nil); err == nil {
					res.Body.Close()
				}
			})
		}
		all.Wait()
		synctest.Wait()
		if got := listen(t, func(tb testing.TB) { srv.Requests("POST /oauth/token").WantCount(tb, 1) }); !strings.HasPrefix(got, "5 requests to POST /oauth/token, want 1; 5 of them at the same time\n") {
			t.Error(got)
		}
	})
}

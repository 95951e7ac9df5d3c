package retry

import (
	"testing"
	"testing/synctest"
	"time"

	. "github.com/seed-4591fe7d/podinfo/podinfotest"
)

func TestPayKeepsTrying(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // on a clock that goes on by itself
		srv := StartInMemory(t)
		srv.Script("POST /api/pay",
			Fail(503, 2),         // twice unavailable
			Delay(2*time.Minute), // longer than the client's timeout
			Reset(),              // as TCP resets
			OK())

		if err := Pay(t.Context(), NewClient(srv.Client()), srv.URL+"/api/pay", "order-1"); err != nil {
			t.Fatal(err)
		}

		attempts := srv.Requests("POST /api/pay")
		attempts.WantAnswers(t, "503", "503", "client left", "cut", "200")
		attempts.WantBackoff(t, 0, time.Second, 2*time.Second, 4*time.Second, 8*time.Second) // exactly
		attempts.WantSame(t, "Idempotency-Key")
	})
}

// An outage of more than an hour, in milliseconds.
func TestPayOutlastsAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := StartInMemory(t)
		srv.Script("POST /api/pay", Fail(502, 12), OK())
		if err := Pay(t.Context(), NewClient(srv.Client()), srv.URL+"/api/pay", "order-1"); err != nil {
			t.Fatal(err)
		}
		attempts := srv.Requests("POST /api/pay")
		attempts.WantBackoff(t, 0, time.Second, 2*time.Second, 4*time.Second, 8*time.Second, 16*time.Second, 32*time.Second, 64*time.Second,
			128*time.Second, 256*time.Second, 512*time.Second, 10*time.Minute, 10*time.Minute)
	})
}

// The server says when to come back, and the client does.
func TestPayWaitsAsItIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := StartInMemory(t)
		srv.Script("POST /api/pay", Fail(429, 1).Header("Retry-After", "90"), OK())
		if err := Pay(t.Context(), NewClient(srv.Client()), srv.URL+"/api/pay", "order-1"); err != nil {
			t.Fatal(err)
		}
		srv.Requests("POST /api/pay").WantRetryAfter(t, 0)
	})
}

// What is no use to try again is not tried again.
func TestPayGivesUp(t *testing.T) {
	srv := StartInMemory(t)
	srv.Script("POST /api/pay", Fail(402, 1))
	if err := Pay(t.Context(), NewClient(srv.Client()), srv.URL+"/api/pay", "order-1"); err == nil {
		t.Error("paid")
	}
	srv.Requests("POST /api/pay").WantCount(t, 1)
}

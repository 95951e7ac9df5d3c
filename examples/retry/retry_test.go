package retry

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-4591fe7d/podinfo/podinfotest"
)

func TestPayKeepsTrying(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // with a fake clock that advances by itself
		srv := podinfotest.StartInMemory(t)
		srv.Script("POST /api/pay",
			podinfotest.Fail(503, 2),         // two attempts fail with 503
			podinfotest.Delay(2*time.Minute), // longer than the client's timeout
			podinfotest.Reset(),              // TCP RST
			podinfotest.OK())

		if err := Pay(t.Context(), NewClient(srv.Client()), srv.URL+"/api/pay", "order-1"); err != nil {
			t.Fatal(err)
		}

		attempts := srv.Requests("POST /api/pay")
		attempts.WantAnswers(t, "503", "503", "client left", "cut", "200")
		attempts.WantBackoff(t, 0, time.Second, 2*time.Second, 4*time.Second, 8*time.Second) // exactly
		attempts.WantSame(t, "Idempotency-Key")
	})
}

// The test of an outage of more than an hour takes milliseconds.
func TestPayOutlastsAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := podinfotest.StartInMemory(t)
		srv.Script("POST /api/pay", podinfotest.Fail(502, 12), podinfotest.OK())
		if err := Pay(t.Context(), NewClient(srv.Client()), srv.URL+"/api/pay", "order-1"); err != nil {
			t.Fatal(err)
		}
		attempts := srv.Requests("POST /api/pay")
		attempts.WantBackoff(t, 0, time.Second, 2*time.Second, 4*time.Second, 8*time.Second, 16*time.Second, 32*time.Second, 64*time.Second,
			128*time.Second, 256*time.Second, 512*time.Second, 10*time.Minute, 10*time.Minute)
	})
}

// The client obeys Retry-After.
func TestPayObeysRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := podinfotest.StartInMemory(t)
		srv.Script("POST /api/pay", podinfotest.Fail(429, 1).Header("Retry-After", "90"), podinfotest.OK())
		if err := Pay(t.Context(), NewClient(srv.Client()), srv.URL+"/api/pay", "order-1"); err != nil {
			t.Fatal(err)
		}
		srv.Requests("POST /api/pay").WantRetryAfter(t, 0)
	})
}

// The client does not retry a status that will not change.
func TestPayGivesUp(t *testing.T) {
	srv := podinfotest.StartInMemory(t)
	srv.Script("POST /api/pay", podinfotest.Fail(402, 1))
	if err := Pay(t.Context(), NewClient(srv.Client()), srv.URL+"/api/pay", "order-1"); err == nil {
		t.Error("paid")
	}
	srv.Requests("POST /api/pay").WantCount(t, 1)
}

package deadline

import (
	"testing"
	"time"

	"google.golang.org/grpc"

	"example.com/bugs/internal/bugtest"
	"github.com/seed-4591fe7d/podinfo/podinfotest"
)

func TestEachAttemptHasADeadline(t *testing.T) {
	bugtest.Run(t, eachAttemptHasADeadline, perCall, perAttempt,
		"request 1 of 1 took 10s, want at most 2s; give each attempt a deadline, not only the whole call")
}

func eachAttemptHasADeadline(t testing.TB, retries func() grpc.DialOption) {
	srv := podinfotest.StartInMemory(t)
	srv.Script("/echo.EchoService/Echo", podinfotest.Delay(time.Hour), podinfotest.OK())

	err := greet(t.Context(), srv.GRPC(retries()))

	calls := srv.Requests("/echo.EchoService/Echo")
	calls.WantTookAtMost(t, attempt)
	calls.WantAnswers(t, "DeadlineExceeded", "OK")
	if err != nil {
		t.Error(err)
	}
}

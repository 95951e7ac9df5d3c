package grpcretry

import (
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/seed-4591fe7d/podinfo/endpoints/echo/echopb"
	"github.com/seed-4591fe7d/podinfo/podinfotest"
)

const method = "/echo.EchoService/Echo"

func TestRetriesUnavailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := podinfotest.StartInMemory(t)
		srv.Script(method, podinfotest.FailGRPC(codes.Unavailable, 4), podinfotest.OK())
		client := echopb.NewEchoServiceClient(srv.GRPC(DialOptions()...))
		if _, err := client.Echo(t.Context(), &echopb.Message{Body: "hello"}); err != nil {
			t.Fatal(err)
		}
		calls := srv.Requests(method)
		calls.WantAnswers(t, "Unavailable", "Unavailable", "Unavailable", "Unavailable", "OK")
		for i, want := range []time.Duration{time.Second, 10 * time.Second, 100 * time.Second, 10 * time.Minute} {
			calls[i:i+2].WantGaps(t, want*8/10, want*12/10) // grpc-go adds a jitter of 20 %
		}
	})
}

// Other codes are not retried, and the fifth attempt is the last.
func TestGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := podinfotest.StartInMemory(t)
		srv.Script(method, podinfotest.FailGRPC(codes.FailedPrecondition, 1), podinfotest.FailGRPC(codes.Unavailable, 5), podinfotest.OK())
		client := echopb.NewEchoServiceClient(srv.GRPC(DialOptions()...))
		for _, want := range []codes.Code{codes.FailedPrecondition, codes.Unavailable, codes.OK} {
			if _, err := client.Echo(t.Context(), &echopb.Message{}); status.Code(err) != want {
				t.Errorf("%v, want %v", err, want)
			}
		}
		srv.Requests(method).WantCount(t, 7)
	})
}

package quickstart

import (
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/seed-4591fe7d/podinfo/endpoints/echo/echopb"
	"github.com/seed-4591fe7d/podinfo/podinfotest"
)

// A stream that breaks after two messages tells the client when to come back.
func TestStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := podinfotest.StartInMemory(t)
		srv.Script("/echo.EchoService/Repeat",
			podinfotest.FailGRPC(codes.Unavailable, 1).After(2).RetryInfo(5*time.Second),
			podinfotest.OK())

		client := echopb.NewEchoServiceClient(srv.GRPC())
		for _, want := range []int{2, 3} {
			stream, err := client.Repeat(t.Context(), &echopb.RepeatRequest{Body: "tick", Count: 3})
			n := 0
			for ; err == nil; n++ {
				_, err = stream.Recv()
			}
			if n--; n != want {
				t.Errorf("%d messages, want %d", n, want)
			}
			if status.Code(err) == codes.Unavailable {
				time.Sleep(5 * time.Second) // as RetryInfo says
			}
		}
		srv.Requests("/echo.EchoService/Repeat").WantRetryAfter(t, 0)
	})
}

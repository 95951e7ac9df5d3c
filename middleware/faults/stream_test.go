package faults_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/seed-4591fe7d/podinfo/endpoints/echo"
	"github.com/seed-4591fe7d/podinfo/endpoints/echo/echopb"
	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver/grpctest"
	"github.com/seed-4591fe7d/podinfo/middleware/faults"
)

// receive returns how many messages came before the end of a stream.
func receive(recv func() (*echopb.Message, error)) (n int, code codes.Code) {
	for {
		if _, err := recv(); err != nil {
			if err.Error() == "EOF" {
				return n, codes.OK
			}
			return n, status.Code(err)
		}
		n++
	}
}

func TestBrokenStreams(t *testing.T) {
	for _, c := range []struct {
		fault string
		n     int // messages of both streams; -1 for any
		code  codes.Code
	}{
		{"delay: 1us", 5, codes.OK},
		{"fault: {grpc: {code: ABORTED, after: 3}}", 3, codes.Aborted},
		{"fault: {grpc: {code: ABORTED, after-time: 20ms}}", -1, codes.Aborted}, // while the handler waits for a message, too
		{"fault: {stall: {after: 2, for: 20ms}}", 5, codes.OK},
		{"fault: {stall: {after: 2, hang: true}}", 2, codes.DeadlineExceeded},
		{"fault: {stall: {after: 9, hang: true}}", 5, codes.DeadlineExceeded}, // before the status at the latest
	} {
		s := grpctest.Serve(t, rules("rules: [{name: r, "+c.fault+"}]"), new(faults.Module), new(echo.Module))
		client := echopb.NewEchoServiceClient(s.Conn)
		patience := 10 * time.Second
		if c.code == codes.DeadlineExceeded {
			patience = 300 * time.Millisecond
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()

		both, err := client.Stream(ctx)
		must(t, err)
		for i := range 5 {
			both.Send(&echopb.Message{Body: fmt.Sprint(i)})
		}
		if c.code != codes.Aborted { // otherwise the stream stays open
			both.CloseSend()
		}
		if n, code := receive(both.Recv); c.n >= 0 && n != c.n || code != c.code {
			t.Errorf("Stream, %s: %d messages, then %v", c.fault, n, code)
		}

		ctx, cancel = context.WithTimeout(t.Context(), patience)
		defer cancel()
		request := &echopb.RepeatRequest{Body: "x", Count: 5}
		if strings.Contains(c.fault, "time") {
			request.Count = 0
		}
		many, err := client.Repeat(ctx, request)
		must(t, err)
		if n, code := receive(many.Recv); c.n >= 0 && n != c.n || code != c.code {
			t.Errorf("Repeat, %s: %d messages, then %v", c.fault, n, code)
		}
	}
}

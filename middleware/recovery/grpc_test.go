package recovery_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver/grpctest"
	"github.com/seed-4591fe7d/podinfo/middleware/recovery"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPanicInACall(t *testing.T) {
	svc := &grpctest.Service{Do: func(context.Context) error { panic("the secret reason") }}
	s := grpctest.Serve(t, nil, new(recovery.Module), svc)
	for _, method := range grpctest.Methods {
		st := status.Convert(s.Call(t.Context(), method))
		if st.Code() != codes.Internal || st.Message() != "internal error" || len(st.Details()) != 0 {
			t.Errorf("%s: %v %v", method, st, st.Details())
		}
	}
	logged := 0
	for line := range strings.Lines(s.Log.String()) {
		var got struct {
			Level, Msg, Method string
			Type               string `json:"exception.type"`
			Message            string `json:"exception.message"`
			Stacktrace         string `json:"exception.stacktrace"`
		}
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatal(err)
		}
		if got.Msg != "handler panicked" {
			continue
		}
		if got.Level != "error" || got.Type != "string" || got.Message != "the secret reason" || got.Method != "/grpc.testing.TestService/"+grpctest.Methods[logged] || !strings.Contains(got.Stacktrace, "TestPanicInACall") {
			t.Errorf("%s", line)
		}
		logged++
	}
	if logged != len(grpctest.Methods) {
		t.Errorf("%d panics in the log: %s", logged, s.Log)
	}
}

func TestErrorsPass(t *testing.T) {
	for want, do := range map[codes.Code]func(context.Context) error{
		codes.OK:       nil,
		codes.NotFound: func(context.Context) error { return status.Error(codes.NotFound, "not here") },
		codes.Unknown:  func(context.Context) error { return errors.New("plain") },
	} {
		s := grpctest.Serve(t, nil, new(recovery.Module), &grpctest.Service{Do: do})
		for method, code := range s.Codes(t.Context()) {
			if code != want.String() {
				t.Errorf("%s: %s, want %s", method, code, want)
			}
		}
	}
}

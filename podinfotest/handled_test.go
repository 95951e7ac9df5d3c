package podinfotest_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	. "github.com/seed-4591fe7d/podinfo/podinfotest"
)

// A step that is Handled breaks the response of an attempt that had its effect.
func TestHandled(t *testing.T) {
	for name, c := range map[string]struct {
		step Step
		want string
	}{
		"reset":    {Reset().Handled(), "cut"},
		"empty":    {Empty().Handled(), "cut"},
		"truncate": {Truncate(0).Handled(), "cut"},
		"status":   {Fail(504, 1).Handled(), "504"},
		"late":     {Fail(504, 1).Delay(time.Second).Handled(), "504"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				booked := 0
				srv := Config{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					booked++
					io.WriteString(w, "booked")
				})}.StartInMemory(t)
				srv.Script("POST /orders", c.step, OK())
				for n := range 2 {
					code, body, err := post(srv, "/orders")
					if ok := err == nil && code == 200 && body == "booked"; ok != (n == 1) || booked != n+1 {
						t.Errorf("attempt %d: %d %q %v; %d booked", n+1, code, body, err, booked)
					}
				}
				synctest.Wait()
				srv.Requests("POST /orders").WantAnswers(t, c.want, "200")
			})
		})
	}
}

func post(srv *Server, path string) (code int, body string, err error) {
	res, err := srv.Client().Post(srv.URL+path, "", strings.NewReader("{}"))
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res.StatusCode, string(b), err
}

// tally is a service that counts its calls.
type tally struct {
	pb.UnimplementedTestServiceServer
	calls *int
}

func (c tally) EmptyCall(context.Context, *pb.Empty) (*pb.Empty, error) {
	*c.calls++
	return new(pb.Empty), nil
}

func TestHandledCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		srv := Config{Services: func(r grpc.ServiceRegistrar) { pb.RegisterTestServiceServer(r, tally{calls: &calls}) }}.StartInMemory(t)
		srv.Script("/grpc.testing.TestService/EmptyCall", FailGRPC(codes.Unavailable, 1).Handled(), OK())
		client := pb.NewTestServiceClient(srv.GRPC())
		for n, want := range []codes.Code{codes.Unavailable, codes.OK} {
			if _, err := client.EmptyCall(t.Context(), new(pb.Empty)); status.Code(err) != want || calls != n+1 {
				t.Errorf("call %d: %v; %d calls", n+1, err, calls)
			}
		}
	})
}

func TestHandledWithoutSense(t *testing.T) {
	for want, step := range map[string]Step{
		"ok cannot be Handled: want a step that breaks the response, such as Reset":    OK().Handled(),
		"delay cannot be Handled: want a step that breaks the response, such as Reset": Delay(time.Second).Handled(),
		"stall lets the handler respond anyway: remove Handled":                        Stall(1, time.Second).Handled(),
		"goaway lets the handler respond anyway: remove Handled":                       GoAway().Handled(),
	} {
		if got := listen(t, func(tb testing.TB) { StartInMemory(tb).Script("/orders", step) }); !strings.Contains(got, want) {
			t.Errorf("%q, want it to contain %q", got, want)
		}
	}
}

package podinfotest_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/seed-4591fe7d/podinfo/endpoints/echo/echopb"
	. "github.com/seed-4591fe7d/podinfo/podinfotest"
)

// store is someone's own service.
func store() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /orders/{id}", func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		fmt.Fprint(w, r.PathValue("id"), " ", string(b), " ", err, " ", r.Pattern)
	})
	mux.HandleFunc("/version", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "of the shop") })
	mux.HandleFunc("/hijack", func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		rw.WriteString("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
		rw.Flush()
		conn.Close()
	})
	return mux
}

// streams is a gRPC service with streams.
type streams struct {
	pb.UnimplementedTestServiceServer
}

func (streams) StreamingOutputCall(in *pb.StreamingOutputCallRequest, out grpc.ServerStreamingServer[pb.StreamingOutputCallResponse]) error {
	for range in.ResponseParameters {
		if err := out.Send(new(pb.StreamingOutputCallResponse)); err != nil {
			return err
		}
	}
	return nil
}

// Someone's own handler is served behind the faults, in place of the stock routes.
func TestHandler(t *testing.T) {
	services := func(r grpc.ServiceRegistrar) { pb.RegisterTestServiceServer(r, streams{}) }
	served(t, Config{Handler: store(), Services: services}, func(t *testing.T, srv *Server) {
		srv.Script("POST /orders/*", Fail(503, 1), OK())
		srv.Script("/free", Reply(200, "a stub"))
		var got []string
		for _, what := range []string{"POST /orders/7", "POST /orders/7", "GET /version", "GET /free", "GET /healthz", "GET /hijack"} {
			method, path, _ := strings.Cut(what, " ")
			r, err := http.NewRequest(method, srv.URL+path, strings.NewReader("x"))
			if err != nil {
				t.Fatal(err)
			}
			res, err := srv.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			b, _ := io.ReadAll(res.Body)
			res.Body.Close()
			got = append(got, fmt.Sprint(res.StatusCode, " ", strings.TrimSpace(string(b))))
		}
		got[0], _, _ = strings.Cut(got[0], " ")
		want := []string{"503", "200 7 x <nil> POST /orders/{id}", "200 of the shop", "200 a stub", "404 404 page not found", "200 ok"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		const method = "/grpc.testing.TestService/StreamingOutputCall"
		srv.Script(method, FailGRPC(codes.Unavailable, 1).After(2), OK())
		in := &pb.StreamingOutputCallRequest{ResponseParameters: make([]*pb.ResponseParameters, 3)}
		for i, want := range []string{"2 messages, Unavailable", "3 messages, OK"} {
			stream, err := pb.NewTestServiceClient(srv.GRPC()).StreamingOutputCall(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for ; err == nil; n++ {
				_, err = stream.Recv()
			}
			if err == io.EOF {
				err = nil
			}
			if got := fmt.Sprintf("%d messages, %v", n-1, status.Code(err)); got != want {
				t.Errorf("stream %d: %s, want %s", i+1, got, want)
			}
		}
	})
	if got := listen(t, func(tb testing.TB) { Config{Handler: store(), Target: store()}.StartInMemory(tb) }); !strings.Contains(got, "Config has both Target and Handler: use Handler for an http.Handler") {
		t.Error(got)
	}
}

// What a handler ends without a response is cut, in the record too.
func TestHandlerWithoutAResponse(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/abort", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	mux.HandleFunc("/close", func(w http.ResponseWriter, _ *http.Request) {
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			conn.Close()
		}
	})
	for what, c := range map[string]Config{"handler": {Handler: mux}, "target": {Target: mux}} {
		served(t, c, func(t *testing.T, srv *Server) {
			for _, path := range []string{"/abort", "/close"} {
				if _, err := srv.Client().Post(srv.URL+path, "", nil); err == nil {
					t.Errorf("%s %s: no error", what, path)
				}
				rs := srv.WaitAnswered(t.Context(), path, 1)
				rs.WantAnswers(t, "cut")
				if rs[0].Status != 599 {
					t.Errorf("%s %s: status %d, want 599", what, path, rs[0].Status)
				}
			}
		})
	}
}

// The stock streaming RPC, broken in the middle, with details that need no other
// package.
func TestStockStream(t *testing.T) {
	both(t, func(t *testing.T, start func(testing.TB, ...string) *Server) {
		srv := start(t)
		const method = "/echo.EchoService/Stream"
		srv.Script(method, FailGRPC(codes.ResourceExhausted, 1).After(1).Message("enough").RetryInfo(2*time.Second).ErrorInfo("QUOTA", "example.com").
			BadRequest("body", "too long").BadRequest("count", "too high").QuotaFailure("user:1", "5 a day"), OK())
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		stream, err := echopb.NewEchoServiceClient(srv.GRPC()).Stream(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 2 {
			if err := stream.Send(&echopb.Message{Body: "x"}); err != nil {
				t.Fatal(err)
			}
			_, err = stream.Recv()
			if i == 0 && err != nil {
				t.Fatal(err)
			}
		}
		s := status.Convert(err)
		var kinds []string
		for _, d := range s.Details() {
			kinds = append(kinds, strings.TrimPrefix(fmt.Sprintf("%T", d), "*errdetails."))
			if b, ok := d.(*errdetails.BadRequest); ok && len(b.GetFieldViolations()) != 2 {
				t.Error(b)
			}
		}
		if diff := cmp.Diff([]string{"RetryInfo", "ErrorInfo", "BadRequest", "QuotaFailure"}, kinds); diff != "" || s.Code() != codes.ResourceExhausted || s.Message() != "enough" {
			t.Errorf("%v %s", s, diff)
		}
		srv.WaitAnswered(t.Context(), method, 1).WantAnswers(t, "ResourceExhausted")
	})
}

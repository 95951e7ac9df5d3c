package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"google.golang.org/grpc"

	"github.com/seed-4591fe7d/podinfo/endpoints/echo/echopb"
)

// The server handles nothing in the first stall of each period.
const (
	period = time.Second
	stall  = 100 * time.Millisecond
)

// staller waits out the stalls.
type staller struct {
	echopb.UnimplementedEchoServiceServer
	start time.Time
}

func (s *staller) wait() {
	if phase := time.Since(s.start) % period; phase < stall {
		time.Sleep(stall - phase)
	}
}

func (s *staller) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	s.wait()
	io.WriteString(w, "hello\n")
}

// Echo returns the message.
func (s *staller) Echo(_ context.Context, m *echopb.Message) (*echopb.Message, error) {
	s.wait()
	return m, nil
}

// serve prints the addresses for HTTP and gRPC, and serves.
func serve() error {
	web, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	calls, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := &staller{start: time.Now()}
	g := grpc.NewServer()
	echopb.RegisterEchoServiceServer(g, s)
	go g.Serve(calls)
	fmt.Println(web.Addr(), calls.Addr())
	h := &http.Server{Handler: s, Protocols: new(http.Protocols), ReadHeaderTimeout: time.Minute}
	h.Protocols.SetHTTP1(true)
	h.Protocols.SetUnencryptedHTTP2(true)
	return h.Serve(web)
}

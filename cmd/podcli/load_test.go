package main

import (
	"bytes"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-4591fe7d/podinfo/cmd/internal/clitest"
)

func TestLoadHTTP(t *testing.T) {
	var conns, n atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Method != "PUT" || string(body) != "b" || r.Header.Get("A") != "1" {
			t.Errorf("%s %q %v", r.Method, body, r.Header)
		}
		switch i := n.Add(1); {
		case i == 1:
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		case i%2 == 0:
			w.WriteHeader(http.StatusTeapot)
		}
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	s.Start()
	defer s.Close()
	args := []string{"load", s.URL, "--rate=100", "--duration=400ms", "--connections=3", "--method=PUT", "--body=b", "--header=A: 1"}
	r := run(t, append(args, "-o=json")...)
	o := r.object(t)
	// A busy machine may not send all requests in time.
	answered := n.Load()
	want := map[string]any{"200": float64((answered+1)/2 - 1), "302": 1.0, "418": float64(answered / 2)}
	if diff := cmp.Diff(want, o["status"]); diff != "" {
		t.Error(diff)
	}
	if r.code != 0 || r.err != "" || o["planned"] != 40.0 || o["sent"] != float64(answered) || o["answered"] != o["sent"] ||
		o["sent"].(float64)+o["not_sent"].(float64) != 40 || conns.Load() > 3 {
		t.Errorf("%+v over %d connections, %d answered", r, conns.Load(), answered)
	}
	latency := o["latency"].(map[string]any)
	var counted float64
	for _, b := range latency["histogram"].([]any) {
		counted += b.(map[string]any)["count"].(float64)
	}
	quantiles := latency["quantiles"].(map[string]any)
	if counted != 40 || latency["count"] != 40.0 || !(0 < latency["min"].(float64)) || quantiles["p50"].(float64) > quantiles["p99.9"].(float64) {
		t.Errorf("%v", latency)
	}
	r = run(t, args...)
	for _, want := range []string{"PUT http://127", "40 requests at 100 per second over 3 connections", " responses, 0 failed", "418: ", "Classes   status: ", " of CPU time per request, late by ", "99.99%", "up to", "####"} {
		if !strings.Contains(r.out, want) {
			t.Errorf("want %q in %s", want, r.out)
		}
	}
	if r.code != 0 || r.err != "" {
		t.Errorf("%+v", r)
	}
}

// TestLoadHTTP2 checks that each worker has its own connection also over HTTP/2: the
// server responds only after it has requests on two connections.
func TestLoadHTTP2(t *testing.T) {
	ca, conf, _ := localhost(t)
	conns, both := make(chan string, 2), make(chan struct{})
	var once sync.Once
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.Proto)
		if r.URL.Path == "/" {
			return
		}
		select {
		case conns <- r.RemoteAddr:
			if len(conns) == cap(conns) {
				once.Do(func() { close(both) })
			}
		default:
		}
		<-both
	}))
	s.EnableHTTP2, s.TLS = true, conf
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	run(t, "check", "http", s.URL, "--cacert", ca.file, "--expect-body=HTTP/2.0").expect(t, 0)
	r := run(t, "load", s.URL+"/both", "--cacert", ca.file, "--rate=50", "--duration=500ms", "--connections=2", "--timeout=1m", "-o=json")
	one, other := <-conns, <-conns
	if o := r.object(t); o["answered"] != o["sent"] || o["planned"] != 25.0 || one == other ||
		o["bytes"] != 8*o["answered"].(float64) || o["achieved_rate"] != o["answered"].(float64)/o["duration"].(float64) { // HTTP/2.0
		t.Errorf("%+v over %s and %s", r, one, other)
	}
}

func TestLoadGRPC(t *testing.T) {
	plain := serveGRPC(t, nil)
	ca, conf, _ := localhost(t)
	secure := serveGRPC(t, conf)
	for _, c := range []struct {
		addr   string
		args   []string
		status string
	}{
		{plain, []string{"--grpc=echo", "--body=hello"}, "OK"},
		{plain, []string{"--grpc=echo", "--body=fail"}, "Unavailable"},
		{plain, []string{"--grpc=stream", "--body=hello"}, "OK"},
		{plain, []string{"--grpc=stream", "--body=fail"}, "Unavailable"},
		{plain, []string{"--grpc=stream", "--streams=5", "--connections=1"}, "OK"},
		{secure, []string{"--grpc=stream", "--tls", "--cacert", ca.file}, "OK"},
		{plain, []string{"--grpc", "health"}, "OK"},
		{plain, []string{"--grpc=/grpc.health.v1.Health/List"}, "OK"},
		{plain, []string{"--grpc=a.B/C"}, "Unimplemented"},
		{secure, []string{"--grpc=echo", "--tls", "--cacert", ca.file}, "OK"},
	} {
		r := run(t, append([]string{"load", c.addr, "--rate=100", "--duration=200ms", "-o=json"}, c.args...)...)
		o := r.object(t)
		if diff := cmp.Diff(map[string]any{c.status: o["sent"]}, o["status"]); diff != "" || r.code != 0 || o["planned"] != 20.0 {
			t.Errorf("%s: %+v %s", c.args, r, diff)
		}
	}
}

func TestLoadFails(t *testing.T) {
	r := run(t, "load", refused(t), "--rate=20", "--duration=500ms", "-o=json")
	r.expect(t, 1, "podcli load: no request got a response")
	o := r.object(t)
	if diff := cmp.Diff(map[string]any{"connection refused": o["sent"]}, o["errors"]); diff != "" || o["sent"] == 0.0 {
		t.Errorf("%+v %s", r, diff)
	}
	r = run(t, "load", silent(t), "--rate=4", "--duration=500ms", "--timeout=30ms")
	r.expect(t, 1, "podcli load: no request got a response")
	if !strings.Contains(r.out, "timeout: ") || !strings.Contains(r.out, "50%") {
		t.Errorf("%s", r.out)
	}
}

func TestLoadInterrupted(t *testing.T) {
	first := make(chan struct{})
	var once sync.Once
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			once.Do(func() { close(first) })
		}
	}))
	defer s.Close()
	cmd := podcli(t, "load", s.URL, "--duration=1h")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-first
	cmd.Process.Signal(os.Interrupt)
	if code := clitest.ExitCode(t, cmd.Wait()); code != 0 || errs.String() != "" || !strings.Contains(out.String(), "180000 requests") ||
		!strings.Contains(out.String(), "\nInterrupted  after ") || !strings.Contains(out.String(), "\nAchieved     ") {
		t.Errorf("exit code %d, %s %s", code, &out, &errs)
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/seed-4591fe7d/podinfo/cmd/podcli/internal/grpcclient"
	"github.com/seed-4591fe7d/podinfo/cmd/podcli/internal/openloop"
)

// loader is the command load.
type loader struct {
	load    openloop.Load
	timeout time.Duration
	request *requestFlags
	conn    *grpcFlags
	grpc    string
	out     *output
	target  string       // as shown in the report
	bytes   atomic.Int64 // received in bodies and messages

	interrupted bool
}

// sender sends a request of one worker.
type sender func(ctx context.Context) (status string, err error)

func loadCommand() *command {
	c := newCommand("load", "ADDR", "Send requests at a steady rate and print their latency.")
	c.details = `Requests are sent on schedule, whether or not the server keeps up. Latency counts
from the scheduled time, so that a stall of the server is fully visible: if all
connections are busy, the wait for one counts too. Ctrl-C ends the load early. ADDR is an HTTP(S) URL, or
HOST:PORT with --grpc.`
	c.examples = []string{
		"podcli load localhost:9898/api/info --rate 200 --duration 30s",
		"podcli load localhost:9999 --grpc echo --body hello --rate 500",
	}
	l := new(loader)
	c.flags.Float64Var(&l.load.Rate, "rate", 50, "requests per second")
	c.flags.DurationVar(&l.load.Duration, "duration", 10*time.Second, "how long to send requests")
	c.flags.IntVar(&l.load.Workers, "connections", 10, "number of connections; each has one request in flight at a time")
	c.flags.DurationVar(&l.timeout, "timeout", 5*time.Second, "time limit of each request")
	l.request = addRequest(c.flags)
	c.flags.StringVar(&l.grpc, "grpc", "", "gRPC `method` to call: echo (with --body), health, or package.Service/Method (with an empty message)")
	l.conn = addGRPC(c.flags)
	l.out = addOutput(c.flags, "o")
	c.do = func(ctx context.Context, args []string) error {
		if err := l.prepare(args[0]); err != nil {
			return c.usagef("%w", err)
		}
		return l.run(ctx)
	}
	return c
}

func (l *loader) prepare(arg string) error {
	if !(l.load.Rate > 0) || l.load.Rate > 1e6 || l.load.Duration <= 0 || l.load.Workers <= 0 || l.timeout <= 0 {
		return errors.New("--rate must be above 0 and at most 1000000; --duration, --connections and --timeout must be above 0")
	}
	connect := l.httpSender
	if l.grpc != "" {
		connect = l.grpcSender
	}
	senders := make([]sender, l.load.Workers)
	for i := range senders { // one client per worker, so that each has its own connection, also over HTTP/2
		var err error
		if senders[i], err = connect(arg); err != nil {
			return err
		}
	}
	l.load.Send = func(ctx context.Context, worker int) (string, error) {
		ctx, cancel := context.WithTimeout(ctx, l.timeout)
		defer cancel()
		status, err := senders[worker](ctx)
		if err != nil && ctx.Err() != nil {
			err = ctx.Err()
		}
		return status, err
	}
	l.load.Reason = reason
	return nil
}

func (l *loader) httpSender(arg string) (sender, error) {
	u, err := parseURL(arg, "http", "https")
	if err != nil {
		return nil, err
	}
	if *l.conn.secure {
		return nil, errors.New("--tls applies to --grpc only; for HTTP use an https:// address")
	}
	conf, err := l.conn.tls.config()
	if err != nil {
		return nil, err
	}
	l.target = l.request.method + " " + u.Redacted()
	client := &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: conf,
			ForceAttemptHTTP2: true, DisableCompression: true,
		},
	}
	return func(ctx context.Context) (string, error) { return l.sendHTTP(ctx, client, u) }, nil
}

func (l *loader) sendHTTP(ctx context.Context, client *http.Client, u *url.URL) (string, error) {
	req, err := l.request.build(ctx, u)
	if err != nil {
		return "", err
	}
	res, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	n, err := io.Copy(io.Discard, res.Body)
	l.bytes.Add(n)
	if err != nil {
		return "", err
	}
	return fmt.Sprint(res.StatusCode), nil
}

func (l *loader) grpcSender(address string) (sender, error) {
	var message []byte
	method := l.grpc
	switch method {
	case "echo":
		method, message = "echo.EchoService/Echo", grpcclient.AppendString(nil, 1, l.request.body)
	case "health":
		method = healthMethod
	default:
		if method = strings.TrimPrefix(method, "/"); strings.Count(method, "/") != 1 {
			return nil, fmt.Errorf("--grpc %q: want echo, health or package.Service/Method", l.grpc)
		}
	}
	client, err := l.conn.client(address)
	if err != nil {
		return nil, err
	}
	l.target = method + " " + address
	return func(ctx context.Context) (string, error) {
		response, err := client.Call(ctx, method, l.request.header, message)
		l.bytes.Add(int64(len(response)))
		if status, ok := errors.AsType[*grpcclient.Status](err); ok {
			return grpcclient.CodeName(status.Code), nil
		}
		return grpcclient.CodeName(0), err
	}, nil
}

func (l *loader) run(ctx context.Context) error {
	stop := progress(os.Stderr, l.bar)
	l.load.Run(ctx)
	stop()
	l.interrupted = ctx.Err() != nil
	if err := l.report(); err != nil || l.interrupted { // Ctrl-C ends the measurement early, which is no failure
		return err
	}
	if l.load.Totals().Answered == 0 {
		return errors.New("podcli load: no request got a response")
	}
	return nil
}

// bar returns the progress line.
func (l *loader) bar(columns int) string {
	t := l.load.Totals()
	failed := t.Sent - t.Answered
	tail := fmt.Sprintf(" %3.0f%% %s  %d responses, %d failed, p99 %s",
		min(100, 100*t.Elapsed.Seconds()/l.load.Duration.Seconds()), t.Elapsed.Round(redrawInterval),
		t.Answered, failed, short(l.load.Quantile(99)))
	width := max(min(columns-len(tail)-2, 40), 0)
	filled := min(int(t.Elapsed.Seconds()/l.load.Duration.Seconds()*float64(width)), width)
	return "[" + strings.Repeat("=", filled) + strings.Repeat(" ", width-filled) + "]" + tail
}

// reason returns the text of the innermost error. The outer ones contain addresses
// and ports, which differ for each request.
func reason(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "timeout"
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return dns.Err
	}
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return oneLine(err.Error())
		}
		err = inner
	}
}

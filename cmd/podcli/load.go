package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/seed-4591fe7d/podinfo/cmd/podcli/internal/openloop"
)

// loader is the command load.
type loader struct {
	load        openloop.Load
	connections int
	streams     int // requests in flight per connection
	messages    int // per gRPC stream
	timeout     time.Duration
	http2       bool
	request     *requestFlags
	conn        *grpcFlags
	grpc        string
	out         *output
	target      string       // as shown in the report
	bytes       atomic.Int64 // received in bodies and messages
	received    atomic.Int64 // gRPC messages

	interrupted bool
	elapsed     time.Duration
}

func loadCommand() *command {
	c := newCommand("load", "ADDR", "Send requests at a steady rate and print their latency.")
	c.details = `Requests are sent on schedule, whether or not the server keeps up. Latency counts
from the scheduled time, so that a stall of the server is fully visible: if all
connections are busy, the wait for one counts too. A request is sent once; only if the server
has closed an idle connection, GET and HEAD are sent again over a new one. Ctrl-C ends the load early.
ADDR is an HTTP(S) URL, or HOST:PORT with --grpc. docs/load-test.md describes the fields of the JSON output.`
	c.examples = []string{
		"podcli load localhost:9898/api/info --rate 200 --duration 30s",
		"podcli load localhost:9898/api/info --http2 --connections 2 --streams 50 --rate 2000",
		"podcli load localhost:9999 --grpc echo --body hello --rate 500",
		"podcli load localhost:9999 --grpc stream --body hello --messages 100 --rate 20",
	}
	l := new(loader)
	c.flags.Float64Var(&l.load.Rate, "rate", 50, "requests per second")
	c.flags.DurationVar(&l.load.Duration, "duration", 10*time.Second, "how long to send requests")
	c.flags.IntVar(&l.connections, "connections", 10, "number of connections")
	c.flags.IntVar(&l.streams, "streams", 1, "requests in flight per connection; above 1 with --http2 or --grpc only")
	c.flags.DurationVar(&l.timeout, "timeout", 5*time.Second, "time limit of each request")
	l.request = addRequest(c.flags)
	c.flags.BoolVar(&l.http2, "http2", false, "use HTTP/2 only: with prior knowledge over http://, by ALPN over https://")
	c.flags.StringVar(&l.grpc, "grpc", "", "gRPC `method` to call: echo or stream (with --body), health, or package.Service/Method (with an empty message)")
	c.flags.IntVar(&l.messages, "messages", 10, "messages per stream of --grpc stream, each sent after the response to the one before")
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
	if !(l.load.Rate > 0) || l.load.Rate > 1e6 || l.load.Duration <= 0 || l.timeout <= 0 {
		return errors.New("--rate must be above 0 and at most 1000000; --duration and --timeout must be above 0")
	}
	if l.connections <= 0 || l.streams <= 0 || l.messages <= 0 {
		return errors.New("--connections, --streams and --messages must be above 0")
	}
	connectorFor := l.httpConnector
	if l.grpc != "" {
		connectorFor = l.grpcConnector
	}
	connect, err := connectorFor(arg)
	if err != nil {
		return err
	}
	senders := make([]sender, l.connections)
	for i := range senders {
		if senders[i], err = connect(); err != nil {
			return err
		}
	}
	l.load.Workers = l.connections * l.streams
	l.load.Send = func(ctx context.Context, worker int) (string, error) {
		return senders[worker%l.connections](ctx)
	}
	l.load.Reason = reason
	l.load.KernelTimer = true
	return nil
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

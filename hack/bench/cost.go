package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// work is what clients do to a server.
type work struct {
	name  string
	conns int
	dial  func(p *program) (client, error)
	slice time.Duration // 0 for the default
	per   string        // of what the cost is, "" for a request
}

// request is a request over HTTP/1.1 with the status of its response.
type request struct{ name, method, path, body, status string }

func requests() []request {
	return []request{
		{"GET /version", "GET", "/version", "", "200"},
		{"GET /healthz", "GET", "/healthz", "", "200"},
		{"GET /status/200", "GET", "/status/200", "", "200"},
		{"POST /echo, 1 kB", "POST", "/echo", strings.Repeat("x", 1000), "202"},
		{"POST /echo, 1 MB", "POST", "/echo", strings.Repeat("x", 1000000), "202"},
		{"POST /token", "POST", "/token", "me", "200"},
	}
}

func works() (all []work) {
	for _, q := range requests() {
		all = append(all, work{name: q.name, conns: 8, dial: func(p *program) (client, error) { return dialHTTP(p.http, q.method, q.path, q.body, q.status) }})
	}
	const waits = 2*interval + interval/2
	return append(all, []work{
		{name: "GET /cache/key", conns: 8, dial: dialCache},
		{name: "gRPC Echo", conns: 4, dial: func(p *program) (client, error) { return dialGRPC(p.grpc) }},
		{name: "WebSocket, busy", conns: 8, dial: func(p *program) (client, error) { return dialWS(p.http) }, per: "message"},
		{name: "WebSocket, idle", conns: 200, dial: func(p *program) (client, error) { return dialWSWaiter(p.http) }, slice: waits, per: "message a second"},
		{name: "Event stream", conns: 50, dial: dialViewer, slice: waits, per: "event"},
	}...)
}

// dialCache stores a value and returns a client that reads it.
func dialCache(p *program) (client, error) {
	put, err := dialHTTP(p.http, "PUT", "/cache/key", strings.Repeat("x", 100), "202")
	if err != nil {
		return nil, err
	}
	if err := errors.Join(put.do(), put.Close()); err != nil {
		return nil, err
	}
	return dialHTTP(p.http, "GET", "/cache/key", "", "200")
}

// eventSize is the size of podinfo's events, which the bare server sends too.
const eventSize = 600

func dialViewer(p *program) (client, error) { return dialEvents(p.http, eventSize) }

// sample is the cost of one operation.
type sample struct{ cpu, system, instructions float64 } // µs; share; count

// connect returns the clients of a work, each of which has done it once, so that what
// a connection costs is not measured.
func (p *program) connect(w work) (clients []client, err error) {
	for range w.conns {
		c, err := w.dial(p)
		if err == nil {
			clients = append(clients, c)
			err = first(c)
		}
		if err != nil {
			closeAll(clients)
			return nil, fmt.Errorf("%s: %s: %w", p.name, w.name, err)
		}
	}
	return clients, nil
}

func closeAll(clients []client) {
	for _, c := range clients {
		c.Close()
	}
}

// measure connects the clients of a work, calls ready and runs them for a while.
func (p *program) measure(ctx context.Context, w work, ready func()) (s sample, err error) {
	clients, err := p.connect(w)
	if err != nil {
		return s, err
	}
	defer closeAll(clients)
	ready()
	var sum total
	err = sum.add(ctx, p, clients, max(w.slice, *slice))
	return sum.sample(), err
}

// total is what all turns of a program in a round took.
type total struct {
	n                                int64
	cpu, system, ticks, instructions float64
}

// add lets the clients work for one turn.
func (t *total) add(ctx context.Context, p *program, clients []client, d time.Duration) error {
	stop := p.instructions(ctx)
	before, err := p.usage()
	if err != nil {
		return err
	}
	n, err := drive(clients, d)
	after, usageErr := p.usage()
	t.instructions += stop()
	t.n += n
	t.cpu += float64(after.cpu-before.cpu) / 1e3
	t.system += after.system - before.system
	t.ticks += after.ticks - before.ticks
	return errors.Join(err, usageErr, ctx.Err())
}

func (t *total) sample() (s sample) {
	if t.n > 0 {
		s.cpu, s.instructions = t.cpu/float64(t.n), t.instructions/float64(t.n)
	}
	if t.ticks > 0 {
		s.system = t.system / t.ticks
	}
	return s
}

// drive lets every client do its work until the time is up, and returns how often.
func drive(clients []client, d time.Duration) (int64, error) {
	until := time.Now().Add(d)
	var n atomic.Int64
	var mu sync.Mutex
	var failed error
	var all sync.WaitGroup
	for _, c := range clients {
		all.Go(func() {
			for time.Now().Before(until) {
				if err := c.do(); err != nil {
					mu.Lock()
					defer mu.Unlock()
					failed = errors.Join(failed, err)
					return
				}
				n.Add(1)
			}
		})
	}
	all.Wait()
	return n.Load(), failed
}

// results are the samples of each work and program, one a round.
type results map[string]map[string][]sample

// turn is how long one program works before the next one does. It is so short that
// what else the machine does slows all programs down alike.
const turn = 20 * time.Millisecond

// interleave measures all programs in turn.
func interleave(ctx context.Context, all []*program, selected *regexp.Regexp) (results, error) {
	out := results{}
	for _, w := range works() {
		if !selected.MatchString(w.name) {
			continue
		}
		out[w.name] = map[string][]sample{}
		for round := range *rounds + 1 {
			sums, err := takeTurns(ctx, all, w)
			if err != nil {
				return nil, err
			}
			for i, p := range all {
				if round > 0 { // the first one warms up
					out[w.name][p.name] = append(out[w.name][p.name], sums[i].sample())
				}
			}
		}
		fmt.Fprintln(os.Stderr, "measured", w.name)
	}
	return out, nil
}

// takeTurns is a round of a work.
func takeTurns(ctx context.Context, all []*program, w work) ([]total, error) {
	sums, clients := make([]total, len(all)), make([][]client, len(all))
	for i, p := range all {
		var err error
		if clients[i], err = p.connect(w); err != nil {
			return nil, err
		}
		defer closeAll(clients[i])
	}
	length, turns := turn, int(*slice/turn)
	if w.slice > 0 {
		length, turns = w.slice, 1
	}
	for k := range max(turns, 1) {
		for i := range all {
			at := (i + k) % len(all)
			if err := sums[at].add(ctx, all[at], clients[at], length); err != nil {
				return nil, fmt.Errorf("%s: %s: %w", all[at].name, w.name, err)
			}
		}
	}
	return sums, nil
}

// median returns the middle of what f returns for each round.
func median(n int, f func(round int) float64) float64 {
	all := make([]float64, n)
	for i := range all {
		all[i] = f(i)
	}
	slices.Sort(all)
	return all[n/2]
}

// cost returns a table of podinfo, with and without access log, beside the bare
// servers.
func cost(ctx context.Context, podinfo string, selected *regexp.Regexp) (string, error) {
	bare, err := startBare(ctx)
	if err != nil {
		return "", err
	}
	defer bare.stop()
	plain, err := startPodinfo(ctx, "podinfo", podinfo)
	if err != nil {
		return "", err
	}
	defer plain.stop()
	logs, err := startPodinfo(ctx, "podinfo with the access log", podinfo, "PODINFO_ACCESS_LOG_LEVEL=info")
	if err != nil {
		return "", err
	}
	defer logs.stop()
	all := []*program{bare, plain, logs}
	got, err := interleave(ctx, all, selected)
	if err != nil {
		return "", err
	}
	return costTable(got, all), nil
}

func costTable(got results, all []*program) string {
	var b strings.Builder
	fmt.Fprint(&b, "| Work | CPU of bare, µs | in the kernel | podinfo | of bare (of seven rounds) | with the access log |")
	fmt.Fprint(&b, "\n|---|--:|--:|--:|--:|--:|\n")
	for _, w := range works() {
		bare, plain, logs := got[w.name][all[0].name], got[w.name][all[1].name], got[w.name][all[2].name]
		if bare == nil {
			continue
		}
		name := w.name
		if w.per != "" {
			name += " (" + w.per + ")"
		}
		ratio := func(of []sample) func(int) float64 {
			return func(i int) float64 { return of[i].cpu / bare[i].cpu }
		}
		low, high := spread(len(bare), ratio(plain))
		cpu := func(of []sample) float64 { return median(len(of), func(i int) float64 { return of[i].cpu }) }
		fmt.Fprintf(&b, "| %s | %.1f | %.0f%% | %.1f | **%.2f** (%.2f–%.2f) | %.2f |\n", name, cpu(bare),
			100*median(len(bare), func(i int) float64 { return bare[i].system }), cpu(plain),
			median(len(bare), ratio(plain)), low, high, median(len(bare), ratio(logs)))
	}
	return b.String() + instructionsTable(got, all)
}

// spread returns the smallest and the largest of the rounds but one at each end.
func spread(n int, f func(int) float64) (low, high float64) {
	all := make([]float64, n)
	for i := range all {
		all[i] = f(i)
	}
	slices.Sort(all)
	cut := min(1, (n-1)/2)
	return all[cut], all[n-1-cut]
}

// instructionsTable is empty on machines without counters.
func instructionsTable(got results, all []*program) string {
	if !counters() {
		return "\nInstructions were not counted: this machine has no counters for perf.\n"
	}
	var b strings.Builder
	b.WriteString("\n| Work | Instructions of bare | podinfo, of bare | with the access log |\n|---|--:|--:|--:|\n")
	for _, w := range works() {
		if got[w.name] == nil {
			continue
		}
		count := func(p *program) float64 {
			of := got[w.name][p.name]
			return median(len(of), func(i int) float64 { return of[i].instructions })
		}
		fmt.Fprintf(&b, "| %s | %.0f | %.2f | %.2f |\n", w.name, count(all[0]), count(all[1])/count(all[0]), count(all[2])/count(all[0]))
	}
	return b.String()
}

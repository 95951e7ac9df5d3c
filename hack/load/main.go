// Command load runs load generators beside each other against a server that stalls
// for 100 ms each second, and prints the table of docs/load-test.md: what each says
// about the stall, and what CPU time each takes itself.
//
//	go run ./hack/load -bin DIR
//
// DIR has the programs podcli, wrk2, hey, ghz and k6. Those that are absent are left out.
package main

import (
	"bufio"
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// config says what to measure.
type config struct {
	bin, root, temp   string
	web, calls        string // addresses of the server
	rate, connections int
	rounds            int
	duration          time.Duration
}

func (c config) n() string { return strconv.Itoa(c.connections) }
func (c config) r() string { return strconv.Itoa(c.rate) }

func main() {
	var c config
	server := flag.Bool("serve", false, "be the server")
	flag.StringVar(&c.bin, "bin", ".", "directory of the programs")
	flag.StringVar(&c.root, "root", ".", "root of the repository")
	flag.IntVar(&c.rate, "rate", 1000, "requests per second")
	flag.IntVar(&c.connections, "connections", 4, "connections")
	flag.IntVar(&c.rounds, "rounds", 5, "runs of each program; the table has the least latencies and the median CPU time")
	flag.DurationVar(&c.duration, "duration", 5*time.Second, "duration of each run")
	flag.Parse()
	run := c.compare
	if *server {
		run = serve
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

// compare runs each tool in each round, so that all share the noise of the machine.
func (c config) compare() error {
	var err error
	if c.temp, err = os.MkdirTemp("", "load"); err != nil {
		return err
	}
	defer os.RemoveAll(c.temp)
	stop, err := c.startServer()
	if err != nil {
		return err
	}
	defer stop()
	results := map[string][]result{}
	for range c.rounds {
		for _, t := range tools() {
			r, err := c.measure(t)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return fmt.Errorf("%s: %w", t.name, err)
			}
			results[t.name] = append(results[t.name], r)
		}
	}
	printTable(results)
	return nil
}

// startServer starts this program as the server.
func (c *config) startServer() (stop func(), err error) {
	cmd := exec.Command(os.Args[0], "-serve")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop = func() {
		cmd.Process.Kill()
		cmd.Wait()
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	web, calls, found := strings.Cut(strings.TrimSpace(line), " ")
	if err != nil || !found {
		stop()
		return nil, fmt.Errorf("the server did not start: %q %w", line, err)
	}
	c.web, c.calls = "http://"+web+"/", calls
	return stop, nil
}

// result is a report and the CPU time per request of the tool.
type result struct {
	report
	cpu time.Duration
}

func (c config) measure(t tool) (result, error) {
	program := filepath.Join(c.bin, t.program)
	if _, err := os.Stat(program); err != nil {
		return result{}, err
	}
	cmd := exec.Command(program, t.args(c)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return result{}, err
	}
	r, err := t.parse(string(out))
	if err != nil || r.requests == 0 {
		return result{}, fmt.Errorf("unexpected report: %w %s", err, out)
	}
	used := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return result{r, time.Duration(float64(used) / r.requests)}, nil
}

func printTable(results map[string][]result) {
	fmt.Println("| generator | requests | p50 | p99 | max | its CPU time per request |\n|---|---|---|---|---|---|")
	for _, t := range tools() {
		all := results[t.name]
		if len(all) == 0 {
			continue
		}
		fmt.Printf("| %s | %.0f | %s | %s | %s | %s |\n", t.name,
			median(all, func(r result) float64 { return r.requests }),
			ms(least(all, func(r result) time.Duration { return r.p50 })),
			ms(least(all, func(r result) time.Duration { return r.p99 })),
			ms(least(all, func(r result) time.Duration { return r.max })),
			median(all, func(r result) time.Duration { return r.cpu }).Round(time.Microsecond))
	}
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond)) }

// least returns the smallest value: the noise of a machine only adds to a latency.
func least(all []result, of func(result) time.Duration) time.Duration {
	best := of(all[0])
	for _, r := range all[1:] {
		best = min(best, of(r))
	}
	return best
}

func median[T cmp.Ordered](all []result, of func(result) T) T {
	var values []T
	for _, r := range all {
		values = append(values, of(r))
	}
	slices.Sort(values)
	return values[len(values)/2]
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// A probe makes one attempt. It returns the facts that it found even when it fails.
type probe func(ctx context.Context) (facts, error)

// A fact is a detail of the result. Its name is a key of the JSON output.
type fact struct {
	name  string
	value any
}

type facts []fact

// checker runs a probe with retries and reports the result.
type checker struct {
	kind           string
	retry          int
	delay, timeout time.Duration // between two attempts; of one attempt
	out            *output
	now            atomic.Pointer[activity]
}

// activity is what the progress line shows.
type activity struct {
	text  string
	since time.Time
}

// result is the result of a check.
type result struct {
	address  string
	attempts int
	took     time.Duration // by the last attempt
	found    facts
	err      error
}

// newCheck adds the common flags and the action of a check to c. start evaluates
// the flags and the address. It returns the complete address without a password,
// and the probe; its error is a mistake in the command line.
func newCheck(c *command, start func(arg string) (address string, try probe, err error)) *command {
	ch := &checker{kind: c.name}
	c.flags.IntVar(&ch.retry, "retry", 0, "number of retries after a failed attempt")
	c.flags.DurationVar(&ch.delay, "delay", time.Second, "time between two attempts")
	c.flags.DurationVar(&ch.timeout, "timeout", 5*time.Second, "time limit of each attempt")
	ch.out = addOutput(c.flags, "o")
	c.details = strings.TrimSpace(c.details + "\n\nThe check prints one line to standard error, \"check succeed\" or \"check failed\",\nand exits with code 0 or 1, or 2 for a mistake in the command line.")
	c.do = func(ctx context.Context, args []string) error {
		if ch.retry < 0 || ch.delay < 0 || ch.timeout <= 0 {
			return c.usagef("--retry and --delay must not be negative, --timeout must be above 0")
		}
		address, try, err := start(args[0])
		if err != nil {
			return c.usagef("%w", err)
		}
		ch.setActivity("starting")
		stop := progress(os.Stderr, func(int) string {
			now := ch.now.Load()
			return fmt.Sprintf("%4.1fs check %s %s: %s", time.Since(now.since).Seconds(), ch.kind, oneLine(address), now.text)
		})
		r := ch.run(ctx, try)
		stop()
		r.address = address
		return ch.report(r)
	}
	return c
}

func (c *checker) setActivity(format string, args ...any) {
	c.now.Store(&activity{oneLine(fmt.Sprintf(format, args...)), time.Now()})
}

// run makes attempts until one succeeds, all retries are used, or ctx ends.
func (c *checker) run(ctx context.Context, try probe) result {
	most := c.retry + 1
	for r := (result{attempts: 1}); ; r.attempts++ {
		c.setActivity("attempt %d of %d: waiting for the response", r.attempts, most)
		r.found, r.took, r.err = c.once(ctx, try)
		if r.err == nil || r.attempts == most && ctx.Err() == nil {
			return r
		}
		c.setActivity("attempt %d of %d failed, retrying in %s: %v", r.attempts, most, c.delay, r.err)
		select {
		case <-time.After(c.delay):
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			r.err = fmt.Errorf("interrupted: %w", r.err)
			return r
		}
	}
}

// once makes one attempt.
func (c *checker) once(ctx context.Context, try probe) (facts, time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	start := time.Now()
	found, err := try(ctx)
	took := time.Since(start)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = fmt.Errorf("no response within %s: %w", c.timeout, err)
	}
	return found, took, err
}

func (c *checker) report(r result) error {
	if c.out.json {
		if err := printJSON(c.object(r)); err != nil {
			return err
		}
	} else {
		fmt.Fprintln(os.Stderr, c.line(r))
	}
	if r.err != nil {
		return errFailed
	}
	return nil
}

// object returns the result for JSON output. Durations are in seconds.
func (c *checker) object(r result) map[string]any {
	o := map[string]any{
		"check": c.kind, "address": r.address, "ok": r.err == nil,
		"attempts": r.attempts, "duration": r.took.Seconds(),
	}
	for _, f := range r.found {
		o[f.name] = f.value
		if d, ok := f.value.(time.Duration); ok {
			o[f.name] = d.Seconds()
		}
	}
	if r.err != nil {
		o["error"] = r.err.Error()
	}
	return o
}

// line returns the result for text output.
func (c *checker) line(r result) string {
	var b strings.Builder
	verdict := "succeed"
	if r.err != nil {
		verdict = "failed"
	}
	fmt.Fprintf(&b, "check %s: %s %s", verdict, c.kind, oneLine(r.address))
	for _, f := range r.found {
		fmt.Fprintf(&b, " %s=%s", f.name, quoteIfNeeded(f.value))
	}
	fmt.Fprintf(&b, " attempts=%d duration=%s", r.attempts, r.took.Round(10*time.Microsecond))
	if r.err != nil {
		fmt.Fprintf(&b, " error=%s", strconv.Quote(r.err.Error()))
	}
	return b.String()
}

// quoteIfNeeded returns v as text, quoted unless it is one plain word.
func quoteIfNeeded(v any) string {
	s := fmt.Sprint(v)
	if t, ok := v.(time.Time); ok {
		s = t.Format(time.RFC3339)
	}
	if q := strconv.Quote(s); s == "" || len(q) != len(s)+2 || strings.Contains(s, " ") {
		return q
	}
	return s
}

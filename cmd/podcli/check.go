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

// A probe tries once. The facts it found are told also when it fails.
type probe func(ctx context.Context) (facts, error)

// A fact is a word or two on what was found. Its name is a key of the JSON.
type fact struct {
	name  string
	value any
}

type facts []fact

// checker is what all checks have in common.
type checker struct {
	kind           string
	retry          int
	delay, timeout time.Duration // between two tries; for one
	out            *output
	now            atomic.Pointer[activity]
}

// activity is what the progress line tells.
type activity struct {
	text  string
	since time.Time
}

// result is how a check ended.
type result struct {
	address  string
	attempts int
	took     time.Duration // the last attempt
	found    facts
	err      error
}

// newCheck makes the command of a check. start reads its flags and the address
// and returns how to try; its error is one of the command line. The address it
// returns is as given, completed, and without a password.
func newCheck(c *command, start func(arg string) (address string, try probe, err error)) *command {
	ch := &checker{kind: c.word}
	c.flags.IntVar(&ch.retry, "retry", 0, "how often to try again")
	c.flags.DurationVar(&ch.delay, "delay", time.Second, "time between two tries; the first is made at once")
	c.flags.DurationVar(&ch.timeout, "timeout", 5*time.Second, "time for each try")
	ch.out = addOutput(c.flags, "o")
	c.more = strings.TrimSpace(c.more + "\n\nIt prints one line, \"check succeed\" or \"check failed\", on the standard error, and\nexits with 0 or 1.")
	c.do = func(ctx context.Context, args []string) error {
		if ch.retry < 0 || ch.delay < 0 || ch.timeout <= 0 {
			return c.errorf("--retry and --delay want 0 or more, --timeout more than 0")
		}
		address, try, err := start(args[0])
		if err != nil {
			return c.errorf("%w", err)
		}
		ch.say("starting")
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

func (c *checker) say(format string, args ...any) {
	c.now.Store(&activity{oneLine(fmt.Sprintf(format, args...)), time.Now()})
}

// run tries until a try succeeds, there have been enough, or ctx ends.
func (c *checker) run(ctx context.Context, try probe) result {
	tries := c.retry + 1
	for r := (result{attempts: 1}); ; r.attempts++ {
		c.say("waiting for the answer to try %d of %d", r.attempts, tries)
		r.found, r.took, r.err = c.once(ctx, try)
		if r.err == nil || r.attempts == tries && ctx.Err() == nil {
			return r
		}
		c.say("try %d of %d failed, the next comes after %s: %v", r.attempts, tries, c.delay, r.err)
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

func (c *checker) once(ctx context.Context, try probe) (facts, time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	start := time.Now()
	found, err := try(ctx)
	took := time.Since(start)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = fmt.Errorf("no answer within %s: %w", c.timeout, err)
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

// object is the result for programs. Durations are in seconds.
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

// line is the result for people.
func (c *checker) line(r result) string {
	var b strings.Builder
	verdict := "succeed"
	if r.err != nil {
		verdict = "failed"
	}
	fmt.Fprintf(&b, "check %s: %s %s", verdict, c.kind, oneLine(r.address))
	for _, f := range r.found {
		fmt.Fprintf(&b, " %s=%s", f.name, word(f.value))
	}
	fmt.Fprintf(&b, " attempts=%d duration=%s", r.attempts, r.took.Round(10*time.Microsecond))
	if r.err != nil {
		fmt.Fprintf(&b, " error=%s", strconv.Quote(r.err.Error()))
	}
	return b.String()
}

// word is a value, quoted when it is not one plain word.
func word(v any) string {
	s := fmt.Sprint(v)
	if t, ok := v.(time.Time); ok {
		s = t.Format(time.RFC3339)
	}
	if q := strconv.Quote(s); s == "" || len(q) != len(s)+2 || strings.Contains(s, " ") {
		return q
	}
	return s
}

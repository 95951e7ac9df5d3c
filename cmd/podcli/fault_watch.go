package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// watcher is the watch command.
type watcher struct {
	api                *faultAPI
	interval, duration time.Duration
	count              int
	out                *output

	hits map[string]uint64 // by rule, at the last look; nil before the first
}

func faultWatch() *command {
	c := newCommand("watch", "", "Print what rules hit, as they do.")
	c.more = `A line is printed for each rule that has hit something since the last look. It
ends by itself after --count lines or after --duration, whichever is first, and
with 0 when it is interrupted.`
	c.examples = []string{"podcli fault watch --interval 5s", "podcli fault watch -o json --count 1 --duration 1m"}
	w := &watcher{api: addFaultAPI(c.flags)}
	c.flags.DurationVar(&w.interval, "interval", time.Second, "time between two looks")
	c.flags.DurationVar(&w.duration, "duration", 0, "time after which it ends; 0 for never")
	c.flags.IntVar(&w.count, "count", 0, "lines after which it ends; 0 for any number")
	w.out = addOutput(c.flags, "o")
	return w.api.command(c, func(ctx context.Context, _ []string) error { return w.watch(ctx) })
}

func (w *watcher) watch(ctx context.Context) error {
	if w.interval <= 0 || w.duration < 0 || w.count < 0 {
		return errors.New("--interval wants more than 0, --duration and --count 0 or more")
	}
	if w.duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, w.duration)
		defer cancel()
	}
	tick := time.NewTicker(w.interval)
	defer tick.Stop()
	for printed := 0; ; {
		rules, err := w.api.ask(ctx, "GET", "", "", nil)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		for _, h := range w.grown(rules) {
			if err := w.print(h, time.Now()); err != nil {
				return err
			}
			if printed++; printed == w.count {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// growth is a rule that has hit more.
type growth struct {
	faultState
	more uint64
}

// grown is what has hit something since the last look. The first look only says
// from where.
func (w *watcher) grown(rules *faultRules) (out []growth) {
	before := w.hits
	w.hits = map[string]uint64{}
	for _, s := range rules.Rules {
		w.hits[s.name] = s.Hits
		from := before[s.name]
		if s.Hits < from { // the rule was replaced and counts from 0
			from = 0
		}
		if before != nil && s.Hits > from {
			out = append(out, growth{s, s.Hits - from})
		}
	}
	return out
}

func (w *watcher) print(g growth, now time.Time) error {
	if w.out.json {
		return printJSON(map[string]any{"time": now.UTC().Format(time.RFC3339Nano), "rule": g.name, "more": g.more, "hits": g.Hits, "seen": g.Seen})
	}
	_, err := fmt.Printf("%s %s +%d hits=%d seen=%d\n", now.Format(time.DateTime), oneLine(g.name), g.more, g.Hits, g.Seen)
	return err
}

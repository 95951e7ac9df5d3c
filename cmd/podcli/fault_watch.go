package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed-4591fe7d/podinfo/cmd/internal/faultclient"
)

// watcher is the command fault watch.
type watcher struct {
	api                *faultAPI
	interval, duration time.Duration
	count              int
	out                *output

	hits map[string]uint64 // by rule, at the last poll; nil before the first
}

func faultWatch() *command {
	c := newCommand("watch", "", "Print the hits of rules as they happen.")
	c.details = `After each poll, a line is printed for each rule that has new hits. The command
stops after --count lines or after --duration, whichever comes first. The exit
code is 0 when it is interrupted.`
	c.examples = []string{"podcli fault watch --interval 5s", "podcli fault watch -o json --count 1 --duration 1m"}
	w := &watcher{api: addFaultAPI(c.flags)}
	c.flags.DurationVar(&w.interval, "interval", time.Second, "time between two polls")
	c.flags.DurationVar(&w.duration, "duration", 0, "time after which to stop; 0 means never")
	c.flags.IntVar(&w.count, "count", 0, "number of lines after which to stop; 0 means no limit")
	w.out = addOutput(c.flags, "o")
	return w.api.command(c, func(ctx context.Context, _ []string) error { return w.watch(ctx) })
}

func (w *watcher) watch(ctx context.Context) error {
	if w.interval <= 0 || w.duration < 0 || w.count < 0 {
		return usage(errors.New("--interval must be above 0, --duration and --count must not be negative"))
	}
	if w.duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, w.duration)
		defer cancel()
	}
	tick := time.NewTicker(w.interval)
	defer tick.Stop()
	for printed := 0; ; {
		rules, err := w.api.Call(ctx, "GET", "", "", nil)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		for _, h := range w.newHits(rules) {
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

// newHits is a rule with the number of hits since the last poll.
type newHits struct {
	faultclient.State
	more uint64
}

// newHits returns the rules that have hits since the last poll. The first poll
// returns none.
func (w *watcher) newHits(rules *faultclient.Rules) (out []newHits) {
	before := w.hits
	w.hits = map[string]uint64{}
	for _, s := range rules.Rules {
		w.hits[s.Name] = s.Hits
		from := before[s.Name]
		if s.Hits < from { // the rule was replaced and counts from 0
			from = 0
		}
		if before != nil && s.Hits > from {
			out = append(out, newHits{s, s.Hits - from})
		}
	}
	return out
}

func (w *watcher) print(h newHits, now time.Time) error {
	if w.out.json {
		return printJSON(map[string]any{"time": now.UTC().Format(time.RFC3339Nano), "rule": h.Name, "more": h.more, "hits": h.Hits, "seen": h.Seen})
	}
	_, err := fmt.Printf("%s %s +%d hits=%d seen=%d\n", now.Format(time.DateTime), oneLine(h.Name), h.more, h.Hits, h.Seen)
	return err
}

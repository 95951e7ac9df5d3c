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

	hits    map[string]uint64 // by rule, when they were looked at last
	printed int
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
	for {
		rules, err := w.api.ask(ctx, "GET", "", "", nil)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if err := w.show(rules, time.Now()); err != nil {
			return err
		}
		if w.count > 0 && w.printed >= w.count {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// show prints what grew. The first look only says from where.
func (w *watcher) show(rules *faultRules, now time.Time) error {
	first, before := w.hits == nil, w.hits
	w.hits = map[string]uint64{}
	for _, s := range rules.Rules {
		w.hits[s.name] = s.Hits
		from := before[s.name]
		if s.Hits < from { // the rule was replaced and counts from 0
			from = 0
		}
		if first || s.Hits == from || w.count > 0 && w.printed >= w.count {
			continue
		}
		w.printed++
		if err := w.line(now, s, s.Hits-from); err != nil {
			return err
		}
	}
	return nil
}

func (w *watcher) line(now time.Time, s faultState, more uint64) error {
	if w.out.json {
		return printJSON(map[string]any{"time": now.UTC().Format(time.RFC3339Nano), "rule": s.name, "more": more, "hits": s.Hits, "seen": s.Seen})
	}
	_, err := fmt.Printf("%s %s +%d hits=%d seen=%d\n", now.Format(time.DateTime), oneLine(s.name), more, s.Hits, s.Seen)
	return err
}

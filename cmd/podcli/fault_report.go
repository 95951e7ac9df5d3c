package main

import (
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/seed-4591fe7d/podinfo/cmd/podcli/internal/openloop"
)

func (r *simulation) report(asJSON bool) error {
	if asJSON {
		return printJSON(r.object())
	}
	return r.print(os.Stdout)
}

// duration returns the simulated duration.
func (r *simulation) duration() time.Duration {
	return time.Duration(float64(r.n) / r.rate * float64(time.Second))
}

// targets returns the distinct targets of the requests.
func (r *simulation) targets() (out []string) {
	seen := map[string]bool{}
	for _, s := range r.requests {
		if text := s.String(); !seen[text] {
			seen[text] = true
			out = append(out, text)
		}
	}
	return out
}

// distribution summarizes delays.
type distribution struct {
	count                    int
	min, p50, p90, p99, most time.Duration
	buckets                  []openloop.Bucket
}

// distributionOf sorts the delays and summarizes them. There must be at least one.
func distributionOf(delays []time.Duration) *distribution {
	slices.Sort(delays)
	n := len(delays)
	at := func(share float64) time.Duration { return delays[int(math.Ceil(share*float64(n)))-1] }
	return &distribution{n, delays[0], at(0.5), at(0.9), at(0.99), delays[n-1], bucketsOf(delays)}
}

// bucketsOf counts sorted delays in buckets up to 1, 2, 5, 10, … µs. It leaves out
// empty buckets before the first and after the last delay.
func bucketsOf(sorted []time.Duration) (out []openloop.Bucket) {
	le, steps := time.Microsecond, 0
	for len(sorted) > 0 {
		n, _ := slices.BinarySearch(sorted, le+1)
		if n > 0 || len(out) > 0 {
			out = append(out, openloop.Bucket{Le: le, Count: int64(n)})
		}
		sorted = sorted[n:]
		if steps++; steps%3 == 2 {
			le = le / 2 * 5
		} else {
			le *= 2
		}
	}
	return out
}

// series is one of the kinds of delays of a rule. Its name is a key of the JSON
// output.
type series struct {
	name   string
	delays []time.Duration
}

// series returns the kinds of delays that occurred.
func (r *ruleRun) series() []series {
	all := []series{{"delay", r.delays}, {"queue_wait", r.waits}, {"chunk_delay", r.chunks}, {"message_delay", r.messages}}
	return slices.DeleteFunc(all, func(s series) bool { return len(s.delays) == 0 })
}

// object returns the report for JSON output. All times are in seconds.
func (r *simulation) object() map[string]any {
	rules := []map[string]any{}
	for _, run := range r.order {
		o := map[string]any{"name": run.rule.Name, "matched": run.matched, "hits": run.hits, "faults": run.faults}
		for _, s := range run.series() {
			o[s.name] = distributionOf(s.delays).object()
		}
		if run.timed() {
			o["hits_over_time"] = run.slices
		}
		if unknown := run.rule.Unpredictable(); len(unknown) > 0 {
			o["not_predicted"] = unknown
		}
		rules = append(rules, o)
	}
	o := map[string]any{
		"requests": r.n, "to": r.targets(), "rate": r.rate, "duration": r.duration().Seconds(), "seed": *r.scenario.Seed,
		"hit": r.hit, "passed": r.n - r.hit, "rules": rules,
	}
	if r.pod != "" {
		o["server"] = r.pod
	}
	if len(r.delays) > 0 {
		o["delay"] = distributionOf(r.delays).object()
	}
	return o
}

func (s *distribution) object() map[string]any {
	histogram := []map[string]any{}
	for _, b := range s.buckets {
		histogram = append(histogram, map[string]any{"le": b.Le.Seconds(), "count": b.Count})
	}
	return map[string]any{
		"count": s.count, "min": s.min.Seconds(), "max": s.most.Seconds(), "histogram": histogram,
		"quantiles": map[string]float64{"p50": s.p50.Seconds(), "p90": s.p90.Seconds(), "p99": s.p99.Seconds()},
	}
}

// print prints the report as text.
func (r *simulation) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "Requests\t%d at %g per second for %s from %s, seed %d\n", r.n, r.rate, r.duration(), r.began.Format(time.TimeOnly), *r.scenario.Seed)
	if r.pod != "" {
		fmt.Fprintf(w, "Server\t%s\n", oneLine(r.pod))
	}
	title := "Target"
	for _, target := range r.targets() {
		fmt.Fprintf(w, "%s\t%s\n", title, oneLine(target))
		title = ""
	}
	fmt.Fprintln(w, "\nRULE\tMATCHED\tHITS\tOF MATCHED\tOF ALL")
	for _, run := range r.order {
		fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%s\n", run.rule.Name, run.matched, run.hits, percent(run.hits, int(run.matched)), percent(run.hits, r.n))
	}
	fmt.Fprintf(w, "(any)\t%d\t%d\t%s\t%s\n", r.n, r.hit, percent(r.hit, r.n), percent(r.hit, r.n))
	for _, run := range r.order {
		run.print(w, r.duration())
	}
	for _, run := range r.order {
		for _, unknown := range run.rule.Unpredictable() {
			fmt.Fprintf(w, "\n%s: not predicted: %s\n", run.rule.Name, unknown)
		}
	}
	delaying := 0
	for _, run := range r.order {
		delaying += min(len(run.delays), 1)
	}
	if delaying > 1 {
		fmt.Fprintln(w, "\nAll rules:")
		distributionOf(r.delays).print(w, "delay")
	}
	return w.Flush()
}

func percent(part, whole int) string {
	if whole == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f%%", 100*float64(part)/float64(whole))
}

// print prints the hits of a rule. It prints nothing for a rule without hits.
func (r *ruleRun) print(w io.Writer, total time.Duration) {
	if r.hits == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s:\n", r.rule.Name)
	for _, kind := range slices.Sorted(maps.Keys(r.faults)) {
		fmt.Fprintf(w, "  %s\t%d\n", kind, r.faults[kind])
	}
	for _, s := range r.series() {
		distributionOf(s.delays).print(w, strings.ReplaceAll(s.name, "_", " "))
	}
	if r.timed() {
		fmt.Fprintln(w, "  hits over time:")
		var all []bar
		for i, n := range r.slices {
			all = append(all, bar{"from " + short(total*time.Duration(i)/timeSlices), int64(n)})
		}
		bars(w, all)
	}
}

func (s *distribution) print(w io.Writer, name string) {
	fmt.Fprintf(w, "  %s\t%d: min %s, p50 %s, p90 %s, p99 %s, max %s\n", name, s.count, short(s.min), short(s.p50), short(s.p90), short(s.p99), short(s.most))
	bars(w, bucketBars(s.buckets))
}

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
	"github.com/seed-4591fe7d/podinfo/internal/simulate"
)

// simulation is a run with its report.
type simulation struct{ *simulate.Run }

func (r *simulation) report(asJSON bool) error {
	if asJSON {
		return printJSON(r.object())
	}
	return r.print(os.Stdout)
}

// duration returns the simulated duration.
func (r *simulation) duration() time.Duration {
	return time.Duration(float64(r.N) / r.Rate * float64(time.Second))
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

// seriesOf returns the kinds of delays that occurred.
func seriesOf(r *simulate.RuleRun) []series {
	all := []series{{"delay", r.Delays}, {"queue_wait", r.Waits}, {"chunk_delay", r.Chunks}, {"message_delay", r.Messages}}
	return slices.DeleteFunc(all, func(s series) bool { return len(s.delays) == 0 })
}

// object returns the report for JSON output. All times are in seconds.
func (r *simulation) object() map[string]any {
	rules := []map[string]any{}
	for _, run := range r.Order {
		o := map[string]any{"name": run.Rule.Name, "matched": run.Matched, "hits": run.Hits, "faults": run.Faults}
		for _, s := range seriesOf(run) {
			o[s.name] = distributionOf(s.delays).object()
		}
		if run.Timed() {
			o["hits_over_time"] = run.Slices
		}
		if run.Rule.Match.Per != "" {
			o["keys"] = run.Keys
		}
		if unknown := run.Rule.Unpredictable(); len(unknown) > 0 {
			o["not_predicted"] = unknown
		}
		rules = append(rules, o)
	}
	o := map[string]any{
		"requests": r.N, "to": r.Targets(), "rate": r.Rate, "duration": r.duration().Seconds(), "seed": *r.Scenario.Seed,
		"hit": r.Hit, "passed": r.N - r.Hit, "rules": rules,
	}
	if r.Keyed() {
		o["keys"] = r.Keys
	}
	if r.Pod != "" {
		o["server"] = r.Pod
	}
	if len(r.Delays) > 0 {
		o["delay"] = distributionOf(r.Delays).object()
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
	fmt.Fprintf(w, "Requests\t%d at %g per second for %s from %s, seed %d\n", r.N, r.Rate, r.duration(), r.Began.Format(time.TimeOnly), *r.Scenario.Seed)
	if r.Pod != "" {
		fmt.Fprintf(w, "Server\t%s\n", oneLine(r.Pod))
	}
	if r.Keyed() {
		fmt.Fprintf(w, "Keys\t%d clients, and values of each key that rules count by\n", r.Keys)
	}
	title := "Target"
	for _, target := range r.Targets() {
		fmt.Fprintf(w, "%s\t%s\n", title, oneLine(target))
		title = ""
	}
	fmt.Fprintln(w, "\nRULE\tMATCHED\tHITS\tOF MATCHED\tOF ALL")
	for _, run := range r.Order {
		fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%s\n", run.Rule.Name, run.Matched, run.Hits, percent(run.Hits, int(run.Matched)), percent(run.Hits, r.N))
	}
	fmt.Fprintf(w, "(any)\t%d\t%d\t%s\t%s\n", r.N, r.Hit, percent(r.Hit, r.N), percent(r.Hit, r.N))
	for _, run := range r.Order {
		printRule(w, run, r.duration())
		if share := run.Rule.Match.Sticky; share != nil && run.Keys == 0 {
			fmt.Fprintf(w, "\n%s: no request has a key that is among its %g %%; simulate more with --keys\n", run.Rule.Name, *share)
			if per := run.Rule.Match.Per; r.Described && per != "client" && per != "route" {
				fmt.Fprintf(w, "%s: flags describe the request, so that it has only their values of %s; without them each request gets a key\n", run.Rule.Name, per)
			}
		}
	}
	for _, run := range r.Order {
		for _, unknown := range run.Rule.Unpredictable() {
			fmt.Fprintf(w, "\n%s: not predicted: %s\n", run.Rule.Name, unknown)
		}
	}
	delaying := 0
	for _, run := range r.Order {
		delaying += min(len(run.Delays), 1)
	}
	if delaying > 1 {
		fmt.Fprintln(w, "\nAll rules:")
		distributionOf(r.Delays).print(w, "delay")
	}
	return w.Flush()
}

func percent(part, whole int) string {
	if whole == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f%%", 100*float64(part)/float64(whole))
}

// printRule prints the hits of a rule. It prints nothing for a rule without hits.
func printRule(w io.Writer, r *simulate.RuleRun, total time.Duration) {
	if r.Hits == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s:\n", r.Rule.Name)
	for _, kind := range slices.Sorted(maps.Keys(r.Faults)) {
		fmt.Fprintf(w, "  %s\t%d\n", kind, r.Faults[kind])
	}
	if r.Rule.Match.Per != "" {
		fmt.Fprintf(w, "  keys\t%d\n", r.Keys)
	}
	for _, s := range seriesOf(r) {
		distributionOf(s.delays).print(w, strings.ReplaceAll(s.name, "_", " "))
	}
	if r.Timed() {
		fmt.Fprintln(w, "  hits over time:")
		var all []bar
		for i, n := range r.Slices {
			all = append(all, bar{"from " + short(total*time.Duration(i)/simulate.Slices), int64(n)})
		}
		bars(w, all)
	}
}

func (s *distribution) print(w io.Writer, name string) {
	fmt.Fprintf(w, "  %s\t%d: min %s, p50 %s, p90 %s, p99 %s, max %s\n", name, s.count, short(s.min), short(s.p50), short(s.p90), short(s.p99), short(s.most))
	bars(w, bucketBars(s.buckets))
}

package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/seed-4591fe7d/podinfo/cmd/podcli/internal/openloop"
)

func (l *loader) report() error {
	r := l.result()
	if l.out.json {
		return printJSON(r)
	}
	return l.print(os.Stdout, r)
}

// achieved returns the rate of the responses, which is below the planned one
// when the server does not keep up.
func achieved(t openloop.Totals) float64 { return perSecond(float64(t.Answered), t.Elapsed) }

func perSecond(n float64, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return n / d.Seconds()
}

// print prints the report as text.
func (l *loader) print(out io.Writer, r loadResult) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "Target\t%s\n", oneLine(r.Target))
	fmt.Fprintf(w, "Plan\t%d requests at %g per second over %s\n", r.Planned, r.Rate, l.connectionsText())
	fmt.Fprintf(w, "Sent\t%d at %.5g per second, in %s: %d responses, %d failed\n", r.Sent, r.SentRate, short(l.elapsed), r.Answered, r.Sent-r.Answered)
	fmt.Fprintf(w, "Achieved\t%.5g responses per second, %d bytes, %.5g bytes per second\n", r.AchievedRate, r.Bytes, perSecond(float64(r.Bytes), l.elapsed))
	if r.Interrupted {
		fmt.Fprintf(w, "Interrupted\tafter %s of %s\n", short(l.elapsed), short(l.load.Duration))
	}
	if r.NotSent > 0 {
		fmt.Fprintf(w, "Not sent\t%d, because all connections were busy\n", r.NotSent)
	}
	counts(w, "Status", r.Status)
	counts(w, "Errors", r.Errors)
	if failed := nonZero(r.Classes); len(failed) > 0 {
		counts(w, "Classes", failed)
	}
	fmt.Fprintf(w, "podcli\t%s of CPU time per request, late by %s at p99\n", short(seconds(r.CPU.PerRequest)), short(seconds(r.Lag.Quantiles["p99"])))
	if latency := l.load.Latency(); latency.Count > 0 {
		printLatency(w, latency)
	}
	return w.Flush()
}

func (l *loader) connectionsText() string {
	text := fmt.Sprintf("%d connections", l.connections)
	if l.streams > 1 {
		text += fmt.Sprintf(" with %d streams", l.streams)
	}
	return text
}

func nonZero(all map[string]int64) map[string]int64 {
	some := maps.Clone(all)
	maps.DeleteFunc(some, func(_ string, n int64) bool { return n == 0 })
	return some
}

func printLatency(w io.Writer, latency openloop.Latency) {
	fmt.Fprintf(w, "\nLatency from the scheduled time:\n")
	fmt.Fprintf(w, "  min\t%s\n  mean\t%s\n", short(latency.Min), short(latency.Mean))
	for _, q := range latency.Quantiles {
		fmt.Fprintf(w, "  %g%%\t%s\n", q.Percent, short(q.Time))
	}
	fmt.Fprintf(w, "  max\t%s\n\n", short(latency.Max))
	bars(w, bucketBars(latency.Buckets))
}

// counts prints a line for each key.
func counts(w io.Writer, title string, by map[string]int64) {
	for _, k := range slices.Sorted(maps.Keys(by)) {
		fmt.Fprintf(w, "%s\t%s: %d\n", title, oneLine(k), by[k])
		title = ""
	}
}

// bar is a line of a histogram.
type bar struct {
	label string
	count int64
}

// bucketBars returns a bar for each bucket.
func bucketBars(buckets []openloop.Bucket) (out []bar) {
	for _, b := range buckets {
		out = append(out, bar{"up to " + short(b.Le), b.Count})
	}
	return out
}

// bars prints a histogram.
func bars(w io.Writer, all []bar) {
	const longest = 50
	most := int64(1)
	for _, b := range all {
		most = max(most, b.count)
	}
	for _, b := range all {
		line := fmt.Sprintf("  %s\t%d\t%s", b.label, b.count, strings.Repeat("#", int(b.count*longest/most)))
		fmt.Fprintln(w, strings.TrimSuffix(line, "\t"))
	}
}

// short returns a duration with about three significant digits.
func short(d time.Duration) string {
	switch {
	case d >= 100*time.Second:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(time.Microsecond).String()
}

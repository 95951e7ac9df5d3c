package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/seed-4591fe7d/podinfo/cmd/podcli/internal/openloop"
)

func (l *loader) report() error {
	t, latency := l.load.Totals(), l.load.Latency()
	if l.out.json {
		return printJSON(l.object(t, latency))
	}
	return l.print(os.Stdout, t, latency)
}

// object returns the report for JSON output. All times are in seconds.
func (l *loader) object(t openloop.Totals, latency openloop.Latency) map[string]any {
	quantiles, histogram := map[string]float64{}, []map[string]any{}
	for _, q := range latency.Quantiles {
		quantiles["p"+strconv.FormatFloat(q.Percent, 'f', -1, 64)] = q.Time.Seconds()
	}
	for _, b := range latency.Buckets {
		histogram = append(histogram, map[string]any{"le": b.Le.Seconds(), "count": b.Count})
	}
	return map[string]any{
		"target": l.target, "rate": l.load.Rate, "connections": l.load.Workers, "duration": t.Elapsed.Seconds(),
		"planned": t.Planned, "sent": t.Sent, "answered": t.Answered, "not_sent": t.NotSent,
		"achieved_rate": achieved(t), "bytes": l.bytes.Load(), "interrupted": l.interrupted,
		"status": t.Status, "errors": t.Errors,
		"latency": map[string]any{
			"count": latency.Count, "min": latency.Min.Seconds(), "mean": latency.Mean.Seconds(), "max": latency.Max.Seconds(),
			"quantiles": quantiles, "histogram": histogram,
		},
	}
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
func (l *loader) print(out io.Writer, t openloop.Totals, latency openloop.Latency) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "Target\t%s\n", oneLine(l.target))
	fmt.Fprintf(w, "Plan\t%d requests at %g per second over %d connections\n", t.Planned, l.load.Rate, l.load.Workers)
	fmt.Fprintf(w, "Sent\t%d in %s: %d responses, %d failed\n", t.Sent, short(t.Elapsed), t.Answered, t.Sent-t.Answered)
	fmt.Fprintf(w, "Achieved\t%.5g responses per second, %d bytes, %.5g bytes per second\n", achieved(t), l.bytes.Load(), perSecond(float64(l.bytes.Load()), t.Elapsed))
	if l.interrupted {
		fmt.Fprintf(w, "Interrupted\tafter %s of %s\n", short(t.Elapsed), short(l.load.Duration))
	}
	if t.NotSent > 0 {
		fmt.Fprintf(w, "Not sent\t%d, because all connections were busy\n", t.NotSent)
	}
	counts(w, "Status", t.Status)
	counts(w, "Errors", t.Errors)
	if latency.Count > 0 {
		fmt.Fprintf(w, "\nLatency from the scheduled time:\n")
		fmt.Fprintf(w, "  min\t%s\n  mean\t%s\n", short(latency.Min), short(latency.Mean))
		for _, q := range latency.Quantiles {
			fmt.Fprintf(w, "  %g%%\t%s\n", q.Percent, short(q.Time))
		}
		fmt.Fprintf(w, "  max\t%s\n\n", short(latency.Max))
		bars(w, bucketBars(latency.Buckets))
	}
	return w.Flush()
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

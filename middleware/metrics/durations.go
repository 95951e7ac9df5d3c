package metrics

import (
	"bytes"
	"strconv"
)

const durationName = "http_request_duration_seconds"

// timed identifies a series of durations.
type timed struct {
	label  string // of the route
	status int
}

// RequestDurations calls f for each series of request durations, with the label of the
// routes, the label of the outcomes, the upper bounds of the buckets in
// seconds, and for each bound the number of requests that took at most that long.
// counts has one more element: the number of all requests. f must not keep the
// slices.
func (m *Module) RequestDurations(f func(label string, status int, bounds []float64, counts []uint64)) {
	var text bytes.Buffer
	m.durations.WritePrometheus(&text) // the library has no other way to read a histogram
	m.mu.RLock()
	defer m.mu.RUnlock()
	var bounds []float64
	var counts []uint64
	for line := range bytes.Lines(text.Bytes()) {
		series, le, n, ok := bucketOf(line)
		if !ok {
			continue
		}
		counts = append(counts, n)
		if le != "+Inf" {
			bound, _ := strconv.ParseFloat(le, 64)
			bounds = append(bounds, bound)
			continue
		}
		if t, known := m.timed[series]; known {
			f(t.label, t.status, bounds, counts)
		}
		bounds, counts = bounds[:0], counts[:0]
	}
}

// bucketOf parses the line of a bucket:
//
//	http_request_duration_seconds_bucket{method="GET",path="root",status="200",le="0.005"} 1
func bucketOf(line []byte) (series, le string, n uint64, ok bool) {
	rest, ok := bytes.CutPrefix(line, []byte(durationName+"_bucket{"))
	at := bytes.LastIndex(rest, []byte(`,le="`))
	if !ok || at < 0 {
		return "", "", 0, false
	}
	bound, count, ok := bytes.Cut(rest[at+len(`,le="`):], []byte(`"} `))
	n, err := strconv.ParseUint(string(bytes.TrimSpace(count)), 10, 64)
	return string(rest[:at]), string(bound), n, ok && err == nil
}

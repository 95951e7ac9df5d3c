package kustomize_test

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

// The queries that Flagger runs for request-success-rate and request-duration
// with the provider kubernetes, for the Canary of docs/flagger.md
// (https://github.com/fluxcd/flagger/blob/main/pkg/metrics/observers/http.go).
const (
	flaggerPods    = `kubernetes_namespace="default", kubernetes_pod_name=~"podinfo-[0-9a-zA-Z]+(-[0-9a-zA-Z]+)"`
	flaggerSuccess = `sum(rate(http_request_duration_seconds_count{` + flaggerPods + `, status!~"5.*"}[1m])) / sum(rate(http_request_duration_seconds_count{` + flaggerPods + `}[1m])) * 100`
	flaggerP99     = `histogram_quantile(0.99, sum(rate(http_request_duration_seconds_bucket{` + flaggerPods + `}[1m])) by (le))`
)

// TestFlagger lets Prometheus scrape a podinfo that resets every second response
// and delays every tenth. Flagger's queries have to return the success rate that the
// clients count, and the bucket of the 99th percentile that they measure.
func TestFlagger(t *testing.T) {
	server := startPodinfo(t, `--faults=rules: [
		{ name: slow, when: { every: 10 }, delay: 700ms, combine: true },
		{ name: resets, when: { every: 2 }, fault: { reset: true } }]`)
	prometheus := startPrometheus(t, t.TempDir(), "", server.metrics, "1s")
	load := startLoad(t, "http://"+server.http+"/api/info")
	bounds := []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, math.Inf(1)}
	bucket := func(seconds float64) int {
		return slices.IndexFunc(bounds, func(bound float64) bool { return seconds <= bound })
	}
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	var seen string
	for tick := time.Tick(pause); ; {
		success, err := prometheus.values(t.Context(), flaggerSuccess)
		if err != nil {
			t.Fatalf("%v; %s", err, seen)
		}
		p99, err := prometheus.values(t.Context(), flaggerP99)
		if err != nil {
			t.Fatalf("%v; %s", err, seen)
		}
		n, good, slowest := load.result()
		seen = fmt.Sprintf("Flagger reads %v %% and %v s; the clients saw %.1f %% of %d requests succeed, and a 99th percentile of %.3f s", success, p99, good, n, slowest)
		if n >= 200 && len(success) == 1 && len(p99) == 1 && math.Abs(success[0]-good) < 2 && bucket(p99[0]) == bucket(slowest) {
			t.Log(seen)
			return
		}
		select {
		case <-tick:
		case <-ctx.Done():
			t.Fatal(seen)
		}
	}
}

// load counts the requests of some clients.
type load struct {
	mu        sync.Mutex
	succeeded int
	seconds   []float64
}

// startLoad lets eight clients send requests until the test ends.
func startLoad(t *testing.T, url string) *load {
	l, ctx := new(load), t.Context()
	// Requests on a new connection are not retried.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for ctx.Err() == nil {
				l.send(ctx, client, url)
			}
		})
	}
	t.Cleanup(clients.Wait)
	return l
}

func (l *load) send(ctx context.Context, client *http.Client, url string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return
	}
	began := time.Now()
	resp, err := client.Do(req)
	if err == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	if ctx.Err() != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seconds = append(l.seconds, time.Since(began).Seconds())
	if err == nil && resp.StatusCode < 500 {
		l.succeeded++
	}
}

// result returns the number of requests, the percentage that succeeded and the 99th
// percentile of their duration in seconds.
func (l *load) result() (n int, good, p99 float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n = len(l.seconds); n == 0 {
		return 0, 0, 0
	}
	sorted := slices.Sorted(slices.Values(l.seconds))
	return n, 100 * float64(l.succeeded) / float64(n), sorted[n*99/100]
}

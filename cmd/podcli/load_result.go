package main

import (
	"strconv"
	"time"

	"github.com/seed-4591fe7d/podinfo/cmd/podcli/internal/openloop"
)

// loadResult is the JSON output of load. Its fields are stable: docs/load-test.md
// describes each, and scripts read them. Times are in seconds.
type loadResult struct {
	Target       string  `json:"target"`
	Rate         float64 `json:"rate"`
	SentRate     float64 `json:"sent_rate"`
	AchievedRate float64 `json:"achieved_rate"`
	Connections  int     `json:"connections"`
	Streams      int     `json:"streams"`
	Duration     float64 `json:"duration"`
	Interrupted  bool    `json:"interrupted"`
	Bytes        int64   `json:"bytes"`
	Messages     int64   `json:"messages"`

	Classes  map[string]int64 `json:"classes"`
	Errors   map[string]int64 `json:"errors"`
	Planned  int64            `json:"planned"`
	Sent     int64            `json:"sent"`
	NotSent  int64            `json:"not_sent"`
	Answered int64            `json:"answered"`
	Status   map[string]int64 `json:"status"`

	CPU     loadCPU     `json:"cpu"`
	Lag     loadLatency `json:"lag"`
	Latency loadLatency `json:"latency"`
}

// loadCPU is the CPU time of podcli itself, from its start.
type loadCPU struct {
	User       float64 `json:"user"`
	System     float64 `json:"system"`
	PerRequest float64 `json:"per_request"`
}

// loadLatency is a distribution of times.
type loadLatency struct {
	Count     int64              `json:"count"`
	Min       float64            `json:"min"`
	Mean      float64            `json:"mean"`
	Max       float64            `json:"max"`
	Quantiles map[string]float64 `json:"quantiles"` // p50 to p99.99
	Histogram []loadBucket       `json:"histogram"`
}

// loadBucket counts the times up to Le and above the Le before.
type loadBucket struct {
	Le    float64 `json:"le"`
	Count int64   `json:"count"`
}

// result returns the report. It must be called after the load.
func (l *loader) result() loadResult {
	t := l.load.Totals()
	l.elapsed = t.Elapsed
	user, system := cpuTime()
	r := loadResult{
		Target: l.target, Rate: l.load.Rate, SentRate: t.SentRate, AchievedRate: achieved(t),
		Connections: l.connections, Streams: l.streams, Duration: t.Elapsed.Seconds(), Interrupted: l.interrupted,
		Bytes: l.bytes.Load(), Messages: l.received.Load(),
		Classes: classes(t.Classes, t.Status), Errors: t.Errors,
		Planned: t.Planned, Sent: t.Sent, NotSent: t.NotSent, Answered: t.Answered, Status: t.Status,
		CPU: loadCPU{User: user.Seconds(), System: system.Seconds()},
		Lag: latencyResult(l.load.Lag()), Latency: latencyResult(l.load.Latency()),
	}
	if t.Sent > 0 {
		r.CPU.PerRequest = (user + system).Seconds() / float64(t.Sent)
	}
	return r
}

func latencyResult(d openloop.Latency) loadLatency {
	l := loadLatency{
		Count: d.Count, Min: d.Min.Seconds(), Mean: d.Mean.Seconds(), Max: d.Max.Seconds(),
		Quantiles: map[string]float64{}, Histogram: []loadBucket{},
	}
	for _, q := range d.Quantiles {
		l.Quantiles["p"+strconv.FormatFloat(q.Percent, 'f', -1, 64)] = q.Time.Seconds()
	}
	for _, b := range d.Buckets {
		l.Histogram = append(l.Histogram, loadBucket{b.Le.Seconds(), b.Count})
	}
	return l
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

package tracing

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/seed-4591fe7d/podinfo/internal/otlp"
	"github.com/seed-4591fe7d/podinfo/registry/capability"
)

// bridge exports what Prometheus sees on the page of the metrics module, under
// the same names, so that each thing is counted once. It leaves out what is
// exported by the semantic conventions.
type bridge struct {
	pages []capability.MetricsPage
	began time.Time
	delta bool // export counters as the difference to the export before

	mu   sync.Mutex
	last map[series]float64 // counters at the export before, if delta
	at   time.Time          // of the export before
}

type series struct {
	name   string
	labels attribute.Distinct
}

func (m *Module) newBridge() *bridge {
	now := time.Now()
	return &bridge{pages: m.pages, began: now, at: now, delta: m.settings.Temporality == otlp.Delta, last: map[series]float64{}}
}

// conventional are the prefixes of the metrics that have a semantic convention.
var conventional = []string{"http_requests_total", "http_request_duration_seconds", "grpc_server_", "go_"}

// Produce implements the SDK's Producer.
func (b *bridge) Produce(context.Context) ([]metricdata.ScopeMetrics, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	var out []metricdata.Metrics
	var errs []error
	for _, p := range b.pages {
		page := response{header: http.Header{}}
		p.MetricsPageHandler().ServeHTTP(&page, &http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/metrics"}, Header: http.Header{}})
		parser := expfmt.NewTextParser(model.UTF8Validation)
		families, err := parser.TextToMetricFamilies(&page.body)
		errs = append(errs, err)
		for _, name := range slices.Sorted(maps.Keys(families)) {
			if !slices.ContainsFunc(conventional, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
				out = append(out, metricdata.Metrics{Name: name, Description: families[name].GetHelp(), Data: b.convert(families[name], now)})
			}
		}
	}
	b.at = now
	return []metricdata.ScopeMetrics{{Scope: instrumentation.Scope{Name: scope}, Metrics: out}}, errors.Join(errs...)
}

// convert returns the samples of a family.
func (b *bridge) convert(f *dto.MetricFamily, now time.Time) metricdata.Aggregation {
	switch f.GetType() {
	case dto.MetricType_COUNTER:
		sum := metricdata.Sum[float64]{IsMonotonic: true, Temporality: metricdata.CumulativeTemporality}
		began := b.began
		if b.delta {
			sum.Temporality, began = metricdata.DeltaTemporality, b.at
		}
		for _, m := range f.Metric {
			p := metricdata.DataPoint[float64]{Attributes: set(m), StartTime: began, Time: now, Value: m.Counter.GetValue()}
			if b.delta {
				key := series{f.GetName(), p.Attributes.Equivalent()}
				p.Value, b.last[key] = p.Value-b.last[key], p.Value
			}
			sum.DataPoints = append(sum.DataPoints, p)
		}
		return sum
	case dto.MetricType_HISTOGRAM:
		histogram := metricdata.Histogram[float64]{Temporality: metricdata.CumulativeTemporality}
		for _, m := range f.Metric {
			p := metricdata.HistogramDataPoint[float64]{Attributes: set(m), StartTime: b.began, Time: now, Count: m.Histogram.GetSampleCount(), Sum: m.Histogram.GetSampleSum()}
			below := uint64(0)
			for _, bucket := range m.Histogram.Bucket { // the last one is +Inf
				p.Bounds, p.BucketCounts = append(p.Bounds, bucket.GetUpperBound()), append(p.BucketCounts, bucket.GetCumulativeCount()-below)
				below = bucket.GetCumulativeCount()
			}
			p.Bounds = p.Bounds[:max(0, len(p.Bounds)-1)]
			histogram.DataPoints = append(histogram.DataPoints, p)
		}
		return histogram
	case dto.MetricType_SUMMARY:
		var summary metricdata.Summary
		for _, m := range f.Metric {
			p := metricdata.SummaryDataPoint{Attributes: set(m), StartTime: b.began, Time: now, Count: m.Summary.GetSampleCount(), Sum: m.Summary.GetSampleSum()}
			for _, q := range m.Summary.Quantile {
				p.QuantileValues = append(p.QuantileValues, metricdata.QuantileValue{Quantile: q.GetQuantile(), Value: q.GetValue()})
			}
			summary.DataPoints = append(summary.DataPoints, p)
		}
		return summary
	}
	var gauge metricdata.Gauge[float64]
	for _, m := range f.Metric {
		gauge.DataPoints = append(gauge.DataPoints, metricdata.DataPoint[float64]{Attributes: set(m), Time: now, Value: m.Gauge.GetValue() + m.Untyped.GetValue()})
	}
	return gauge
}

// set returns the labels of a sample.
func set(m *dto.Metric) attribute.Set {
	var attrs []attribute.KeyValue
	for _, l := range m.Label {
		attrs = append(attrs, attribute.String(l.GetName(), l.GetValue()))
	}
	return attribute.NewSet(attrs...)
}

// response is the response of the page.
type response struct {
	header http.Header
	body   bytes.Buffer
}

func (r *response) Header() http.Header         { return r.header }
func (r *response) Write(p []byte) (int, error) { return r.body.Write(p) }
func (*response) WriteHeader(int)               {}

// Package otlp parses the standard OTEL_* variables and creates the exporters
// that they configure. It reads them from a map instead of the process's
// environment, so that two Apps can export to two collectors. Exports use the
// proxy in the process's HTTPS_PROXY.
package otlp

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"

	"github.com/seed-4591fe7d/podinfo/registry"
)

// Settings are the supported variables of the OpenTelemetry specification
// (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/).
// The tag secret marks those that are or may contain a secret, as in
// [registry.Setting]. Their values are not shown when they are not accepted.
type Settings struct {
	Disabled    Bool        `env:"OTEL_SDK_DISABLED" unset:"false" doc:"turns off spans, logs, metrics and the propagation of traces"`
	Service     string      `env:"OTEL_SERVICE_NAME" doc:"service name; PODINFO_OTEL_SERVICE_NAME overrides it"`
	Resource    Pairs       `env:"OTEL_RESOURCE_ATTRIBUTES" secret:"part" doc:"resource attributes; they override all others except the service name"`
	Propagators Propagators `env:"OTEL_PROPAGATORS" doc:"formats of trace headers; the default is upstream's, not the specification's"`
	Sampler     Sampler     `env:"OTEL_TRACES_SAMPLER" doc:"which traces are sampled"`
	SamplerArg  Ratio       `env:"OTEL_TRACES_SAMPLER_ARG" doc:"share of the traces that a traceidratio sampler samples"`

	TracesTo  Destinations       `env:"OTEL_TRACES_EXPORTER" doc:"where spans go"`
	LogsTo    Destinations       `env:"OTEL_LOGS_EXPORTER" doc:"where log records go"`
	MetricsTo MetricDestinations `env:"OTEL_METRICS_EXPORTER" unset:"none" doc:"where metrics go; the specification's default is otlp. prometheus means /metrics, which the metrics module serves"`

	All     Endpoint `envPrefix:"OTEL_EXPORTER_OTLP_"` // applies where a signal has no value of its own
	Traces  Endpoint `envPrefix:"OTEL_EXPORTER_OTLP_TRACES_" scope:"spans: "`
	Logs    Endpoint `envPrefix:"OTEL_EXPORTER_OTLP_LOGS_" scope:"log records: "`
	Metrics Endpoint `envPrefix:"OTEL_EXPORTER_OTLP_METRICS_" scope:"metrics: "`

	Spans         Batch       `envPrefix:"OTEL_BSP_" scope:"spans: "`
	Records       Batch       `envPrefix:"OTEL_BLRP_" scope:"log records: "`
	MetricEvery   Millis      `env:"OTEL_METRIC_EXPORT_INTERVAL" doc:"time between two exports of metrics"`
	MetricTimeout Timeout     `env:"OTEL_METRIC_EXPORT_TIMEOUT" doc:"time limit of an export of metrics"`
	Exemplars     Exemplars   `env:"OTEL_METRICS_EXEMPLAR_FILTER" doc:"which measurements can become exemplars"`
	Temporality   Temporality `env:"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE" doc:"temporality of metrics; histograms from /metrics are always cumulative"`
	Histograms    Histograms  `env:"OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION" doc:"kind of the histograms"`

	AttributeLength *Limit `env:"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT" doc:"longest attribute value of spans and records; longer ones are cut"`
	AttributeCount  *Limit `env:"OTEL_ATTRIBUTE_COUNT_LIMIT" unset:"128" doc:"attributes of a span or a record"`
	SpanLength      *Limit `env:"OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT" doc:"longest attribute value of spans"`
	SpanCount       *Limit `env:"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT" unset:"128" doc:"attributes of a span"`
	SpanEvents      *Limit `env:"OTEL_SPAN_EVENT_COUNT_LIMIT" unset:"128" doc:"events of a span"`
	SpanLinks       *Limit `env:"OTEL_SPAN_LINK_COUNT_LIMIT" unset:"128" doc:"links of a span"`
	EventCount      *Limit `env:"OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT" unset:"128" doc:"attributes of an event"`
	LinkCount       *Limit `env:"OTEL_LINK_ATTRIBUTE_COUNT_LIMIT" unset:"128" doc:"attributes of a link"`
	RecordLength    *Limit `env:"OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT" doc:"longest attribute value of records"`
	RecordCount     *Limit `env:"OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT" unset:"128" doc:"attributes of a record"`
}

// Endpoint configures where and how OTLP is exported, for one signal or for all.
type Endpoint struct {
	URL         Address     `env:"ENDPOINT" secret:"part" unset:"localhost:4317, or localhost:4318 over HTTP" doc:"the collector; over HTTP, the variable of a signal is the whole URL"`
	Protocol    Protocol    `env:"PROTOCOL" doc:"protocol; the specification's default is http/protobuf. http/json is not supported"`
	Headers     Pairs       `env:"HEADERS" secret:"true" doc:"headers of each export"`
	Timeout     Timeout     `env:"TIMEOUT" doc:"time limit of an export"`
	Compression Compression `env:"COMPRESSION" doc:"compression of exports"`
	Insecure    *Bool       `env:"INSECURE" unset:"false" doc:"no TLS to an endpoint without a scheme"`
	Certificate string      `env:"CERTIFICATE" doc:"PEM file with the certificates to trust"`
	ClientCert  string      `env:"CLIENT_CERTIFICATE" doc:"PEM file with the client's certificate; needs CLIENT_KEY"`
	ClientKey   string      `env:"CLIENT_KEY" doc:"PEM file with the key of CLIENT_CERTIFICATE"`
}

// Batch configures how spans or records are batched for export.
type Batch struct {
	Delay   Millis  `env:"SCHEDULE_DELAY" doc:"time between two exports"`
	Timeout Timeout `env:"EXPORT_TIMEOUT" doc:"time limit of an export with its retries"`
	Queue   Count   `env:"MAX_QUEUE_SIZE" doc:"items that wait for export; further ones are dropped"`
	Size    Count   `env:"MAX_EXPORT_BATCH_SIZE" doc:"items in one export; at most MAX_QUEUE_SIZE"`
}

// defaults returns the defaults.
func defaults() Settings {
	return Settings{
		Propagators:   Propagators{"tracecontext", "baggage", "b3", "jaeger", "ottrace", "xray"},
		Sampler:       "parentbased_always_on",
		SamplerArg:    1,
		TracesTo:      Destinations{ToOTLP},
		LogsTo:        Destinations{ToOTLP},
		All:           Endpoint{Protocol: GRPC, Timeout: 10_000, Compression: "none"},
		Spans:         Batch{Delay: 5000, Timeout: 30_000, Queue: 2048, Size: 512},
		Records:       Batch{Delay: 1000, Timeout: 30_000, Queue: 2048, Size: 512},
		MetricEvery:   60_000,
		MetricTimeout: 30_000,
		Exemplars:     "trace_based",
		Temporality:   "cumulative",
		Histograms:    "explicit_bucket_histogram",
	}
}

// Variables returns the OTEL_* variables of an environment in the form of
// os.Environ.
func Variables(environ []string) map[string]string {
	out := map[string]string{}
	for _, kv := range environ {
		if name, value, ok := strings.Cut(kv, "="); ok && strings.HasPrefix(name, "OTEL_") {
			out[name] = value
		}
	}
	return out
}

// Parse reads the OTEL_* variables in vars. An empty variable counts as not
// set. As the specification demands, no value is an error: Parse ignores values
// that it does not accept and variables that are not supported, and returns a
// warning for each.
func Parse(vars map[string]string) (s Settings, warnings []*registry.SettingError) {
	s = defaults()
	rows := map[string]Variable{}
	value := func(key string) string { return strings.TrimSpace(vars[key]) }
	warn := func(key, problem string) {
		shown := value(key)
		if rows[key].secret {
			shown = registry.Redacted
		}
		warnings = append(warnings, &registry.SettingError{Key: key, Value: shown, Source: registry.FromEnvironment, Problem: problem})
	}
	for _, v := range Table() {
		rows[v.Name] = v
		if value(v.Name) == "" {
			continue
		}
		if v.Ignored {
			warn(v.Name, "no effect: "+v.Doc)
			continue
		}
		parsed := s
		err := env.ParseWithOptions(&parsed, env.Options{Environment: map[string]string{v.Name: value(v.Name)}})
		if parse, ok := errors.AsType[env.ParseError](err); ok {
			err = parse.Err // ParseError has no Unwrap
		}
		bad, invalid := errors.AsType[wantError](err)
		if invalid {
			warn(v.Name, "want "+bad.want+"; "+cmp.Or(bad.instead, "ignored"))
		}
		if !invalid || bad.instead != "" {
			s = parsed
		}
	}
	for _, e := range []struct {
		prefix string
		*Endpoint
	}{{"", &s.All}, {"TRACES_", &s.Traces}, {"LOGS_", &s.Logs}, {"METRICS_", &s.Metrics}} {
		for _, half := range []struct{ name, value, other string }{{"CLIENT_CERTIFICATE", e.ClientCert, e.ClientKey}, {"CLIENT_KEY", e.ClientKey, e.ClientCert}} {
			if half.value != "" && half.other == "" {
				warn("OTEL_EXPORTER_OTLP_"+e.prefix+half.name, "ignored: set CLIENT_CERTIFICATE and CLIENT_KEY together")
				e.ClientCert, e.ClientKey = "", ""
				break
			}
		}
	}
	for prefix, b := range map[string]*Batch{"OTEL_BSP_": &s.Spans, "OTEL_BLRP_": &s.Records} {
		if key := prefix + "MAX_EXPORT_BATCH_SIZE"; b.Size > b.Queue && value(key) != "" {
			warn(key, "above "+prefix+"MAX_QUEUE_SIZE, which replaces it")
		}
		b.Size = min(b.Size, b.Queue)
	}
	return s, warnings
}

// Unaccepted returns the names of the supported variables in vars whose values
// Parse does not accept.
func Unaccepted(vars map[string]string) (names []string) {
	_, warnings := Parse(vars)
	for _, w := range warnings {
		if !slices.ContainsFunc(ignored, func(v Variable) bool { return v.Name == w.Key }) {
			names = append(names, w.Key)
		}
	}
	return names
}

// Wanted reports whether vars turn on telemetry: they name an endpoint or an
// exporter. OTEL_SERVICE_NAME alone does not, nor does an exporter that only
// turns telemetry off or is not supported.
func Wanted(vars map[string]string) bool {
	if strings.EqualFold(strings.TrimSpace(vars["OTEL_SDK_DISABLED"]), "true") {
		return false
	}
	for _, signal := range []string{"", "TRACES_", "LOGS_", "METRICS_"} {
		if strings.TrimSpace(vars["OTEL_EXPORTER_OTLP_"+signal+"ENDPOINT"]) != "" {
			return true
		}
		var to Destinations
		_ = to.UnmarshalText([]byte(vars["OTEL_"+signal+"EXPORTER"])) // sets what it knows
		if len(to) > 0 {
			return true
		}
	}
	return false
}

// Duration returns m as a time.Duration.
func (m Millis) Duration() time.Duration { return time.Duration(m) * time.Millisecond }

// Duration returns t as a time.Duration.
func (t Timeout) Duration() time.Duration { return Millis(t).Duration() }

// First returns the first limit that is set, or fallback when none is.
func First(fallback int, limits ...*Limit) int {
	for _, l := range limits {
		if l != nil {
			return int(*l)
		}
	}
	return fallback
}

// Package otlp parses the standard OTEL_* variables and creates the exporters
// that they configure. It reads them from a map instead of the process's
// environment, so that two Apps can export to two collectors. There are two
// exceptions: the SDK also reads the process's OTEL_RESOURCE_ATTRIBUTES, which
// those of the map override, and exports use the proxy in HTTPS_PROXY.
package otlp

import (
	"errors"
	"maps"
	"reflect"
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
	Disabled    Bool        `env:"OTEL_SDK_DISABLED"`
	Service     string      `env:"OTEL_SERVICE_NAME"`
	Resource    Pairs       `env:"OTEL_RESOURCE_ATTRIBUTES" secret:"part"`
	Propagators Propagators `env:"OTEL_PROPAGATORS"`
	Sampler     Sampler     `env:"OTEL_TRACES_SAMPLER"`
	SamplerArg  Ratio       `env:"OTEL_TRACES_SAMPLER_ARG"`

	TracesTo  Destination `env:"OTEL_TRACES_EXPORTER"`
	LogsTo    Destination `env:"OTEL_LOGS_EXPORTER"`
	MetricsTo Destination `env:"OTEL_METRICS_EXPORTER"`

	All     Endpoint `envPrefix:"OTEL_EXPORTER_OTLP_"` // applies where a signal has no value of its own
	Traces  Endpoint `envPrefix:"OTEL_EXPORTER_OTLP_TRACES_"`
	Logs    Endpoint `envPrefix:"OTEL_EXPORTER_OTLP_LOGS_"`
	Metrics Endpoint `envPrefix:"OTEL_EXPORTER_OTLP_METRICS_"`

	Spans         Batch       `envPrefix:"OTEL_BSP_"`
	Records       Batch       `envPrefix:"OTEL_BLRP_"`
	MetricEvery   Millis      `env:"OTEL_METRIC_EXPORT_INTERVAL"`
	MetricTimeout Millis      `env:"OTEL_METRIC_EXPORT_TIMEOUT"`
	Temporality   Temporality `env:"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"`

	AttributeLength *Limit `env:"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT"` // applies where spans and records have no value of their own
	AttributeCount  *Limit `env:"OTEL_ATTRIBUTE_COUNT_LIMIT"`
	SpanLength      *Limit `env:"OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT"`
	SpanCount       *Limit `env:"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT"`
	SpanEvents      *Limit `env:"OTEL_SPAN_EVENT_COUNT_LIMIT"`
	SpanLinks       *Limit `env:"OTEL_SPAN_LINK_COUNT_LIMIT"`
	EventCount      *Limit `env:"OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT"`
	LinkCount       *Limit `env:"OTEL_LINK_ATTRIBUTE_COUNT_LIMIT"`
	RecordLength    *Limit `env:"OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT"`
	RecordCount     *Limit `env:"OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT"`
}

// Endpoint configures where and how OTLP is exported, for one signal or for all.
type Endpoint struct {
	URL         Address     `env:"ENDPOINT" secret:"part"`
	Protocol    Protocol    `env:"PROTOCOL"`
	Headers     Pairs       `env:"HEADERS" secret:"true"`
	Timeout     Millis      `env:"TIMEOUT"`
	Compression Compression `env:"COMPRESSION"`
	Insecure    *Bool       `env:"INSECURE"`
	Certificate string      `env:"CERTIFICATE"` // a PEM file, as the next two
	ClientCert  string      `env:"CLIENT_CERTIFICATE"`
	ClientKey   string      `env:"CLIENT_KEY"`
}

// Batch configures how spans or records are batched for export.
type Batch struct {
	Delay   Millis `env:"SCHEDULE_DELAY"`
	Timeout Millis `env:"EXPORT_TIMEOUT"`
	Queue   Count  `env:"MAX_QUEUE_SIZE"`
	Size    Count  `env:"MAX_EXPORT_BATCH_SIZE"`
}

// defaults returns the defaults of the specification, except for the
// propagators, which are upstream's.
func defaults() Settings {
	return Settings{
		Propagators:   Propagators{"tracecontext", "baggage", "b3", "jaeger", "ottrace", "xray"},
		Sampler:       "parentbased_always_on",
		SamplerArg:    1,
		TracesTo:      ToOTLP,
		LogsTo:        ToOTLP,
		MetricsTo:     ToNone,
		All:           Endpoint{Protocol: GRPC, Timeout: 10_000, Compression: "none"},
		Spans:         Batch{Delay: 5000, Timeout: 30_000, Queue: 2048, Size: 512},
		Records:       Batch{Delay: 1000, Timeout: 30_000, Queue: 2048, Size: 512},
		MetricEvery:   60_000,
		MetricTimeout: 30_000,
		Temporality:   "cumulative",
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
// set. Its error joins one [registry.SettingError] for each invalid variable.
func Parse(vars map[string]string) (Settings, error) {
	s := defaults()
	set := map[string]string{}
	for k, v := range vars {
		if v = strings.TrimSpace(v); v != "" && strings.HasPrefix(k, "OTEL_") {
			set[k] = v
		}
	}
	var errs []error
	for _, k := range slices.Sorted(maps.Keys(set)) { // one at a time, because env's error does not name the variable
		if err := env.ParseWithOptions(&s, env.Options{Environment: map[string]string{k: set[k]}}); err != nil {
			errs = append(errs, invalid(k, set[k], accepted(err)))
		}
	}
	for _, e := range []struct {
		prefix string
		Endpoint
	}{{"", s.All}, {"TRACES_", s.Traces}, {"LOGS_", s.Logs}, {"METRICS_", s.Metrics}} {
		if (e.ClientCert == "") != (e.ClientKey == "") {
			key := "OTEL_EXPORTER_OTLP_" + e.prefix + "CLIENT_CERTIFICATE"
			errs = append(errs, invalid(key, set[key], "a PEM file, together with its key in the CLIENT_KEY variable"))
		}
	}
	s.Spans.Size, s.Records.Size = min(s.Spans.Size, s.Spans.Queue), min(s.Records.Size, s.Records.Queue)
	return s, errors.Join(errs...)
}

// Wanted reports whether vars turn on telemetry: they name an endpoint or an
// exporter. OTEL_SERVICE_NAME alone does not.
func Wanted(vars map[string]string) bool {
	if strings.EqualFold(strings.TrimSpace(vars["OTEL_SDK_DISABLED"]), "true") {
		return false
	}
	for _, signal := range []string{"", "TRACES_", "LOGS_", "METRICS_"} {
		if strings.TrimSpace(vars["OTEL_EXPORTER_OTLP_"+signal+"ENDPOINT"]) != "" {
			return true
		}
		if to := Destination(strings.TrimSpace(vars["OTEL_"+signal+"EXPORTER"])); to == ToOTLP || to == ToConsole {
			return true
		}
	}
	return false
}

func invalid(key, value, want string) error {
	if mayBeSecret(reflect.TypeFor[Settings](), key) {
		value = registry.Redacted
	}
	return &registry.SettingError{Key: key, Value: value, Source: registry.FromEnvironment, Want: want}
}

// mayBeSecret reports whether the field of a variable has the tag secret.
func mayBeSecret(t reflect.Type, key string) bool {
	for f := range t.Fields() {
		if f.Tag.Get("env") == key {
			return f.Tag.Get("secret") != ""
		}
		if rest, nested := strings.CutPrefix(key, f.Tag.Get("envPrefix")); nested && f.Type.Kind() == reflect.Struct && mayBeSecret(f.Type, rest) {
			return true
		}
	}
	return false
}

// accepted returns what the field that err is about accepts.
func accepted(err error) string {
	if parse, ok := errors.AsType[env.ParseError](err); ok {
		err = parse.Err // ParseError has no Unwrap
	}
	w, _ := errors.AsType[wantError](err)
	return string(w)
}

// wantError is the error of every UnmarshalText below. It says what the type
// accepts.
type wantError string

func (w wantError) Error() string { return "want " + string(w) }

// Duration returns m as a time.Duration.
func (m Millis) Duration() time.Duration { return time.Duration(m) * time.Millisecond }

// First returns the first limit that is set, or fallback when none is.
func First(fallback int, limits ...*Limit) int {
	for _, l := range limits {
		if l != nil {
			return int(*l)
		}
	}
	return fallback
}

package otlp

import (
	"encoding"
	"fmt"
	"reflect"
	"strings"
)

// A Variable is an environment variable of the specification.
type Variable struct {
	Name    string
	Default string
	Doc     string // what it sets or, if it is ignored, why
	Accepts string // "" for any text
	Ignored bool

	secret bool
}

// ignored are the variables that are not supported.
var ignored = []Variable{
	{Name: "OTEL_LOG_LEVEL", Doc: "the log level of telemetry is that of all lines, PODINFO_LEVEL"},
	{Name: "OTEL_ENTITIES", Doc: "entities are not supported; use OTEL_RESOURCE_ATTRIBUTES"},
	{Name: "OTEL_CONFIG_FILE", Doc: "declarative configuration is not supported; use the other variables"},
	{Name: "OTEL_EXPERIMENTAL_CONFIG_FILE", Doc: "declarative configuration is not supported; use the other variables"},
	{Name: "OTEL_EXPORTER_OTLP_SPAN_INSECURE", Doc: "obsolete; use OTEL_EXPORTER_OTLP_TRACES_INSECURE"},
	{Name: "OTEL_EXPORTER_OTLP_METRIC_INSECURE", Doc: "obsolete; use OTEL_EXPORTER_OTLP_METRICS_INSECURE"},
	{Name: "OTEL_EXPORTER_ZIPKIN_ENDPOINT", Doc: zipkin, secret: true},
	{Name: "OTEL_EXPORTER_ZIPKIN_TIMEOUT", Doc: zipkin},
	{Name: "OTEL_EXPORTER_ZIPKIN_PROTOCOL", Doc: zipkin},
	{Name: "OTEL_EXPORTER_PROMETHEUS_HOST", Doc: prometheus},
	{Name: "OTEL_EXPORTER_PROMETHEUS_PORT", Doc: prometheus},
}

const (
	zipkin     = "the Zipkin exporter, which the specification deprecates, is not supported; use OTLP"
	prometheus = "/metrics is served on PODINFO_PORT and on PODINFO_PORT_METRICS"
)

// Table returns every variable that the specification has: those that Parse
// reads, in its order, and then those that it ignores.
func Table() []Variable {
	rows := rows(reflect.ValueOf(defaults()), "", "")
	for _, v := range ignored {
		v.Ignored = true
		rows = append(rows, v)
	}
	return rows
}

// rows returns the variables of the fields of a struct. scope is put before
// their docs.
func rows(of reflect.Value, prefix, scope string) (out []Variable) {
	for field, value := range of.Fields() {
		tag := field.Tag
		if nested := tag.Get("envPrefix"); nested != "" {
			out = append(out, rows(value, nested, tag.Get("scope"))...)
			continue
		}
		v := Variable{Name: prefix + tag.Get("env"), Doc: scope + tag.Get("doc"), secret: tag.Get("secret") != ""}
		switch {
		case !value.IsZero():
			v.Default = text(value)
		case scope == "": // the default of a signal is the value for all
			v.Default = tag.Get("unset")
		}
		kind := field.Type
		if kind.Kind() == reflect.Pointer {
			kind = kind.Elem()
		}
		if u, ok := reflect.New(kind).Interface().(encoding.TextUnmarshaler); ok {
			w, _ := u.UnmarshalText([]byte("\x00")).(wantError)
			v.Accepts = w.want
		}
		out = append(out, v)
	}
	return out
}

// text returns a default as it is written in a variable.
func text(v reflect.Value) string {
	if v.Kind() != reflect.Slice {
		return fmt.Sprint(v)
	}
	var names []string
	for _, e := range v.Seq2() {
		names = append(names, e.String())
	}
	return strings.Join(names, ",")
}

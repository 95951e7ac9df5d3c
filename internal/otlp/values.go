package otlp

import (
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// The types of settings. The error of each UnmarshalText is a wantError.
type (
	Bool        bool              // true or false, in any case
	Millis      int64             // milliseconds, above zero
	Timeout     int64             // milliseconds; zero means no limit
	Count       int               // above zero
	Limit       int               // not negative
	Ratio       float64           // 0 to 1
	Pairs       map[string]string // name=value,name=value, percent-encoded (W3C Baggage)
	Address     string            // URL, or host:port
	Protocol    string
	Compression string
	Sampler     string
	Temporality string
	Histograms  string
	Exemplars   string
	Propagators []string

	Destination        string
	Destinations       []Destination
	MetricDestinations []Destination
)

// wantError is the error of a value that a type does not accept. It says what
// the type accepts and what is used instead of the value, "" for the default.
type wantError struct{ want, instead string }

func (w wantError) Error() string { return "want " + w.want }

// Values of the settings.
const (
	GRPC Protocol = "grpc"
	HTTP Protocol = "http/protobuf"

	ToOTLP       Destination = "otlp"
	ToConsole    Destination = "console"
	ToPrometheus Destination = "prometheus" // the page of the metrics module

	Gzip Compression = "gzip"

	Delta     Temporality = "delta"
	LowMemory Temporality = "lowmemory"

	Exponential Histograms = "base2_exponential_bucket_histogram"
)

// UnmarshalText reads true or false.
func (b *Bool) UnmarshalText(text []byte) error {
	switch strings.ToLower(string(text)) {
	case "true":
		*b = true
	case "false":
		*b = false
	default:
		*b = false
		return wantError{"true or false", "taken as false"}
	}
	return nil
}

// UnmarshalText reads a number.
func (m *Millis) UnmarshalText(text []byte) error {
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil || n <= 0 || n > math.MaxInt32 {
		return wantError{want: "a number of milliseconds, above zero"}
	}
	*m = Millis(n)
	return nil
}

// UnmarshalText reads a number.
func (t *Timeout) UnmarshalText(text []byte) error {
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil || n < 0 || n > math.MaxInt32 {
		return wantError{want: "a number of milliseconds, or 0 for no limit"}
	}
	if n == 0 {
		n = math.MaxInt32
	}
	*t = Timeout(n)
	return nil
}

// UnmarshalText reads a number.
func (c *Count) UnmarshalText(text []byte) error {
	n, err := strconv.Atoi(string(text))
	if err != nil || n <= 0 || n > 1<<20 { // the SDK allocates the whole queue when it starts
		return wantError{want: "a whole number, 1 to 1048576"}
	}
	*c = Count(n)
	return nil
}

// UnmarshalText reads a number.
func (l *Limit) UnmarshalText(text []byte) error {
	n, err := strconv.Atoi(string(text))
	if err != nil || n < 0 {
		return wantError{want: "a whole number, not negative"}
	}
	*l = Limit(n)
	return nil
}

// UnmarshalText reads a number.
func (r *Ratio) UnmarshalText(text []byte) error {
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil || !(f >= 0 && f <= 1) {
		return wantError{want: "a number, 0 to 1"}
	}
	*r = Ratio(f)
	return nil
}

// UnmarshalText reads name=value,name=value.
func (p *Pairs) UnmarshalText(text []byte) error {
	out := Pairs{}
	for pair := range strings.SplitSeq(string(text), ",") {
		if pair = strings.TrimSpace(pair); pair == "" {
			continue
		}
		k, v, ok := strings.Cut(pair, "=")
		v, err := url.PathUnescape(strings.TrimSpace(v))
		if k = strings.TrimSpace(k); !ok || k == "" || err != nil {
			return wantError{want: "name=value,name=value, with commas in values as %2C"}
		}
		out[k] = v
	}
	*p = out
	return nil
}

// UnmarshalText reads a URL or host:port.
func (a *Address) UnmarshalText(text []byte) error {
	s := string(text)
	if !strings.Contains(s, "://") {
		s = "//" + s
	}
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || u.User != nil || !slices.Contains([]string{"", "http", "https"}, u.Scheme) {
		return wantError{want: "http://host:port, https://host:port or host:port, with credentials in the HEADERS variable"}
	}
	*a = Address(s)
	return nil
}

// UnmarshalText reads a protocol. OTLP's third protocol, http/json, is not
// supported.
func (p *Protocol) UnmarshalText(text []byte) error {
	return oneOf((*string)(p), text, string(GRPC), string(HTTP))
}

// UnmarshalText reads a compression.
func (c *Compression) UnmarshalText(text []byte) error {
	return oneOf((*string)(c), text, string(Gzip), "none")
}

// UnmarshalText reads the names of exporters.
func (d *Destinations) UnmarshalText(text []byte) error {
	return listOf((*[]Destination)(d), text, "otlp or console", ToOTLP, ToConsole)
}

// UnmarshalText reads the names of exporters.
func (d *MetricDestinations) UnmarshalText(text []byte) error {
	return listOf((*[]Destination)(d), text, "otlp, console or prometheus", ToOTLP, ToConsole, ToPrometheus)
}

// UnmarshalText reads the name of a sampler.
func (s *Sampler) UnmarshalText(text []byte) error {
	return oneOf((*string)(s), text, "always_on", "always_off", "traceidratio",
		"parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio")
}

// UnmarshalText reads a temporality preference.
func (t *Temporality) UnmarshalText(text []byte) error {
	return oneOf((*string)(t), text, "cumulative", string(Delta), string(LowMemory))
}

// UnmarshalText reads an exemplar filter.
func (e *Exemplars) UnmarshalText(text []byte) error {
	return oneOf((*string)(e), text, "always_on", "always_off", "trace_based")
}

// UnmarshalText reads a kind of histograms.
func (h *Histograms) UnmarshalText(text []byte) error {
	return oneOf((*string)(h), text, "explicit_bucket_histogram", string(Exponential))
}

// UnmarshalText reads the names of propagators. "ot" is short for ottrace.
func (p *Propagators) UnmarshalText(text []byte) error {
	names := strings.Split(string(text), ",")
	for i, name := range names {
		if strings.EqualFold(strings.TrimSpace(name), "ot") {
			names[i] = "ottrace"
		}
	}
	return listOf((*[]string)(p), []byte(strings.Join(names, ",")), "tracecontext, baggage, b3, b3multi, jaeger, ottrace (or ot) or xray",
		"tracecontext", "baggage", "b3", "b3multi", "jaeger", "ottrace", "xray")
}

// oneOf sets to to the one of names that text is, in any case.
func oneOf(to *string, text []byte, names ...string) error {
	got := strings.ToLower(strings.TrimSpace(string(text)))
	if !slices.Contains(names, got) {
		return wantError{want: strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]}
	}
	*to = got
	return nil
}

// listOf sets to to those of names that are in the comma-separated text, in any
// case and each once. "none" alone is the empty list.
func listOf[T ~string](to *[]T, text []byte, want string, names ...T) error {
	var known []T
	unknown := false
	for name := range strings.SplitSeq(strings.ToLower(string(text)), ",") {
		switch name := T(strings.TrimSpace(name)); {
		case !slices.Contains(names, name):
			unknown = true
		case !slices.Contains(known, name):
			known = append(known, name)
		}
	}
	if strings.EqualFold(strings.TrimSpace(string(text)), "none") {
		unknown = false
	}
	err := wantError{want: "none, or a list of " + want}
	switch {
	case unknown && known == nil:
		return err
	case unknown:
		err.instead = "the others are used"
	}
	*to = known
	if unknown {
		return err
	}
	return nil
}

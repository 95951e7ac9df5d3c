package otlp

import (
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// The types of settings. The error of each UnmarshalText says what the type
// accepts.
type (
	Bool        bool              // true or false, in any case
	Millis      int64             // milliseconds
	Count       int               // above zero
	Limit       int               // not negative
	Ratio       float64           // 0 to 1
	Pairs       map[string]string // key=value,key=value, percent-encoded (W3C Baggage)
	Address     string            // URL, or host:port
	Protocol    string
	Compression string
	Destination string
	Sampler     string
	Temporality string
	Propagators []string
)

// Values of the settings.
const (
	GRPC Protocol = "grpc"
	HTTP Protocol = "http/protobuf"

	ToNone    Destination = "none"
	ToOTLP    Destination = "otlp"
	ToConsole Destination = "console"

	Gzip Compression = "gzip"

	Delta     Temporality = "delta"
	LowMemory Temporality = "lowmemory"
)

// UnmarshalText reads true or false.
func (b *Bool) UnmarshalText(text []byte) error {
	switch strings.ToLower(string(text)) {
	case "true":
		*b = true
	case "false":
		*b = false
	default:
		return wantError("true or false")
	}
	return nil
}

// UnmarshalText reads a number.
func (m *Millis) UnmarshalText(text []byte) error {
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil || n <= 0 || n > math.MaxInt32 {
		return wantError("a number of milliseconds, above zero")
	}
	*m = Millis(n)
	return nil
}

// UnmarshalText reads a number.
func (c *Count) UnmarshalText(text []byte) error {
	n, err := strconv.Atoi(string(text))
	if err != nil || n <= 0 || n > 1<<20 { // the SDK allocates the whole queue when it starts
		return wantError("a whole number, 1 to 1048576")
	}
	*c = Count(n)
	return nil
}

// UnmarshalText reads a number.
func (l *Limit) UnmarshalText(text []byte) error {
	n, err := strconv.Atoi(string(text))
	if err != nil || n < 0 {
		return wantError("a whole number, not negative")
	}
	*l = Limit(n)
	return nil
}

// UnmarshalText reads a number.
func (r *Ratio) UnmarshalText(text []byte) error {
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil || !(f >= 0 && f <= 1) {
		return wantError("a number, 0 to 1")
	}
	*r = Ratio(f)
	return nil
}

// UnmarshalText reads key=value,key=value.
func (p *Pairs) UnmarshalText(text []byte) error {
	out := Pairs{}
	for pair := range strings.SplitSeq(string(text), ",") {
		if pair = strings.TrimSpace(pair); pair == "" {
			continue
		}
		k, v, ok := strings.Cut(pair, "=")
		v, err := url.PathUnescape(strings.TrimSpace(v))
		if k = strings.TrimSpace(k); !ok || k == "" || err != nil {
			return wantError("key=value,key=value, with commas in values as %2C")
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
		return wantError("http://host:port, https://host:port or host:port, with credentials in the HEADERS variable")
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

// UnmarshalText reads the name of an exporter.
func (d *Destination) UnmarshalText(text []byte) error {
	return oneOf((*string)(d), text, string(ToOTLP), string(ToConsole), string(ToNone))
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

// UnmarshalText reads the names of propagators. "ot" is short for ottrace, and
// "none" cannot be combined with others.
func (p *Propagators) UnmarshalText(text []byte) error {
	var out Propagators
	for name := range strings.SplitSeq(string(text), ",") {
		if strings.EqualFold(strings.TrimSpace(name), "ot") {
			name = "ottrace"
		}
		if err := oneOf(&name, []byte(name), "tracecontext", "baggage", "b3", "b3multi", "jaeger", "xray", "ottrace", "none"); err != nil {
			return wantError("a comma-separated list of tracecontext, baggage, b3, b3multi, jaeger, ottrace (or ot) and xray, or none")
		}
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	if len(out) == 1 && out[0] == "none" {
		out = nil
	}
	if slices.Contains(out, "none") {
		return wantError("none alone, or names of propagators")
	}
	*p = out
	return nil
}

// oneOf sets to to the one of names that text is, in any case.
func oneOf(to *string, text []byte, names ...string) error {
	got := strings.ToLower(strings.TrimSpace(string(text)))
	if !slices.Contains(names, got) {
		return wantError(strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1])
	}
	*to = got
	return nil
}

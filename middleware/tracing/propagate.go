package tracing

import (
	"context"
	"net/http"
	"net/textproto"
	"strings"

	"go.opentelemetry.io/contrib/propagators/aws/xray"
	"go.opentelemetry.io/contrib/propagators/b3"
	"go.opentelemetry.io/contrib/propagators/jaeger"
	"go.opentelemetry.io/contrib/propagators/ot"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/propagation"

	"github.com/seed-4591fe7d/podinfo/internal/otlp"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// propagators carry traces from one process to another. The formats are in the
// order of OTEL_PROPAGATORS. When a request has several, the last one wins.
type propagators struct {
	formats   []propagation.TextMapPropagator
	all       propagation.TextMapPropagator
	headers   map[string]uint16 // by canonical header name: one bit for each format that reads the header
	metadata  map[string]uint16 // the same by metadata key, which is lower case
	canonical map[string]string // canonical header names by the spelling of a format
	initial   [256]bool         // first letters of headers
}

func newPropagators(names otlp.Propagators) propagators {
	ps := propagators{headers: map[string]uint16{}, metadata: map[string]uint16{}, canonical: map[string]string{}}
	for i, name := range names {
		var p propagation.TextMapPropagator
		var reads []string // headers that the format reads but does not write
		switch name {
		case "tracecontext":
			p = propagation.TraceContext{}
		case "baggage":
			p = propagation.Baggage{}
		case "b3", "b3multi":
			encoding := b3.B3SingleHeader
			if name == "b3multi" {
				encoding = b3.B3MultipleHeader
			}
			p, reads = b3.New(b3.WithInjectEncoding(encoding)), b3.New(b3.WithInjectEncoding(b3.B3SingleHeader|b3.B3MultipleHeader)).Fields()
			reads = append(reads, "x-b3-parentspanid")
		case "jaeger":
			p = jaeger.Jaeger{}
		case "ottrace":
			p = ot.OT{}
		case "xray":
			p = xray.Propagator{}
		}
		for _, f := range append(reads, p.Fields()...) {
			ps.canonical[f] = textproto.CanonicalMIMEHeaderKey(f)
			ps.headers[ps.canonical[f]] |= 1 << i
			ps.initial[ps.canonical[f][0]] = true
			ps.metadata[strings.ToLower(f)] |= 1 << i
		}
		ps.formats = append(ps.formats, p)
	}
	ps.all = propagation.NewCompositeTextMapPropagator(ps.formats...)
	return ps
}

// fromHTTP returns ctx with the trace in the headers. It skips formats without a
// header in the request, because each of them would look up several names.
func (ps *propagators) fromHTTP(ctx context.Context, h http.Header) context.Context {
	var found uint16
	for name := range h {
		if name != "" && ps.initial[name[0]] { // spares most headers the map
			found |= ps.headers[name]
		}
	}
	if found == 0 {
		return ctx
	}
	return ps.extract(ctx, &carrier{propagators: ps, header: h}, found)
}

// fromRPC returns ctx with the trace in the call's metadata.
func (ps *propagators) fromRPC(ctx context.Context, call *rpc.Call) context.Context {
	var found uint16
	for name, bits := range ps.metadata {
		if len(call.Metadata(name)) > 0 {
			found |= bits
		}
	}
	return ps.extract(ctx, &carrier{call: call}, found)
}

// extract reads the formats whose bit is set in found.
func (ps *propagators) extract(ctx context.Context, from *carrier, found uint16) context.Context {
	for i := 0; found != 0; i, found = i+1, found>>1 {
		if found&1 != 0 {
			ctx = ps.formats[i].Extract(ctx, from)
		}
	}
	return ctx
}

// toHTTP replaces the trace in the headers by the trace of ctx.
func (ps *propagators) toHTTP(ctx context.Context, h http.Header) {
	for name := range ps.headers {
		delete(h, name)
	}
	ps.all.Inject(ctx, propagation.HeaderCarrier(h))
}

// carrier lets the formats read the headers of a request or the metadata of a
// call. It returns only valid baggage: the formats report invalid baggage to
// OpenTelemetry's process-wide error handler, through which a client could
// flood standard error.
type carrier struct {
	propagators *propagators
	header      http.Header // nil for a call
	call        *rpc.Call   // nil for a request
}

func (c *carrier) all(key string) []string {
	if c.call != nil {
		return c.call.Metadata(strings.ToLower(key))
	}
	if name, ok := c.propagators.canonical[key]; ok { // saves computing the canonical name
		return c.header[name]
	}
	return c.header.Values(key)
}

func (c *carrier) Get(key string) string {
	if values := c.Values(key); len(values) > 0 {
		return values[0]
	}
	return ""
}

func (c *carrier) Values(key string) []string {
	values := c.all(key)
	if key != "baggage" || len(values) == 0 {
		return values
	}
	valid, err := baggage.Parse(strings.Join(values, ","))
	switch {
	case valid.Len() == 0:
		return nil
	case err != nil:
		return []string{valid.String()}
	}
	return values
}

// Keys returns the names of the headers with OpenTracing's baggage.
func (c *carrier) Keys() []string {
	var keys []string
	var members []baggage.Member
	for k := range c.header {
		name, ok := strings.CutPrefix(strings.ToLower(k), "ot-baggage-")
		if m, err := baggage.NewMember(name, c.header.Get(k)); ok && err == nil {
			keys, members = append(keys, k), append(members, m)
		}
	}
	if _, err := baggage.New(members...); err != nil { // too many members, or too long
		return nil
	}
	return keys
}

func (*carrier) Set(string, string) {}

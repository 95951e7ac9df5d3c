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

// wire is how traces cross from one process to another: the formats, in the
// order of OTEL_PROPAGATORS. When a request has several, the last wins.
type wire struct {
	formats []propagation.TextMapPropagator
	all     propagation.TextMapPropagator
	fields  map[string]uint16 // canonical header names, and a bit for each format that reads it
	keys    map[string]uint16 // the same for metadata: lower case
	names   map[string]string // the canonical name of a field as a format spells it
}

func newWire(names otlp.Propagators) wire {
	w := wire{fields: map[string]uint16{}, keys: map[string]uint16{}, names: map[string]string{}}
	for i, name := range names {
		var p propagation.TextMapPropagator
		var reads []string // more than it writes
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
			w.names[f] = textproto.CanonicalMIMEHeaderKey(f)
			w.fields[w.names[f]] |= 1 << i
			w.keys[strings.ToLower(f)] |= 1 << i
		}
		w.formats = append(w.formats, p)
	}
	w.all = propagation.NewCompositeTextMapPropagator(w.formats...)
	return w
}

// fromHTTP is ctx with what the headers say. Formats of which there is no
// header are not asked: each would look for several.
func (w *wire) fromHTTP(ctx context.Context, h http.Header) context.Context {
	var found uint16
	for name := range h {
		found |= w.fields[name]
	}
	return w.extract(ctx, &carrier{wire: w, header: h}, found)
}

// fromRPC is fromHTTP for a call.
func (w *wire) fromRPC(ctx context.Context, call *rpc.Call) context.Context {
	var found uint16
	for name, bits := range w.keys {
		if len(call.Metadata(name)) > 0 {
			found |= bits
		}
	}
	return w.extract(ctx, &carrier{call: call}, found)
}

func (w *wire) extract(ctx context.Context, from *carrier, found uint16) context.Context {
	for i := 0; found != 0; i, found = i+1, found>>1 {
		if found&1 != 0 {
			ctx = w.formats[i].Extract(ctx, from)
		}
	}
	return ctx
}

// toHTTP replaces what the headers say by what ctx does.
func (w *wire) toHTTP(ctx context.Context, h http.Header) {
	for name := range w.fields {
		delete(h, name)
	}
	w.all.Inject(ctx, propagation.HeaderCarrier(h))
}

// carrier is what a request brought, to read. Of baggage it shows what is valid
// alone: the formats give the rest to a handler that the whole process shares
// and that writes to standard error, as often as a client likes.
type carrier struct {
	wire   *wire
	header http.Header // nil for a call
	call   *rpc.Call
}

func (c *carrier) all(key string) []string {
	if c.call != nil {
		return c.call.Metadata(strings.ToLower(key))
	}
	if name, ok := c.wire.names[key]; ok { // without making the canonical name anew
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

// Keys are those of OpenTracing's baggage.
func (c *carrier) Keys() []string {
	var keys []string
	var members []baggage.Member
	for k := range c.header {
		name, ok := strings.CutPrefix(strings.ToLower(k), "ot-baggage-")
		if m, err := baggage.NewMember(name, c.header.Get(k)); ok && err == nil {
			keys, members = append(keys, k), append(members, m)
		}
	}
	if _, err := baggage.New(members...); err != nil { // too many, too long
		return nil
	}
	return keys
}

func (*carrier) Set(string, string) {}

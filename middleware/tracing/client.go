package tracing

import (
	"cmp"
	"context"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/seed-4591fe7d/podinfo/internal/errortype"
	"github.com/seed-4591fe7d/podinfo/internal/redact"
	"github.com/seed-4591fe7d/podinfo/registry/capability"
)

// transport creates the spans of outgoing HTTP requests and measures them.
type transport struct {
	module *Module
	next   http.RoundTripper
}

// RoundTrip sends r with the headers of its trace. The span ends when the
// response's body is read to the end or closed.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	m, method := t.module, methodIndex(r.Method)
	name := spanName(method, "")
	begin, ctx := m.begin(r.Context(), name, trace.SpanKindClient)
	var a *attributes
	var span trace.Span
	if begin != nil || m.meter.on {
		a = newAttributes()
		a.add(semconv.HTTPRequestMethodKey.String(methods[method]), semconv.URLFull(redact.URL(r.URL)))
		if methods[method] == other {
			a.add(semconv.HTTPRequestMethodOriginal(r.Method))
		}
		a.server(r.URL.Host, map[string]string{"http": "80", "https": "443"}[r.URL.Scheme])
		ctx, span = begin.start(m, ctx, name, asClient, a)
	}
	r = r.WithContext(ctx)
	r.Header = r.Header.Clone() // a RoundTripper must not modify the request
	if r.Header == nil {
		r.Header = http.Header{}
	}
	m.propagators.toHTTP(ctx, r.Header)
	if a == nil {
		return t.next.RoundTrip(r)
	}
	x := &exchange{ctx, span, a, m.meter.requests, time.Now()}
	res, err := t.next.RoundTrip(r)
	if err != nil {
		x.end(err, "")
		return res, err
	}
	a.add(semconv.HTTPResponseStatusCode(res.StatusCode), semconv.NetworkProtocolVersion(version(res.ProtoMajor, res.ProtoMinor)))
	if res.StatusCode >= http.StatusBadRequest {
		a.add(semconv.ErrorTypeKey.String(strconv.Itoa(res.StatusCode)))
		span.SetStatus(codes.Error, "")
	}
	if _, upgraded := res.Body.(io.Writer); upgraded {
		x.end(nil, "")
		return res, nil
	}
	res.Body = &body{ReadCloser: res.Body, exchange: x}
	return res, nil
}

// exchange is an outgoing request, or an operation on a database.
type exchange struct {
	ctx        context.Context
	span       trace.Span
	attributes *attributes
	seconds    metric.Float64Histogram // nil when metrics are not exported
	began      time.Time
}

// end ends the span and records the duration. err is why the exchange failed, and
// class the value of error.type if it is known.
func (x *exchange) end(err error, class string) {
	if err != nil {
		x.attributes.add(semconv.ErrorTypeKey.String(cmp.Or(class, errortype.Of(err))))
		x.span.SetStatus(codes.Error, redact.Text(err.Error()))
	}
	x.attributes.measure(x.ctx, x.seconds, x.began, ofClients)
	x.attributes.finish(x.span)
}

// body is a response body that ends the exchange.
type body struct {
	io.ReadCloser
	exchange *exchange
	once     sync.Once
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	switch {
	case err == io.EOF:
		b.once.Do(func() { b.exchange.end(nil, "") })
	case err != nil:
		b.once.Do(func() { b.exchange.end(err, "") })
	}
	return n, err
}

func (b *body) Close() error {
	b.once.Do(func() { b.exchange.end(nil, "") })
	return b.ReadCloser.Close()
}

// DatabaseSpan starts the span of an operation on a database or a cache
// (https://opentelemetry.io/docs/specs/semconv/db/database-spans/).
func (m *Module) DatabaseSpan(ctx context.Context, op capability.DatabaseOperation) (_ context.Context, end func(err error, code string)) {
	if m.settings.Disabled {
		return ctx, func(error, string) {}
	}
	begin, ctx := m.begin(ctx, op.Name, trace.SpanKindClient)
	if begin == nil && !m.meter.on {
		return ctx, func(error, string) {}
	}
	a := newAttributes()
	a.add(semconv.DBSystemNameKey.String(op.System), semconv.DBOperationName(op.Name))
	if op.Namespace != "" {
		a.add(semconv.DBNamespace(op.Namespace))
	}
	a.server(op.Server, "")
	ctx, span := begin.start(m, ctx, op.Name, asClient, a)
	x := &exchange{ctx, span, a, m.meter.operations, time.Now()}
	return ctx, func(err error, code string) {
		if code != "" {
			a.add(semconv.DBResponseStatusCode(code))
		}
		x.end(err, code)
	}
}

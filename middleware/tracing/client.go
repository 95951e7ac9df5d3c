package tracing

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/seed-4591fe7d/podinfo/internal/redact"
)

// transport creates the spans of outgoing HTTP requests and measures them.
type transport struct {
	module *Module
	next   http.RoundTripper
}

// RoundTrip sends r with the headers of its trace. The span ends when the
// response's body is read to the end or closed.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	method := methodIndex(r.Method)
	ctx, span := t.module.tracer.Start(r.Context(), spanName(method, ""), asClient...)
	r = r.WithContext(ctx)
	r.Header = r.Header.Clone() // a RoundTripper must not modify the request
	if r.Header == nil {
		r.Header = http.Header{}
	}
	t.module.propagators.toHTTP(ctx, r.Header)
	if !span.IsRecording() && !t.module.meter.on {
		return t.next.RoundTrip(r)
	}
	x := &exchange{ctx, span, pool.Get().(*attributes), t.module.meter.requests, time.Now()}
	a := x.attributes
	a.add(semconv.HTTPRequestMethodKey.String(methods[method]), semconv.URLFull(redact.URL(r.URL)))
	if methods[method] == other {
		a.add(semconv.HTTPRequestMethodOriginal(r.Method))
	}
	port := map[string]string{"http": "80", "https": "443"}[r.URL.Scheme]
	a.server(r.URL.Host, port)
	res, err := t.next.RoundTrip(r)
	if err != nil {
		x.end(err)
		return res, err
	}
	a.add(semconv.HTTPResponseStatusCode(res.StatusCode), semconv.NetworkProtocolVersion(version(res.ProtoMajor, res.ProtoMinor)))
	if res.StatusCode >= http.StatusBadRequest {
		a.add(semconv.ErrorTypeKey.String(strconv.Itoa(res.StatusCode)))
		span.SetStatus(codes.Error, "")
	}
	if _, upgraded := res.Body.(io.Writer); upgraded {
		x.end(nil)
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

// end ends the span and records the duration. err is why the exchange failed.
func (x *exchange) end(err error) {
	if err != nil {
		x.attributes.add(semconv.ErrorTypeKey.String(fmt.Sprintf("%T", err)))
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
		b.once.Do(func() { b.exchange.end(nil) })
	case err != nil:
		b.once.Do(func() { b.exchange.end(err) })
	}
	return n, err
}

func (b *body) Close() error {
	b.once.Do(func() { b.exchange.end(nil) })
	return b.ReadCloser.Close()
}

// DatabaseSpan starts the span of an operation on a database or a cache. The
// caller calls end with the operation's error. server is host:port, or empty
// when it is not known
// (https://opentelemetry.io/docs/specs/semconv/db/database-spans/).
func (m *Module) DatabaseSpan(ctx context.Context, system, operation, server string) (_ context.Context, end func(error)) {
	if m.settings.Disabled {
		return ctx, func(error) {}
	}
	ctx, span := m.tracer.Start(ctx, operation, asClient...)
	if !span.IsRecording() && !m.meter.on {
		return ctx, func(error) {}
	}
	x := &exchange{ctx, span, pool.Get().(*attributes), m.meter.operations, time.Now()}
	x.attributes.add(semconv.DBSystemNameKey.String(system), semconv.DBOperationName(operation))
	x.attributes.server(server, "")
	return ctx, x.end
}

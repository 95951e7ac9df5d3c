package tracing

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"

	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/seed-4591fe7d/podinfo/internal/redact"
)

// transport creates the spans of outgoing HTTP requests.
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
	if !span.IsRecording() {
		return t.next.RoundTrip(r)
	}
	a := pool.Get().(*attributes)
	a.add(semconv.HTTPRequestMethodKey.String(methods[method]), semconv.URLFull(redact.URL(r.URL)))
	if methods[method] == other {
		a.add(semconv.HTTPRequestMethodOriginal(r.Method))
	}
	port := map[string]string{"http": "80", "https": "443"}[r.URL.Scheme]
	a.server(r.URL.Host, port)
	res, err := t.next.RoundTrip(r)
	if err != nil {
		a.fail(span, err)
		return res, err
	}
	a.add(semconv.HTTPResponseStatusCode(res.StatusCode), semconv.NetworkProtocolVersion(version(res.ProtoMajor, res.ProtoMinor)))
	if res.StatusCode >= http.StatusBadRequest {
		a.add(semconv.ErrorTypeKey.String(strconv.Itoa(res.StatusCode)))
		span.SetStatus(codes.Error, "")
	}
	if _, upgraded := res.Body.(io.Writer); upgraded {
		a.finish(span)
		return res, nil
	}
	res.Body = &body{ReadCloser: res.Body, span: span, attributes: a}
	return res, nil
}

// fail ends the span of a request or an operation that failed with err.
func (a *attributes) fail(span trace.Span, err error) {
	a.add(semconv.ErrorTypeKey.String(fmt.Sprintf("%T", err)))
	span.SetStatus(codes.Error, redact.Text(err.Error()))
	a.finish(span)
}

// body is a response body that ends the span.
type body struct {
	io.ReadCloser
	span       trace.Span
	attributes *attributes
	once       sync.Once
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	switch {
	case err == io.EOF:
		b.once.Do(func() { b.attributes.finish(b.span) })
	case err != nil:
		b.once.Do(func() { b.attributes.fail(b.span, err) })
	}
	return n, err
}

func (b *body) Close() error {
	b.once.Do(func() { b.attributes.finish(b.span) })
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
	if !span.IsRecording() {
		return ctx, func(error) {}
	}
	a := pool.Get().(*attributes)
	a.add(semconv.DBSystemNameKey.String(system), semconv.DBOperationName(operation))
	a.server(server, "")
	return ctx, func(err error) {
		if err != nil {
			a.fail(span, err)
			return
		}
		a.finish(span)
	}
}

package tracing

import (
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"

	"github.com/urfave/negroni/v3"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/seed-4591fe7d/podinfo/internal/httpmethod"
	"github.com/seed-4591fe7d/podinfo/internal/panicked"
	"github.com/seed-4591fe7d/podinfo/internal/redact"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/record"
)

// methods are the values of http.request.method. The last one stands for every
// unknown method.
var methods = append(httpmethod.Standard[:], httpmethod.Query, httpmethod.Other)

const other = httpmethod.Other

// methodIndex returns the index of a method in methods.
func methodIndex(method string) int {
	if i := httpmethod.Index(method); i < len(httpmethod.Standard) || method == httpmethod.Query {
		return i
	}
	return len(methods) - 1
}

// spanName returns a span's name by the semantic conventions: the method ("HTTP"
// for an unknown one) and the route.
func spanName(method int, route string) string {
	name := methods[method]
	if name == other {
		name = "HTTP"
	}
	return strings.TrimSpace(name + " " + route)
}

// route creates the spans of one route
// (https://opentelemetry.io/docs/specs/semconv/http/http-spans/).
type route struct {
	module  *Module
	pattern string // "" for requests that match none
	silent  bool   // makes no spans
	proxied bool   // leads to another service, also gRPC calls
	names   [len(httpmethod.Standard) + 2]string
	series  sync.Map // []metric.RecordOption by labels
}

func newRoute(m *Module, rt registry.Route) *route {
	r := &route{module: m, pattern: rt.Pattern, silent: rt.Internal && !m.Internal, proxied: rt.Proxied}
	for i := range methods {
		r.names[i] = spanName(i, rt.Pattern)
	}
	return r
}

// ServeHTTP creates the span of a request. When a handler panics, it ends the
// span and passes the panic on.
func (rt *route) ServeHTTP(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	m, method, timed := rt.module, methodIndex(r.Method), rt.module.meter.on
	if rt.silent && !timed {
		next(w, r)
		return
	}
	ctx := r.Context()
	var span trace.Span // nil if it is not recorded
	var attrs *attributes
	if !rt.silent {
		var begin *starting
		if begin, ctx = m.begin(m.propagators.fromHTTP(ctx, r.Header), rt.names[method], trace.SpanKindServer); begin != nil {
			attrs = newAttributes()
			attrs.request(m.host, r, method, rt.pattern) // before the handler, which may change the request
			ctx, span = begin.start(m, ctx, rt.names[method], asServer, attrs)
		}
	}
	inner := r.WithContext(ctx)
	if span == nil && !timed {
		defer func() {
			if p := recover(); p != nil {
				panic(panicked.In(ctx, p))
			}
		}()
		next(w, inner)
		return
	}
	rw, ok := w.(negroni.ResponseWriter)
	if !ok { // a middleware before this one wrapped the writer
		rw = negroni.NewResponseWriter(w)
	}
	var measured *measured
	if timed {
		measured = rt.measure(inner, method)
	}
	call, returned := rt.proxied && record.IsCall(r), false
	defer func() {
		p := recover()
		outcome := record.End(rw, r, returned)
		if timed {
			measured.end(outcome)
		}
		if span != nil {
			exception(span, p)
			if code, ok := outcome.Code(rw.Header()); ok && call {
				attrs.add(semconv.RPCResponseStatusCode(code.Canonical()))
			}
			attrs.end(span, outcome)
		}
		if p != nil {
			panic(panicked.In(ctx, p))
		}
	}()
	next(rw, inner)
	returned = true
}

// exception adds the event of a panic to a span. Call it in the deferred function
// that recovered.
func exception(span trace.Span, value any) {
	if value == nil || panicked.Abort(value) {
		return
	}
	p := &panicked.Panic{Value: value}
	span.AddEvent(semconv.ExceptionEventName, trace.WithAttributes(
		semconv.ExceptionType(p.Type()), semconv.ExceptionMessage(redact.Text(p.Error())), semconv.ExceptionStacktrace(string(debug.Stack()))))
}

// attributes collects the attributes of a span. The span gets them in one call,
// because each call copies.
type attributes struct{ list []attribute.KeyValue }

var pool = sync.Pool{New: func() any { return &attributes{make([]attribute.KeyValue, 0, 20)} }}

func newAttributes() *attributes { return pool.Get().(*attributes) }

func (a *attributes) add(kv ...attribute.KeyValue) { a.list = append(a.list, kv...) }

// Every span starts with one of these options. They are never modified; sharing
// them saves an allocation per span.
var (
	asServer = []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindServer)}
	asClient = []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindClient)}
)

// request adds the attributes of a request.
func (a *attributes) request(host *registry.Host, r *http.Request, method int, pattern string) {
	client, scheme := host.Client(r)
	a.add(semconv.HTTPRequestMethodKey.String(methods[method]), semconv.URLScheme(scheme), semconv.URLPath(redact.Path(r.URL.Path)))
	if methods[method] == other {
		a.add(semconv.HTTPRequestMethodOriginal(r.Method))
	}
	if pattern != "" {
		a.add(semconv.HTTPRoute(pattern))
	}
	if r.URL.RawQuery != "" {
		a.add(semconv.URLQuery(redact.Query(r.URL.RawQuery)))
	}
	a.server(r.Host, "")
	a.peer(r.RemoteAddr, client)
	if agent := r.Header["User-Agent"]; len(agent) > 0 {
		a.add(semconv.UserAgentOriginal(agent[0]))
	}
	a.add(semconv.NetworkProtocolVersion(version(r.ProtoMajor, r.ProtoMinor)))
}

// peer adds the other end of the socket and the client.
func (a *attributes) peer(remote, client string) {
	host, port, err := net.SplitHostPort(remote)
	if err != nil {
		return
	}
	a.add(semconv.ClientAddress(client), semconv.NetworkPeerAddress(host))
	if n, err := strconv.ParseUint(port, 10, 16); err == nil {
		a.add(semconv.NetworkPeerPort(int(n)))
	}
}

// server adds the host and the port of an authority where it has them.
func (a *attributes) server(authority, defaultPort string) {
	host, port, err := net.SplitHostPort(authority)
	if err != nil {
		host, port = strings.Trim(authority, "[]"), defaultPort
	}
	if host != "" {
		a.add(semconv.ServerAddress(host))
	}
	if n, err := strconv.ParseUint(port, 10, 16); err == nil {
		a.add(semconv.ServerPort(int(n)))
	}
}

// end ends the span of a request. Only server errors mark the span as failed.
func (a *attributes) end(span trace.Span, outcome record.Outcome) {
	a.response(outcome)
	if outcome.Failed() {
		span.SetStatus(codes.Error, "")
	}
	a.finish(span)
}

// response adds the attributes of a response.
func (a *attributes) response(outcome record.Outcome) {
	if outcome.Status != 0 {
		a.add(semconv.HTTPResponseStatusCode(outcome.Status))
	}
	if kind := outcome.ErrorType(); kind != "" {
		a.add(semconv.ErrorTypeKey.String(kind))
	}
}

// finish sets the attributes on the span, ends it and returns a to the pool.
func (a *attributes) finish(span trace.Span) {
	span.SetAttributes(a.list...)
	span.End()
	a.release()
}

// release returns a to the pool.
func (a *attributes) release() {
	clear(a.list)
	a.list = a.list[:0]
	pool.Put(a)
}

func version(major, minor int) string {
	switch {
	case major == 1 && minor == 1:
		return "1.1"
	case major == 1:
		return "1.0"
	}
	return strconv.Itoa(major)
}

package accesslog

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/forwarded"
	"github.com/seed-4591fe7d/podinfo/internal/httpmethod"
	"github.com/seed-4591fe7d/podinfo/internal/jsonlog"
	"github.com/seed-4591fe7d/podinfo/internal/redact"
	"github.com/seed-4591fe7d/podinfo/registry/record"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// line is the log line of a request, as a jsonlog.Record. request is the original
// one: handlers get a copy, so its fields are as the client sent them. The copy
// shares the header, which is therefore read before the handler runs.
type line struct {
	context.Context
	request     *http.Request
	route       string // name of the route, "" for the pattern in request
	path, query string
	agent       string
	client      string // address, by the headers of trusted proxies
	scheme      string
	trace       jsonlog.Trace
	outcome     record.Outcome
	grpc        bool // the request is a gRPC call, whose code is known in the end
	code        rpc.Code
	duration    time.Duration
	faults      string
	refused     string // why, "" if not
}

// AppendJSON implements jsonlog.Record. Upstream's keys come first.
func (rec *line) AppendJSON(b []byte) []byte {
	r := rec.request
	b = appendString(b, `,"proto":`, r.Proto)
	b = appendString(b, `,"uri":`, redact.RequestURI(r.RequestURI))
	b = appendString(b, `,"method":`, r.Method)
	b = appendRemote(b, r.RemoteAddr, rec.client)
	b = appendString(b, `,"user-agent":`, rec.agent)
	b = appendString(b, `,"route":`, cmp.Or(rec.route, r.Pattern, "unmatched"))
	b = strconv.AppendInt(append(b, `,"status":`...), int64(rec.outcome.Label()), 10)
	if rec.grpc {
		b = appendString(b, `,"code":`, rec.code.String())
	}
	b = strconv.AppendInt(append(b, `,"bytes":`...), int64(rec.outcome.Bytes), 10)
	b = appendClass(b, string(rec.outcome.Class))
	return appendEnd(b, rec.duration, rec.faults, rec.refused)
}

// Attributes implements jsonlog.Record
// (https://opentelemetry.io/docs/specs/semconv/http/http-spans/).
func (rec *line) Attributes(set jsonlog.Attributes) {
	r := rec.request
	method := httpmethod.Known(r.Method)
	set.String("http.request.method", method)
	if method != r.Method {
		set.String("http.request.method_original", r.Method)
	}
	setString(set, "http.route", r.Pattern)
	if rec.outcome.Status != 0 {
		set.Int("http.response.status_code", rec.outcome.Status)
	}
	if rec.grpc {
		set.String("rpc.response.status_code", rec.code.Canonical())
	}
	setString(set, "error.type", rec.outcome.ErrorType())
	set.Int("http.response.body.size", rec.outcome.Bytes)
	set.String("url.path", redact.Path(rec.path))
	setString(set, "url.query", redact.Query(rec.query))
	set.String("url.scheme", rec.scheme)
	setRemote(set, r.RemoteAddr, rec.client)
	version := strings.TrimPrefix(r.Proto, "HTTP/")
	if r.ProtoMajor > 1 {
		version = strings.TrimSuffix(version, ".0")
	}
	set.String("network.protocol.version", version)
	setString(set, "user_agent.original", rec.agent)
	set.Float("http.server.request.duration", rec.duration.Seconds())
	setEnd(set, rec.faults, rec.refused)
}

// Trace implements jsonlog.Record.
func (rec *line) Trace() jsonlog.Trace { return rec.trace }

// setRemote sets the attributes of the socket's other end and of the client.
func setRemote(set jsonlog.Attributes, remote, client string) {
	setString(set, "client.address", client)
	host, port, err := net.SplitHostPort(remote)
	if err != nil {
		return
	}
	set.String("network.peer.address", host)
	if n, err := strconv.Atoi(port); err == nil {
		set.Int("network.peer.port", n)
	}
}

// setEnd sets the attributes that the lines of requests and calls share.
func setEnd(set jsonlog.Attributes, faults, refused string) {
	setString(set, "podinfo.fault", faults)
	setString(set, "podinfo.refused", refused)
}

// setString sets an attribute unless it is empty.
func setString(set jsonlog.Attributes, key, value string) {
	if value != "" {
		set.String(key, value)
	}
}

// appendRemote appends the address of the socket's other end and, if a trusted
// proxy is there, that of the client.
func appendRemote(b []byte, remote, client string) []byte {
	b = appendString(b, `,"remote":`, remote)
	if client != forwarded.Host(remote) {
		b = appendString(b, `,"client":`, client)
	}
	return b
}

// appendClass appends the class of the error of a response that was not sent whole.
func appendClass(b []byte, class string) []byte {
	if class == "" {
		return b
	}
	return appendString(b, `,"error_type":`, class)
}

// appendEnd appends the fields that the lines of requests and calls share.
func appendEnd(b []byte, d time.Duration, faults, refused string) []byte {
	b = strconv.AppendFloat(append(b, `,"duration":`...), d.Seconds(), 'f', -1, 64)
	if faults != "" {
		b = appendString(b, `,"fault":`, faults)
	}
	if refused != "" {
		b = appendString(b, `,"refused":`, refused)
	}
	return b
}

func appendString(b []byte, key, value string) []byte {
	return jsonlog.AppendString(append(b, key...), value)
}

// trace returns the span from the first tracer that has one, otherwise the trace
// ID in the client's traceparent header.
func (m *Module) trace(ctx context.Context, traceparent []string) (t jsonlog.Trace) {
	for _, tracer := range m.tracers {
		if t.TraceID, t.SpanID, t.Sampled = tracer.RequestTrace(ctx); t.TraceID != "" {
			return t
		}
	}
	if len(traceparent) == 1 {
		t.TraceID = parentTraceID(traceparent[0])
	}
	return t
}

// parentTraceID returns the trace ID in a traceparent header, or "" when the
// header is not valid (W3C Trace Context, section 3.2). Its form is
// version-trace-parent-flags; later versions may append more.
func parentTraceID(h string) string {
	const length = len("00-0123456789abcdef0123456789abcdef-0123456789abcdef-00")
	if len(h) < length || h[2] != '-' || h[35] != '-' || h[52] != '-' {
		return ""
	}
	version, trace, parent, flags, more := h[:2], h[3:35], h[36:52], h[53:55], h[55:]
	switch {
	case !isHex(version), !isHex(trace), !isHex(parent), !isHex(flags),
		version == "ff",
		version == "00" && more != "",
		more != "" && more[0] != '-',
		strings.Trim(trace, "0") == "",
		strings.Trim(parent, "0") == "":
		return ""
	}
	return trace
}

func isHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

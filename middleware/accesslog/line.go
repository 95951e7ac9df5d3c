package accesslog

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/jsonlog"
	"github.com/seed-4591fe7d/podinfo/internal/redact"
	"github.com/seed-4591fe7d/podinfo/registry/record"
)

// line is the log line of a request, as a jsonlog.Record. request is the original
// one: handlers get a copy, so its fields are as the client sent them. The copy
// shares the header, which is therefore read before the handler runs.
type line struct {
	context.Context
	request      *http.Request
	agent, trace string
	outcome      record.Outcome
	duration     time.Duration
	faults       string
	refused      string // why, "" if not
}

// AppendJSON implements jsonlog.Record. Upstream's keys come first.
func (rec *line) AppendJSON(b []byte) []byte {
	r := rec.request
	b = appendString(b, `,"proto":`, r.Proto)
	b = appendString(b, `,"uri":`, redact.RequestURI(r.RequestURI))
	b = appendString(b, `,"method":`, r.Method)
	b = appendString(b, `,"remote":`, r.RemoteAddr)
	b = appendString(b, `,"user-agent":`, rec.agent)
	route := r.Pattern
	if route == "" {
		route = "unmatched"
	}
	b = appendString(b, `,"route":`, route)
	b = strconv.AppendInt(append(b, `,"status":`...), int64(rec.outcome.Label()), 10)
	b = strconv.AppendInt(append(b, `,"bytes":`...), int64(rec.outcome.Bytes), 10)
	b = appendClass(b, string(rec.outcome.Class))
	return appendEnd(b, rec.duration, rec.trace, rec.faults, rec.refused)
}

// appendClass appends the class of the error of a response that was not sent whole.
func appendClass(b []byte, class string) []byte {
	if class == "" {
		return b
	}
	return appendString(b, `,"error_type":`, class)
}

// appendEnd appends the fields that the lines of requests and calls share.
func appendEnd(b []byte, d time.Duration, trace, faults, refused string) []byte {
	b = strconv.AppendFloat(append(b, `,"duration":`...), d.Seconds(), 'f', -1, 64)
	if trace != "" {
		b = appendString(b, `,"trace_id":`, trace)
	}
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

// traceID returns the trace ID from the first tracer that has one, otherwise the
// one from the client's traceparent header, otherwise "".
func (m *Module) traceID(ctx context.Context, traceparent []string) string {
	for _, t := range m.tracers {
		if id := t.RequestTraceID(ctx); id != "" {
			return id
		}
	}
	if len(traceparent) == 1 {
		return parentTraceID(traceparent[0])
	}
	return ""
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

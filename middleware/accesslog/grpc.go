package accesslog

import (
	"cmp"
	"context"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/seed-4591fe7d/podinfo/internal/jsonlog"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// ServeRPC logs the call when next returns. When a handler panics, it logs the
// call and does not recover.
func (m *Module) ServeRPC(ctx context.Context, c *rpc.Call, next func(context.Context) error) error {
	if !m.log.IsLevelEnabled(m.Level) {
		return next(ctx)
	}
	l := &rpcCall{faultContext: faultContext{Context: ctx, module: m}, record: rpcRecord{
		Context: ctx, call: c, client: m.host.Caller(c), trace: m.trace(ctx, c.Metadata("traceparent")), code: rpc.Internal, // the code of a call whose handler panics
	}}
	began := time.Now()
	defer func() {
		l.record.duration, l.record.faults, l.record.refused = time.Since(began), l.names(), l.refusal.Reason()
		l.entry = logrus.Entry{Logger: m.log, Context: &l.record}
		l.entry.Log(m.Level, "call completed")
	}()
	err := next(l)
	l.record.code, l.record.class = rpc.CodeOf(err), rpc.ClassOf(err)
	return err
}

// rpcCall is the context of a gRPC call that will be logged, together with its
// log line, in one allocation.
type rpcCall struct {
	faultContext
	record rpcRecord
	entry  logrus.Entry
}

// rpcRecord is the log line of a call, as a jsonlog.Record.
type rpcRecord struct {
	context.Context
	call     *rpc.Call
	client   string // address
	trace    jsonlog.Trace
	code     rpc.Code
	class    string // of a call that got no status
	duration time.Duration
	faults   string
	refused  string // why, "" if not
}

// AppendJSON implements jsonlog.Record.
func (rec *rpcRecord) AppendJSON(b []byte) []byte {
	b = appendString(b, `,"method":`, cmp.Or(rec.call.Original, rec.call.FullMethod))
	b = appendRemote(b, rec.call.Peer(), rec.client)
	b = appendString(b, `,"user-agent":`, rec.call.UserAgent())
	b = appendString(b, `,"code":`, rec.code.String())
	b = appendClass(b, rec.class)
	return appendEnd(b, rec.duration, rec.faults, rec.refused)
}

// Attributes implements jsonlog.Record
// (https://opentelemetry.io/docs/specs/semconv/rpc/grpc/).
func (rec *rpcRecord) Attributes(set jsonlog.Attributes) {
	set.String("rpc.system.name", "grpc")
	set.String("rpc.method", strings.TrimPrefix(rec.call.FullMethod, "/"))
	setString(set, "rpc.method_original", strings.TrimPrefix(rec.call.Original, "/"))
	set.String("rpc.response.status_code", rec.code.Canonical())
	setRemote(set, rec.call.Peer(), rec.client)
	setString(set, "user_agent.original", rec.call.UserAgent())
	set.Float("rpc.server.call.duration", rec.duration.Seconds())
	setEnd(set, rec.faults, rec.refused)
}

// Trace implements jsonlog.Record.
func (rec *rpcRecord) Trace() jsonlog.Trace { return rec.trace }

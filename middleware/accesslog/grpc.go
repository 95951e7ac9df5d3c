package accesslog

import (
	"context"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// ServeRPC logs the call also when a handler panics, and leaves the panic
// alone.
func (m *Module) ServeRPC(ctx context.Context, c *rpc.Call, next func(context.Context) error) error {
	if !m.log.IsLevelEnabled(m.Level) {
		return next(ctx)
	}
	l := &rpcCall{faultContext: faultContext{Context: ctx, module: m}, record: rpcRecord{
		Context: ctx, call: c, trace: m.traceID(ctx, c.Metadata("traceparent")), code: rpc.Internal, // what a panic becomes
	}}
	began := time.Now()
	defer func() {
		l.record.duration, l.record.faults = time.Since(began), l.names()
		l.entry = logrus.Entry{Logger: m.log, Context: &l.record}
		l.entry.Log(m.Level, "call completed")
	}()
	err := next(l)
	l.record.code = rpc.CodeOf(err)
	return err
}

// rpcCall is to a gRPC call what call is to a request.
type rpcCall struct {
	faultContext
	record rpcRecord
	entry  logrus.Entry
}

// rpcRecord is the line about a call, as a jsonlog.Record.
type rpcRecord struct {
	context.Context
	call     *rpc.Call
	trace    string
	code     rpc.Code
	duration time.Duration
	faults   string
}

// AppendJSON implements jsonlog.Record.
func (rec *rpcRecord) AppendJSON(b []byte) []byte {
	b = appendString(b, `,"method":`, rec.call.FullMethod)
	b = appendString(b, `,"remote":`, rec.call.Peer())
	b = appendString(b, `,"user-agent":`, rec.call.UserAgent())
	b = appendString(b, `,"code":`, rec.code.String())
	return appendEnd(b, rec.duration, rec.trace, rec.faults)
}

package faults

import (
	"context"
	"net/http"

	"github.com/seed-4591fe7d/podinfo/internal/serve"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
	"github.com/seed-4591fe7d/podinfo/registry/record"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// endStream applies the kind http2. Over HTTP/1 it does the nearest thing. A server
// other than that of the App can only reset a stream with INTERNAL_ERROR.
func endStream(m *Module, w http.ResponseWriter, r *http.Request, next http.HandlerFunc, s *scenario.Strike) {
	f := s.Fault.HTTP2
	switch {
	case r.ProtoMajor < 2 && f.RST != "":
		resetUnanswered(m, w, r, next, s)
	case r.ProtoMajor < 2:
		closeUnanswered(m, w, r, next, s)
	}
	c, stream := serve.HTTP2Of(w, r)
	if c == nil || f.RST != "" && stream == 0 {
		m.recordCut(w, 0, 0, record.StreamReset)
		m.saw(s, streamReset)
		panic(http.ErrAbortHandler)
	}
	m.recordCut(w, 0, 0, classOf(f))
	m.saw(s, f.Ending())
	switch {
	case f.RST != "":
		c.ResetAs(stream, f.RST.Number())
	case f.Unprocessed && stream > 0:
		c.GoAway(f.GoAway.Number(), max(stream, 2)-2) // clients have the odd numbers
	case f.GoAway != "":
		c.GoAway(f.GoAway.Number(), serve.LastStream)
	default:
		c.End()
	}
	panic(http.ErrAbortHandler)
}

// endCallStream applies the kind http2 to a call. Its error has the code that
// clients derive from the end, for the records.
func endCallStream(_ context.Context, m *Module, t rpc.Connection, s *scenario.Strike) (broken *rpc.Error, at moment) {
	f, code := s.Fault.HTTP2, rpc.Unavailable
	m.saw(s, f.Ending())
	switch {
	case f.RST != "":
		t.Reset(f.RST.Number())
		code = codeOfReset(f.RST)
	case f.Unprocessed:
		t.Refuse(f.GoAway.Number(), describe(s))
	case f.GoAway != "":
		t.GoAway(f.GoAway.Number(), describe(s))
		t.Close()
	default:
		t.Close()
	}
	return &rpc.Error{Code: code, Class: string(classOf(f)), Message: describe(s)}, moment{}
}

// classOf returns what a client calls the error.
func classOf(f *scenario.HTTP2) record.Class {
	if f.RST != "" {
		return record.StreamReset
	}
	return record.NoResponse
}

// codeOfReset returns the code that gRPC clients derive from RST_STREAM
// (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#errors).
func codeOfReset(code scenario.HTTP2Code) rpc.Code {
	switch code {
	case "REFUSED_STREAM":
		return rpc.Unavailable
	case "CANCEL":
		return rpc.Canceled
	case "ENHANCE_YOUR_CALM", "FLOW_CONTROL_ERROR":
		return rpc.ResourceExhausted
	case "INADEQUATE_SECURITY":
		return rpc.PermissionDenied
	}
	return rpc.Internal
}

package record

import (
	"context"
	"sync/atomic"
)

// The reasons for which the server refuses work that it has no room for, as the
// label of podinfo_requests_refused_total and the field of the access log.
const (
	RefusedMemory      = "memory"      // the memory budget is used up
	RefusedConnections = "connections" // too many connections are open
	RefusedStall       = "stall"       // the client neither sent nor read for too long
)

// RefusalKey is the key under which the context of a request or call has a
// *[Refusal], if a module in the chain is interested in it.
type RefusalKey struct{}

// Refusal is why the server refused a request or a call. Its methods may be called
// concurrently.
type Refusal struct{ reason atomic.Pointer[string] }

// Reason returns the reason, "" if the request was not refused.
func (r *Refusal) Reason() string {
	if reason := r.reason.Load(); reason != nil {
		return *reason
	}
	return ""
}

// Refuse notes why the server refused the request or call of ctx, for the access
// log: one of the reasons above, or another word. It counts nothing. The metrics
// module counts reservations that failed as RefusedMemory; a module that refuses
// for another reason adds a podinfo_requests_refused_total of its own.
func Refuse(ctx context.Context, reason string) {
	if r, ok := ctx.Value(RefusalKey{}).(*Refusal); ok {
		r.reason.Store(&reason)
	}
}

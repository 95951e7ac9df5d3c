package podinfotest

import (
	"bytes"
	"cmp"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/seed-4591fe7d/podinfo/registry/record"
)

// WantBackoffAtMost fails the test unless there are at least two requests, and no gap
// between them is longer than most. Use it for a random backoff, whose jitter may
// exceed the cap.
func (rs Requests) WantBackoffAtMost(t testing.TB, most time.Duration) {
	t.Helper()
	if !rs.some(t, 2) {
		return
	}
	for i, gap := range rs.Gaps() {
		if gap > most {
			rs.complain(t, i+1, "request %d came %v after the previous one: the backoff exceeds its cap of %v; apply the cap after the jitter", i+2, gap, most)
			return
		}
	}
}

// WantTookAtMost fails the test if a request took longer than most, or if there are no
// requests. Use it with a step that does not respond, such as a long [Delay], to find an
// attempt that takes all the time that the client has.
func (rs Requests) WantTookAtMost(t testing.TB, most time.Duration) {
	t.Helper()
	if !rs.some(t, 1) {
		return
	}
	for i := range rs {
		if took := rs[i].end().Sub(rs[i].At); took > most {
			rs.complain(t, i, "request %d of %d took %v, want at most %v; give each attempt a deadline, not only the whole call", i+1, len(rs), took, most)
			return
		}
	}
}

// WantRecovery fails the test unless a request failed and the client then sent another
// one within a time, until one succeeded. Use it for a circuit breaker, which must let a
// request through some time after it has opened. Keep calling the client for longer
// than that time. A request has failed if its status is 429 or at least 500, if its
// code is not OK, or if it got no complete response.
func (rs Requests) WantRecovery(t testing.TB, within time.Duration) {
	t.Helper()
	if !rs.some(t, 1) {
		return
	}
	for i := range rs {
		if !rs[i].failed() {
			continue
		}
		if i+1 < len(rs) {
			if gap := max(0, rs[i+1].At.Sub(rs[i].end())); gap > within {
				rs.complain(t, i, "request %d came %v after request %d (%s), want it within %v", i+2, gap, i+1, rs[i].result(), within)
				return
			}
			continue
		}
		if quiet := time.Since(rs[i].end()); quiet > within {
			rs.complain(t, i, "no request in the %v after request %d (%s), want one within %v; a circuit breaker that has opened must half-open and let a request through", quiet, i+1, rs[i].result(), within)
		} else {
			rs.complain(t, i, "request %d (%s) failed only %v ago; call the client for more than %v before WantRecovery", i+1, rs[i].result(), quiet, within)
		}
		return
	}
	if !slices.ContainsFunc(rs, func(r Request) bool { return r.failed() }) {
		rs.complain(t, 0, "no request failed, so there is nothing to recover from")
	}
}

// failed reports whether a client should send the request again later.
func (r *Request) failed() bool {
	return r.Failed != "" || r.RPC && r.Done && r.Code != codes.OK || r.Status == http.StatusTooManyRequests || r.Status >= 500 || r.broken()
}

// broken reports whether the client did not get the end of the response.
func (r *Request) broken() bool {
	return r.Ended != "" || r.cut || r.Left || r.Status == record.LabelClientLeft
}

// WantSafeRetries fails the test if the client sent a request again that may have been
// handled and whose method is not idempotent (RFC 9110, 9.2.2), such as a POST, or if
// there are no requests. A request may have been handled if its status is at least 500,
// or if the client did not get the end of the response. It is the same request if
// method, path, query and body are the same. Such retries are safe only with the same
// Idempotency-Key. Calls fail the test, because an RPC does not say what it is.
func (rs Requests) WantSafeRetries(t testing.TB) {
	t.Helper()
	if !rs.some(t, 1) {
		return
	}
	for i := range rs {
		if rs[i].RPC {
			rs.complain(t, i, "request %d is a call; WantSafeRetries needs requests over HTTP, whose method says whether they are idempotent", i+1)
			return
		}
		for j := range i {
			if rs[i].repeats(&rs[j]) {
				rs.complain(t, i, "request %d repeats request %d (%s), which may have been handled, and %s is not idempotent; send both with the same Idempotency-Key, or do not retry",
					i+1, j+1, rs[j].result(), rs[i].Method)
				return
			}
		}
	}
}

// idempotent are the methods that a client may repeat (RFC 9110, 9.2.2).
var idempotent = []string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete}

// repeats reports whether r does again what was may have done.
func (r *Request) repeats(was *Request) bool {
	same := was.Method == r.Method && was.Path == r.Path && was.Query == r.Query && bytes.Equal(was.Body, r.Body)
	unprocessed := strings.HasSuffix(was.Ended, "REFUSED_STREAM") || strings.HasSuffix(was.Ended, "unprocessed")
	if !same || slices.Contains(idempotent, r.Method) || unprocessed || was.Status < 500 && !was.broken() {
		return false
	}
	key := r.idempotencyKey()
	return key == "" || key != was.idempotencyKey()
}

// idempotencyKey returns the key by which a server recognizes a retry, "" for none.
func (r *Request) idempotencyKey() string {
	return cmp.Or(r.Header.Get("Idempotency-Key"), r.Header.Get("X-Idempotency-Key"))
}

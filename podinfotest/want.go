package podinfotest

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"
)

// complain shows the requests about request i.
func (rs Requests) complain(t testing.TB, i int, format string, args ...any) {
	t.Helper()
	t.Errorf("%s\n%s", fmt.Sprintf(format, args...), rs.around(i))
}

// some fails the test unless there are at least n requests: an assertion about
// none would always hold.
func (rs Requests) some(t testing.TB, n int) bool {
	t.Helper()
	if len(rs) < n {
		rs.complain(t, n, "%d requests, want at least %d", len(rs), n)
	}
	return len(rs) >= n
}

// WantCount fails the test unless there are n requests.
func (rs Requests) WantCount(t testing.TB, n int) {
	t.Helper()
	if len(rs) != n {
		rs.complain(t, n, "%d requests, want %d", len(rs), n)
	}
}

// WantAnswers fails the test unless the answers are these, each a status as
// "503", a code as "Unavailable", "cut", "client left" or "none yet".
func (rs Requests) WantAnswers(t testing.TB, answers ...string) {
	t.Helper()
	for i := range min(len(rs), len(answers)) {
		if got := rs[i].answer(); got != answers[i] {
			rs.complain(t, i, "request %d was answered %s, want %s", i+1, got, answers[i])
			return
		}
	}
	if len(rs) != len(answers) {
		rs.complain(t, len(answers), "%d requests, want %d", len(rs), len(answers))
	}
}

// early reports that the client did not wait that long before request i: over
// real time, that it cannot have.
func (rs Requests) early(i int, wait time.Duration) bool {
	return max(0, rs[i].At.Sub(rs[i-1].waiting())) < wait
}

// WantGaps fails the test unless there are gaps between requests, and every one
// is at least least and at most most. Over real time, where the server may see
// late that an attempt is over, a request is too early when it is certain to be.
func (rs Requests) WantGaps(t testing.TB, least, most time.Duration) {
	t.Helper()
	if !rs.some(t, 2) {
		return
	}
	for i, gap := range rs.Gaps() {
		if rs.early(i+1, least) || gap > most {
			rs.complain(t, i+1, "request %d came %v after the one before, want %v to %v", i+2, gap, least, most)
			return
		}
	}
}

// WantBackoff fails the test unless the gaps between the requests are these,
// each at most slack longer. Exact times are those of a bubble of
// testing/synctest, where slack may be 0. Over real time the slack has to be what
// a busy machine may need, and too early is as for [Requests.WantGaps].
func (rs Requests) WantBackoff(t testing.TB, slack time.Duration, gaps ...time.Duration) {
	t.Helper()
	got := rs.Gaps()
	if len(got) != len(gaps) {
		rs.complain(t, len(gaps), "%d gaps between requests, want %d", len(got), len(gaps))
		return
	}
	for i, gap := range got {
		if rs.early(i+1, gaps[i]) || gap > gaps[i]+slack {
			rs.complain(t, i+1, "request %d came %v after the one before, want %v and at most %v more", i+2, gap, gaps[i], slack)
			return
		}
	}
}

// WantRetryAfter fails the test unless each request after an answer with a
// Retry-After header (RFC 9110, 10.2.3), or a call's with RetryInfo among its
// details (google/rpc/error_details.proto), kept to it and came at most slack
// later, as for [Requests.WantBackoff], or if there is no such answer.
func (rs Requests) WantRetryAfter(t testing.TB, slack time.Duration) {
	t.Helper()
	told := 0
	for i, gap := range rs.Gaps() {
		wait, by := retryAfter(&rs[i])
		if by == "" {
			continue
		}
		told++
		if rs.early(i+1, wait) || gap > wait+slack {
			rs.complain(t, i+1, "request %d came %v after an answer with %s, want %v and at most %v more",
				i+2, gap, by, wait, slack)
			return
		}
	}
	if told == 0 {
		rs.complain(t, 0, "no request follows an answer with Retry-After or RetryInfo")
	}
}

// retryAfter is how long the answer tells to wait, and by what: "" for nothing.
func retryAfter(r *Request) (wait time.Duration, by string) {
	if r.retry != nil {
		return *r.retry, fmt.Sprintf("RetryInfo: %v", *r.retry)
	}
	text := r.Reply.Get("Retry-After")
	by = "Retry-After: " + text
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second, by
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(r.end())), by
	}
	return 0, ""
}

// WantSame fails the test unless there are requests and every one has the
// header, with the same value: an Idempotency-Key, say, that is to outlive a retry.
func (rs Requests) WantSame(t testing.TB, header string) {
	t.Helper()
	if !rs.some(t, 1) {
		return
	}
	for i, v := range rs.Values(header) {
		if v == "" {
			rs.complain(t, i, "request %d has no %s", i+1, header)
			return
		}
		if first := rs[0].Header.Get(header); v != first {
			rs.complain(t, i, "request %d has %s %q, the first has %q", i+1, header, v, first)
			return
		}
	}
}

// WantHeader fails the test unless there are requests and every one has the
// header with this value.
func (rs Requests) WantHeader(t testing.TB, header, value string) {
	t.Helper()
	if !rs.some(t, 1) {
		return
	}
	for i := range rs {
		if got := rs[i].Header.Values(header); !slices.Contains(got, value) {
			rs.complain(t, i, "request %d has %s %q, want %q", i+1, header, got, value)
			return
		}
	}
}

// WantPeak fails the test when more than most requests were handled at once, or
// none at all.
func (rs Requests) WantPeak(t testing.TB, most int) {
	t.Helper()
	if !rs.some(t, 1) {
		return
	}
	if peak := rs.Peak(); peak > most {
		rs.complain(t, 0, "%d requests at once, want at most %d", peak, most)
	}
}

// WantConnections fails the test unless the requests came on n connections.
func (rs Requests) WantConnections(t testing.TB, n int) {
	t.Helper()
	if got := rs.Connections(); got != n {
		rs.complain(t, 0, "%d connections, want %d", got, n)
	}
}

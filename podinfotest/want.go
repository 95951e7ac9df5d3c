package podinfotest

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"
)

// complain fails the test and shows the requests around request i.
func (rs Requests) complain(t testing.TB, i int, format string, args ...any) {
	t.Helper()
	t.Errorf("%s\n%s%s", fmt.Sprintf(format, args...), rs.around(i), rs.notes())
}

// some fails the test unless there are at least n requests, because an assertion
// about no requests would always hold.
func (rs Requests) some(t testing.TB, n int) bool {
	t.Helper()
	if len(rs) < n {
		rs.few(t, fmt.Sprintf("at least %d", n))
	}
	return len(rs) >= n
}

// few fails the test because there are other than the wanted requests.
func (rs Requests) few(t testing.TB, want string) {
	t.Helper()
	if len(rs) == 0 {
		t.Errorf("%s, want %s", rs.none(), want)
		return
	}
	rs.complain(t, len(rs), "%d requests%s, want %s%s", len(rs), rs.to(), want, rs.tail())
}

// WantCount fails the test unless there are n requests. If there are more, it says how
// many of them came at the same time.
func (rs Requests) WantCount(t testing.TB, n int) {
	t.Helper()
	switch {
	case len(rs) < n:
		rs.few(t, strconv.Itoa(n))
	case len(rs) > n:
		rs.complain(t, n, "%d requests%s, want %d%s", len(rs), rs.to(), n, rs.together())
	}
}

// together says how many of the requests came at the same time, "" for none. In a
// testing/synctest bubble requests that take no time can.
func (rs Requests) together() string {
	n, at := rs.Peak(), map[time.Time]int{}
	for i := range rs {
		at[rs[i].At]++
		n = max(n, at[rs[i].At])
	}
	if n <= 1 {
		return ""
	}
	return fmt.Sprintf("; %d of them at the same time", n)
}

// WantAnswers fails the test unless the responses are these. Each is one of
//
//	503            a status, from 100 to 599; 101 is an open WebSocket
//	Unavailable    the code of a call, as grpc-go writes it; DeadlineExceeded if
//	               its deadline has passed, whichever side noticed first
//	cut            the connection broke before the end of the response
//	client left    the client left before there was a status, which is also how a
//	               request over HTTP ends whose deadline has passed: the server
//	               does not know deadlines
//	none yet       there is no response so far
//	RST_STREAM REFUSED_STREAM and GOAWAY ENHANCE_YOUR_CALM
//	               how a step for HTTP/2 ended the request; with an end of
//	               the connection, "connection closed"
//	refused        how a connection failed, see [Server.Attempts] for the words
//
// A status or a code is followed by a comma and "client left" if the client left
// before the end of the response: "200, client left". After DeadlineExceeded that
// goes without saying. Another word fails the test.
func (rs Requests) WantAnswers(t testing.TB, answers ...string) {
	t.Helper()
	for i, word := range answers {
		if problem := answerProblem(word); problem != "" {
			t.Errorf("WantAnswers: response %d: %s", i+1, problem)
			return
		}
	}
	for i := range min(len(rs), len(answers)) {
		if got := rs[i].result(); got != answers[i] {
			rs.complain(t, i, "request %d: got %s, want %s", i+1, got, answers[i])
			return
		}
	}
	rs.WantCount(t, len(answers))
}

// early reports whether the client waited for a shorter time before request i.
// Over real time it reports only what is certain.
func (rs Requests) early(i int, wait time.Duration) bool {
	return max(0, rs[i].At.Sub(rs[i-1].waiting())) < wait
}

// WantGaps fails the test unless there are at least two requests and each gap
// between them is from least to most. Over real time, where the server may notice
// late that an attempt has ended, a request counts as too early only if it
// certainly is.
func (rs Requests) WantGaps(t testing.TB, least, most time.Duration) {
	t.Helper()
	if !rs.some(t, 2) {
		return
	}
	for i, gap := range rs.Gaps() {
		if rs.early(i+1, least) || gap > most {
			rs.complain(t, i+1, "request %d came %v after the previous one, want %v to %v", i+2, gap, least, most)
			return
		}
	}
}

// WantBackoff fails the test unless the gaps between the requests are these, each
// at most slack longer. Inside a testing/synctest bubble times are exact, and
// slack may be 0. Over real time slack must allow for a busy machine, and a
// request counts as too early only if it certainly is.
func (rs Requests) WantBackoff(t testing.TB, slack time.Duration, gaps ...time.Duration) {
	t.Helper()
	if len(rs) <= len(gaps) {
		rs.few(t, strconv.Itoa(len(gaps)+1))
		return
	}
	got := rs.Gaps()
	if len(got) != len(gaps) {
		rs.complain(t, len(gaps), "%d gaps between requests, want %d", len(got), len(gaps))
		return
	}
	for i, gap := range got {
		if rs.early(i+1, gaps[i]) || gap > gaps[i]+slack {
			rs.complain(t, i+1, "request %d came %v after the previous one, want %v and at most %v more", i+2, gap, gaps[i], slack)
			return
		}
	}
}

// WantRetryAfter fails the test unless a response has a Retry-After header (RFC
// 9110, 10.2.3) or a call's error has RetryInfo (google/rpc/error_details.proto),
// and each request after such a response came when it said, or at most slack
// later. See [Requests.WantBackoff] for slack.
func (rs Requests) WantRetryAfter(t testing.TB, slack time.Duration) {
	t.Helper()
	if !rs.some(t, 2) {
		return
	}
	told, unclear := 0, ""
	for i, gap := range rs.Gaps() {
		wait, by := retryAfter(&rs[i])
		if by == "" {
			if text := rs[i].Reply.Get("Retry-After"); text != "" && unclear == "" {
				unclear = fmt.Sprintf("Retry-After %q is neither seconds nor a date", text)
			}
			continue
		}
		told++
		if rs.early(i+1, wait) || gap > wait+slack {
			rs.complain(t, i+1, "request %d came %v after a response with %s, want %v and at most %v more",
				i+2, gap, by, wait, slack)
			return
		}
	}
	if told == 0 {
		rs.complain(t, 0, "%s", cmp.Or(unclear, "no request follows a response with Retry-After or RetryInfo"))
	}
}

// retryAfter returns how long the client was told to wait, and by which header or
// detail, "" for none.
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

// WantSame fails the test unless there are requests and all have the header with
// the same value, such as an Idempotency-Key that must not change in a retry.
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

// WantHeader fails the test unless there are requests and all have the header with
// this value.
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

// WantPeak fails the test if more than most requests were handled at the same
// time, or if there are no requests.
func (rs Requests) WantPeak(t testing.TB, most int) {
	t.Helper()
	if !rs.some(t, 1) {
		return
	}
	if peak := rs.Peak(); peak > most {
		rs.complain(t, 0, "%d requests at the same time, want at most %d", peak, most)
	}
}

// WantConnections fails the test unless the requests used n connections.
func (rs Requests) WantConnections(t testing.TB, n int) {
	t.Helper()
	if len(rs) == 0 && n > 0 {
		rs.few(t, fmt.Sprintf("some on %d connections", n))
		return
	}
	if got := rs.Connections(); got != n {
		rs.complain(t, 0, "%d connections, want %d", got, n)
	}
}

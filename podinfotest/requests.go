package podinfotest

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/seed-4591fe7d/podinfo/registry"
)

// Request is a request or call as it arrived, and how it was answered.
type Request struct {
	At    time.Time // when its header had been read
	Conn  int       // which connection it came on, counted from 1
	Proto string    // HTTP/1.1, HTTP/2.0 or gRPC
	RPC   bool

	Method  string // "" for a call
	Path    string // below the server's prefix, or "/service/method"
	Query   string // without the question mark
	Host    string
	Header  http.Header // of a call its metadata, with names as HTTP writes them
	Body    []byte      // of a request, at most 64 KiB
	BodyCut bool        // there was more

	// Status is what the client saw: 444 (registry.StatusCut) when the
	// connection broke before the whole reply, 499 (registry.StatusClientLeft)
	// when the client left before it, 101 for a WebSocket, and 0 while there is
	// none yet.
	Status int
	Code   codes.Code    // of a call, once it is Done
	Reply  http.Header   // of the answer, as the handlers set it
	Left   bool          // the client left before the end of the answer
	Took   time.Duration // from At to the end of the handler
	Done   bool          // it has ended
	Rules  []string      // which hit it
}

// end is when the request was over; now, while it is not.
func (r *Request) end() time.Time {
	if !r.Done {
		return time.Now()
	}
	return r.At.Add(r.Took)
}

// answer says how the request was answered.
func (r *Request) answer() string {
	var s string
	switch {
	case r.RPC && r.Done:
		s = r.Code.String()
	case r.Status == 0:
		return "none yet"
	case r.Status == registry.StatusCut:
		return "cut"
	case r.Status == registry.StatusClientLeft:
		return "client left"
	default:
		s = strconv.Itoa(r.Status)
	}
	if r.Left {
		s += ", client left"
	}
	return s
}

// Requests are requests in the order of their arrival, such as the attempts of
// a client that retries.
type Requests []Request

// Requests returns what has arrived for a path: "/api/pay", "POST /api/pay",
// "/orders/{id}", "/api/*", "/echo.EchoService/Echo", or "*" for all. The last
// 10,000 are kept.
func (s *Server) Requests(path string) Requests {
	s.t.Helper()
	out, _ := s.record.find(newPattern(path))
	return out
}

// WaitRequests waits until at least n requests have arrived for a path, as of
// Requests, and returns them. It is woken by the n-th, and ends the test when
// ctx ends first.
func (s *Server) WaitRequests(ctx context.Context, path string, n int) Requests {
	s.t.Helper()
	return s.waitFor(ctx, path, n, "arrived", func(*Request) bool { return true })
}

// WaitAnswered is WaitRequests for requests that are answered: their handlers
// have returned.
func (s *Server) WaitAnswered(ctx context.Context, path string, n int) Requests {
	s.t.Helper()
	return s.waitFor(ctx, path, n, "answered", func(r *Request) bool { return r.Done })
}

func (s *Server) waitFor(ctx context.Context, path string, n int, what string, counts func(*Request) bool) Requests {
	s.t.Helper()
	for p := newPattern(path); ; {
		all, changed := s.record.find(p)
		have := 0
		for i := range all {
			if counts(&all[i]) {
				have++
			}
		}
		if have >= n {
			return all
		}
		select {
		case <-changed:
		case <-ctx.Done():
			s.t.Fatalf("%s: %d of %d requests %s: %v\n%v", path, have, n, what, context.Cause(ctx), all)
		}
	}
}

// Gaps are the times between the end of each request and the arrival of the
// next: what a client that retries waits. They are negative when two overlap.
func (rs Requests) Gaps() []time.Duration {
	var out []time.Duration
	for i := 1; i < len(rs); i++ {
		out = append(out, rs[i].At.Sub(rs[i-1].end()))
	}
	return out
}

// Peak is the largest number of requests that were handled at once.
func (rs Requests) Peak() int {
	type change struct {
		at time.Time
		by int
	}
	var changes []change
	for i := range rs {
		changes = append(changes, change{rs[i].At, +1}, change{rs[i].end(), -1})
	}
	slices.SortStableFunc(changes, func(x, y change) int {
		if c := x.at.Compare(y.at); c != 0 {
			return c
		}
		return x.by - y.by // one that ends makes room for one that begins
	})
	now, peak := 0, 0
	for _, c := range changes {
		now += c.by
		peak = max(peak, now)
	}
	return peak
}

// Connections is the number of connections that the requests came on.
func (rs Requests) Connections() int {
	seen := map[int]bool{}
	for _, r := range rs {
		seen[r.Conn] = true
	}
	return len(seen)
}

// Values are the values of a header, one of each request, "" for none.
func (rs Requests) Values(header string) []string {
	var out []string
	for _, r := range rs {
		out = append(out, r.Header.Get(header))
	}
	return out
}

// String is a table, with times that count from the first request.
func (rs Requests) String() string {
	if len(rs) == 0 {
		return "  no requests"
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "  #\tat\tgap\trequest\tconn\tanswer\ttook\trules")
	gaps := rs.Gaps()
	for i := range rs {
		r, gap, took := &rs[i], "", "…"
		if i > 0 {
			gap = brief(gaps[i-1])
		}
		if r.Done {
			took = brief(r.Took)
		}
		fmt.Fprintf(w, "  %d\t%s\t%s\t%s\t%d\t%s\t%s\t%s\n", i+1, brief(r.At.Sub(rs[0].At)), gap,
			strings.TrimSpace(r.Method+" "+r.Path), r.Conn, r.answer(), took, strings.Join(r.Rules, " "))
	}
	w.Flush()
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

// brief is a duration to three digits or so.
func brief(d time.Duration) string {
	for _, unit := range []time.Duration{time.Second, time.Millisecond, time.Microsecond} {
		if d.Abs() >= unit {
			return d.Round(unit / 1000).String()
		}
	}
	return d.String()
}

func (rs Requests) complain(t testing.TB, format string, args ...any) {
	t.Helper()
	t.Errorf("%s\n%v", fmt.Sprintf(format, args...), rs)
}

// WantCount fails the test unless there are n requests.
func (rs Requests) WantCount(t testing.TB, n int) {
	t.Helper()
	if len(rs) != n {
		rs.complain(t, "%d requests, want %d", len(rs), n)
	}
}

// WantAnswers fails the test unless the answers are these, each a status as
// "503", a code as "Unavailable", "cut", "client left" or "none yet".
func (rs Requests) WantAnswers(t testing.TB, answers ...string) {
	t.Helper()
	var got []string
	for i := range rs {
		got = append(got, rs[i].answer())
	}
	if !slices.Equal(got, answers) {
		rs.complain(t, "answers are %q, want %q", got, answers)
	}
}

// WantGaps fails the test unless every gap between two requests is at least
// least and at most most.
func (rs Requests) WantGaps(t testing.TB, least, most time.Duration) {
	t.Helper()
	for i, gap := range rs.Gaps() {
		if gap < least || gap > most {
			rs.complain(t, "request %d came %v after the one before, want %v to %v", i+2, gap, least, most)
			return
		}
	}
}

// WantBackoff fails the test unless the gaps between the requests are these,
// each at most slack longer. In a bubble of testing/synctest slack may be 0.
func (rs Requests) WantBackoff(t testing.TB, slack time.Duration, gaps ...time.Duration) {
	t.Helper()
	got := rs.Gaps()
	if len(got) != len(gaps) {
		rs.complain(t, "%d gaps between requests, want %d", len(got), len(gaps))
		return
	}
	for i, gap := range got {
		if gap < gaps[i] || gap > gaps[i]+slack {
			rs.complain(t, "request %d came %v after the one before, want %v and at most %v more", i+2, gap, gaps[i], slack)
			return
		}
	}
}

// WantRetryAfter fails the test unless each request after an answer with a
// Retry-After header (RFC 9110, 10.2.3) kept to it and came at most slack
// later, or if there is no such answer.
func (rs Requests) WantRetryAfter(t testing.TB, slack time.Duration) {
	t.Helper()
	told := 0
	for i, gap := range rs.Gaps() {
		wait, ok := retryAfter(&rs[i])
		if !ok {
			continue
		}
		told++
		if gap < wait || gap > wait+slack {
			rs.complain(t, "request %d came %v after an answer with Retry-After: %s, want %v and at most %v more",
				i+2, gap, rs[i].Reply.Get("Retry-After"), wait, slack)
			return
		}
	}
	if told == 0 {
		rs.complain(t, "no request follows an answer with Retry-After")
	}
}

func retryAfter(r *Request) (time.Duration, bool) {
	text := r.Reply.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second, true
	}
	at, err := http.ParseTime(text)
	return max(0, at.Sub(r.end())), err == nil
}

// WantSame fails the test unless every request has the header, with the same
// value: an Idempotency-Key, say, that is to outlive a retry.
func (rs Requests) WantSame(t testing.TB, header string) {
	t.Helper()
	for i, v := range rs.Values(header) {
		if v == "" {
			rs.complain(t, "request %d has no %s", i+1, header)
			return
		}
		if first := rs[0].Header.Get(header); v != first {
			rs.complain(t, "request %d has %s %q, the first has %q", i+1, header, v, first)
			return
		}
	}
}

// WantHeader fails the test unless every request has the header with this
// value.
func (rs Requests) WantHeader(t testing.TB, header, value string) {
	t.Helper()
	for i := range rs {
		if got := rs[i].Header.Values(header); !slices.Contains(got, value) {
			rs.complain(t, "request %d has %s %q, want %q", i+1, header, got, value)
			return
		}
	}
}

// WantPeak fails the test when more than most requests were handled at once.
func (rs Requests) WantPeak(t testing.TB, most int) {
	t.Helper()
	if peak := rs.Peak(); peak > most {
		rs.complain(t, "%d requests at once, want at most %d", peak, most)
	}
}

// WantConnections fails the test unless the requests came on n connections.
func (rs Requests) WantConnections(t testing.TB, n int) {
	t.Helper()
	if got := rs.Connections(); got != n {
		rs.complain(t, "%d connections, want %d", got, n)
	}
}

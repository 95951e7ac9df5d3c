package podinfotest

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/seed-4591fe7d/podinfo/registry/record"
)

// Request is a request or call as it arrived, and its response.
type Request struct {
	At    time.Time // when its header had been read
	Conn  int       // number of its connection, from 1
	Proto string    // HTTP/1.1, HTTP/2.0 or gRPC
	RPC   bool

	Method  string // "" for a call
	Path    string // below the server's prefix, or "/service/method"
	Query   string // without the question mark
	Host    string
	Header  http.Header   // of a call its metadata, with the names in HTTP's spelling
	Body    []byte        // of a request, at most 64 KiB
	BodyCut bool          // Body is incomplete: it was longer, or handlers did not read all of it
	Message proto.Message // of a unary call, as it arrived

	// Status is the status that the client received: 599 (record.LabelFailed) if
	// the connection broke before the end of the response, 499
	// (record.LabelClientLeft) if the client left before the response, 101 for
	// a WebSocket, and 0 while there is no response. A response that the server
	// sends after it has waited for a body until its timeout may not reach the
	// client.
	Status int
	Code   codes.Code    // of a call; valid when Done is true
	Reply  http.Header   // the response's header, as handlers set it
	Left   bool          // the client left before the end of the response, or the deadline of a call has passed
	Took   time.Duration // from At until the handler returned or the connection was cut
	Done   bool          // the request has ended
	Rules  []string      // rules that hit it, including steps that let it pass
	Over   []string      // scripts that match it too, and that did not apply: "script2 GET /orders/*"

	// Failed is how a connection failed, see [Server.Attempts], "" for a request.
	Failed string
	// Ended says how a step such as [RefuseStream] or [EnhanceYourCalm] ended the
	// stream or the connection over HTTP/2: "RST_STREAM REFUSED_STREAM".
	Ended string

	ended    time.Time      // the end of Took
	answered time.Time      // before the client could see a part of the response
	exact    bool           // the times are those of a bubble, where nothing is late
	retry    *time.Duration // the delay of the RetryInfo that a call received
	dropped  bool           // it is no longer in the record
	late     bool           // the server's timeout ended the body
	cut      bool           // the connection broke before the end of the response
	lost     bool           // Body lacks a part that was read
	whole    bool           // the body was read to its end
	internal bool           // of a probe, or for metrics
	scripted bool           // a script matches it; valid when Done is true
	silent   bool           // the connection broke before the response began
	reused   bool           // its connection had another request before
	of       *search        // that found it
}

// settle sets BodyCut.
func (r *Request) settle() { r.BodyCut = r.lost || !r.whole }

// end returns when the request ended, or the time now if it has not.
func (r *Request) end() time.Time {
	if r.ended.IsZero() {
		return time.Now()
	}
	return r.ended
}

// waiting returns the earliest time at which the client can have begun to wait.
// Over real time a busy server may notice late that a client had the response or
// has left.
func (r *Request) waiting() time.Time {
	switch {
	case r.exact:
		return r.end()
	case r.Left, r.Status == record.LabelClientLeft, !r.Done && r.answered.IsZero():
		return r.At
	case !r.answered.IsZero():
		return r.answered
	}
	return r.end()
}

// finish sets the end of the request, unless it is set.
func (r *Request) finish() {
	if r.ended.IsZero() {
		r.ended = time.Now()
		r.Took = r.ended.Sub(r.At)
	}
}

// result describes the response, as WantAnswers writes it.
func (r *Request) result() string {
	var s string
	switch {
	case r.Failed != "":
		return r.Failed
	case r.Ended != "" && !r.RPC:
		return r.Ended
	case r.RPC && r.Done:
		s = r.Code.String()
	case r.Status == 0:
		return wordNone
	case r.cut:
		return wordCut
	case r.Status == record.LabelClientLeft:
		return wordLeft
	default:
		s = strconv.Itoa(r.Status)
	}
	if r.Left && s != wordLate { // the deadline says it
		s += leftSuffix
	}
	return s
}

// Requests are requests in the order in which they arrived, such as the attempts
// of a client that retries.
type Requests []Request

// Requests returns the requests and calls that have arrived for a path:
// "/api/pay", "POST /api/pay", "/orders/{id}", "/api/*",
// "/echo.EchoService/Echo", or "*" for all. The server keeps the latest 10,000.
// An assertion that finds too few of them names near misses: other paths and
// methods that resemble it.
func (s *Server) Requests(path string) Requests {
	s.t.Helper()
	out := s.record.search(s.pattern(path))
	if n := s.record.lost(); n > 0 {
		s.t.Logf("podinfotest: the first %d requests to the server are no longer kept", n)
	}
	return out
}

// WaitRequests waits until at least n requests have arrived for a path, and
// returns them like [Server.Requests]. It ends the test if ctx ends first, or if
// n is above the number of requests that are kept.
func (s *Server) WaitRequests(ctx context.Context, path string, n int) Requests {
	s.t.Helper()
	return s.waitFor(ctx, path, n, false)
}

// WaitAnswered is like WaitRequests, and waits until the handlers of n requests
// have returned.
func (s *Server) WaitAnswered(ctx context.Context, path string, n int) Requests {
	s.t.Helper()
	return s.waitFor(ctx, path, n, true)
}

func (s *Server) waitFor(ctx context.Context, path string, n int, answered bool) Requests {
	s.t.Helper()
	p, what := s.pattern(path), "arrived"
	if answered {
		what = "answered"
	}
	if n > maxRequests {
		s.t.Fatalf("podinfotest: %s: cannot wait for %d requests, because only the latest %d are kept", path, n, maxRequests)
	}
	w := s.record.await(p, answered, n)
	select {
	case <-w.enough:
	case <-ctx.Done():
		have, all := s.record.leave(w), s.record.search(p)
		s.t.Fatalf("%s: %d of %d requests %s: %v%s\n%s", path, have, n, what, context.Cause(ctx), all.tail(), all.around(len(all)))
	}
	return s.record.search(p)
}

// Gaps returns the times between the end of each request and the arrival of the
// next, which is how long a client waits before a retry. The gap of requests that
// overlap is 0.
func (rs Requests) Gaps() []time.Duration {
	var out []time.Duration
	for i := 1; i < len(rs); i++ {
		out = append(out, max(0, rs[i].At.Sub(rs[i-1].end())))
	}
	return out
}

// Peak returns the largest number of requests that were handled at the same time.
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
		return x.by - y.by // a request that ends precedes one that begins at the same time
	})
	now, peak := 0, 0
	for _, c := range changes {
		now += c.by
		peak = max(peak, now)
	}
	return peak
}

// Connections returns how many connections the requests used.
func (rs Requests) Connections() int {
	seen := map[int]bool{}
	for _, r := range rs {
		seen[r.Conn] = true
	}
	return len(seen)
}

// Values returns the value of a header for each request, "" if it is not set.
func (rs Requests) Values(header string) []string {
	var out []string
	for _, r := range rs {
		out = append(out, r.Header.Get(header))
	}
	return out
}

// String returns a table of the requests. Times count from the first request.
func (rs Requests) String() string { return rs.table(0, len(rs)) }

// A failure shows only some rows of a long table.
const (
	rowsShown  = 20
	rowsBefore = rowsShown / 2
)

// around returns the rows of the table around one of them.
func (rs Requests) around(at int) string {
	from := max(0, min(at-rowsBefore, len(rs)-rowsShown))
	return rs.table(from, min(len(rs), from+rowsShown))
}

// table returns the rows of some of the requests.
func (rs Requests) table(from, to int) string {
	if len(rs) == 0 {
		return "  no requests"
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "  #\tat\tgap\trequest\tconn\tresponse\ttook\trules")
	gaps := rs.Gaps()
	for i := from; i < to; i++ {
		r, gap, took := &rs[i], "", "…"
		if i > 0 {
			gap = brief(gaps[i-1])
		}
		if r.Done {
			took = brief(r.Took)
		}
		fmt.Fprintf(w, "  %d\t%s\t%s\t%s\t%d\t%s\t%s\t%s\n", i+1, brief(r.At.Sub(rs[0].At)), gap,
			strings.TrimSpace(r.Method+" "+r.Path), r.Conn, r.result(), took, r.rules())
	}
	w.Flush()
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	if from > 0 {
		lines = slices.Insert(lines, 1, fmt.Sprintf("  … %d more", from))
	}
	if to < len(rs) {
		lines = append(lines, fmt.Sprintf("  … %d more", len(rs)-to))
	}
	return strings.Join(lines, "\n")
}

// rules names the rules that hit the request, and the scripts that they prevailed
// over.
func (r *Request) rules() string {
	out := strings.Join(r.Rules, " ")
	if len(r.Over) > 0 {
		out += " over " + strings.Join(r.Over, ", ")
	}
	return out
}

// brief formats a duration with about three digits.
func brief(d time.Duration) string {
	for _, unit := range []time.Duration{time.Second, time.Millisecond, time.Microsecond} {
		if d.Abs() >= unit {
			return d.Round(unit / 1000).String()
		}
	}
	return d.String()
}

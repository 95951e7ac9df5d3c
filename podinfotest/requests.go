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
	Header  http.Header   // of a call its metadata, with names as HTTP writes them
	Body    []byte        // of a request, at most 64 KiB
	BodyCut bool          // Body is not all of it: it was longer, or the handler left some of it unread
	Message proto.Message // of a unary call, as it came

	// Status is what the client saw: 444 (record.StatusCut) when the
	// connection broke before the whole reply, 499 (record.StatusClientLeft)
	// when the client left before it, 101 for a WebSocket, and 0 while there is
	// none yet. What the server answers when it has waited for a body as long as
	// it does may not reach the client: its time to answer is over too.
	Status int
	Code   codes.Code    // of a call, once it is Done
	Reply  http.Header   // of the answer, as the handlers set it
	Left   bool          // the client left before the end of the answer
	Took   time.Duration // from At to the end of the handler, or to when the connection was cut
	Done   bool          // it has ended
	Rules  []string      // which hit it, also those of steps that let it pass

	ended    time.Time      // what Took counts to
	answered time.Time      // before the client could see anything of the answer
	exact    bool           // the times are a bubble's, in which nobody is late
	retry    *time.Duration // when to come back, as a call was told
	dropped  bool           // it is not kept any more
	late     bool           // the server waited for the body as long as it does
	lost     bool           // not all that was read of the body is in Body
	whole    bool           // the body was read to its end
}

// settle notes how much of the body there is.
func (r *Request) settle() { r.BodyCut = r.lost || !r.whole }

// end is when the request was over; now, while it is not.
func (r *Request) end() time.Time {
	if r.ended.IsZero() {
		return time.Now()
	}
	return r.ended
}

// waiting is when the client can first have begun to wait. Over real time a busy
// server may see late that a client had its answer, or has left.
func (r *Request) waiting() time.Time {
	switch {
	case r.exact:
		return r.end()
	case r.Left, r.Status == record.StatusClientLeft, !r.Done && r.answered.IsZero():
		return r.At
	case !r.answered.IsZero():
		return r.answered
	}
	return r.end()
}

// finish notes that the request is over, once.
func (r *Request) finish() {
	if r.ended.IsZero() {
		r.ended = time.Now()
		r.Took = r.ended.Sub(r.At)
	}
}

// answer says how the request was answered.
func (r *Request) answer() string {
	var s string
	switch {
	case r.RPC && r.Done:
		s = r.Code.String()
	case r.Status == 0:
		return "none yet"
	case r.Status == record.StatusCut:
		return "cut"
	case r.Status == record.StatusClientLeft:
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
// 10,000 are kept. Calls of an RPC that the server does not have are not among
// them: it answers Unimplemented and does not hand them on.
func (s *Server) Requests(path string) Requests {
	s.t.Helper()
	out := s.record.find(s.pattern(path))
	if n := s.record.lost(); n > 0 {
		s.t.Logf("podinfotest: the first %d requests to the server are not kept any more", n)
	}
	return out
}

// WaitRequests waits until at least n requests have arrived for a path, as of
// Requests, and returns them. It is woken by the n-th, and ends the test when
// ctx ends first, or when n is more than are kept.
func (s *Server) WaitRequests(ctx context.Context, path string, n int) Requests {
	s.t.Helper()
	return s.waitFor(ctx, path, n, false)
}

// WaitAnswered is WaitRequests for requests that are answered: their handlers
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
		s.t.Fatalf("podinfotest: %s: a wait for %d requests, and the last %d are kept", path, n, maxRequests)
	}
	w := s.record.await(p, answered, n)
	select {
	case <-w.enough:
	case <-ctx.Done():
		have, all := s.record.leave(w), s.record.find(p)
		s.t.Fatalf("%s: %d of %d requests %s: %v\n%s", path, have, n, what, context.Cause(ctx), all.around(len(all)))
	}
	return s.record.find(p)
}

// Gaps are the times between the end of each request and the arrival of the
// next: what a client that retries waits. Those of requests that overlap are 0.
func (rs Requests) Gaps() []time.Duration {
	var out []time.Duration
	for i := 1; i < len(rs); i++ {
		out = append(out, max(0, rs[i].At.Sub(rs[i-1].end())))
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
func (rs Requests) String() string { return rs.table(0, len(rs)) }

// Of a long table a failure shows some rows about the one that matters.
const (
	rowsShown  = 20
	rowsBefore = rowsShown / 2
)

// around is the table about a place.
func (rs Requests) around(at int) string {
	from := max(0, min(at-rowsBefore, len(rs)-rowsShown))
	return rs.table(from, min(len(rs), from+rowsShown))
}

// table is the rows of some of the requests.
func (rs Requests) table(from, to int) string {
	if len(rs) == 0 {
		return "  no requests"
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "  #\tat\tgap\trequest\tconn\tanswer\ttook\trules")
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
			strings.TrimSpace(r.Method+" "+r.Path), r.Conn, r.answer(), took, strings.Join(r.Rules, " "))
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

// brief is a duration to three digits or so.
func brief(d time.Duration) string {
	for _, unit := range []time.Duration{time.Second, time.Millisecond, time.Microsecond} {
		if d.Abs() >= unit {
			return d.Round(unit / 1000).String()
		}
	}
	return d.String()
}

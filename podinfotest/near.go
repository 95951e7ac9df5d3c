package podinfotest

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/suggest"
)

// search is where requests were looked for. Each request that was found has it, and
// so has the hidden element behind an empty result, see [recorder.search].
type search struct {
	pattern
	record *recorder
}

// search returns copies of the requests that match a pattern. An empty result has an
// element within its capacity, so that an assertion can say what was looked for.
func (m *recorder) search(p pattern) Requests {
	out, of := m.find(p), &search{p, m}
	for i := range out {
		out[i].of = of
	}
	if len(out) == 0 {
		out = Requests{{of: of}}[:0]
	}
	return out
}

// search returns where the requests were looked for, nil if that is not known.
func (rs Requests) search() *search {
	if cap(rs) == 0 {
		return nil
	}
	return rs[:1][0].of
}

// nearMisses is the number of near misses that a failure names.
const nearMisses = 3

// near returns other requests whose method and path resemble what was looked for, the
// most similar first, with their responses. Without such it returns nil.
func (of *search) near() (out []string) {
	type miss struct {
		text     string
		distance int
	}
	var misses []miss
	want := of.path.String()
	for _, r := range of.record.find(everything) {
		if of.matches(r.Method, r.Path) {
			continue
		}
		d := suggest.Distance(want, r.Path)
		if of.method != "" && of.method != r.Method {
			d++
		}
		if text := spell(r.Method, r.Path) + " → " + r.result(); d <= max(2, len(want)/3) && !slices.ContainsFunc(misses, func(m miss) bool { return m.text == text }) {
			misses = append(misses, miss{text, d})
		}
	}
	slices.SortStableFunc(misses, func(a, b miss) int { return cmp.Compare(a.distance, b.distance) })
	for _, m := range misses[:min(len(misses), nearMisses)] {
		out = append(out, m.text)
	}
	return out
}

// tail says which other requests resemble those that were looked for, "" for none.
func (rs Requests) tail() string {
	of := rs.search()
	if of == nil {
		return ""
	}
	if near := of.near(); len(near) > 0 {
		return "; near misses: " + strings.Join(near, ", ")
	}
	n := 0
	for _, r := range of.record.find(everything) {
		if !of.matches(r.Method, r.Path) {
			n++
		}
	}
	if n == 0 || len(rs) > 0 {
		return ""
	}
	return fmt.Sprintf("; %d to other paths, none of which resembles it", n)
}

// none says what was looked for in vain: "0 requests to POST /api/pay".
func (rs Requests) none() string {
	return "0 requests" + rs.to() + rs.tail()
}

// to says what the requests were looked for, " to POST /api/pay", "" for any.
func (rs Requests) to() string {
	if of := rs.search(); of != nil && of.String() != everything.String() {
		return " to " + of.pattern.String()
	}
	return ""
}

// secondTry reports whether net/http itself sent request i, and not the client: it
// sends an idempotent request again if a connection that it had used before breaks
// without a response (http.Transport).
func (rs Requests) secondTry(i int) bool {
	if i == 0 {
		return false
	}
	was, r := &rs[i-1], &rs[i]
	repeatable := slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace}, r.Method) ||
		r.Header.Get("Idempotency-Key") != "" || r.Header.Get("X-Idempotency-Key") != ""
	return was.silent && was.reused && repeatable && was.Conn != r.Conn &&
		was.Method == r.Method && was.Path == r.Path && was.Query == r.Query && (!was.exact || r.At.Equal(was.end())) && r.At.Sub(was.end()) < secondTryWithin
}

// secondTryWithin is the longest time after which net/http sends a request again, on a
// busy machine. In a bubble it takes no time.
const secondTryWithin = 250 * time.Millisecond

// notes explains requests that the client under test did not send.
func (rs Requests) notes() (out string) {
	for i := range rs {
		if rs.secondTry(i) {
			out += fmt.Sprintf("\n  request %d is net/http's own second try, not the client's: it sends an idempotent request again when a connection that it had used before breaks without a response; to see only the client's tries, set DisableKeepAlives, or use POST", i+1)
		}
	}
	return out
}

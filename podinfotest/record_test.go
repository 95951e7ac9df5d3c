package podinfotest

import (
	"bytes"
	"testing"
)

// However much arrives, only so much of it is kept.
func TestRecordIsBounded(t *testing.T) {
	m := newRecorder()
	body := bytes.Repeat([]byte("x"), 2*maxBody)
	const n = maxRequests + 100
	for i := range n {
		r := &Request{Method: "GET", Path: "/", Conn: i}
		m.begin(r, "")
		m.keep(r, body, true)
		m.end(r, func() {})
	}
	all, _ := m.find(everything)
	if len(all) != maxRequests {
		t.Errorf("%d requests", len(all))
	}
	sum, cut := 0, 0
	for _, r := range all {
		sum += len(r.Body)
		if r.BodyCut {
			cut++
		}
		if len(r.Body) > maxBody {
			t.Fatalf("a body of %d bytes", len(r.Body))
		}
	}
	if sum > maxBodies || cut != maxRequests || m.bodies != sum || m.lost() != n-maxRequests {
		t.Errorf("%d bytes, counted as %d; %d cut; %d dropped", sum, m.bodies, cut, m.lost())
	}
}

package podinfotest

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// fillerHeader is the header that HugeHeader adds.
const fillerHeader = "X-Podinfotest-Filler"

// SlowHeader sends the header of the handler's response in 20 pieces over d.
func SlowHeader(d time.Duration) Step { return trickled("slow-header", 20, d) }

// SplitHeader sends each byte of the header of the handler's response by itself.
func SplitHeader() Step { return trickled("split-header", 1<<20, 0) }

func trickled(name string, pieces int, d time.Duration) Step {
	s := Step{name: name, times: 1, wired: func(c *wire, w http.ResponseWriter) (http.ResponseWriter, func()) {
		return &early{ResponseWriter: w, before: func() { c.trickle(pieces, d) }}, func() {}
	}}
	if d < 0 {
		s.wrong = fmt.Sprintf("a header that takes %v: want a duration that is not negative", d)
	}
	return s
}

// early sends the header when it is written, apart from the body.
type early struct {
	http.ResponseWriter
	before func()
	begun  bool
}

// Unwrap implements the convention of http.ResponseController.
func (e *early) Unwrap() http.ResponseWriter { return e.ResponseWriter }

// Flush implements http.Flusher.
func (e *early) Flush() { http.NewResponseController(e.ResponseWriter).Flush() }

func (e *early) WriteHeader(status int) {
	if status < 200 || e.begun {
		e.ResponseWriter.WriteHeader(status)
		return
	}
	e.begun = true
	e.before()
	e.ResponseWriter.WriteHeader(status)
	e.Flush()
}

func (e *early) Write(b []byte) (int, error) {
	if !e.begun {
		e.WriteHeader(http.StatusOK)
	}
	return e.ResponseWriter.Write(b)
}

// HugeHeader adds a header of n bytes to the handler's response. net/http's client
// takes at most 10 MiB, or Transport.MaxResponseHeaderBytes, and 4 times that in
// HTTP/2's own count. n has no upper bound.
func HugeHeader(n int) Step {
	filler := strings.Repeat("x", max(0, n)) // not in the fault, because the text of a scenario is bounded
	s := Step{name: "huge-header", times: 1, wired: func(_ *wire, w http.ResponseWriter) (http.ResponseWriter, func()) {
		w.Header().Set(fillerHeader, filler)
		return w, func() {}
	}}
	if n < 1 {
		s.wrong = fmt.Sprintf("a header of %d bytes: want at least 1", n)
	}
	return s
}

// Interim sends interim responses before the handler's, such as 103 (Early Hints) or
// 100 (Continue). 101 is not an interim response.
func Interim(statuses ...int) Step {
	s := broken("interim", scenario.Fault{Reply: &scenario.Reply{Interim: statuses}})
	for _, status := range statuses {
		if status < 100 || status > 199 || status == http.StatusSwitchingProtocols {
			s.wrong = fmt.Sprintf("%d is not an interim status: want 100 to 199 other than 101", status)
		}
	}
	if len(statuses) == 0 {
		s.wrong = "no interim status: want 100 to 199 other than 101"
	}
	return s
}

// SlowUpload reads the request's body at the given number of bytes per second. A body
// of at most 64 KiB has been read for the record before.
func SlowUpload(bytes int) Step {
	s := broken("slow-upload", scenario.Fault{Upload: &scenario.Upload{Bandwidth: bytes}})
	if bytes < 1 {
		s.wrong = fmt.Sprintf("an upload of %d bytes per second: want at least 1", bytes)
	}
	return s
}

// StallUpload stops reading the request's body after the given number of bytes, and
// continues after d. A body of at most 64 KiB has been read for the record before.
func StallUpload(after int, d time.Duration) Step {
	s := broken("stall-upload", scenario.Fault{Upload: &scenario.Upload{After: after, For: scenario.Duration(d)}})
	if after < 0 || d <= 0 {
		s.wrong = fmt.Sprintf("an upload that stalls after %d bytes for %v: want a number that is not negative and a duration above zero", after, d)
	}
	return s
}

// Partition cuts the network in the middle of the handler's response for d: nothing
// arrives in either direction on the connection, and nothing is lost. A call is cut
// before its response.
func Partition(d time.Duration) Step {
	s := Step{name: "partition", times: 1, called: func(c *wire) { c.partition(d) }, wired: func(c *wire, w http.ResponseWriter) (http.ResponseWriter, func()) {
		return &halving{ResponseWriter: w, cut: func() { c.partition(d) }}, func() {}
	}}
	if d <= 0 {
		s.wrong = fmt.Sprintf("a partition of %v: want a duration above zero", d)
	}
	return s
}

// halving calls cut in the middle of the first write.
type halving struct {
	http.ResponseWriter
	cut  func()
	done bool
}

// Unwrap implements the convention of http.ResponseController.
func (h *halving) Unwrap() http.ResponseWriter { return h.ResponseWriter }

// Flush implements http.Flusher.
func (h *halving) Flush() { http.NewResponseController(h.ResponseWriter).Flush() }

func (h *halving) Write(b []byte) (int, error) {
	if h.done || len(b) < 2 {
		return h.ResponseWriter.Write(b)
	}
	h.done = true
	n, err := h.ResponseWriter.Write(b[:len(b)/2])
	if err != nil {
		return n, err
	}
	h.Flush()
	h.cut()
	more, err := h.ResponseWriter.Write(b[n:])
	return n + more, err
}

// Stale handles the attempt normally. Then the connection is dead, as behind a router
// that has forgotten it: it stays open, also when the server closes it after a minute
// without requests, and what the client sends next is answered with a reset. With TLS
// the client learns that the server has closed it. net/http sends such a request again
// by itself if it is idempotent. The
// request is not in the record, but [Server.Attempts] has it as "dead connection".
func Stale() Step {
	return Step{name: "stale", times: 1, wired: func(c *wire, w http.ResponseWriter) (http.ResponseWriter, func()) {
		return w, c.die
	}}
}

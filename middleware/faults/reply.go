package faults

import (
	"bytes"
	"cmp"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/hangup"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
	"github.com/seed-4591fe7d/podinfo/registry/record"
)

// changed is a response of the handler that the kind reply changes.
type changed struct {
	*held
	strike *scenario.Strike
	fault  *scenario.Reply
	wrong  *capture // sends a wrong Content-Length over HTTP/1, nil otherwise
}

// changeReply applies the kind reply.
func changeReply(m *Module, w http.ResponseWriter, r *http.Request, next http.HandlerFunc, s *scenario.Strike) {
	f := s.Fault.Reply
	if r.ProtoAtLeast(1, 1) {
		for _, status := range f.Interim {
			w.WriteHeader(status)
		}
	}
	if f.Status != 0 && f.Status < 200 {
		lose(w, r, next)
		setHeaders(w.Header(), f, r)
		w.WriteHeader(f.Status)
		hangup.Close(takeOver(m, w, s, connClosed, record.NoResponse))
		panic(http.ErrAbortHandler)
	}
	limit := 0
	if f.Buffers() {
		limit = maxHeld
	}
	c := &changed{held: m.holdBack(w, r, limit), strike: s, fault: f}
	c.patient, c.measured = f.Buffers(), f.ContentLength != 0
	whole := false
	c.release = func(all bool) {
		whole = all || f.Body != nil
		c.send(whole)
	}
	c.serve(next)
	if c.rest != nil && !whole {
		io.WriteString(c.rest, f.Append)
	}
	if c.wrong != nil {
		c.wrong.end()
		panic(http.ErrAbortHandler)
	}
}

// setHeaders changes the headers of a response.
func setHeaders(h http.Header, f *scenario.Reply, r *http.Request) {
	if f.RedirectLoop {
		h.Set("Location", r.URL.RequestURI())
	}
	if f.Encoding != "" {
		h.Add("Content-Encoding", f.Encoding)
	}
	if age := time.Duration(f.Stale); age > 0 {
		h.Set("Date", time.Now().Add(-age).UTC().Format(http.TimeFormat))
		h.Set("Age", strconv.Itoa(int(age.Seconds())))
	}
	if f.Headers == nil {
		return
	}
	for name, value := range f.Headers.Set {
		h.Set(name, value)
	}
	for _, name := range f.Headers.Remove {
		h.Del(name)
		if http.CanonicalHeaderKey(name) == "Date" || http.CanonicalHeaderKey(name) == "Content-Type" {
			h[http.CanonicalHeaderKey(name)] = nil // net/http would set them
		}
	}
}

// send sends the changed header, and the body as far as it is held.
func (c *changed) send(whole bool) {
	f := c.fault
	if f.RedirectLoop {
		c.status = http.StatusFound
	}
	c.status = cmp.Or(f.Status, c.status)
	if !bodyAllowed(c.status) {
		c.rest = nil
		c.sendHeader(func(h http.Header) {
			setHeaders(h, f, c.r)
			h.Del("Content-Length")
		})
		return
	}
	body, err := c.body.Bytes()
	if err != nil { // the memory budget is used up
		c.m.counts.add(c.strike.Rule, "skipped")
		c.held.send(func(http.Header) {})
		return
	}
	if f.Body != nil {
		body, c.rest = []byte(*f.Body), nil
	}
	if whole {
		body = append(body, f.Append...)
	}
	if f.Corrupt != nil {
		c.strike.Corrupt(body)
	}
	times := max(1, f.Repeat)
	change := func(h http.Header) {
		setHeaders(h, f, c.r)
		c.setLength(h, len(body), times, whole)
	}
	if f.ContentLength != 0 && c.r.Method != http.MethodHead {
		c.sendWrong(body, times, change)
		return
	}
	c.sendHeader(change)
	if len(body) == 0 && !whole && f.Buffers() { // the header was flushed
		c.rest = &lateBody{c, times}
		return
	}
	for range times {
		c.ResponseWriter.Write(body)
	}
}

// lateBody changes the beginning of a body that comes after its header was flushed.
type lateBody struct {
	*changed
	times int
}

func (l *lateBody) Write(b []byte) (n int, err error) {
	if len(b) == 0 {
		return 0, nil
	}
	l.rest = l.ResponseWriter
	begin := bytes.Clone(b)
	if l.fault.Corrupt != nil {
		l.strike.Corrupt(begin)
	}
	for range l.times {
		if n, err = l.ResponseWriter.Write(begin); err != nil {
			return n, err
		}
	}
	return n, nil
}

// setLength corrects the Content-Length of a body of n bytes, or of its beginning,
// that is sent several times. A response to HEAD gets the length that the body would
// have, which its handler may have declared without writing one.
func (c *changed) setLength(h http.Header, n, times int, whole bool) {
	declared, err := strconv.Atoi(h.Get("Content-Length"))
	f, head := c.fault, c.r.Method == http.MethodHead
	switch {
	case err != nil && f.Body == nil && !(head && f.ContentLength != 0): // net/http sets it
		h.Del("Content-Length")
		return
	case err == nil && !whole:
		n = declared + n*(times-1) + len(f.Append)
	case err == nil && head && f.Body == nil && c.body.Len() == 0:
		n = times * (declared + len(f.Append))
	default:
		n *= times
	}
	h.Set("Content-Length", strconv.Itoa(max(0, n+f.ContentLength)))
}

// sendWrong sends a body whose Content-Length is wrong. net/http sends nothing
// beyond it, so over HTTP/1 the connection is taken over.
func (c *changed) sendWrong(body []byte, times int, change func(http.Header)) {
	length := max(0, times*len(body)+c.fault.ContentLength)
	if c.r.ProtoMajor > 1 {
		c.sendHeader(func(h http.Header) {
			change(h)
			h.Set("Content-Length", strconv.Itoa(length))
		})
		all := io.LimitReader(bytes.NewReader(bytes.Repeat(body, times)), int64(length))
		io.Copy(c.ResponseWriter, all)
		c.rest = nil
		c.m.recordCut(c.ResponseWriter, c.status, min(length, times*len(body)), record.Truncated)
		c.m.saw(c.strike, wrongLength)
		return
	}
	change(c.header)
	w := &capture{ResponseWriter: c.ResponseWriter, r: c.r, strike: c.strike, module: c.m, writeTimeout: c.m.MaxDelay, stop: func() {}, seen: wrongLength, header: c.header, status: c.status}
	w.body = *bytes.NewBuffer(body)
	w.begin(strconv.Itoa(length))
	for range times {
		w.send(body)
	}
	c.wrong, c.rest, c.raw = w, sender{w}, true
}

// sender writes to the connection of a capture.
type sender struct{ *capture }

func (s sender) Write(b []byte) (int, error) {
	s.send(b)
	if s.over {
		return 0, errCut
	}
	return len(b), nil
}

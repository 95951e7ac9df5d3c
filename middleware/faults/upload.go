package faults

import (
	"io"
	"net/http"
	"time"

	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// slowBody is the body of a request that is read with pauses, whose sum is at most
// left. What is not read keeps the window of the connection or stream closed.
type slowBody struct {
	io.ReadCloser
	pause  func(time.Duration) bool
	fault  *scenario.Upload
	left   time.Duration
	read   int
	paused bool
}

// slowUpload applies the kind upload.
func slowUpload(m *Module, w http.ResponseWriter, r *http.Request, next http.HandlerFunc, s *scenario.Strike) {
	body := &slowBody{ReadCloser: r.Body, fault: s.Fault.Upload, left: m.MaxDelay}
	body.pause = func(d time.Duration) bool {
		d = min(d, body.left)
		body.left -= d
		return pause(w, r, d)
	}
	slowed := r.WithContext(r.Context())
	slowed.Body = body
	next(w, slowed)
}

// Slow marks the body for what responds in place of a handler, and should read it.
func (*slowBody) Slow() {}

// Read implements io.Reader.
func (b *slowBody) Read(p []byte) (int, error) {
	if f := b.fault; f.For > 0 && !b.paused {
		if b.read >= f.After {
			b.paused = true
			if !b.pause(time.Duration(f.For)) {
				return 0, errCut
			}
		} else {
			p = p[:min(len(p), f.After-b.read)]
		}
	}
	rate := b.fault.Bandwidth
	if rate > 0 && b.left > 0 {
		p = p[:min(len(p), perBeat(rate))]
	}
	n, err := b.ReadCloser.Read(p)
	b.read += n
	if rate > 0 && n > 0 && !b.pause(time.Duration(n)*time.Second/time.Duration(rate)) {
		return n, errCut
	}
	return n, err
}

package podinfotest

import (
	"io"
	"net/http"
	"sync"
	"time"
)

// tee records what is read from a body.
type tee struct {
	io.ReadCloser
	m   *recorder
	rec *Request
	w   http.ResponseWriter
	r   *http.Request

	mu   sync.Mutex
	left int64 // bytes that remain to be read; negative if the length is unknown
	over bool  // nothing more is read
}

// Read implements io.Reader.
func (t *tee) Read(b []byte) (int, error) {
	n, err := t.ReadCloser.Read(b)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.left -= int64(n)
	t.over = t.over || err != nil || t.left == 0
	t.m.keep(t.rec, b[:n], t.left == 0 || err == io.EOF)
	t.m.expire(t.rec, err)
	return n, err
}

// uploadPatience is how long an upload may pause while the part that no handler has
// read is recorded.
const uploadPatience = time.Second

// readOn records what handlers have not read of a body, up to the bound, before the
// response ends: net/http reads as much itself. Left out are bodies that the client
// keeps until it is asked for them, and those over HTTP/2 without a length, which
// may wait for the response.
func (t *tee) readOn() {
	if t == nil || t.r.Header.Get("Expect") != "" || t.r.ProtoMajor == 2 && t.r.ContentLength < 0 {
		return
	}
	control, b := http.NewResponseController(t.w), make([]byte, 4<<10)
	for t.more() {
		_ = control.SetReadDeadline(time.Now().Add(uploadPatience)) // without it a client that stalls delays the response
		if _, err := t.Read(b); err != nil {
			return
		}
	}
}

// more reports whether more of the body can be read and is kept.
func (t *tee) more() bool {
	t.mu.Lock()
	over := t.over
	t.mu.Unlock()
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	return !over && !t.rec.dropped && len(t.rec.Body) < maxBody && t.m.bodies < maxBodies
}

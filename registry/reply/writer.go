package reply

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
)

// A Writer is the response writer of middleware that changes response bodies,
// such as one that compresses them:
//
//	rw := reply.NewWriter(w, r, m.start)
//	next(rw, r)
//	rw.Close()
//
// The call of Close is not deferred: after a panic of the handler the body is
// incomplete, and must not be ended as if it were complete.
//
// A Writer is for one request and, like any response writer, not for several
// goroutines.
type Writer struct {
	w     http.ResponseWriter
	r     *http.Request
	start func(status int, header http.Header, to io.Writer) io.WriteCloser

	begun bool           // the final status is known
	body  io.WriteCloser // nil while the body passes unchanged
}

// NewWriter returns a Writer for the response w to r.
//
// start is called when the final status is known and nothing has been sent, at
// most once. It may change header, and returns what the body is written to,
// which writes the changed body to its argument to, but not before start has
// returned. It returns nil to leave the response as it is, which is what
// middleware that encodes bodies does when header has a Content-Encoding. If
// it returns something, the Writer removes Content-Length. What it returns may
// have a method Flush, with or without an error, and its Close must not close
// to.
//
// start is not called for a response that cannot have a body (101, 204, 304),
// nor when the handler returns without writing. For a HEAD request it is called
// so that the header is that of GET, and to discards what it is given.
func NewWriter(w http.ResponseWriter, r *http.Request, start func(status int, header http.Header, to io.Writer) io.WriteCloser) *Writer {
	return &Writer{w: w, r: r, start: start}
}

// Header implements [http.ResponseWriter].
func (w *Writer) Header() http.Header { return w.w.Header() }

// Unwrap implements the convention of [http.ResponseController].
func (w *Writer) Unwrap() http.ResponseWriter { return w.w }

// WriteHeader implements [http.ResponseWriter]. A status of 1xx other than 101
// passes, and is followed by another one.
func (w *Writer) WriteHeader(status int) {
	if !w.begun && (status >= 200 || status == http.StatusSwitchingProtocols) {
		w.begun = true
		if status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified {
			w.begin(status)
		}
	}
	w.w.WriteHeader(status)
}

func (w *Writer) begin(status int) {
	to := io.Writer(w.w)
	if w.r.Method == http.MethodHead {
		to = io.Discard
	}
	if w.body = w.start(status, w.Header(), to); w.body != nil {
		w.Header().Del("Content-Length")
	}
}

// Write implements [http.ResponseWriter]. Like net/http it detects the
// Content-Type of a body whose header the handler did not write, before the
// body is changed.
func (w *Writer) Write(b []byte) (int, error) {
	if !w.begun {
		h := w.Header()
		if _, set := h["Content-Type"]; !set && len(b) > 0 && h.Get("Content-Encoding") == "" && h.Get("Transfer-Encoding") == "" {
			h.Set("Content-Type", http.DetectContentType(b))
		}
		w.WriteHeader(http.StatusOK)
	}
	if w.body != nil {
		return w.body.Write(b)
	}
	return w.w.Write(b)
}

// Flush implements [http.Flusher].
func (w *Writer) Flush() { w.FlushError() }

// FlushError sends what was written so far to the client.
func (w *Writer) FlushError() error {
	if !w.begun {
		w.WriteHeader(http.StatusOK)
	}
	var err error
	switch body := w.body.(type) {
	case interface{ Flush() error }:
		err = body.Flush()
	case http.Flusher:
		body.Flush()
	}
	return errors.Join(err, http.NewResponseController(w.w).Flush())
}

// Hijack implements [http.Hijacker], where the connection allows it.
func (w *Writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(w.w).Hijack()
	if err == nil {
		w.begun, w.body = true, nil
	}
	return conn, rw, err
}

// Close ends the changed body. Call it when the handler has returned, and not
// when it has panicked. The handler cannot write any more then. Close does
// nothing to a response that was left as it is.
func (w *Writer) Close() error {
	if w.body == nil {
		return nil
	}
	body := w.body
	w.body = closed{}
	return body.Close()
}

// closed is the body after Close.
type closed struct{}

func (closed) Write([]byte) (int, error) {
	return 0, errors.New("reply: write to a response whose handler has returned")
}

func (closed) Close() error { return nil }

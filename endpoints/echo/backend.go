package echo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/seed-4591fe7d/podinfo/internal/redact"
	"github.com/seed-4591fe7d/podinfo/registry/budget"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

// newTransport returns a transport with a bounded number of idle connections.
// It ignores HTTP_PROXY and similar variables.
func newTransport() *http.Transport {
	return &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		ForceAttemptHTTP2:   true,
		MaxIdleConns:        128,
		MaxIdleConnsPerHost: 32,
		IdleConnTimeout:     90 * time.Second,
		TLSHandshakeTimeout: 10 * time.Second,
	}
}

// forwarded are the headers of a request that are copied to the calls of
// backends. They propagate traces (B3, W3C Trace Context, OpenTracing).
var forwarded = []string{
	"X-Request-Id",
	"X-B3-Traceid", "X-B3-Spanid", "X-B3-Parentspanid", "X-B3-Sampled", "X-B3-Flags", "B3",
	"X-Ot-Span-Context",
	"Traceparent", "Tracestate", "Baggage",
}

func (m *Module) header(from http.Header) http.Header {
	h := http.Header{}
	for _, k := range forwarded {
		if v := from[k]; len(v) > 0 {
			h[k] = v
		}
	}
	h.Set("X-API-Version", m.build.Version)
	h.Set("X-API-Revision", m.build.Revision)
	return h
}

// call sends body to a backend and reads the response into to. The error says
// what to return to the client instead, or is budget.ErrExceeded.
func (m *Module) call(ctx context.Context, backend string, header http.Header, body, to *budget.Buffer) error {
	code, err := m.post(ctx, backend, header, body, to)
	if err != nil {
		to.Free()
	}
	switch {
	case errors.Is(err, budget.ErrExceeded):
		return err
	case err != nil:
		return fmt.Errorf("backend %s call failed %s", redact.Setting(backend), redact.Setting(err.Error()))
	case code >= http.StatusMultipleChoices && code < http.StatusBadRequest:
		return fmt.Errorf("backend %s response status code %d, redirects are not followed", redact.Setting(backend), code)
	case code >= http.StatusBadRequest:
		return fmt.Errorf("backend %s response status code %d", redact.Setting(backend), code)
	}
	return nil
}

func (m *Module) post(ctx context.Context, backend string, header http.Header, body, to *budget.Buffer) (code int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, backend, nil)
	if err != nil {
		return 0, err
	}
	req.Header = header.Clone()
	if body.Len() > 0 {
		var loan loan
		defer loan.end()
		req.ContentLength = int64(body.Len())
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(&lent{&loan, body.Reader()}), nil }
		req.Body, _ = req.GetBody()
	}
	res, err := m.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	if res.StatusCode >= http.StatusMultipleChoices {
		_, _ = io.CopyN(io.Discard, res.Body, 4096) // the client reuses a connection once its body is read
		return res.StatusCode, nil
	}
	_, err = to.ReadFrom(io.LimitReader(res.Body, min(m.MaxBytes, math.MaxInt64-1)+1))
	if int64(to.Len()) > m.MaxBytes {
		err = fmt.Errorf("response larger than %d bytes", m.MaxBytes)
	}
	return res.StatusCode, err
}

// loan is the time for which a transport may read a request's body. It may go on
// after RoundTrip has returned, but the memory is another request's then.
type loan struct {
	mu   sync.Mutex
	over bool
}

func (l *loan) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
}

// lent is a reader that reads until the end of the loan.
type lent struct {
	*loan
	io.Reader
}

func (l *lent) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return 0, http.ErrBodyReadAfterClose
	}
	return l.Reader.Read(p)
}

// response is what a backend returned.
type response struct {
	body *budget.Buffer
	err  error // replaces the body
}

// writeAll replies with a list of strings like reply.JSON, but writes each part
// of them as it is encoded: an encoded list would need as much memory again, and
// up to six times as much for bytes that have to be escaped.
func writeAll(w http.ResponseWriter, responses []response) {
	reply.Encoded(w, http.StatusOK, []byte("["))
	out := newStringWriter(w)
	for i, res := range responses {
		io.WriteString(w, separators[min(i, 1)])
		if res.err != nil {
			io.WriteString(out, res.err.Error())
		} else {
			res.body.WriteTo(out)
		}
		out.end()
		io.WriteString(w, `"`)
	}
	io.WriteString(w, "\n]")
}

// separators precede the first string and the others.
var separators = [...]string{"\n  \"", ",\n  \""}

// stringWriter escapes what is written to it for a JSON string.
type stringWriter struct {
	to      io.Writer
	left    []byte       // beginning of a rune
	encoded bytes.Buffer // of one piece
	encoder *json.Encoder
}

func newStringWriter(to io.Writer) *stringWriter {
	s := &stringWriter{to: to}
	s.encoder = json.NewEncoder(&s.encoded)
	return s
}

// pieceSize is how many bytes are encoded at a time.
const pieceSize = 4 << 10

// Write escapes p, except for an incomplete rune at its end.
func (s *stringWriter) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		piece := p[n:min(n+pieceSize, len(p))]
		n += len(piece)
		if len(s.left) > 0 {
			piece = append(s.left, piece...)
			s.left = nil
		}
		whole := len(piece) - len(incompleteRune(piece))
		s.left = slices.Clone(piece[whole:])
		err = s.encode(piece[:whole])
	}
	return n, err
}

// end escapes what is left of a string, which is no rune.
func (s *stringWriter) end() {
	s.encode(s.left)
	s.left = nil
}

func (s *stringWriter) encode(piece []byte) error {
	s.encoded.Reset()
	if err := s.encoder.Encode(string(piece)); err != nil {
		return err
	}
	quoted := s.encoded.Bytes()
	_, err := s.to.Write(quoted[1 : len(quoted)-len("\"\n")])
	return err
}

// incompleteRune returns the end of p if it may be the beginning of a rune.
func incompleteRune(p []byte) []byte {
	for i := 1; i < utf8.UTFMax && i <= len(p); i++ {
		if last := p[len(p)-i:]; utf8.RuneStart(last[0]) {
			if utf8.FullRune(last) {
				return nil
			}
			return last
		}
	}
	return nil
}

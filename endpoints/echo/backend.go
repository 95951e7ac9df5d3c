package echo

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"time"

	"github.com/seed-4591fe7d/podinfo/registry"
)

// newTransport keeps a bounded number of idle connections. Nothing else uses
// them, and the process's proxy variables do not apply.
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

// passed are the request's headers that its calls of backends carry on: they
// tie the spans of a trace together (B3, W3C Trace Context, OpenTracing), and
// steer it.
var passed = []string{
	"X-Request-Id",
	"X-B3-Traceid", "X-B3-Spanid", "X-B3-Parentspanid", "X-B3-Sampled", "X-B3-Flags", "B3",
	"X-Ot-Span-Context",
	"Traceparent", "Tracestate", "Baggage",
}

func (m *Module) header(from http.Header) http.Header {
	h := http.Header{}
	for _, k := range passed {
		if v := from[k]; len(v) > 0 {
			h[k] = v
		}
	}
	h.Set("X-API-Version", m.build.Version)
	h.Set("X-API-Revision", m.build.Revision)
	return h
}

// call is what a backend said to body, or what went wrong.
func (m *Module) call(ctx context.Context, backend string, header http.Header, body []byte) string {
	said, code, err := m.post(ctx, backend, header, body)
	switch {
	case err != nil:
		return registry.RedactURL(fmt.Sprintf("backend %s call failed %v", backend, err))
	case code >= http.StatusBadRequest:
		return registry.RedactURL(fmt.Sprintf("backend %s response status code %d", backend, code))
	}
	return string(said)
}

func (m *Module) post(ctx context.Context, backend string, header http.Header, body []byte) (said []byte, code int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, backend, bytes.NewReader(body))
	if err != nil {
		return nil, 0, err
	}
	req.Header = header.Clone() // a redirect adds to it
	res, err := m.client.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer res.Body.Close()
	if res.StatusCode >= http.StatusBadRequest {
		_, _ = io.CopyN(io.Discard, res.Body, 4096) // a connection that is read to the end is used again
		return nil, res.StatusCode, nil
	}
	said, err = io.ReadAll(io.LimitReader(res.Body, min(m.MaxBytes, math.MaxInt64-1)+1))
	if int64(len(said)) > m.MaxBytes {
		err = fmt.Errorf("response larger than %d bytes", m.MaxBytes)
	}
	return said, res.StatusCode, err
}

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

	"github.com/seed-4591fe7d/podinfo/internal/redact"
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

// call returns a backend's response to body, or a description of the error.
func (m *Module) call(ctx context.Context, backend string, header http.Header, body []byte) string {
	response, code, err := m.post(ctx, backend, header, body)
	switch {
	case err != nil:
		return fmt.Sprintf("backend %s call failed %s", redact.Setting(backend), redact.Setting(err.Error()))
	case code >= http.StatusMultipleChoices && code < http.StatusBadRequest:
		return fmt.Sprintf("backend %s response status code %d, redirects are not followed", redact.Setting(backend), code)
	case code >= http.StatusBadRequest:
		return fmt.Sprintf("backend %s response status code %d", redact.Setting(backend), code)
	}
	return string(response)
}

func (m *Module) post(ctx context.Context, backend string, header http.Header, body []byte) (response []byte, code int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, backend, bytes.NewReader(body))
	if err != nil {
		return nil, 0, err
	}
	req.Header = header.Clone()
	res, err := m.client.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer res.Body.Close()
	if res.StatusCode >= http.StatusMultipleChoices {
		_, _ = io.CopyN(io.Discard, res.Body, 4096) // the client reuses a connection once its body is read
		return nil, res.StatusCode, nil
	}
	response, err = io.ReadAll(io.LimitReader(res.Body, min(m.MaxBytes, math.MaxInt64-1)+1))
	if int64(len(response)) > m.MaxBytes {
		err = fmt.Errorf("response larger than %d bytes", m.MaxBytes)
	}
	return response, res.StatusCode, err
}

package proxy

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/VictoriaMetrics/metrics"

	"github.com/seed-4591fe7d/podinfo/internal/lazyregexp"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// reason is why the service did not respond.
type reason struct {
	label  string // value of the label reason
	text   string // what the service did, for the client
	status int
	broken bool // the connection broke after the request was sent
}

// The reasons, in the order in which reasonOf asks for them.
var reasons = []struct {
	reason
	is func(error) bool
}{
	{reason{"refused", "refuses connections", http.StatusBadGateway, false}, func(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }},
	{reason{"dns", "has a name that does not resolve", http.StatusBadGateway, false}, is[*net.DNSError]},
	{reason{"tls", "has no certificate that is trusted, or does not speak TLS", http.StatusBadGateway, false}, isTLS},
	{reason{"no_socket", "has no socket there", http.StatusBadGateway, false}, func(err error) bool { return errors.Is(err, os.ErrNotExist) }},
	{reason{"connect_timeout", "cannot be connected to in time (PODINFO_PROXY_CONNECT_TIMEOUT)", http.StatusGatewayTimeout, false}, func(err error) bool {
		return timedOut(err) && (dialing(err) || strings.Contains(err.Error(), "TLS handshake"))
	}},
	{reason{"unreachable", "cannot be reached", http.StatusBadGateway, false}, dialing},
	{reason{"response_timeout", "does not respond in time (PODINFO_PROXY_RESPONSE_TIMEOUT)", http.StatusGatewayTimeout, false}, timedOut},
	{reason{"stream", "ended the stream", 0, true}, func(err error) bool { _, ok := endOf(err); return ok }},
	{reason{"reset", "reset the connection", 0, true}, func(err error) bool { return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) }},
	{reason{"closed", "closed the connection", 0, true}, closed},
	{reason{"malformed", "sent what is not HTTP", http.StatusBadGateway, false}, func(error) bool { return true }},
}

func reasonOf(err error) reason {
	for _, r := range reasons {
		if r.is(err) {
			return r.reason
		}
	}
	panic("unreachable: the last reason is any")
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

func isTLS(err error) bool {
	return is[*tls.CertificateVerificationError](err) || is[x509.UnknownAuthorityError](err) || is[tls.RecordHeaderError](err) || errors.Is(err, http.ErrSchemeMismatch) || is[tls.AlertError](err)
}

func dialing(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}

func timedOut(err error) bool {
	t, ok := errors.AsType[net.Error](err)
	return ok && t.Timeout() || errors.Is(err, context.DeadlineExceeded)
}

// closed reports whether the service closed the connection. net/http exports no
// errors for one that was idle before, and for one that ended within the header.
func closed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		strings.Contains(err.Error(), "server closed idle connection") || strings.Contains(err.Error(), "malformed MIME header")
}

// ended matches the errors of net/http for a service that reset the stream, or sent
// a GOAWAY and did not serve the request. They have no exported types, and the error
// for a request whose body was sent has only the text of the other.
// TestEndsOfHTTP2 fails when a version of Go has other texts.
var ended = lazyregexp.New(`(cannot retry err .*)?(?:stream error: stream ID \d+; (.+); received from peer|GOAWAY .*ErrCode[=:]([^,]+)|graceful shutdown GOAWAY)`)

// streamEnd is how a service ended a stream of HTTP/2.
type streamEnd struct {
	code  int64 // for the client's stream, negative for none in particular
	reset bool  // by RST_STREAM
}

// endOf returns how the service ended the stream that err is about. A request that
// the service has not processed is refused, which tells the client that it may send
// it again (RFC 9113, section 8.7).
func endOf(err error) (end streamEnd, ok bool) {
	m := ended().FindStringSubmatch(err.Error())
	if m == nil {
		return streamEnd{code: -1}, false
	}
	end = streamEnd{-1, m[2] != ""}
	code := cmp.Or(m[2], m[3])
	if m[1] != "" {
		code = "REFUSED_STREAM"
	}
	end.code = int64(slices.Index(scenario.HTTP2Codes(), code))
	if hex, unknown := strings.CutPrefix(code, "unknown error code 0x"); unknown {
		if n, err := strconv.ParseUint(hex, 16, 32); err == nil {
			end.code = int64(n)
		}
	}
	if code == "NO_ERROR" && !end.reset { // the connection ended before the response
		end.code = -1
	}
	return end, true
}

// failures counts the requests that got no response, by reason.
type failures struct {
	counters map[string]*metrics.Counter // nil without a metrics module
}

func (f *failures) add(reason string) {
	if c := f.counters[reason]; c != nil {
		c.Inc()
	}
}

// ContributeMetrics adds the metrics of the proxy to set.
func (m *Module) ContributeMetrics(set *metrics.Set) {
	m.failures.counters = map[string]*metrics.Counter{}
	for _, r := range reasons {
		m.failures.counters[r.label] = set.NewCounter(`podinfo_proxy_failures_total{reason="` + r.label + `"}`)
	}
}

// DescribeMetrics describes the metrics.
func (*Module) DescribeMetrics() map[string]string {
	return map[string]string{"podinfo_proxy_failures_total": "Requests to the service behind the proxy that got no response, by reason. Faults are not among them."}
}

package faults

import (
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/bearer"
	"github.com/seed-4591fe7d/podinfo/internal/forwarded"
	"github.com/seed-4591fe7d/podinfo/internal/wait"
	"github.com/seed-4591fe7d/podinfo/registry/budget"
	"github.com/seed-4591fe7d/podinfo/registry/capability"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// maxBody is the length of the longest body that rules look into, in bytes.
const maxBody = 64 << 10

// values implements scenario.Values for a request. It parses the query, the token
// and the body on first use.
type values struct {
	*http.Request
	m      *Module
	w      http.ResponseWriter
	query  url.Values
	claims *claims
	body   *peeked
	left   bool // the client left while the request waited in a queue

	ahead    *budget.Buffer // the body, read before the request waited in a queue
	aheadErr error
}

func (v *values) Header(name string) []string { return v.Request.Header[name] }

func (v *values) Query(name string) []string { return v.queries()[name] }

func (v *values) queries() url.Values {
	if v.query == nil && v.URL.RawQuery != "" {
		v.query = v.URL.Query()
	}
	return v.query
}

// Names implements scenario.Names.
func (v *values) Names(query bool) map[string][]string {
	if query {
		return v.queries()
	}
	return v.Request.Header
}

func (v *values) Client() string {
	addr, _ := v.m.host.Client(v.Request)
	return addr
}

// Claims implements scenario.Payloads.
func (v *values) Claims(unverified bool) []byte {
	if v.claims == nil {
		v.claims = new(claims)
	}
	return v.claims.of(v.m, v.Request.Header["Authorization"], unverified)
}

// Body implements scenario.Payloads. It reads the body up to maxBody and replaces
// it with one that begins with the same bytes.
func (v *values) Body() (doc []byte, ok bool) {
	if v.body == nil {
		v.body = new(peeked)
		switch {
		case v.Request.Body == nil || v.Request.Body == http.NoBody:
			v.body.whole = true
		case v.ContentLength <= maxBody:
			v.body.err = v.body.read(v.m.host.Budget(), v.Request.Body)
			v.Request.Body = v.body
		}
		if !v.body.whole {
			v.m.noteUnread(v.Request)
		}
	}
	return v.body.start, v.body.whole
}

// noteUnread counts and logs a request that rules with match.json do not hit,
// because its body cannot be read.
func (m *Module) noteUnread(r *http.Request) {
	m.counts.addUnread()
	m.unread.do(time.Second, func() {
		m.host.Log.WithField("path", r.URL.Path).WithField("length", r.ContentLength).
			Warnf("rules with match.json do not hit a request: its body is longer than %d bytes or broke off", maxBody)
	})
}

// err returns why the request cannot be served.
func (v *values) err() error {
	if v.body == nil || v.body.err == nil {
		return v.aheadErr
	}
	return v.body.err
}

// free releases the memory of the body.
func (v *values) free() {
	if v.body != nil {
		v.body.free()
	}
	if v.ahead != nil {
		v.ahead.Close()
	}
}

// peeked is a request's body whose first bytes have been read.
type peeked struct {
	rest  io.ReadCloser
	start []byte // the whole body, nil if it cannot be read
	whole bool   // the body was read to its end
	err   error  // after which bytes of the body are missing

	mu     sync.Mutex // guards what follows against a handler that reads on after it returned
	first  *budget.Buffer
	reader io.Reader // nil once the memory is free
}

// read reads up to maxBody bytes of rest. It returns an error when the budget is
// used up, after which bytes are missing. Other errors are those of the reader.
func (b *peeked) read(from *budget.Budget, rest io.ReadCloser) error {
	b.rest, b.first = rest, from.Buffer()
	_, errRead := b.first.ReadFrom(io.LimitReader(rest, maxBody+1))
	if errRead == budget.ErrExceeded {
		return errRead
	}
	text, err := b.first.Bytes()
	if err != nil {
		return err
	}
	if errRead == nil && len(text) <= maxBody {
		b.start, b.whole = text, true
	}
	b.reader = io.MultiReader(b.first.Reader(), rest)
	if errRead != nil {
		b.reader = io.MultiReader(b.first.Reader(), failing{errRead})
	}
	return nil
}

// failing is a reader that returns an error.
type failing struct{ error }

func (f failing) Read([]byte) (int, error) { return 0, f.error }

// Read implements io.Reader.
func (b *peeked) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.reader == nil {
		return 0, http.ErrBodyReadAfterClose
	}
	return b.reader.Read(p)
}

// Close implements io.Closer.
func (b *peeked) Close() error { return b.rest.Close() }

func (b *peeked) free() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.first != nil {
		b.first.Close()
		b.first, b.reader, b.start = nil, nil, nil
	}
}

// claims are the claims of a request's bearer token, read on first use.
type claims struct {
	read     bool
	payload  []byte
	checked  bool
	verified bool
}

func (c *claims) of(m *Module, authorization []string, unverified bool) []byte {
	token, err := bearer.FromValues(authorization)
	if err != nil {
		return nil
	}
	if !unverified && !c.checked {
		c.checked = true
		c.verified = slices.ContainsFunc(m.tokens, func(v capability.TokenVerifier) bool { return v.VerifyToken(token) == nil })
	}
	if !unverified && !c.verified {
		return nil
	}
	if !c.read {
		c.read = true
		if parts := strings.Split(token, "."); len(parts) == 3 {
			c.payload, _ = base64.RawURLEncoding.DecodeString(parts[1]) // nil or a part of it, which is not JSON, after an error
		}
	}
	return c.payload
}

// callValues implements scenario.Values for a call.
type callValues struct {
	*rpc.Call
	m      *Module
	ctx    context.Context
	claims claims
	left   bool
}

func (v *callValues) Header(name string) []string { return v.Metadata(name) }
func (v *callValues) Query(string) []string       { return nil }
func (v *callValues) Client() string              { return v.m.host.Caller(v.Call) }
func (v *callValues) Body() ([]byte, bool)        { return nil, true }

// Claims implements scenario.Payloads.
func (v *callValues) Claims(unverified bool) []byte {
	return v.claims.of(v.m, v.Metadata("authorization"), unverified)
}

// Wait implements scenario.Waiter.
func (v *values) Wait(turn <-chan struct{}, most time.Duration) bool {
	wait.ExtendAll(v.w, v.Request, most)
	if v.ahead == nil {
		if v.ahead, v.aheadErr = v.m.readAhead(v.Request); v.aheadErr != nil {
			return false
		}
	}
	ok := await(v.Context(), turn, most)
	v.left = !ok && v.Context().Err() != nil
	return ok
}

// Wait implements scenario.Waiter.
func (v *callValues) Wait(turn <-chan struct{}, most time.Duration) bool {
	ok := await(v.ctx, turn, most)
	v.left = !ok && v.ctx.Err() != nil
	return ok
}

// await waits until turn is closed. It returns false when the time is over or ctx
// has ended.
func await(ctx context.Context, turn <-chan struct{}, most time.Duration) bool {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-turn:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

// hostOf returns the header Host without its port, which it rarely has.
func hostOf(header string) string {
	if !strings.Contains(header, ":") {
		return header
	}
	return forwarded.Host(header)
}

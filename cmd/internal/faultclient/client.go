// Package faultclient is what podcli and kubectl-podinfo have in common: the client
// of the faults API, and scenario files with their mistakes.
package faultclient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/suggest"
)

// maxResponse is the longest accepted response of the faults API in bytes. It is
// enough for the largest scenario, 1 MiB, with its counters.
const maxResponse = 64 << 20

// Client is a client of the faults API on a server's metrics port.
type Client struct {
	HTTP      *http.Client
	Base      *url.URL
	Name      string // of the server in errors
	Token     string // "" for none
	TokenHint string // how to give a token
	UserAgent string
	Timeout   time.Duration // of each request
}

// ReadToken returns the token in a file.
func ReadToken(file string) (string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("--token-file: %w", err)
	}
	token := strings.TrimSpace(string(b))
	if token == "" {
		return "", fmt.Errorf("--token-file: %s is empty", file)
	}
	return token, nil
}

// Kind says in a word or two why a request failed.
type Kind string

// The kinds of errors.
const (
	NoResponse   Kind = "no response"
	Unauthorized Kind = "unauthorized"
	NoAPI        Kind = "no faults API"
	Rejected     Kind = "rejected"
)

// Error is a failed request.
type Error struct {
	Kind Kind
	err  error
}

func (e *Error) Error() string { return e.err.Error() }
func (e *Error) Unwrap() error { return e.err }

// ErrChanged means that the server's rules no longer have the expected etag.
var ErrChanged = errors.New("the rules on the server have changed in the meantime")

// Call sends a request. path is below /faults. If etag is not "", the server must
// reject the request unless its scenario has that etag. The error is ErrChanged then,
// and otherwise wraps an [Error].
func (c *Client) Call(ctx context.Context, method, path, etag string, body []byte) (*Rules, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, c.Base.JoinPath("faults"+path).String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", c.UserAgent)
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	if etag != "" {
		req.Header.Set("If-Match", quoted(etag))
	}
	res, err := c.HTTP.Do(req)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxResponse))
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	if res.StatusCode != http.StatusOK {
		return nil, c.statusError(res.StatusCode, path, text)
	}
	return c.decode(res.Header.Get("ETag"), text)
}

// Remove removes the named rules, or all rules when there are no names. It removes
// nothing if one of the rules does not exist. If it fails after removing some rules,
// it returns the remaining ones together with the error.
func (c *Client) Remove(ctx context.Context, rules *Rules, names []string) (left *Rules, err error) {
	if len(names) == 0 {
		return c.Call(ctx, "DELETE", "", "", nil)
	}
	existing := rules.Names()
	for _, name := range names {
		if !slices.Contains(existing, name) {
			return nil, fmt.Errorf("%s has no rule %q%s", c.Name, name, suggest.Word(name, existing))
		}
	}
	names = slices.Sorted(slices.Values(names))
	for _, name := range slices.Compact(names) {
		next, err := c.Call(ctx, "DELETE", RulePath(name), rules.ETag, nil)
		if err != nil {
			return left, fmt.Errorf("removing %s: %w", name, err)
		}
		left, rules = next, next
	}
	return left, nil
}

// quoted returns an entity tag as in a header (RFC 9110, section 8.8.3).
func quoted(etag string) string {
	if etag == "*" || strings.Contains(etag, `"`) {
		return etag
	}
	return `"` + etag + `"`
}

// Cause is an error of a connection that says all that matters. What net/http adds to
// it, such as the name of a function, is left out.
type Cause string

// Error implements error.
func (c Cause) Error() string { return string(c) }

// unreachable returns the error of a request without a response.
func (c *Client) unreachable(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return &Error{NoResponse, fmt.Errorf("%s: no response within %s", c.Name, c.Timeout)}
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if cause, ok := errors.AsType[Cause](err); ok {
		err = cause
	}
	return &Error{NoResponse, fmt.Errorf("%s: %w", c.Name, err)}
}

// statusError returns the error for a response with an error status, and says what
// to do about it.
func (c *Client) statusError(status int, path string, text []byte) error {
	var problem struct{ Message string }
	if err := json.Unmarshal(text, &problem); err != nil || problem.Message == "" {
		problem.Message = http.StatusText(status)
	}
	switch {
	case status == http.StatusPreconditionFailed:
		return ErrChanged
	case status == http.StatusUnauthorized && c.Token == "":
		return &Error{Unauthorized, fmt.Errorf("%s requires a token: use %s", c.Name, c.TokenHint)}
	case status == http.StatusUnauthorized:
		return &Error{Unauthorized, fmt.Errorf("%s rejected the token: %s", c.Name, problem.Message)}
	case status == http.StatusNotFound && !strings.HasPrefix(path, "/rules/"):
		return &Error{NoAPI, fmt.Errorf("%s has no faults API: use the metrics port of a server with PODINFO_FAULTS_ADMIN=true", c.Name)}
	}
	return &Error{Rejected, fmt.Errorf("%s responded with status %d: %s", c.Name, status, strings.ReplaceAll(problem.Message, "\n", "; "))}
}

// decode decodes a response.
func (c *Client) decode(etag string, text []byte) (*Rules, error) {
	rules := new(Rules)
	if err := json.Unmarshal(text, rules); err != nil || etag == "" {
		return nil, &Error{NoAPI, fmt.Errorf("%s did not respond as the faults API does", c.Name)}
	}
	rules.ETag = strings.Trim(etag, `"`)
	for i := range rules.Rules {
		var named struct{ Name string }
		if err := json.Unmarshal(rules.Rules[i].Rule, &named); err != nil {
			return nil, &Error{NoAPI, fmt.Errorf("%s: rule #%d: %w", c.Name, i+1, err)}
		}
		rules.Rules[i].Name = named.Name
	}
	return rules, nil
}

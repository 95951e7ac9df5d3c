package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// maxBody is how many bytes of a response --expect-body examines.
const maxBody = 10 << 20

// httpCheck is the command check http.
type httpCheck struct {
	request *requestFlags
	token   *tokenFlag
	tls     *tlsFlags
	status  statuses
	body    pattern
}

func checkHTTP() *command {
	c := newCommand("http", "ADDR", "Check that an HTTP(S) URL returns the expected status.")
	c.details = "ADDR without a scheme means http://ADDR. Redirects are followed, unless\n--expect-status lists the redirect's status as a single code."
	c.examples = []string{
		"podcli check http localhost:9898/readyz --retry 3 --delay 2s",
		"podcli check http https://localhost:9899/status/404 --expect-status 404 --cacert ca.crt",
		`podcli check http localhost:9898/api/info --header 'Accept: application/json' --expect-body '/"version": ?"6\./'`,
		"podcli check http localhost:9898/token/validate --token-url localhost:9898/token --expect-body podcli",
	}
	h := &httpCheck{request: addRequest(c.flags), token: addTokenURL(c.flags), tls: addTLS(c.flags), status: statuses{{200, 399}}}
	c.flags.Var(&h.status, "expect-status", "expected status: `200`, 2xx, 200-399, or a comma-separated list of these")
	c.flags.Var(&h.body, "expect-body", "expected text in the response body, or a `/regexp/` that it must match")
	return newCheck(c, h.start)
}

func (h *httpCheck) start(arg string) (string, probe, error) {
	u, err := parseURL(arg, "http", "https")
	if err != nil {
		return "", nil, err
	}
	conf, err := h.tls.config()
	if err != nil {
		return "", nil, err
	}
	client := &http.Client{CheckRedirect: h.redirect, Transport: &http.Transport{
		Proxy:             http.ProxyFromEnvironment,
		TLSClientConfig:   conf,
		ForceAttemptHTTP2: true,
		DisableKeepAlives: true, // a new connection for each attempt
	}}
	return u.Redacted(), func(ctx context.Context) (facts, error) { return h.try(ctx, client, u) }, nil
}

func (h *httpCheck) try(ctx context.Context, client *http.Client, u *url.URL) (facts, error) {
	req, err := h.request.build(ctx, u)
	if err != nil {
		return nil, err
	}
	if err := h.token.authorize(ctx, client, req); err != nil {
		return nil, err
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	found := facts{{"status", res.StatusCode}}
	if res.ContentLength >= 0 {
		found = append(found, fact{"size", res.ContentLength})
	}
	if !h.status.has(res.StatusCode) {
		return found, fmt.Errorf("expected status %s, got %d", &h.status, res.StatusCode)
	}
	if h.body.text == "" {
		return found, nil
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBody))
	if err != nil {
		return found, fmt.Errorf("reading the response: %w", err)
	}
	return found, h.body.match(body)
}

func (h *httpCheck) redirect(req *http.Request, via []*http.Request) error {
	if h.status.lists(req.Response.StatusCode) {
		return http.ErrUseLastResponse
	}
	if len(via) >= 10 {
		return errors.New("stopped after 10 redirects")
	}
	return nil
}

// statuses is a list of ranges of status codes. Both ends are included.
type statuses [][2]int

func (s *statuses) Type() string { return "codes" }

func (s *statuses) String() string {
	var parts []string
	for _, r := range *s {
		p := strconv.Itoa(r[0])
		if r[0] != r[1] {
			p += "-" + strconv.Itoa(r[1])
		}
		parts = append(parts, p)
	}
	return strings.Join(parts, ",")
}

func (s *statuses) Set(list string) error {
	*s = nil
	for part := range strings.SplitSeq(list, ",") {
		r, ok := statusRange(strings.TrimSpace(part))
		if !ok {
			return fmt.Errorf("%q is not a status: want 200, 2xx or 200-399", part)
		}
		*s = append(*s, r)
	}
	return nil
}

func statusRange(s string) ([2]int, bool) {
	low, high, isRange := strings.Cut(s, "-")
	if class, ok := strings.CutSuffix(strings.ToLower(s), "xx"); ok {
		low, high, isRange = class+"00", class+"99", true
	}
	if !isRange {
		high = low
	}
	from, err1 := strconv.Atoi(low)
	to, err2 := strconv.Atoi(high)
	return [2]int{from, to}, err1 == nil && err2 == nil && 100 <= from && from <= to && to <= 999
}

func (s statuses) has(code int) bool {
	for _, r := range s {
		if r[0] <= code && code <= r[1] {
			return true
		}
	}
	return false
}

// lists reports whether code is in the list as a single code.
func (s statuses) lists(code int) bool {
	for _, r := range s {
		if r == [2]int{code, code} {
			return true
		}
	}
	return false
}

// pattern is a text, or a regular expression between slashes.
type pattern struct {
	text   string
	regexp *regexp.Regexp
}

func (p *pattern) Type() string   { return "text" }
func (p *pattern) String() string { return p.text }

func (p *pattern) Set(s string) (err error) {
	*p = pattern{text: s}
	if len(s) > 2 && s[0] == '/' && s[len(s)-1] == '/' {
		p.regexp, err = regexp.Compile(s[1 : len(s)-1])
	}
	return err
}

func (p *pattern) match(body []byte) error {
	switch {
	case p.regexp != nil && !p.regexp.Match(body):
		return fmt.Errorf("the response does not match %s", p.text)
	case p.regexp == nil && !strings.Contains(string(body), p.text):
		return fmt.Errorf("the response does not contain %q", p.text)
	}
	return nil
}

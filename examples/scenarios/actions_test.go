package scenarios_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// request is an action: it sends an HTTP request and sees the status of the
// response, what shows names, or what went wrong.
type request struct {
	method, path, body string
	headers            []string
	shows              []string // names of response headers, or of what shown knows
	transport          func(*client) *http.Transport
	patience           time.Duration // longest time, 0 for no limit
}

func get(path string, headers ...string) request {
	return request{method: "GET", path: path, headers: headers, transport: func(c *client) *http.Transport { return c.once }}
}

func send(method, path, body string, headers ...string) request {
	q := get(path, headers...)
	q.method, q.body = method, body
	return q
}

// show adds response headers, or what shown knows, to the status.
func (q request) show(names ...string) request { q.shows = names; return q }

// within limits the time of the request.
func (q request) within(d time.Duration) request { q.patience = d; return q }

// pooled sends the request on a connection that the client has kept.
func (q request) pooled() request {
	q.transport = func(c *client) *http.Transport { return c.http1 }
	return q
}

// overHTTP2 sends the request over HTTP/2.
func (q request) overHTTP2() request {
	q.transport = func(c *client) *http.Transport { return c.http2 }
	return q
}

func (q request) act(c *client) []string {
	ctx := context.Background()
	if q.patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, q.patience)
		defer cancel()
	}
	req, err := http.NewRequestWithContext(ctx, q.method, c.srv.URL+q.path, strings.NewReader(q.body))
	if err != nil {
		return []string{err.Error()}
	}
	for i := 0; i+1 < len(q.headers); i += 2 {
		req.Header.Set(q.headers[i], q.headers[i+1])
	}
	res, err := (&http.Client{Transport: q.transport(c)}).Do(req)
	if err != nil {
		return []string{problem(err)}
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return []string{problem(err)}
	}
	out := fmt.Sprint(res.StatusCode)
	for _, name := range q.shows {
		out += " " + shown(c, res, body, name)
	}
	return []string{out}
}

// shown returns a response header, or a fact about the response: its body, the size
// of the body, the wrong bits of a page, whether the client is to leave the
// connection, or how many connections were made so far.
func shown(c *client, res *http.Response, body []byte, name string) string {
	switch name {
	case "body":
		return string(body)
	case "size":
		return fmt.Sprint(len(body))
	case "leave":
		if res.Close {
			return "and leave"
		}
		return "and stay"
	case "connections":
		return fmt.Sprintf("on %d connections", c.srv.Connections())
	case "wrong bits":
		n := 0
		for _, b := range body {
			for b ^= 'x'; b != 0; b &= b - 1 {
				n++
			}
		}
		return fmt.Sprintf("%d wrong bits", n)
	}
	return res.Header.Get(name)
}

var (
	streamReset = regexp.MustCompile(`stream error: .*; ([A-Z_]+)`)
	goneAway    = regexp.MustCompile(`GOAWAY and closed the connection; .*ErrCode=([A-Z_]+)`)
)

// problem names what a client saw in place of a complete response.
func problem(err error) string {
	text := err.Error()
	if m := streamReset.FindStringSubmatch(text); m != nil {
		return "RST_STREAM " + m[1]
	}
	if m := goneAway.FindStringSubmatch(text); m != nil {
		return "GOAWAY " + m[1]
	}
	for _, p := range []struct {
		is   bool
		name string
	}{
		{errors.Is(err, syscall.ECONNRESET), "reset"},
		{errors.Is(err, context.DeadlineExceeded), "timeout"},
		{errors.Is(err, io.ErrUnexpectedEOF), "cut short"},
		{errors.Is(err, io.EOF), "no response"},
		{strings.Contains(text, "malformed HTTP"), "not HTTP"},
		{strings.Contains(text, "chunk"), "bad chunk"},
		{strings.Contains(text, "gzip:"), "not gzip"},
		{strings.Contains(text, "stopped after 10 redirects"), "too many redirects"},
		{strings.Contains(text, "closed"), "no response"},
	} {
		if p.is {
			return p.name
		}
	}
	return text
}

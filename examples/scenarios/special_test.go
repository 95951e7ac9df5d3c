package scenarios_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"time"
)

// bursts is an action: it sends requests and sees the lengths of the runs of
// errors, short up to three.
type bursts struct {
	request
	n int
}

func (q bursts) act(c *client) (out []string) {
	length := 0
	for range q.n {
		failed := q.request.act(c)[0] != "200"
		switch {
		case failed:
			length++
			continue
		case length > 3:
			out = append(out, "long")
		case length > 0:
			out = append(out, "short")
		}
		length = 0
	}
	return out
}

// pool is an action of a client without timeouts: it sends requests on a pool of
// connections until each of them waits.
type pool struct {
	request
	size int
}

func (q pool) act(c *client) []string {
	ctx, cancel := context.WithCancel(context.Background())
	tr := &http.Transport{DialContext: c.srv.DialContext, MaxConnsPerHost: q.size}
	defer tr.CloseIdleConnections()
	client, done := &http.Client{Transport: tr}, make(chan error)
	const n = 300
	for range n {
		go func() {
			req, _ := http.NewRequestWithContext(ctx, q.method, c.srv.URL+q.path, nil)
			res, err := client.Do(req)
			if err == nil {
				res.Body.Close()
			}
			done <- err
		}()
	}
	out := []string{"pool used up"}
	for i := range n {
		select {
		case <-done:
		case <-time.After(time.Hour):
			cancel()
			<-done
		}
		if i == n-1 && ctx.Err() == nil {
			out = []string{"all served"}
		}
	}
	cancel()
	return out
}

// unlucky is an action: n users send a request each, and it sees which of them fail.
type unlucky struct{ n int }

func (q unlucky) act(c *client) (out []string) {
	for i := range q.n {
		user := fmt.Sprint(i)
		if seen := get("/api/info", "X-User", user).pooled().act(c)[0]; seen == "503" {
			out = append(out, user)
		}
	}
	return []string{fmt.Sprint(strings.Join(out, " "), " of ", q.n, " fail")}
}

// balanced is an action: it sends a request to each of two replicas in turn.
type balanced struct{ request }

func (q balanced) act(c *client) []string {
	return append(q.request.act(c), q.request.act(c.replica)...)
}

// interim is an action: it sees the interim responses before the final one, and
// its Link.
type interim struct{ request }

func (q interim) act(c *client) (out []string) {
	ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{Got1xxResponse: func(code int, _ textproto.MIMEHeader) error {
		out = append(out, fmt.Sprint(code))
		return nil
	}})
	req, err := http.NewRequestWithContext(ctx, q.method, c.srv.URL+q.path, nil)
	if err != nil {
		return []string{err.Error()}
	}
	res, err := c.once.RoundTrip(req)
	if err != nil {
		return append(out, problem(err))
	}
	res.Body.Close()
	return append(out, fmt.Sprint(res.StatusCode, " ", res.Header.Get("Link")))
}

// arrived is an action: it sees how many requests for a path have arrived at the
// server.
type arrived struct{ path string }

func (q arrived) act(c *client) []string {
	return []string{fmt.Sprint(len(c.srv.Requests(q.path)), " attempts")}
}

// bearer returns the Authorization of a token of a tenant.
func bearer(tenant string) string {
	part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	return "Bearer " + part(`{"alg":"none"}`) + "." + part(fmt.Sprintf(`{"tenant_id":%q}`, tenant)) + ".x"
}

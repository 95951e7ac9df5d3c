// Package http1 sends the same request again and again over one unencrypted HTTP/1.1
// connection.
//
// net/http's client hands each request to two goroutines of the connection and back,
// which costs more CPU time than the rest of a load generator. This client writes
// and reads in the goroutine that calls it.
package http1

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"time"
)

// Client sends requests over one connection, which it opens when needed. It is
// not for concurrent use.
type Client struct {
	request *http.Request
	encoded []byte
	address string
	timeout time.Duration

	conn    net.Conn
	reader  *bufio.Reader
	release func() bool // detaches conn from the context
}

// New returns a client that sends request, each time within timeout.
func New(request *http.Request, timeout time.Duration) (*Client, error) {
	if u := request.URL; u.User != nil && request.Header.Get("Authorization") == "" {
		password, _ := u.User.Password()
		request.SetBasicAuth(u.User.Username(), password)
	}
	var encoded bytes.Buffer
	if err := request.Write(&encoded); err != nil {
		return nil, err
	}
	address := request.URL.Host
	if request.URL.Port() == "" {
		address = net.JoinHostPort(request.URL.Hostname(), "80")
	}
	return &Client{request: request, encoded: encoded.Bytes(), address: address, timeout: timeout}, nil
}

// Do sends the request and returns the status of the response and the number of
// bytes in its body. Without a response in time the error is
// context.DeadlineExceeded. The end of ctx closes the connection; ctx has to be the
// same for all calls.
//
// As in net/http, a request that finds that the server has closed the connection
// since the last response is sent again over a new one, if its method is idempotent.
func (c *Client) Do(ctx context.Context) (status int, size int64, err error) {
	deadline := time.Now().Add(c.timeout)
	reused := c.conn != nil
	status, size, err = c.try(ctx, deadline)
	if errors.Is(err, errNoResponse) && reused && c.idempotent() && ctx.Err() == nil {
		status, size, err = c.try(ctx, deadline)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = context.DeadlineExceeded
	}
	return status, size, err
}

// errNoResponse is in the error of a connection that ended before a response.
var errNoResponse = errors.New("the connection ended before the response")

func (c *Client) idempotent() bool {
	return slices.Contains([]string{"GET", "HEAD", "OPTIONS", "TRACE"}, c.request.Method)
}

func (c *Client) try(ctx context.Context, deadline time.Time) (status int, size int64, err error) {
	if err := c.connect(ctx, deadline); err != nil {
		return 0, 0, err
	}
	keep := false
	defer func() {
		if !keep {
			c.Close()
		}
	}()
	c.conn.SetDeadline(deadline)
	if _, err := c.conn.Write(c.encoded); err != nil {
		return 0, 0, noResponse(err)
	}
	if _, err := c.reader.Peek(1); err != nil {
		return 0, 0, noResponse(err)
	}
	res, err := c.final()
	if err != nil {
		return 0, 0, err
	}
	defer res.Body.Close()
	if size, err = io.Copy(io.Discard, res.Body); err != nil {
		return 0, size, err
	}
	keep = !res.Close && res.StatusCode != http.StatusSwitchingProtocols
	return res.StatusCode, size, nil
}

// noResponse marks err unless it is a timeout.
func noResponse(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return unanswered{err}
}

// unanswered has the text of the error in it, which says more than errNoResponse.
type unanswered struct{ error }

func (e unanswered) Unwrap() error        { return e.error }
func (e unanswered) Is(target error) bool { return target == errNoResponse }

// final returns the response after any interim ones.
func (c *Client) final() (*http.Response, error) {
	for {
		res, err := http.ReadResponse(c.reader, c.request)
		if err != nil || res.StatusCode >= 200 || res.StatusCode == http.StatusSwitchingProtocols {
			return res, err
		}
	}
}

func (c *Client) connect(ctx context.Context, deadline time.Time) error {
	if c.conn != nil {
		return nil
	}
	dialer := net.Dialer{Deadline: deadline}
	conn, err := dialer.DialContext(ctx, "tcp", c.address)
	if err != nil {
		if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
			return os.ErrDeadlineExceeded
		}
		return err
	}
	c.conn, c.reader = conn, bufio.NewReader(conn)
	c.release = context.AfterFunc(ctx, func() { conn.Close() })
	return nil
}

// Close closes the connection.
func (c *Client) Close() {
	if c.conn != nil {
		c.release()
		c.conn.Close()
		c.conn = nil
	}
}

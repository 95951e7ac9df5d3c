// Package grpcclient calls gRPC methods with net/http's HTTP/2 client.
//
// It replaces google.golang.org/grpc, which adds 4 MB to the binary and about a
// millisecond to each start, as much as the rest of podcli. That matters for an exec
// probe, which starts every few seconds. A call is simple: a POST, messages with a
// five-byte header in each direction, and the status in the trailers
// (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md).
package grpcclient

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// MaxMessage is the longest accepted response in bytes. It is the default of
// gRPC's own clients.
const MaxMessage = 4 << 20

const (
	headerSize  = 5        // compressed flag and length, before each message
	maxTimeout  = 99999999 // the grpc-timeout header has eight digits
	contentType = "application/grpc"
)

// Client calls one server over one connection, also when calls are concurrent.
type Client struct {
	http *http.Client
	base string
}

// New returns a client for addr, which is host:port. Without a TLS configuration the
// client uses unencrypted HTTP/2 with prior knowledge. It connects on the first call.
func New(addr string, conf *tls.Config) (*Client, error) {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return nil, err
	}
	t := &http.Transport{
		TLSClientConfig: conf, Protocols: new(http.Protocols),
		MaxConnsPerHost: 1, HTTP2: &http.HTTP2Config{StrictMaxConcurrentRequests: true},
	}
	scheme := "https://"
	if conf == nil {
		scheme = "http://"
	}
	t.Protocols.SetHTTP2(conf != nil)
	t.Protocols.SetUnencryptedHTTP2(conf == nil)
	return &Client{http: &http.Client{Transport: t, CheckRedirect: noRedirects}, base: scheme + addr}, nil
}

func noRedirects(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// Close closes the connection if it is idle.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Call calls a method, such as "grpc.health.v1.Health/Check", with the encoded
// message in and returns the encoded response. The error is a *Status when the
// server responds with a status other than OK. Call passes the deadline of ctx on to
// the server.
func (c *Client) Call(ctx context.Context, method string, header http.Header, in []byte) ([]byte, error) {
	res, err := c.open(ctx, method, header, bytes.NewReader(frame(in)))
	if err != nil {
		return nil, orDeadline(ctx, err)
	}
	defer res.Body.Close()
	out, err := readResponse(res)
	return out, orDeadline(ctx, err)
}

// orDeadline returns context.DeadlineExceeded in place of an error that came after the
// deadline: the server, which knows it too, may have ended the call first.
func orDeadline(ctx context.Context, err error) error {
	if deadline, ok := ctx.Deadline(); ok && err != nil && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	return err
}

// open sends the request of a call and returns the response, whose body is still to
// be read.
func (c *Client) open(ctx context.Context, method string, header http.Header, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+"/"+method, body)
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("TE", "trailers")
	if deadline, ok := ctx.Deadline(); ok {
		// Rounded up, so that the client times out before the server.
		left := min(max(time.Until(deadline).Milliseconds(), 0)+1, maxTimeout)
		req.Header.Set("Grpc-Timeout", strconv.FormatInt(left, 10)+"m")
	}
	res, err := c.http.Do(req)
	if outer, ok := errors.AsType[*url.Error](err); ok {
		return nil, outer.Err // without the URL, which the caller did not give
	}
	return res, err
}

func frame(message []byte) []byte {
	header := make([]byte, headerSize, headerSize+len(message))
	binary.BigEndian.PutUint32(header[1:], uint32(len(message)))
	return append(header, message...)
}

// readResponse reads the message and the status, which is in the trailers, or in the
// header of a response without a message.
func readResponse(res *http.Response) ([]byte, error) {
	if err := checkContentType(res); err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, headerSize+MaxMessage+1))
	if err != nil {
		return nil, err
	}
	if len(body) > headerSize+MaxMessage {
		return nil, fmt.Errorf("response larger than %d bytes", MaxMessage)
	}
	status, err := readStatus(res)
	if err != nil {
		return nil, err
	}
	if status.Code != 0 {
		return nil, status
	}
	if len(body) < headerSize || int(binary.BigEndian.Uint32(body[1:])) != len(body)-headerSize {
		return nil, errors.New("not a gRPC response: not exactly one message")
	}
	if body[0] != 0 {
		return nil, errors.New("unexpected compressed response")
	}
	return body[headerSize:], nil
}

func checkContentType(res *http.Response) error {
	if got := res.Header.Get("Content-Type"); res.StatusCode != http.StatusOK || !strings.HasPrefix(got, contentType) {
		return fmt.Errorf("not a gRPC response: HTTP %s, content type %q", res.Status, got)
	}
	return nil
}

func readStatus(res *http.Response) (*Status, error) {
	from := res.Trailer
	if from.Get("Grpc-Status") == "" {
		from = res.Header
	}
	code, err := strconv.ParseUint(from.Get("Grpc-Status"), 10, 31)
	if err != nil {
		return nil, errors.New("not a gRPC response: no status")
	}
	message := from.Get("Grpc-Message")
	if plain, err := url.PathUnescape(message); err == nil {
		message = plain
	}
	return &Status{Code: int(code), Message: message}, nil
}

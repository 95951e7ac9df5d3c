// Package grpcwire calls unary gRPC methods with net/http's HTTP/2 client.
//
// It stands in for google.golang.org/grpc, whose packages initialise
// themselves for about a millisecond at each start, as long as all the rest of
// podcli takes, and weigh 4 MB. An exec probe pays that every few seconds. A
// unary call is small on the wire: one POST, one message behind a five-byte
// head each way, and the status in the trailers
// (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md).
package grpcwire

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

// MaxMessage is the size in bytes of the longest answer that is read: what
// gRPC's own clients accept by default.
const MaxMessage = 4 << 20

const (
	headSize    = 5        // compressed flag and length, before each message
	maxTimeout  = 99999999 // the grpc-timeout header has eight digits
	contentType = "application/grpc"
)

// Client calls one server over one connection.
type Client struct {
	http *http.Client
	base string
}

// New returns a client of addr, a host and a port. Without a TLS configuration
// it speaks HTTP/2 in the clear, by prior knowledge. It connects at the first
// call.
func New(addr string, conf *tls.Config) (*Client, error) {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return nil, err
	}
	t := &http.Transport{TLSClientConfig: conf, Protocols: new(http.Protocols)}
	scheme := "https://"
	if conf == nil {
		scheme = "http://"
	}
	t.Protocols.SetHTTP2(conf != nil)
	t.Protocols.SetUnencryptedHTTP2(conf == nil)
	return &Client{http: &http.Client{Transport: t, CheckRedirect: stay}, base: scheme + addr}, nil
}

func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// Close ends the connection once it is idle.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Call sends the encoded message in to a method, such as
// "grpc.health.v1.Health/Check", and returns the encoded answer. An answer
// that is not OK is a *Status. The deadline of ctx is told to the server.
func (c *Client) Call(ctx context.Context, method string, header http.Header, in []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+"/"+method, bytes.NewReader(frame(in)))
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("TE", "trailers")
	if deadline, ok := ctx.Deadline(); ok {
		// Rounded up, so that the client gives up first and knows why.
		left := min(max(time.Until(deadline).Milliseconds(), 0)+1, maxTimeout)
		req.Header.Set("Grpc-Timeout", strconv.FormatInt(left, 10)+"m")
	}
	res, err := c.http.Do(req)
	if outer, ok := errors.AsType[*url.Error](err); ok {
		return nil, outer.Err // without the URL, which the caller did not give
	}
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	return answer(res)
}

func frame(message []byte) []byte {
	head := make([]byte, headSize, headSize+len(message))
	binary.BigEndian.PutUint32(head[1:], uint32(len(message)))
	return append(head, message...)
}

// answer reads the message and then the status, which comes after it, or
// alone in the header.
func answer(res *http.Response) ([]byte, error) {
	if kind := res.Header.Get("Content-Type"); res.StatusCode != http.StatusOK || !strings.HasPrefix(kind, contentType) {
		return nil, fmt.Errorf("not a gRPC answer: HTTP %s, content type %q", res.Status, kind)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, headSize+MaxMessage+1))
	if err != nil {
		return nil, err
	}
	if len(body) > headSize+MaxMessage {
		return nil, fmt.Errorf("an answer above %d bytes", MaxMessage)
	}
	status, err := readStatus(res)
	if err != nil {
		return nil, err
	}
	if status.Code != 0 {
		return nil, status
	}
	if len(body) < headSize || int(binary.BigEndian.Uint32(body[1:])) != len(body)-headSize {
		return nil, errors.New("not a gRPC answer: not one whole message")
	}
	if body[0] != 0 {
		return nil, errors.New("a compressed answer, which was not asked for")
	}
	return body[headSize:], nil
}

func readStatus(res *http.Response) (*Status, error) {
	from := res.Trailer
	if from.Get("Grpc-Status") == "" {
		from = res.Header
	}
	code, err := strconv.ParseUint(from.Get("Grpc-Status"), 10, 31)
	if err != nil {
		return nil, errors.New("not a gRPC answer: no status")
	}
	message := from.Get("Grpc-Message")
	if plain, err := url.PathUnescape(message); err == nil {
		message = plain
	}
	return &Status{Code: int(code), Message: message}, nil
}

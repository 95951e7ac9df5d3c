package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/seed-4591fe7d/podinfo/cmd/podcli/internal/grpcclient"
	"github.com/seed-4591fe7d/podinfo/cmd/podcli/internal/http1"
)

// sender sends one request over a connection.
type sender func(ctx context.Context) (status string, err error)

// connector returns a sender with a connection of its own, which is opened by the
// first request.
type connector func() (sender, error)

// httpConnector prepares HTTP requests to the address arg.
func (l *loader) httpConnector(arg string) (connector, error) {
	u, err := parseURL(arg, "http", "https")
	if err != nil {
		return nil, err
	}
	if *l.conn.secure {
		return nil, errors.New("--tls applies to --grpc only; for HTTP use an https:// address")
	}
	if l.streams > 1 && !l.http2 {
		return nil, errors.New("--streams above 1 requires --http2 or --grpc: over HTTP/1.1 a connection has one request in flight")
	}
	l.target = l.request.method + " " + u.Redacted()
	request, err := l.request.build(context.Background(), u)
	if err != nil {
		return nil, err
	}
	proxy, err := http.ProxyFromEnvironment(request)
	if err != nil {
		return nil, err
	}
	if u.Scheme == "http" && proxy == nil && !l.http2 {
		return func() (sender, error) { return l.http1Sender(u) }, nil
	}
	return func() (sender, error) { return l.transportSender(u) }, nil
}

func (l *loader) http1Sender(u *url.URL) (sender, error) {
	request, err := l.request.build(context.Background(), u)
	if err != nil {
		return nil, err
	}
	client, err := http1.New(request, l.timeout)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (string, error) {
		status, size, err := client.Do(ctx)
		l.bytes.Add(size)
		if err != nil && ctx.Err() != nil {
			err = ctx.Err() // which closed the connection
		}
		return strconv.Itoa(status), err
	}, nil
}

// transportSender sends over net/http's transport: HTTPS, HTTP/2 and proxies.
func (l *loader) transportSender(u *url.URL) (sender, error) {
	conf, err := l.conn.tls.config()
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: conf,
		ForceAttemptHTTP2: true, DisableCompression: true,
		MaxConnsPerHost: 1, HTTP2: &http.HTTP2Config{StrictMaxConcurrentRequests: true},
	}
	if l.http2 {
		transport.Protocols = new(http.Protocols)
		transport.Protocols.SetHTTP2(u.Scheme == "https")
		transport.Protocols.SetUnencryptedHTTP2(u.Scheme == "http")
	}
	client := &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     transport,
	}
	return l.timed(func(ctx context.Context) (string, error) { return l.sendHTTP(ctx, client, u) }), nil
}

// timed ends each request after the timeout.
func (l *loader) timed(send sender) sender {
	return func(ctx context.Context) (string, error) {
		ctx, cancel := context.WithTimeout(ctx, l.timeout)
		defer cancel()
		status, err := send(ctx)
		if err != nil && ctx.Err() != nil {
			err = ctx.Err()
		}
		return status, err
	}
}

func (l *loader) sendHTTP(ctx context.Context, client *http.Client, u *url.URL) (string, error) {
	req, err := l.request.build(ctx, u)
	if err != nil {
		return "", err
	}
	res, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	n, err := io.Copy(io.Discard, res.Body)
	l.bytes.Add(n)
	if err != nil {
		return "", err
	}
	if l.http2 && res.ProtoMajor != 2 {
		return "", errNotHTTP2
	}
	return strconv.Itoa(res.StatusCode), nil
}

var errNotHTTP2 = errors.New("the server does not speak HTTP/2")

// grpcConnector prepares calls to the address arg.
func (l *loader) grpcConnector(arg string) (connector, error) {
	if l.http2 {
		return nil, errors.New("--http2 applies to HTTP only; gRPC always uses HTTP/2")
	}
	body := grpcclient.AppendString(nil, 1, l.request.body)
	var call func(context.Context, *grpcclient.Client) error
	switch method := strings.TrimPrefix(l.grpc, "/"); {
	case method == "echo":
		call = l.unary("echo.EchoService/Echo", body, arg)
	case method == "stream":
		call = l.stream("echo.EchoService/Stream", body, arg)
	case method == "health":
		call = l.unary(healthMethod, nil, arg)
	case strings.Count(method, "/") == 1:
		call = l.unary(method, nil, arg)
	default:
		return nil, fmt.Errorf("--grpc %q: want echo, stream, health or package.Service/Method", l.grpc)
	}
	return func() (sender, error) {
		client, err := l.conn.client(arg)
		if err != nil {
			return nil, err
		}
		return l.timed(func(ctx context.Context) (string, error) {
			err := call(ctx, client)
			if status, ok := errors.AsType[*grpcclient.Status](err); ok {
				return grpcclient.CodeName(status.Code), nil
			}
			return grpcclient.CodeName(0), err
		}), nil
	}, nil
}

// unary returns a function that calls a method with one message.
func (l *loader) unary(method string, message []byte, address string) func(context.Context, *grpcclient.Client) error {
	l.target = method + " " + address
	return func(ctx context.Context, client *grpcclient.Client) error {
		response, err := client.Call(ctx, method, l.request.header.Clone(), message)
		l.bytes.Add(int64(len(response)))
		if err == nil {
			l.received.Add(1)
		}
		return err
	}
}

// stream returns a function that opens a stream and sends messages one by one.
func (l *loader) stream(method string, message []byte, address string) func(context.Context, *grpcclient.Client) error {
	l.target = method + " " + address
	return func(ctx context.Context, client *grpcclient.Client) error {
		n, size, err := client.PingPong(ctx, method, l.request.header.Clone(), message, l.messages)
		l.received.Add(int64(n))
		l.bytes.Add(size)
		return err
	}
}

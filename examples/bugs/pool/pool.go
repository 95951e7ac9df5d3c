// Package pool is an HTTP client with a transport of its own.
package pool

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

type dialer func(ctx context.Context, network, addr string) (net.Conn, error)

// forever keeps idle connections without a limit, as a literal of http.Transport does.
// What is between client and server may have forgotten them, without telling.
func forever(dial dialer) http.RoundTripper {
	return &http.Transport{DialContext: dial}
}

// limited closes idle connections before the load balancer forgets them.
func limited(dial dialer) http.RoundTripper {
	return &http.Transport{DialContext: dial, IdleConnTimeout: 30 * time.Second}
}

func book(client *http.Client, url string) error {
	res, err := client.Post(url, "application/json", strings.NewReader("{}"))
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body) // so that the connection is reused
	return err
}

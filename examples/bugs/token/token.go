// Package token is a client that gets tokens with golang.org/x/oauth2.
package token

import (
	"context"
	"net/http"

	"golang.org/x/oauth2/clientcredentials"
)

// stampede makes a client for each request. Each has a token of its own, so that all
// goroutines fetch one.
func stampede(ctx context.Context, c *clientcredentials.Config) func(url string) error {
	return func(url string) error { return get(c.Client(ctx), url) }
}

// shared has one client, whose goroutines wait for one token.
func shared(ctx context.Context, c *clientcredentials.Config) func(url string) error {
	client := c.Client(ctx)
	return func(url string) error { return get(client, url) }
}

func get(client *http.Client, url string) error {
	res, err := client.Get(url)
	if err != nil {
		return err
	}
	return res.Body.Close()
}

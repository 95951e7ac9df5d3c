package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/pflag"
)

// requestFlags describe an HTTP request.
type requestFlags struct {
	method, body string
	header       http.Header
}

func addRequest(f *pflag.FlagSet) *requestFlags {
	r := new(requestFlags)
	f.StringVar(&r.method, "method", http.MethodGet, "HTTP method")
	f.StringVar(&r.body, "body", "", "content to send")
	r.header = addHeader(f)
	return r
}

// addHeader adds the repeatable --header.
func addHeader(f *pflag.FlagSet) http.Header {
	header := http.Header{}
	f.Func("header", "`'Name: value'` to send, repeatable", func(line string) error {
		name, value, found := strings.Cut(line, ":")
		name = strings.TrimSpace(name)
		if !found || name == "" || strings.ContainsAny(line, "\r\n") {
			return errors.New("want 'Name: value'")
		}
		header.Add(name, strings.TrimSpace(value))
		return nil
	})
	return header
}

// build makes the request anew, for each time it is sent.
func (r *requestFlags) build(ctx context.Context, u *url.URL) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, r.method, u.String(), strings.NewReader(r.body))
	if err != nil {
		return nil, err
	}
	req.Header = r.header.Clone()
	if host := r.header.Get("Host"); host != "" {
		req.Host = host
	}
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", "podcli/"+release)
	}
	return req, nil
}

// parseURL reads an address, with the scheme to take when there is none and
// those there may be.
func parseURL(address, scheme string, schemes ...string) (*url.URL, error) {
	if !strings.Contains(address, "://") {
		address = scheme + "://" + address
	}
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	for _, s := range append(schemes, scheme) {
		if u.Scheme == s && u.Host != "" {
			return u, nil
		}
	}
	return nil, fmt.Errorf("address %q: want a host, and %s://", u.Redacted(), strings.Join(append([]string{scheme}, schemes...), ":// or "))
}

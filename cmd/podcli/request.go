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

// requestFlags are the flags that describe an HTTP request.
type requestFlags struct {
	method, body string
	header       http.Header
}

func addRequest(f *pflag.FlagSet) *requestFlags {
	r := new(requestFlags)
	f.StringVar(&r.method, "method", http.MethodGet, "HTTP method")
	f.StringVar(&r.body, "body", "", "request body")
	r.header = addHeader(f)
	return r
}

// addHeader adds the flag --header, which can be repeated.
func addHeader(f *pflag.FlagSet) http.Header {
	return addHeaderFlag(f, "header", "header to send as `'Name: value'` (repeatable)")
}

// addHeaderFlag adds a flag for a header, which can be repeated.
func addHeaderFlag(f *pflag.FlagSet, name, usage string) http.Header {
	header := http.Header{}
	f.Func(name, usage, func(line string) error {
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

// build returns a new request, since a request can be sent only once.
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

// parseURL parses an address. scheme is the default scheme; schemes are others that
// are accepted.
func parseURL(address, scheme string, schemes ...string) (*url.URL, error) {
	if !strings.Contains(address, "://") {
		address = scheme + "://" + address
	}
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	schemes = append([]string{scheme}, schemes...)
	for _, s := range schemes {
		if u.Scheme == s && u.Host != "" {
			return u, nil
		}
	}
	return nil, fmt.Errorf("address %q: want %s://HOST", u.Redacted(), strings.Join(schemes, "://HOST or "))
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/pflag"
)

// tokenFlag is a URL that issues the bearer token of a request.
type tokenFlag struct{ url *url.URL }

func addTokenURL(f *pflag.FlagSet) *tokenFlag {
	t := new(tokenFlag)
	f.Func("token-url", "get a bearer token for each attempt by a POST to this `URL`, such as that of /token", func(address string) (err error) {
		t.url, err = parseURL(address, "http", "https")
		return err
	})
	return t
}

// authorize gets a token in the name of podcli and adds it to req. It does nothing
// without the flag.
func (t *tokenFlag) authorize(ctx context.Context, client *http.Client, req *http.Request) error {
	if t.url == nil {
		return nil
	}
	ask := requestFlags{method: http.MethodPost, body: "podcli", header: http.Header{}}
	r, err := ask.build(ctx, t.url)
	if err != nil {
		return err
	}
	res, err := client.Do(r)
	if err != nil {
		return fmt.Errorf("getting a token: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("getting a token: expected status 200, got %d", res.StatusCode)
	}
	var issued struct {
		Token string `json:"token"`
	}
	err = json.NewDecoder(io.LimitReader(res.Body, maxBody)).Decode(&issued)
	if err == nil && strings.TrimSpace(issued.Token) == "" {
		err = errors.New("the response has no token")
	}
	if err != nil {
		return fmt.Errorf("getting a token: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+issued.Token)
	return nil
}

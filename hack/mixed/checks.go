package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// A reply is a response, read to its end.
type reply struct {
	status int
	body   string
}

func send(ctx context.Context, to *pod, method, path, body string, header http.Header) (reply, error) {
	return sendWith(ctx, http.DefaultClient, "http://"+to.address+path, method, body, header)
}

func sendWith(ctx context.Context, client *http.Client, url, method, body string, header http.Header) (reply, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	resp, err := client.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, string(text)}, err
}

// token: the second program accepts a token of the first.
func token(ctx context.Context, from, to *pod) (string, error) {
	got, err := send(ctx, from, http.MethodPost, "/token", "alice", nil)
	if err != nil {
		return "", err
	}
	var issued struct{ Token string }
	if err := json.Unmarshal([]byte(got.body), &issued); err != nil {
		return "", err
	}
	for _, method := range []string{http.MethodGet, http.MethodPost} { // upstream documents POST and serves GET
		got, err = send(ctx, to, method, "/token/validate", "", http.Header{"Authorization": {"Bearer " + issued.Token}})
		if err != nil {
			return "", err
		}
		var validated struct {
			Name string `json:"token_name"`
		}
		if err := json.Unmarshal([]byte(got.body), &validated); err == nil && got.status == http.StatusOK && validated.Name == "alice" {
			return "accepted", nil
		}
	}
	return "", fmt.Errorf("refused: %d %s", got.status, got.body)
}

// values are what the programs exchange through the cache: nothing, text, and
// bytes that are no text.
var values = []string{"", "hello", "\x00\xff\r\n\x1f\x8b", strings.Repeat("0123456789", 10000)}

// cache: the second program reads and deletes what the first has written.
func cache(ctx context.Context, from, to *pod) (string, error) {
	for i, value := range values {
		path := fmt.Sprintf("/cache/key-%d", i)
		for _, step := range []struct {
			at     *pod
			method string
			body   string
			want   reply
		}{
			{from, http.MethodPost, value, reply{status: http.StatusAccepted}},
			{to, http.MethodGet, "", reply{http.StatusOK, value}},
			{to, http.MethodDelete, "", reply{status: http.StatusAccepted}},
		} {
			got, err := send(ctx, step.at, step.method, path, step.body, nil)
			if err != nil {
				return "", err
			}
			if got.status != step.want.status || step.method == http.MethodGet && got.body != step.want.body {
				return "", fmt.Errorf("%s of %d bytes at %s: %d and %d bytes", step.method, len(value), step.at.name(), got.status, len(got.body))
			}
		}
		if got, err := send(ctx, from, http.MethodGet, path, "", nil); err != nil || got.status != http.StatusNotFound {
			return "", fmt.Errorf("after a deletion: %d, %v", got.status, err)
		}
	}
	return fmt.Sprintf("%d of %d values the same", len(values), len(values)), nil
}

// An about is what the page reads of /api/info.
type about struct{ Version, Hostname string }

func info(ctx context.Context, at *pod) (about, error) {
	var a about
	got, err := send(ctx, at, http.MethodGet, "/api/info", "", nil)
	if err == nil {
		err = json.Unmarshal([]byte(got.body), &a)
	}
	if err == nil && (a.Version == "" || a.Hostname == "") {
		err = fmt.Errorf("/api/info lacks a version or a host name: %s", got.body)
	}
	return a, err
}

// page: what the page of the first polls, the second serves.
func page(ctx context.Context, _, to *pod) (string, error) {
	a, err := info(ctx, to)
	if err != nil {
		return "", err
	}
	return "shows version " + a.Version, nil
}

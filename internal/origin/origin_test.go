package origin_test

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/seed-4591fe7d/podinfo/internal/origin"
)

func request(method, host string, headers ...string) *http.Request {
	r := &http.Request{Method: method, Host: host, Header: http.Header{}}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

func TestCheck(t *testing.T) {
	p, err := origin.New([]string{" https://Friend.example ", "http://demo.example:8080", "https://other.example:443"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		host    string
		headers []string
		reason  string // in the error, "" for none
	}{
		{"h", nil, ""}, // curl, kubelet, Flagger
		{"h", []string{"Sec-Fetch-Site", "same-origin"}, ""},
		{"h", []string{"Sec-Fetch-Site", "none"}, ""},
		{"h", []string{"Sec-Fetch-Site", "same-origin", "Origin", "http://h:8080"}, ""}, // a proxy changed Host
		{"h", []string{"Sec-Fetch-Site", "same-origin", "Origin", "null"}, ""},
		{"h", []string{"Sec-Fetch-Site", "cross-site"}, `Sec-Fetch-Site is "cross-site"`},
		{"h", []string{"Sec-Fetch-Site", "same-site", "Origin", "http://a.h"}, `Sec-Fetch-Site is "same-site" and the origin is "http://a.h"`},
		{"h", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://friend.example"}, ""},
		{"h:80", []string{"Origin", "http://h:80"}, ""},
		{"H.example", []string{"Origin", "https://h.EXAMPLE"}, ""},
		{"h", []string{"Origin", "https://friend.example"}, ""},
		{"h", []string{"Origin", "https://other.example"}, ""},
		{"h", []string{"Origin", "http://friend.example"}, `"http://friend.example" does not match the host "h"`},
		{"demo.example", []string{"Origin", "http://demo.example:8080"}, ""}, // nginx with Host $host
		{"demo.example", []string{"Origin", "http://demo.example:8081"}, "let the proxy pass Host unchanged, or add the origin to PODINFO_CROSS_ORIGIN_TRUSTED"},
		{"h", []string{"Origin", "null"}, `"null" does not match`},
		{"", []string{"Origin", "null"}, `"null" does not match`},
		{"", []string{"Origin", "%"}, `"%" does not match`},
		{"h", []string{"Origin", "http://x@evil.example"}, "does not match"},
		{"h", []string{"Origin", "http://h", "Origin", "http://evil.example"}, "several Origin headers"},
	} {
		err := p.Check(request("GET", c.host, c.headers...))
		if (err == nil) != (c.reason == "") || err != nil && !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%q %q: %v", c.host, c.headers, err)
		}
		for _, method := range []string{"GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH", "BREW"} {
			safe := method == "GET" || method == "HEAD" || method == "OPTIONS"
			if got := p.CheckMethod(request(method, c.host, c.headers...)); (got == nil) != (safe || err == nil) {
				t.Errorf("%s %q %q: %v", method, c.host, c.headers, got)
			}
		}
	}
}

// FuzzCheck compares the policy with that of net/http, which it may exceed in
// strictness, and in leniency only about upper case.
func FuzzCheck(f *testing.F) {
	for _, s := range []string{"http://h", "https://friend.example", "null", "", "http://x@h", "http://h:80", "//h", "http://h/x"} {
		f.Add("h", "", s)
		f.Add("h:80", "cross-site", s)
		f.Add("", "same-origin", s)
	}
	p, err := origin.New([]string{"https://friend.example"})
	if err != nil {
		f.Fatal(err)
	}
	std := http.NewCrossOriginProtection()
	if err := std.AddTrustedOrigin("https://friend.example"); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, host, site, from string) {
		r := request("POST", host)
		if site != "" {
			r.Header.Set("Sec-Fetch-Site", site)
		}
		if from != "" {
			r.Header.Set("Origin", from)
		}
		lower := request("POST", strings.ToLower(host))
		for k, v := range r.Header {
			lower.Header.Set(k, strings.ToLower(v[0]))
		}
		lower.Header.Set("Sec-Fetch-Site", site)
		if p.CheckMethod(r) == nil && std.Check(lower) != nil && std.Check(r) != nil {
			t.Errorf("accepted: host %q, Sec-Fetch-Site %q, Origin %q", host, site, from)
		}
	})
}

func TestTrusted(t *testing.T) {
	for _, s := range []string{"friend", "*", "null", "https://", "https://a.example/", "https://a.example/x", "https://a.example?x", "a.example:80", ""} {
		if _, err := origin.New([]string{s}); err == nil {
			t.Errorf("%q was accepted", s)
		}
	}
}

func TestHosts(t *testing.T) {
	own, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	h, err := origin.NewHosts([]string{"podinfo.default.svc", " Demo.example. "})
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]bool{
		"127.0.0.1": true, "127.0.0.1:9797": true, "10.1.2.3": true, "[::1]:9797": true, "[::1]": true, "[fe80::1%25eth0]:80": true,
		"localhost": true, "LOCALHOST:80": true, "localhost.": true, own: true, own + ":9797": true,
		"podinfo.default.svc": true, "podinfo.default.svc:9797": true, "demo.example": true, "demo.example.:80": true,
		"": false, "evil.example": false, "evil.example:9797": false, "localhost.evil.example": false, "127.0.0.1.evil.example": false,
		"x.localhost": false, "podinfo": false, "[evil.example]:80": false, "127.1": false, "1.demo.example": false, ":80": false,
	} {
		if h.Has(host) != want {
			t.Errorf("%q: %v", host, !want)
		}
	}
	for _, s := range []string{"", "*", "http://a", "a:80", "a/b", "*.example", "::1"} {
		if _, err := origin.NewHosts([]string{s}); err == nil {
			t.Errorf("%q was accepted", s)
		}
	}
}

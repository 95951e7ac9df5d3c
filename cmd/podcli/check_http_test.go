package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
)

// site returns the handler that check http is tested with.
func site() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello podinfo") })
	mux.HandleFunc("/status/{code}", func(w http.ResponseWriter, r *http.Request) {
		code, _ := strconv.Atoi(r.PathValue("code"))
		w.WriteHeader(code)
	})
	mux.Handle("/to-ok", http.RedirectHandler("/ok", http.StatusFound))
	mux.Handle("/to-bad", http.RedirectHandler("/status/500", http.StatusMovedPermanently))
	mux.Handle("/loop", http.RedirectHandler("/loop", http.StatusFound))
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s host=%s a=%q agent=%s", r.Method, r.Proto, body, r.Host, r.Header["A"], r.UserAgent())
	})
	return mux
}

func TestCheckHTTP(t *testing.T) {
	s := httptest.NewServer(site())
	defer s.Close()
	for _, c := range []struct {
		path string
		args []string
		code int
		want string
	}{
		{"/ok", nil, 0, "status=200 size=13"},
		{"/status/399", nil, 0, "status=399"},
		{"/status/400", nil, 1, `status=400 size=0 attempts=1`},
		{"/status/503", nil, 1, `error="expected status 200-399, got 503"`},
		{"/status/404", []string{"--expect-status", "404"}, 0, "status=404"},
		{"/status/404", []string{"--expect-status", "2xx, 404"}, 0, "status=404"},
		{"/ok", []string{"--expect-status", "201,4xx"}, 1, `error="expected status 201,400-499, got 200"`},
		{"/to-ok", nil, 0, "status=200"},
		{"/to-ok", []string{"--expect-status", "3xx"}, 1, "expected status 300-399, got 200"},
		{"/to-ok", []string{"--expect-status", "302"}, 0, "status=302"},
		{"/to-bad", nil, 1, "status=500"},
		{"/to-bad", []string{"--expect-status", "301"}, 0, "status=301"},
		{"/loop", nil, 1, "stopped after 10 redirects"},
		{"/ok", []string{"--expect-body", "podinfo"}, 0, "succeed"},
		{"/ok", []string{"--expect-body", "Podinfo"}, 1, `the response does not contain \"Podinfo\"`},
		{"/ok", []string{"--expect-body", "/^hello .*o$/"}, 0, "succeed"},
		{"/ok", []string{"--expect-body", "/^podinfo/"}, 1, `the response does not match /^podinfo/`},
		{"/ok", []string{"--expect-body", "/(/"}, 2, "missing closing )"},
		{"/echo", []string{"--method=POST", `--body={"test"=1}`, "--expect-body", `POST HTTP/1.1 {"test"=1} host=127`}, 0, "succeed"},
		{"/echo", []string{"--header", "A: 1", "--header=a:2", "--expect-body", `a=["1" "2"]`}, 0, "succeed"},
		{"/echo", []string{"--header", "Host: example.org", "--expect-body", "host=example.org"}, 0, "succeed"},
		{"/echo", []string{"--expect-body", "agent=podcli/1.2.3"}, 0, "succeed"},
		{"/echo", []string{"--header", "User-Agent: x", "--expect-body", "agent=x"}, 0, "succeed"},
	} {
		for _, addr := range []string{s.URL, strings.TrimPrefix(s.URL, "http://")} {
			r := run(t, append([]string{"check", "http", addr + c.path}, c.args...)...)
			r.expect(t, c.code, c.want)
		}
	}
	o := run(t, "check", "http", s.URL+"/status/500", "-o", "json").object(t)
	if o["status"] != 500.0 || o["ok"] != false || o["address"] != s.URL+"/status/500" || o["error"] != "expected status 200-399, got 500" {
		t.Errorf("%v", o)
	}
	ok := run(t, "check", "http", s.URL+"/ok", "-o", "json")
	if o := ok.object(t); o["ok"] != true || o["error"] != nil || ok.code != 0 || ok.err != "" {
		t.Errorf("%+v", ok)
	}
}

func TestCheckHTTPFails(t *testing.T) {
	run(t, "check", "http", refused(t)).expect(t, 1, "check failed: http http://127", "connection refused")
	run(t, "check", "http", silent(t), "--timeout=50ms").expect(t, 1, "check failed", "no response within 50ms")
	run(t, "check", "http", "u:secret@"+refused(t)).expect(t, 1, "u:xxxxx@")
}

// TestCheckHTTPToken gets a token first, a new one for each attempt.
func TestCheckHTTPToken(t *testing.T) {
	var n atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		name, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, `{"token":"%s-%d","expires_at":"now"}`, name, n.Add(1))
	})
	mux.HandleFunc("/guarded", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer podcli-2" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	mux.HandleFunc("/empty", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "{}") })
	mux.HandleFunc("/text", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "token") })
	s := httptest.NewServer(mux)
	defer s.Close()
	for _, c := range []struct {
		path string
		code int
		want string
	}{
		{"/token", 0, "status=200 size=0 attempts=2"},
		{"/nowhere", 1, "getting a token: expected status 200, got 404"},
		{"/empty", 1, "getting a token: the response has no token"},
		{"/text", 1, "getting a token: invalid character"},
	} {
		n.Store(0)
		run(t, "check", "http", s.URL+"/guarded", "--token-url", s.URL+c.path, "--retry=1", "--delay=1ms").expect(t, c.code, c.want)
	}
	run(t, "check", "http", s.URL+"/guarded", "--token-url", refused(t)).expect(t, 1, "getting a token", "connection refused")
}

func TestCheckHTTPRetries(t *testing.T) {
	var n atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer s.Close()
	run(t, "check", "http", s.URL, "--retry=1", "--delay=1ms").expect(t, 1, "check failed", "attempts=2")
	n.Store(0)
	run(t, "check", "http", s.URL, "--retry=5", "--delay=1ms").expect(t, 0, "check succeed", "attempts=3")
	if n.Load() != 3 {
		t.Errorf("%d requests", n.Load())
	}
}

func TestCheckHTTPS(t *testing.T) {
	ca, conf, pool := localhost(t)
	s := httptest.NewUnstartedServer(site())
	s.TLS = conf
	s.TLS.ClientCAs, s.TLS.ClientAuth = pool, tls.VerifyClientCertIfGiven
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // failed handshakes are expected
	s.StartTLS()
	defer s.Close()
	cert, key := files(t, ca.issue(t, "client", ca.cert.NotBefore, distant))
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{nil, 1, "certificate signed by unknown authority"},
		{[]string{"--insecure"}, 0, "status=200"},
		{[]string{"--insecure-skip-verify"}, 0, "status=200"},
		{[]string{"--cacert", ca.file}, 0, "status=200"},
		{[]string{"--cacert", ca.file, "--server-name", "localhost"}, 0, "status=200"},
		{[]string{"--cacert", ca.file, "--server-name", "example.org"}, 1, "not example.org"},
		{[]string{"--cacert", ca.file, "--cert", cert, "--key", key}, 0, "status=200"},
		{[]string{"--cacert", key}, 2, "contains no PEM certificate"},
	} {
		r := run(t, slices.Concat([]string{"check", "http", s.URL + "/ok"}, c.args)...)
		r.expect(t, c.code, c.want)
	}
}

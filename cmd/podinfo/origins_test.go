package main_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
)

// nginxConfig has three ways to the server: with Host as the client sent it, with
// $host, which omits the port, and with a prefix that nginx strips.
const nginxConfig = `
daemon off; master_process off; pid DIR/pid; error_log stderr;
events {}
http {
	access_log off; merge_slashes off;
	client_body_temp_path DIR; proxy_temp_path DIR; fastcgi_temp_path DIR; uwsgi_temp_path DIR; scgi_temp_path DIR;
	proxy_http_version 1.1;
	map $http_upgrade $connection_upgrade { default upgrade; '' close; }
	server {
		listen 127.0.0.1:PORT;
		location / { proxy_pass SERVER; proxy_set_header Host $http_host; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade; }
		location /api/ { proxy_pass SERVER; proxy_set_header Host $host; }
		location /ws/ { proxy_pass SERVER; proxy_set_header Host $host; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade; }
		location /pod/ { proxy_pass SERVER/; proxy_set_header Host $http_host; }
	}
}`

// behindNginx starts nginx in front of p on another port and returns its URL.
func (p *process) behindNginx(t *testing.T, port int) string {
	t.Helper()
	path, err := exec.LookPath("nginx")
	if err != nil {
		path = "/usr/sbin/nginx"
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "nginx.conf")
	config := strings.NewReplacer("DIR", dir, "PORT", fmt.Sprint(port), "SERVER", p.url).Replace(nginxConfig)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cmd := exec.Command(path, "-p", dir, "-c", file, "-e", "stderr")
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v: make test installs nginx", err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		if cmd.Wait(); t.Failed() {
			t.Log(log.String())
		}
	})
	url := fmt.Sprintf("http://127.0.0.1:%d", port)
	p.await(t, url+"/version")
	return url
}

// shake opens a WebSocket and returns its connection, or the response of a server
// that refuses it.
func shake(t *testing.T, url string, header http.Header, protocols ...string) (conn net.Conn, protocol string, code int, body string) {
	t.Helper()
	d := ws.Dialer{Header: ws.HandshakeHeaderHTTP(header), Protocols: protocols, OnStatusError: func(_ int, _ []byte, r io.Reader) {
		res, err := http.ReadResponse(bufio.NewReader(r), nil)
		if err != nil {
			t.Error(err)
			return
		}
		b, _ := io.ReadAll(res.Body)
		body = string(b)
	}}
	conn, _, hs, err := d.Dial(context.Background(), "ws"+strings.TrimPrefix(url, "http"))
	if refused, ok := errors.AsType[ws.StatusError](err); ok {
		return nil, "", int(refused), body
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn, hs.Protocol, 101, ""
}

// TestOrigins checks that POST and WebSockets have one policy, directly and behind
// nginx on another port.
func TestOrigins(t *testing.T) {
	port := registrytest.FreePort(t)
	public := fmt.Sprintf("http://127.0.0.1:%d", port)
	plain, trusting := serve(t), serve(t, "PODINFO_CROSS_ORIGIN_TRUSTED= "+public+", https://friend.example ", "PODINFO_WS_ECHO_SUBPROTOCOLS=chat")
	for _, c := range []struct {
		name    string
		p       *process
		url     string
		origin  string
		site    string
		refused string // in the message
	}{
		{"no browser", plain, plain.url, "", "", ""},
		{"own page", plain, plain.url, plain.url, "", ""},
		{"another site", plain, plain.url, "http://evil.example", "", `the origin "http://evil.example" does not match the host`},
		{"another site in a new browser", plain, plain.url, "http://evil.example", "cross-site", `Sec-Fetch-Site is "cross-site"`},
		{"trusted site", trusting, trusting.url, "https://friend.example", "cross-site", ""},
		{"site that is not trusted", trusting, trusting.url, "http://friend.example", "", "PODINFO_CROSS_ORIGIN_TRUSTED"},
		{"behind nginx", plain, "nginx", public, "", `does not match the host "127.0.0.1"; let the proxy pass Host unchanged, or add the origin to PODINFO_CROSS_ORIGIN_TRUSTED`},
		{"behind nginx in a new browser", plain, "nginx", public, "same-origin", ""},
		{"trusted behind nginx", trusting, "nginx", public, "", ""},
		{"another site behind nginx", trusting, "nginx", "http://evil.example", "", "PODINFO_CROSS_ORIGIN_TRUSTED"},
	} {
		t.Run(c.name, func(t *testing.T) {
			url := c.url
			if url == "nginx" {
				url = c.p.behindNginx(t, port)
			}
			header := http.Header{}
			if c.origin != "" {
				header.Set("Origin", c.origin)
			}
			if c.site != "" {
				header.Set("Sec-Fetch-Site", c.site)
			}
			req, err := http.NewRequest("POST", url+"/api/echo", strings.NewReader("hello"))
			if err != nil {
				t.Fatal(err)
			}
			req.Header = header
			res, posted := registrytest.Do(t, req)
			conn, _, code, refused := shake(t, url+"/ws/echo", header)
			if c.refused != "" {
				for _, body := range []string{posted, refused} {
					var problem struct {
						Code    int
						Message string
					}
					if err := json.Unmarshal([]byte(body), &problem); err != nil || problem.Code != 403 || !strings.Contains(problem.Message, c.refused) {
						t.Errorf("%v: %s", err, body)
					}
				}
				return
			}
			if res.StatusCode != 202 || posted != "hello" || code != 101 {
				t.Fatalf("POST %d %s, WebSocket %d %s", res.StatusCode, posted, code, refused)
			}
			if err := wsutil.WriteClientText(conn, []byte("hi")); err != nil {
				t.Fatal(err)
			}
			if b, err := wsutil.ReadServerText(conn); err != nil || !strings.Contains(string(b), `"msg":"hi"`) {
				t.Errorf("%s, %v", b, err)
			}
		})
	}
	url := trusting.behindNginx(t, registrytest.FreePort(t))
	if _, protocol, code, body := shake(t, url+"/ws/echo", nil, "mqtt", "chat"); protocol != "chat" {
		t.Errorf("subprotocol %q: %d %s", protocol, code, body)
	}
	if res, body := trusting.call(t, "GET", "/ws/echo", ""); res.StatusCode != 426 || res.Header.Get("Upgrade") != "websocket" || !strings.Contains(body, `"code": 426`) {
		t.Errorf("without Upgrade: %d %v %s", res.StatusCode, res.Header, body)
	}
}

// TestRedirects follows redirects, directly and behind nginx, which strips the
// prefix /pod.
func TestRedirects(t *testing.T) {
	p := serve(t)
	nginx := p.behindNginx(t, registrytest.FreePort(t))
	follower := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, c := range []struct {
		method, url, sent string
		path              string // of the last response
		code              int
		has               string
	}{
		{"POST", p.url + "//echo", "hello", "/echo", 202, "hello"},
		{"PUT", p.url + "/x/..%2fecho", "hello", "/echo", 202, "hello"},
		{"POST", nginx + "//echo", "hello", "/echo", 202, "hello"},
		{"GET", p.url + "//version", "", "/version", 200, `"version"`},
		{"GET", p.url + "/swagger/", "", "/swagger/index.html", 200, "<!DOCTYPE html>"},
		{"GET", nginx + "/pod/swagger/", "", "/pod/swagger/index.html", 200, "<!DOCTYPE html>"},
		{"GET", nginx + "/pod/swagger/doc.json", "", "/pod/swagger/doc.json", 200, `"swagger": "2.0"`},
		{"GET", nginx + "/pod/openapi.json", "", "/pod/openapi.json", 200, `"openapi": "3.1`},
		{"POST", nginx + "/pod/echo", "hello", "/pod/echo", 202, "hello"},
	} {
		req, err := http.NewRequest(c.method, c.url, strings.NewReader(c.sent))
		if err != nil {
			t.Fatal(err)
		}
		res, err := follower.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != c.code || res.Request.URL.Path != c.path || !strings.Contains(strings.ToLower(string(body)), strings.ToLower(c.has)) {
			t.Errorf("%s %s: %d at %s: %.100s, %v", c.method, c.url, res.StatusCode, res.Request.URL, body, err)
		}
	}
	front := serve(t, "PODINFO_BACKEND_URL="+p.url+"//echo,"+p.url+"/echo")
	if _, body := front.call(t, "POST", "/echo", "ping"); !strings.Contains(body, "//echo response status code 308, redirects are not followed\",\n  \"ping\"") {
		t.Error(body)
	}
	for request, want := range map[string]string{
		"CONNECT example.com:443 HTTP/1.1": "HTTP/1.1 405 Method Not Allowed",
		"CONNECT /echo HTTP/1.1":           "HTTP/1.1 405 Method Not Allowed",
		"PRI * HTTP/1.1":                   "HTTP/1.1 405 Method Not Allowed",
		"PRI * HTTP/2.0":                   "HTTP/1.1 405 Method Not Allowed",
		"OPTIONS * HTTP/1.1":               "HTTP/1.1 200 OK",
	} {
		if got := p.raw(t, request+"\r\nHost: x\r\nConnection: close\r\n\r\n"); got != want {
			t.Errorf("%s: %s", request, got)
		}
	}
}

// TestAdminHosts checks that DNS rebinding does not reach the admin APIs of a
// process.
func TestAdminHosts(t *testing.T) {
	port := registrytest.FreePort(t)
	p := serve(t, "PODINFO_UI_ADMIN=true", "PODINFO_FAULTS=true", "PODINFO_FAULTS_ADMIN=true", fmt.Sprintf("PODINFO_PORT_METRICS=%d", port))
	hostname, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	metrics := fmt.Sprintf("http://127.0.0.1:%d", port)
	p.await(t, metrics+"/healthz")
	for host, code := range map[string]int{"127.0.0.1": 200, "localhost:9898": 200, hostname: 200, "rebind.evil.example": 421, "podinfo": 421} {
		for _, url := range []string{p.url + "/ui/admin/readiness", metrics + "/faults"} {
			req, err := http.NewRequest("PUT", url, strings.NewReader(`{"on": true}`))
			if strings.HasSuffix(url, "/faults") {
				req, err = http.NewRequest("GET", url, nil)
			}
			if err != nil {
				t.Fatal(err)
			}
			req.Host = host
			if res, body := registrytest.Do(t, req); res.StatusCode != code {
				t.Errorf("%s with the host %s: %d %s", url, host, res.StatusCode, body)
			}
		}
	}
}

// TestShutdownClosesWebSockets checks that a client that has answered the close
// frame but keeps its socket open does not hold the shutdown.
func TestShutdownClosesWebSockets(t *testing.T) {
	p := serve(t, "--server-shutdown-timeout=20s")
	conn, _, code, body := shake(t, p.url+"/ws/echo", nil)
	if code != 101 {
		t.Fatal(code, body)
	}
	if err := wsutil.WriteClientText(conn, []byte("hi")); err != nil {
		t.Fatal(err)
	}
	if _, err := wsutil.ReadServerText(conn); err != nil {
		t.Fatal(err)
	}
	stopped := make(chan int)
	go func() { stopped <- p.stop(t) }()
	for {
		_, err := wsutil.ReadServerText(conn) // replies to the close frame
		if closed, ok := errors.AsType[wsutil.ClosedError](err); ok && closed.Code == ws.StatusGoingAway {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if code := <-stopped; code != 0 || strings.Contains(p.log.String(), "cut") {
		t.Errorf("exit code %d: %s", code, p.log)
	}
}

package proxy_test

import (
	"bytes"
	"cmp"
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
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/seed-4591fe7d/podinfo/endpoints/httpserver"
	"github.com/seed-4591fe7d/podinfo/endpoints/proxy"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/middleware/accesslog"
	"github.com/seed-4591fe7d/podinfo/middleware/faults"
	"github.com/seed-4591fe7d/podinfo/middleware/metrics"
	"github.com/seed-4591fe7d/podinfo/middleware/recovery"
)

// frontPort returns the URL of a server of the module http-server, which can end
// streams of HTTP/2 by any code.
func frontPort(t *testing.T, service string, env ...string) (string, *registrytest.Log) {
	t.Helper()
	port := registrytest.FreePort(t)
	vars := map[string]string{"PODINFO_PROXY_URL": service, "PODINFO_HOST": "127.0.0.1", "PODINFO_PORT": fmt.Sprint(port), "PODINFO_H2C": "true"}
	for i := 0; i+1 < len(env); i += 2 {
		vars[env[i]] = env[i+1]
	}
	_, log := registrytest.New(t, vars, new(recovery.Module), new(metrics.Module), new(accesslog.Module), new(faults.Module), new(proxy.Module), new(httpserver.Module))
	return fmt.Sprintf("http://127.0.0.1:%d", port), log
}

// framed starts a service over HTTP/2 without TLS that answers each request by frames. n
// counts the connections. It returns false to close the connection.
func framed(t *testing.T, answer func(f *http2.Framer, stream uint32, n int) bool) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for n := 1; ; n++ {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err != nil {
					return
				}
				f := http2.NewFramer(conn, conn)
				f.WriteSettings()
				for {
					frame, err := f.ReadFrame()
					if err != nil {
						return
					}
					if h := frame.Header(); h.StreamID != 0 && h.Flags.Has(http2.FlagDataEndStream) && (h.Type == http2.FrameHeaders || h.Type == http2.FrameData) && !answer(f, h.StreamID, n) {
						conn.(*net.TCPConn).CloseWrite()
						io.Copy(io.Discard, conn)
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

// header sends the header of a response.
func header(f *http2.Framer, stream uint32, end bool, fields ...string) {
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for i := 0; i+1 < len(fields); i += 2 {
		enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: end})
}

// streamError has the fields of net/http's error for a stream that was reset.
type streamError struct {
	StreamID uint32
	Code     http2.ErrCode
	Cause    error
}

func (e streamError) Error() string { return e.Code.String() }

// h2get sends a request over HTTP/2 without TLS and returns the status, or how the
// stream ended.
func h2get(t *testing.T, url, body string) string {
	t.Helper()
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	defer tr.CloseIdleConnections()
	method, in := "GET", io.Reader(http.NoBody)
	if body != "" {
		method, in = "POST", io.LimitReader(strings.NewReader(body), 100) // net/http cannot send it again
	}
	req, err := http.NewRequest(method, url, in)
	if err != nil {
		t.Fatal(err)
	}
	res, err := tr.RoundTrip(req)
	status := ""
	if err == nil {
		defer res.Body.Close()
		status = res.Status[:3]
		_, err = io.Copy(io.Discard, res.Body)
	}
	if stream, ok := errors.AsType[streamError](err); ok {
		return strings.TrimSpace(status + " " + stream.Code.String())
	} else if err != nil && strings.Contains(err.Error(), "REFUSED_STREAM") {
		return "REFUSED_STREAM"
	} else if err != nil {
		return err.Error()
	}
	return status
}

// TestEndsOfHTTP2 checks what becomes of streams that a service over HTTP/2 ends: a
// client over HTTP/2 gets the same code, one over HTTP/1.1 a connection that breaks.
func TestEndsOfHTTP2(t *testing.T) {
	rst := func(code http2.ErrCode) func(*http2.Framer, uint32, int) bool {
		return func(f *http2.Framer, stream uint32, _ int) bool {
			f.WriteRSTStream(stream, code)
			return true
		}
	}
	ok := func(f *http2.Framer, stream uint32) { header(f, stream, true, ":status", "200") }
	for _, c := range []struct {
		name   string
		answer func(f *http2.Framer, stream uint32, n int) bool
		body   string
		h2, h1 string // what clients see
		reason string // in the metrics
	}{
		{"CANCEL", rst(http2.ErrCodeCancel), "", "CANCEL", "reset", "stream"},
		{"INTERNAL_ERROR", rst(http2.ErrCodeInternal), "", "INTERNAL_ERROR", "reset", "stream"},
		{"ENHANCE_YOUR_CALM", rst(http2.ErrCodeEnhanceYourCalm), "", "ENHANCE_YOUR_CALM", "reset", "stream"},
		{"HTTP_1_1_REQUIRED", rst(http2.ErrCodeHTTP11Required), "", "HTTP_1_1_REQUIRED", "reset", "stream"},
		{"a code that HTTP/2 has not", rst(77), "", "unknown error code 0x4d", "reset", "stream"},
		{"REFUSED_STREAM with a body", rst(http2.ErrCodeRefusedStream), "body", "REFUSED_STREAM", "reset", "stream"},
		{"CANCEL after the header", func(f *http2.Framer, stream uint32, _ int) bool {
			header(f, stream, false, ":status", "200")
			f.WriteRSTStream(stream, http2.ErrCodeCancel)
			return true
		}, "", "200 CANCEL", "reset", ""},
		{"GOAWAY with a code", func(f *http2.Framer, stream uint32, _ int) bool {
			f.WriteGoAway(stream, http2.ErrCodeEnhanceYourCalm, []byte("too many"))
			return false
		}, "", "ENHANCE_YOUR_CALM", "cut", "stream"},
		{"GOAWAY without a code, and no response", func(f *http2.Framer, stream uint32, _ int) bool {
			f.WriteGoAway(stream, http2.ErrCodeNo, nil)
			return false
		}, "", "INTERNAL_ERROR", "cut", "stream"},
		{"GOAWAY on the first stream", func(f *http2.Framer, stream uint32, _ int) bool {
			f.WriteGoAway(0, http2.ErrCodeInadequateSecurity, nil)
			return false
		}, "", "INADEQUATE_SECURITY", "cut", "stream"},
		{"GOAWAY after the header", func(f *http2.Framer, stream uint32, _ int) bool {
			header(f, stream, false, ":status", "200")
			f.WriteGoAway(stream, http2.ErrCodeConnect, nil)
			return false
		}, "", "200 CONNECT_ERROR", "cut", ""},
		{"GOAWAY before the stream", func(f *http2.Framer, stream uint32, n int) bool {
			if n%2 == 1 {
				f.WriteGoAway(0, http2.ErrCodeNo, nil)
				return false
			}
			ok(f, stream)
			return true
		}, "", "200", "200", ""},
		{"GOAWAY before the stream, with a body", func(f *http2.Framer, stream uint32, _ int) bool {
			f.WriteGoAway(0, http2.ErrCodeNo, nil)
			return false
		}, "body", "REFUSED_STREAM", "cut", "stream"},
		{"GOAWAY and the response", func(f *http2.Framer, stream uint32, _ int) bool {
			f.WriteGoAway(stream, http2.ErrCodeNo, nil)
			ok(f, stream)
			return false
		}, "", "200", "200", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			url, log := frontPort(t, "h2c://"+framed(t, c.answer))
			if got := h2get(t, url+"/x", c.body); got != c.h2 {
				t.Errorf("over HTTP/2: %q, want %q", got, c.h2)
			}
			method := "GET"
			if c.body != "" {
				method = "POST"
			}
			if got := bodyEnd(t, method, url+"/x", c.body); got != c.h1 {
				t.Errorf("over HTTP/1.1: %q, want %q", got, c.h1)
			}
			if logged := strings.Contains(log.String(), `"reason":"`+cmp.Or(c.reason, "stream")+`"`); logged != (c.reason != "") {
				t.Error(log)
			}
		})
	}
}

// TestHeadersOfHTTP2 checks that a response over HTTP/2 gains no header.
func TestHeadersOfHTTP2(t *testing.T) {
	addr := framed(t, func(f *http2.Framer, stream uint32, _ int) bool {
		header(f, stream, true, ":status", "200", "content-type", "application/grpc", "grpc-status", "5")
		return true
	})
	url, _ := frontPort(t, "h2c://"+addr)
	tr := &http.Transport{Protocols: new(http.Protocols), DisableCompression: true}
	tr.Protocols.SetUnencryptedHTTP2(true)
	defer tr.CloseIdleConnections()
	for _, to := range []string{"http://" + addr, url} {
		req, _ := http.NewRequest("POST", to+"/a.B/C", nil)
		req.Header.Set("Content-Type", "application/grpc")
		res, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if diff := gocmp.Diff(http.Header{"Content-Type": {"application/grpc"}, "Grpc-Status": {"5"}}, res.Header); diff != "" {
			t.Errorf("%s: %s", to, diff)
		}
	}
}

// bodyEnd sends a request over HTTP/1.1 and returns the status, or how the response
// broke.
func bodyEnd(t *testing.T, method, url, body string) string {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return ending(err)
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return ending(err)
	}
	return res.Status[:3]
}

// TestKeepaliveRequests puts the proxy in front of an nginx that ends each connection
// over HTTP/2 after three requests.
func TestKeepaliveRequests(t *testing.T) {
	if _, err := exec.LookPath("nginx"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("no nginx: make deps installs it")
	}
	dir, port := t.TempDir(), registrytest.FreePort(t)
	registrytest.WriteCert(t, dir, "nginx")
	conf := fmt.Sprintf(`daemon off; master_process off; pid %[1]s/pid; error_log stderr; events {}
http {
  access_log off; client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  server { listen 127.0.0.1:%[2]d ssl http2; ssl_certificate %[1]s/tls.crt; ssl_certificate_key %[1]s/tls.key; keepalive_requests 3; location / { return 200 ok; } }
}`, dir, port)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("nginx", "-p", dir, "-c", file)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	for began := time.Now(); ; time.Sleep(2 * time.Millisecond) {
		if conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			conn.Close()
			break
		} else if time.Since(began) > 20*time.Second {
			t.Fatal(&out)
		}
	}
	url, log := frontPort(t, fmt.Sprintf("https://localhost:%d", port), "PODINFO_PROXY_CA_FILE", filepath.Join(dir, "tls.crt"))
	done := make(chan string)
	for range 4 {
		go func() {
			for range 100 {
				if got := bodyEnd(t, "GET", url+"/x", ""); got != "200" {
					done <- got
					return
				}
			}
			done <- "200"
		}()
	}
	for range 4 {
		if got := <-done; got != "200" {
			t.Errorf("%s: %s", got, log)
		}
	}
}

package main_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-4591fe7d/podinfo"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// boom has a handler that panics, which no stock module has.
type boom struct{}

func (boom) Info() registry.Info { return registry.Info{Name: "boom"} }
func (boom) Routes() []registry.Route {
	return []registry.Route{{Path: "/boom", Handler: func(http.ResponseWriter, *http.Request) { panic("on purpose") }}}
}

// mainIfAsked is Main with boom, in the processes that TestEveryLineIsJSON starts.
func mainIfAsked() {
	if os.Getenv("RUN_MAIN") != "" {
		podinfo.Main(boom{})
	}
}

// deadPort returns a port on which nothing listens.
func deadPort(t *testing.T) string { return fmt.Sprintf("127.0.0.1:%d", registrytest.FreePort(t)) }

// logged returns the lines of a log by their messages.
func logged(t *testing.T, log, key string) map[string][]map[string]any {
	t.Helper()
	out := map[string][]map[string]any{}
	for line := range strings.Lines(log) {
		var got map[string]any
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Errorf("not JSON: %q", line)
			continue
		}
		msg, _ := got[key].(string)
		out[msg] = append(out[msg], got)
	}
	return out
}

// provoke opens a connection, sends text that the server cannot understand and
// waits until the server closes the connection.
func provoke(t *testing.T, port int, text string) {
	t.Helper()
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprint(c, text)
	if _, err := io.Copy(io.Discard, c); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("%q: %v", text, err)
	}
}

// TestEveryLineIsJSON checks that nothing but lines of JSON is written while
// everything fails that libraries log.
func TestEveryLineIsJSON(t *testing.T) {
	certs := t.TempDir()
	registrytest.WriteCert(t, certs, "server")
	for _, fields := range []struct{ name, msg, level, time, trace, span string }{
		{"default", "msg", "level", "ts", "trace_id", "span_id"},
		{"gcp", "message", "severity", "time", "logging.googleapis.com/trace", "logging.googleapis.com/spanId"},
	} {
		for _, stream := range []string{"stderr", "stdout"} {
			port, secure, rpc := registrytest.FreePort(t), registrytest.FreePort(t), registrytest.FreePort(t)
			p := &process{url: fmt.Sprintf("http://127.0.0.1:%d", port), log: new(output), done: make(chan struct{})}
			other := new(output)
			p.cmd = exec.Command(os.Args[0])
			p.cmd.Env = []string{
				"RUN_MAIN=true", "PODINFO_SHUTDOWN_GRACE=0s", "PODINFO_HOST=127.0.0.1", "PODINFO_LEVEL=debug", "PODINFO_LOG_FIELDS=" + fields.name, "PODINFO_LOG_OUTPUT=" + stream,
				fmt.Sprintf("PODINFO_PORT=%d", port), "PODINFO_H2C=true", fmt.Sprintf("PODINFO_SECURE_PORT=%d", secure), "PODINFO_CERT_PATH=" + certs, fmt.Sprintf("PODINFO_GRPC_PORT=%d", rpc),
				"PODINFO_CACHE_SERVER=redis://" + deadPort(t), "OTEL_EXPORTER_OTLP_ENDPOINT=http://" + deadPort(t), "OTEL_EXPORTER_OTLP_TIMEOUT=100", "OTEL_METRICS_EXPORTER=otlp", "OTEL_METRIC_EXPORT_INTERVAL=50", "OTEL_BSP_SCHEDULE_DELAY=50",
			}
			p.cmd.Stdout, p.cmd.Stderr = other, p.log
			if stream == "stdout" {
				p.cmd.Stdout, p.cmd.Stderr = p.log, other
			}
			start(t, p)
			p.await(t, p.url+"/version")
			for path, want := range map[string]int{"/cache/k": 503, "/boom": 500} {
				if res, body := p.call(t, "GET", path, ""); res.StatusCode != want {
					t.Errorf("%s: %d %s", path, res.StatusCode, body)
				}
			}
			provoke(t, secure, "this is not TLS\r\n\r\n")
			provoke(t, port, "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n")
			provoke(t, port, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nthis is no frame of HTTP/2")
			provoke(t, rpc, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			if code := p.stop(t); code != 0 {
				t.Errorf("exit %d", code)
			}
			if other.String() != "" {
				t.Errorf("%s: also written: %s", stream, other)
			}
			got := logged(t, p.log.String(), fields.msg)
			for msg, lines := range got {
				if lines[0][fields.level] == nil || lines[0][fields.time] == nil {
					t.Errorf("%s: %v", msg, lines[0])
				}
			}
			for _, msg := range []string{"cache server is unavailable", "handler panicked", "telemetry export failed"} {
				if len(got[msg]) == 0 {
					t.Errorf("nothing says %q: %s", msg, p.log)
				}
			}
			for _, part := range []string{"TLS handshake error", `"library":"grpc"`} {
				if !strings.Contains(p.log.String(), part) {
					t.Errorf("no %s: %s", part, p.log)
				}
			}
			for _, msg := range []string{"handler panicked", "request completed", "cache operation failed"} {
				if len(got[msg]) > 0 && (got[msg][0][fields.trace] == nil || got[msg][0][fields.span] == nil) {
					t.Errorf("%s: %v has no span", fields.name, got[msg][0])
				}
			}
		}
	}
}

// TestLogSettings checks that other values are refused.
func TestLogSettings(t *testing.T) {
	for _, word := range []string{"PODINFO_LOG_OUTPUT=file", "PODINFO_LOG_FIELDS=aws"} {
		if _, stderr, code := run(t, word); code != 2 || !strings.HasPrefix(stderr, "podinfo: "+strings.Replace(word, "=", `="`, 1)+`": want `) {
			t.Errorf("%s: exit %d %s", word, code, stderr)
		}
	}
}

// TestOutOfFileDescriptors checks that the server logs, at most once a second, that
// it cannot accept connections, and accepts them again when it can.
func TestOutOfFileDescriptors(t *testing.T) {
	const limit = 48
	port := registrytest.FreePort(t)
	p := &process{url: fmt.Sprintf("http://127.0.0.1:%d", port), log: new(output), done: make(chan struct{})}
	p.cmd = exec.Command("sh", "-c", fmt.Sprintf(`ulimit -n %d; exec "$0"`, limit), binary)
	p.cmd.Env = []string{"PODINFO_HOST=127.0.0.1", fmt.Sprintf("PODINFO_PORT=%d", port), "PODINFO_SHUTDOWN_GRACE=0s", "PODINFO_DATA_PATH=" + t.TempDir()}
	p.cmd.Stderr = p.log
	start(t, p)
	p.await(t, p.url+"/version")
	var conns []net.Conn
	for range limit {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	const msg = "cannot accept connections; trying again"
	var lines []map[string]any
	for began := time.Now(); len(lines) < 3; lines = logged(t, p.log.String(), "msg")[msg] {
		if time.Since(began) > 30*time.Second {
			t.Fatalf("%d lines: %s", len(lines), p.log)
		}
		time.Sleep(20 * time.Millisecond)
	}
	for _, c := range conns {
		c.Close()
	}
	p.await(t, p.url+"/version")
	var last time.Time
	for _, line := range lines {
		at, err := time.Parse("2006-01-02T15:04:05.000Z0700", line["ts"].(string))
		if text, _ := line["error"].(string); err != nil || line["level"] != "error" || !strings.Contains(text, "too many open files") {
			t.Errorf("%v %v", err, line)
		}
		if at.Sub(last) < 999*time.Millisecond { // of times that are cut to milliseconds
			t.Errorf("%v after %v", at, last)
		}
		last = at
	}
	if strings.Contains(p.log.String(), "Accept error") {
		t.Error("net/http logs it too")
	}
	p.cmd.Process.Signal(syscall.SIGTERM)
	if code := p.wait(t); code != 0 {
		t.Errorf("exit %d: %s", code, p.log)
	}
}

// TestFailureIsLogged checks that serve logs why it failed.
func TestFailureIsLogged(t *testing.T) {
	first := serve(t)
	p := launch(t, "PODINFO_HOST=127.0.0.1", fmt.Sprintf("--port=%d", first.port))
	if code := p.wait(t); code != 1 || len(logged(t, p.log.String(), "msg")["podinfo failed"]) != 1 {
		t.Errorf("exit %d: %s", code, p.log)
	}
}

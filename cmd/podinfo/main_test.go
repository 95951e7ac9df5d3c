package main_test

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-4591fe7d/podinfo/internal/otlp"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
)

// run runs a command to its end.
func run(t *testing.T, words ...string) (stdout, stderr string, code int) {
	t.Helper()
	environ, args := []string{}, []string{}
	for _, w := range words {
		if strings.HasPrefix(w, "PODINFO_") {
			environ = append(environ, w)
		} else {
			args = append(args, w)
		}
	}
	return runWith(environ, args...)
}

// runWith runs a command with an environment to its end.
func runWith(environ []string, args ...string) (stdout, stderr string, code int) {
	cmd := exec.Command(binary, args...)
	cmd.Env = environ
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.Run()
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// columns replaces the space between columns with a tab.
func columns(table string) string {
	return regexp.MustCompile(`  +`).ReplaceAllString(table, "\t")
}

func TestCommandLine(t *testing.T) {
	for _, c := range []struct {
		words        string
		code         int
		stdout, errs string
	}{
		{"--version", 0, "6.15.0\n", ""},
		{"-v", 0, "6.15.0\n", ""},
		{"version", 0, "6.15.0\n", ""},
		{"--help", 0, "--random-delay-max", ""},
		{"-h", 0, "Usage: podinfo", ""},
		{"help", 0, "PODINFO_", ""},
		{"modules", 0, "random-delay\toff\tdefault\t-\tfault\tPODINFO_RANDOM_DELAY\t", ""},
		{"modules PODINFO_RANDOM_DELAY=true", 0, "random-delay\ton\tPODINFO_RANDOM_DELAY\t", ""},
		{"modules --modules=-metrics", 0, "metrics\toff\tPODINFO_MODULES\t-\tobserve", ""},
		{"settings", 0, "PODINFO_PORT\t9898\tdefault\thttp-server\t", ""},
		{"settings", 0, "GOMAXPROCS\t", ""},
		{"settings", 0, "MiB\t9/10 of ", ""},
		{"settings PODINFO_HTTP_SERVER_MAX_CONNECTIONS=100", 0, "PODINFO_HTTP_SERVER_MAX_CONNECTIONS\t100\tenvironment\t", ""},
		{"settings --port=1", 0, "PODINFO_PORT\t1\tflag\t", ""},
		{"settings PODINFO_JWT_SECRET=hunter2", 0, "PODINFO_JWT_SECRET\tREDACTED\tenvironment\t", ""},
		{"settings PODINFO_CACHE_SERVER=redis://u:hunter2@h", 0, "PODINFO_CACHE_SERVER\tredis://u:REDACTED@h\tenvironment\t", ""},
		{"modules -o json", 0, `"turned_on_by": "PODINFO_RANDOM_DELAY"`, ""},
		{"--output=json modules PODINFO_FAULTS_FILE=x", 0, `"decided_by": "PODINFO_FAULTS_FILE"`, ""},
		{"settings -o json PODINFO_JWT_SECRET=hunter2", 0, `"value": "REDACTED"`, ""},
		{"version -o json", 0, `"version": "6.15.0"`, ""},
		{"routes", 0, "GET\t/version\tversion\trecovery metrics ", ""},
		{"routes --prefix=/foo PODINFO_MODULES=-metrics", 0, "GET\t/foo/version\tversion\trecovery access-log ", ""},
		{"routes -o json", 0, `"path": "/version"`, ""},
		{"check", 0, "OK: the settings are valid, 27 modules are on\n", ""},
		{`check --faults={"rules":[{"name":"a","match":{"path":"/readyz"},"delay":"1s"}]}`, 2, "", `PODINFO_FAULTS:1:39: rule "a": match.path: "/readyz" is the path of an internal route`},
		{`check --faults={"rules":[{"name":"a","fault":{"tls":{"delay":"2m"}}}]} --secure-port=8443 --cert-path=testdata`, 2, "", "a delay of 2m0s is above the server's longest"},
		{`check --faults={"rules":[{"name":"a","fault":{"tls":{"delay":"2m"}}}]} --faults-max-delay=3m --secure-port=8443 --cert-path=testdata`, 0, "OK: the settings are valid, 28 modules are on\n", ""},
		{"check --faults-file=testdata/invalid.yaml", 2, "", "invalid.yaml:2:20: rule \"a\": delay: \"soon\" is not a duration"},
		{"check --faults-file=testdata/idle.yaml", 2, "", "idle.yaml:3:18: rule \"a\": match.path: no route of the server has the path \"/nowhere\""},
		{`check --faults={"rules":[{"name":"a","match":{"grpc":"pay.Service/*"},"delay":"1s"}]}`, 2, "", "the server has no gRPC services; set PODINFO_GRPC_PORT to serve them"},
		{`check --grpc-port=9999 --faults={"rules":[{"name":"a","match":{"grpc":"pay.Service/*"},"delay":"1s"}]}`, 2, "", `no service of the server has the method "pay.Service/*"; the rule never hits`},
		{`check --grpc-port=9999 --faults={"rules":[{"name":"a","match":{"grpc":"echo.EchoService/*"},"delay":"1s"}]}`, 0, "OK: the settings are valid, 29 modules are on\n", ""},
		{`check --proxy-url=http://localhost:1 --faults={"rules":[{"name":"a","match":{"grpc":"pay.Service/*"},"delay":"1s"}]}`, 0, "OK: the settings are valid, ", ""},
		{`check --proxy-url=http://localhost:1 --proxy-all --faults={"rules":[{"name":"a","match":{"path":"/healthz"},"delay":"1s"}]}`, 0, "OK: the settings are valid, ", ""},
		{`check --faults={"rules":[{"name":"a","match":{"path":"/echo/*"},"fault":{"websocket":{"cut":true}}}]}`, 2, "", `fault: websocket does nothing at "/echo/*", as no route there is a WebSocket`},
		{`check --faults={"rules":[{"name":"a","when":{"first":1},"shared":true,"delay":"1s"}]}`, 2, "", "shared: each replica counts alone, as there is no server to count on; set PODINFO_CACHE_SERVER"},
		{`check --cache-server=redis://localhost --faults={"rules":[{"name":"a","when":{"first":1},"shared":true,"delay":"1s"}]}`, 0, "OK: ", ""},
		{`check --faults={"rules":[{"name":"a","match":{"claim":{"sub":"a"}},"delay":"1s"}]}`, 2, "", "match.claim: no claim counts, as module jwt is off"},
		{`check --jwt-paths=/env --jwt-secret=0123456789abcdef0123456789abcdef --faults={"rules":[{"name":"a","match":{"claim":{"sub":"a"}},"delay":"1s"}]}`, 0, "OK: ", ""},
		{`check --faults={"rules":[{"name":"a","fault":{"tls":{"stall":true}}}]}`, 2, "", "fault: no port of the server has TLS; set PODINFO_SECURE_PORT"},
		{`check --faults={"rules":[{"name":"a","match":{"tcp":"db"},"delay":"1s"}]}`, 2, "", "match.tcp: the server has no TCP proxies; set PODINFO_TCP_PROXY"},
		{`check --tcp-proxy=redis=localhost:1 --faults={"rules":[{"name":"a","match":{"tcp":"db"},"delay":"1s"}]}`, 2, "", `match.tcp: no TCP proxy of the server has the name "db"; use redis`},
		{`check --tcp-proxy=db=localhost:1 --faults={"rules":[{"name":"a","match":{"tcp":"db"},"delay":"1s"}]}`, 0, "OK: ", ""},
		{`check --tcp-proxy-toxiproxy-api --port-metrics=9797 --faults={"rules":[{"name":"a","match":{"tcp":"db"},"delay":"1s"}]}`, 0, "OK: ", ""},
		{"check --port=x", 2, "", `PODINFO_PORT="x" (flag --port)`},
		{"check -o json", 2, "", "--output=json has no effect on check"},
		{"modules -o yaml", 2, "", `--output="yaml": want text or json`},
		{"modules --help", 0, "Usage: podinfo modules [flags]\n\nPrint the modules", ""},
		{"-h settings", 0, "Usage: podinfo settings", ""},
		{"help check", 0, "Usage: podinfo check", ""},
		{"help chek", 2, "", `unknown command "chek" (did you mean "check"?)`},
		{"--help", 0, "--<module>-enabled true|false|standby\t", ""},
		{"--help", 0, "--cache-server URL\t", ""},
		{"--help", 0, "--random-delay-unit s|ms\t", ""},
		{"--help", 0, "--faults-file FILE\t", ""},
		{"--help", 0, "--grpc-port PORT\t", ""},
		{"--help", 0, "--jwt-secret SECRET\t", ""},
		{"completion bash", 0, "complete -o default -F _podinfo podinfo\n", ""},
		{"completion zsh", 0, "#compdef podinfo\n", ""},
		{"completion fish", 0, "complete -c podinfo -f", ""},
		{"completion tcsh", 2, "", `unknown shell "tcsh": want bash, zsh or fish`},
		{"completion", 2, "", "completion takes a shell: bash, zsh or fish"},
		{"__complete", 0, "serve\nproxy\nmodules\n", ""},
		{"__complete modules", 0, "\n--random-delay-max\n", ""},
		{"__complete --level", 0, "debug\ninfo\n", ""},
		{"__complete modules --output", 0, "text\njson\n", ""},
		{"servr", 2, "", `unknown command "servr" (did you mean "serve"?): use serve, proxy, modules, settings, routes, check, completion, version or help`},
		{"modules x", 2, "", `unexpected argument "x": modules takes none`},
		{"--pot=1", 2, "", `unknown flag: --pot (did you mean "--port"?)`},
		{"--port", 2, "", "flag needs an argument: --port"},
		{"--port=x", 2, "", `PODINFO_PORT="x" (flag --port): want a port number, 0 to 65535`},
		{"PODINFO_PORT=70000", 2, "", `PODINFO_PORT="70000": want a port number, 0 to 65535`},
		{"--level=loud", 2, "", "PODINFO_LEVEL"},
		{"--modules=-metrix", 2, "", `unknown module "metrix" (did you mean "metrics"?)`},
		{"--config-path=/nowhere --config=x.yaml", 2, "", "config file: open /nowhere/x.yaml"},
		{"PODINFO_RANDOM_DELAY=true PODINFO_RANDOM_DELAY_UNIT=h", 2, "", `PODINFO_RANDOM_DELAY_UNIT="h": want s or ms`},
		{"--faults-file=/nowhere.yaml", 2, "", `PODINFO_FAULTS_FILE="/nowhere.yaml" (flag --faults-file): open /nowhere.yaml: no such file or directory; correct the path or create the file`},
		{"proxy http://localhost:1 --faults-file=/nowhere.yaml", 2, "", `PODINFO_FAULTS_FILE="/nowhere.yaml" (flag --faults-file): open`},
		{"proxy redis=localhost:1 --faults-file=/tmp", 2, "", `PODINFO_FAULTS_FILE="/tmp" (flag --faults-file): read /tmp: is a directory`},
		{"proxy https://localhost:1 --proxy-ca-file=/nowhere.pem", 2, "", `PODINFO_PROXY_CA_FILE="/nowhere.pem" (flag --proxy-ca-file): open`},
		{"PODINFO_RANDOM_DELAY=true --random-delay-min=6", 2, "", "PODINFO_RANDOM_DELAY_M"},
		{"PODINFO_JWT_ENABLED=true PODINFO_JWT_PATHS=/cache/*", 2, "", "PODINFO_JWT_SECRET"},
	} {
		stdout, stderr, code := run(t, strings.Fields(c.words)...)
		if code != c.code || !strings.Contains(columns(stdout), c.stdout) || !strings.Contains(stderr, c.errs) {
			t.Errorf("podinfo %s: exit %d\n%s%s\nwant %+v", c.words, code, stdout, stderr, c)
		}
		if c.code != 0 && strings.Count(stderr, "\n") != 1 {
			t.Errorf("podinfo %s: not one line: %s", c.words, stderr)
		}
		if strings.Contains(stdout+stderr, "hunter2") {
			t.Errorf("podinfo %s shows a secret", c.words)
		}
	}
}

// TestHelp: the flag that every module has is explained once, and no line of a
// table is longer or shorter than its columns say.
func TestHelp(t *testing.T) {
	stdout, _, _ := run(t, "help")
	if n := strings.Count(stdout, "-enabled"); n != 1 {
		t.Errorf("-enabled appears %d times", n)
	}
	for _, command := range []string{"modules", "settings", "routes"} {
		stdout, _, _ := run(t, command, "PODINFO_FAULTS=rules:\n- {name: a, delay: 1ms}\n")
		lines := strings.Split(strings.TrimSuffix(stdout, "\n"), "\n")
		for _, word := range []string{"DECIDED BY", "SOURCE", "MODULE", "CHAIN"} {
			at := strings.Index(lines[0], word)
			for _, line := range lines {
				if r := []rune(line); at > 0 && (len(r) <= at || r[at-1] != ' ' || r[at] == ' ') {
					t.Errorf("podinfo %s: %s is not aligned in %q", command, word, line)
				}
			}
		}
	}
}

// upstreamArguments are all of upstream's flags, each with a plausible value.
var upstreamArguments = strings.Fields(`--host=127.0.0.1 --prefix=/ --secure-port=0 --port-metrics=0 --grpc-port=0
	--grpc-service-name=podinfo --level=info --backend-url=http://127.0.0.1:1 --backend-url=http://127.0.0.1:2,http://127.0.0.1:3 --http-client-timeout=2m
	--http-server-timeout=30s --server-shutdown-timeout=5s --data-path=/tmp --config-path= --cert-path=/data/cert --config=
	--ui-path=./ui --ui-logo=https://example.com/logo.gif --ui-color=#34577c --ui-message=hello --h2c --random-delay=false --random-delay-unit=s
	--random-delay-min=0 --random-delay-max=5 --random-error=false --unhealthy=false --unready=false --stress-cpu=0 --stress-memory=0
	--cache-server= --otel-service-name=`)

func TestUpstreamArguments(t *testing.T) {
	p := serve(t, upstreamArguments...)
	if _, body := p.call(t, "GET", "/", ""); !strings.Contains(body, `"message": "hello"`) {
		t.Error(body)
	}
	p = serve(t, "PODINFO_UI_MESSAGE=from the environment", "PODINFO_BACKEND_URL=http://127.0.0.1:1/a,http://127.0.0.1:2/b")
	if _, body := p.call(t, "GET", "/", ""); !strings.Contains(body, "from the environment") {
		t.Error(body)
	}
	if _, body := p.call(t, "POST", "/echo", "x"); strings.Count(body, "call failed") != 2 {
		t.Error(body)
	}
}

func TestConfigFile(t *testing.T) {
	for _, c := range []struct {
		name, text string
		words      []string
		message    string // of /api/info
		err        string
	}{
		{"config.yaml", "ui-message: file\n", nil, "file", ""},
		{"config.yaml", "ui-message: file\n", []string{"PODINFO_UI_MESSAGE=env"}, "env", ""},
		{"config.yaml", "ui-message: file\n", []string{"PODINFO_UI_MESSAGE=env", "--ui-message=flag"}, "flag", ""},
		{"other.json", `{"ui-message": "json", "backend-url": ["http://a", "http://b"]}`, []string{"--config=other.json"}, "json", ""},
		{"unread.yaml", "syntax: [error", nil, "greetings from podinfo v6.15.0", ""},
		{"config.yaml", "ui-mesage: x\n", nil, "", `config file: unknown key "ui-mesage" (did you mean "ui-message"?)`},
		{"config.yaml", "a: [b", nil, "", "config.yaml"},
		{"config.yaml", "ui: {message: x}\n", nil, "", `key "ui"`},
		{"config.yaml", "ui-message: one\n---\nui-message: two\n", nil, "", "config.yaml: it has a second YAML document"},
		{"config.yaml", "---\nui-message: one\n---\n", nil, "", "config.yaml: it has a second YAML document"},
		{"config.yaml", "# nothing yet\n", nil, "greetings from podinfo v6.15.0", ""},
		{"config.yaml", "ui-message: 1.10\nbackend-url: [ 'http://a ', http://b]\n", nil, "1.10", ""},
		{"config.yaml", "port: x\n", []string{"PODINFO_PORT="}, "", `PODINFO_PORT="x" (config file): want a port number`},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, c.name), []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		words := append([]string{"--config-path=" + dir}, c.words...)
		if c.err != "" {
			if _, stderr, code := run(t, words...); code != 2 || !strings.Contains(stderr, c.err) || strings.Count(stderr, "\n") != 1 {
				t.Errorf("%+v: exit %d %s", c, code, stderr)
			}
			continue
		}
		p := serve(t, words...)
		var info struct{ Message string }
		_, body := p.call(t, "GET", "/api/info", "")
		if err := json.Unmarshal([]byte(body), &info); err != nil || info.Message != c.message {
			t.Errorf("%+v: %v %q", c, err, body)
		}
		var files map[string]string
		_, body = p.call(t, "GET", "/configs", "")
		if err := json.Unmarshal([]byte(body), &files); err != nil || files[c.name] != c.text {
			t.Errorf("%+v: /configs: %v %s", c, err, body)
		}
	}
}

// TestConfigsHidesSecrets: /configs lists the config file, as upstream does,
// without what the settings declare secret.
func TestConfigsHidesSecrets(t *testing.T) {
	dir := t.TempDir()
	text := "ui-message: hello\njwt-secret: hunter2-" + secret + "\ncache-server: tcp://u:hunter2@127.0.0.1:1\nui-admin: true\nui-admin-token: hunter2\n"
	if err := os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := serve(t, "--config-path="+dir)
	_, body := p.call(t, "GET", "/configs", "")
	for _, want := range []string{"ui-message: hello", "jwt-secret: REDACTED", "cache-server: tcp://u:REDACTED@127.0.0.1:1", "ui-admin-token: REDACTED"} {
		if !strings.Contains(body, want) || strings.Contains(body, "hunter2") {
			t.Errorf("want %q in %s", want, body)
		}
	}
}

func TestServiceLinksAreIgnored(t *testing.T) {
	p := launch(t, "PODINFO_HOST=127.0.0.1", "PODINFO_PORT=tcp://10.0.0.1:9898", "PODINFO_GRPC_PORT=tcp://10.0.0.2:9999",
		"PODINFO_PORT_METRICS=0", "PODINFO_SERVICE_HOST=10.0.0.1", "PODINFO_PORT_9898_TCP_ADDR=10.0.0.1", fmt.Sprintf("--port=%d", registrytest.FreePort(t)))
	p.url = "http://127.0.0.1:" + strings.TrimPrefix(p.cmd.Args[len(p.cmd.Args)-1], "--port=")
	p.await(t, p.url+"/version")
	if p.stop(t) != 0 || strings.Contains(p.log.String(), "unknown variables") {
		t.Error(p.log)
	}
}

func TestPortTaken(t *testing.T) {
	first := serve(t)
	for _, flag := range []string{"--port", "--port-metrics"} {
		p := launch(t, "PODINFO_HOST=127.0.0.1", fmt.Sprintf("--port=%d", registrytest.FreePort(t)), fmt.Sprintf("%s=%d", flag, first.port))
		if code := p.wait(t); code != 1 || !strings.Contains(p.log.String(), "address already in use") {
			t.Errorf("%s: exit %d %s", flag, code, p.log)
		}
	}
	p := launch(t, "PODINFO_HOST=127.0.0.1", "--port=0", fmt.Sprintf("--secure-port=%d", registrytest.FreePort(t)), "--cert-path=/nowhere")
	if code := p.wait(t); code != 1 || !strings.Contains(p.log.String(), "/nowhere/tls.crt") {
		t.Errorf("missing certificate: exit %d %s", code, p.log)
	}
}

func TestTLSAndH2C(t *testing.T) {
	dir := t.TempDir()
	pool := registrytest.WriteCert(t, dir, "first")
	port := registrytest.FreePort(t)
	p := serve(t, fmt.Sprintf("--secure-port=%d", port), "--cert-path="+dir, "--h2c")
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport}).Get(fmt.Sprintf("https://127.0.0.1:%d/version", port))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.ProtoMajor != 2 || res.TLS.PeerCertificates[0].Subject.CommonName != "first" {
		t.Errorf("%s %v", res.Proto, res.TLS.PeerCertificates[0].Subject)
	}
	pool = registrytest.WriteCert(t, dir, "second, a longer one")
	rotated := false
	for range 600 { // the server checks the files once a second
		c, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port), &tls.Config{RootCAs: pool})
		if err == nil {
			c.Close()
			rotated = true
			break
		}
		p.call(t, "GET", "/delay/10ms", "")
	}
	if !rotated {
		t.Error("the rotated certificate is not served")
	}
	if line := (&process{port: port}).raw(t, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); line != "HTTP/1.0 400 Bad Request" {
		t.Errorf("plain HTTP on the TLS port: %q", line)
	}
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	h2c := &http.Transport{Protocols: &protocols}
	defer h2c.CloseIdleConnections()
	res, err = (&http.Client{Transport: h2c}).Get(p.url + "/version")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.ProtoMajor != 2 {
		t.Error(res.Proto)
	}
	if _, err := (&http.Client{Transport: h2c}).Get(serve(t).url); err == nil {
		t.Error("HTTP/2 without --h2c")
	}
}

func TestIPv6(t *testing.T) {
	for _, host := range []string{"::1", "[::1]"} {
		port := registrytest.FreePort(t)
		p := launch(t, "PODINFO_HOST="+host, fmt.Sprintf("--port=%d", port))
		p.await(t, fmt.Sprintf("http://[::1]:%d/version", port))
		if _, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			t.Error("--host is not honoured")
		}
	}
}

// TestShutdown runs hundreds of keep-alive clients through a SIGTERM and counts
// the requests that fail.
func TestShutdown(t *testing.T) {
	p := serve(t, "PODINFO_SHUTDOWN_GRACE=1s", "--server-shutdown-timeout=20s")
	var lost, served, late atomic.Int64
	var draining atomic.Bool
	var all sync.WaitGroup
	warm := make(chan bool, 200)
	for range 200 {
		all.Go(func() {
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			for n := 0; ; n++ {
				res, err := (&http.Client{Transport: transport}).Post(p.url+"/echo", "text/plain", strings.NewReader("x"))
				if n == 3 {
					warm <- true
				}
				if err != nil {
					if !strings.Contains(err.Error(), "connection refused") {
						lost.Add(1)
						t.Log(err)
					}
					return
				}
				io.Copy(io.Discard, res.Body)
				res.Body.Close()
				served.Add(1)
				if draining.Load() {
					late.Add(1)
				}
			}
		})
	}
	for range 200 {
		<-warm
	}
	slow := make(chan error, 1)
	go func() {
		res, err := client.Get(p.url + "/delay/2")
		if err == nil {
			_, err = io.ReadAll(res.Body)
			res.Body.Close()
		}
		slow <- err
	}()
	p.cmd.Process.Signal(syscall.SIGTERM)
	for {
		res, err := client.Get(p.url + "/readyz")
		if err != nil {
			t.Fatal("readyz never failed: ", err)
		}
		res.Body.Close()
		if res.StatusCode == http.StatusServiceUnavailable {
			break
		}
	}
	draining.Store(true)
	if res, _ := p.call(t, "GET", "/healthz", ""); res.StatusCode != 200 {
		t.Errorf("liveness while draining: %d", res.StatusCode)
	}
	all.Wait()
	if err := <-slow; err != nil {
		t.Errorf("the request in flight: %v", err)
	}
	if code := p.wait(t); code != 0 || lost.Load() > 0 || late.Load() == 0 {
		t.Errorf("exit %d, %d lost of %d, %d served while draining: %s", code, lost.Load(), served.Load(), late.Load(), p.log)
	}
}

// TestShutdownWithAnOpenPage checks that the stream of events ends at once, so
// that an open page does not delay the shutdown.
func TestShutdownWithAnOpenPage(t *testing.T) {
	p := serve(t, "--server-shutdown-timeout=20s")
	res, err := client.Get(p.url + "/ui/events")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if code := p.stop(t); code != 0 { // 1 if the server had to cut the stream
		t.Errorf("exit %d: %s", code, p.log)
	}
	if events, err := io.ReadAll(res.Body); err != nil || !strings.HasPrefix(string(events), "event: history\n") || !strings.HasSuffix(string(events), "event: bye\ndata: {}\n\n") {
		t.Errorf("%v %s", err, events)
	}
}

// TestShutdownCuts: what outlives the timeout is counted, and told to its client
// unless that has got a part of the response.
func TestShutdownCuts(t *testing.T) {
	for path, want := range map[string]int{"/chunked/60": http.StatusOK, "/delay/60": http.StatusServiceUnavailable} {
		t.Run(path, func(t *testing.T) {
			p := serve(t, "--server-shutdown-timeout=1s")
			type response struct {
				status int
				err    error
			}
			sent, ended := make(chan bool), make(chan response)
			go func() {
				trace := &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { close(sent) }}
				req, _ := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), "GET", p.url+path, nil)
				res, err := client.Do(req)
				if err != nil {
					ended <- response{err: err}
					return
				}
				defer res.Body.Close()
				_, err = io.Copy(io.Discard, res.Body)
				ended <- response{res.StatusCode, err}
			}()
			<-sent
			if code := p.stop(t); code != 1 || !strings.Contains(p.log.String(), "1 requests cut") {
				t.Errorf("exit %d: %s", code, p.log)
			}
			cut := want == http.StatusOK // a part of the response was sent
			if got := <-ended; got.status != want || (got.err != nil) != cut {
				t.Errorf("%+v, want %d", got, want)
			}
		})
	}
}

func TestSecondSignal(t *testing.T) {
	p := serve(t, "PODINFO_SHUTDOWN_GRACE=1m")
	p.cmd.Process.Signal(syscall.SIGINT)
	for {
		if res, _ := p.call(t, "GET", "/readyz", ""); res.StatusCode == http.StatusServiceUnavailable {
			break
		}
	}
	p.cmd.Process.Signal(syscall.SIGINT)
	if code := p.wait(t); code != 1 {
		t.Errorf("exit %d", code)
	}
}

func TestPanicExits255(t *testing.T) {
	p := serve(t)
	if res, err := client.Get(p.url + "/panic"); err == nil {
		t.Errorf("got a response: %d", res.StatusCode)
	}
	if code := p.wait(t); code != 255 {
		t.Errorf("exit %d", code)
	}
}

func TestLog(t *testing.T) {
	p := serve(t, "--level=debug", "--modules=random-error", "PODINFO_RANDOM_ERROR_RATE=1", "PODINFO_RANDOM_ERROR_CODES=500")
	p.call(t, "GET", "/status/201?q=1", "", "Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	p.stop(t)
	var messages []string
	var access map[string]any
	for line := range strings.Lines(p.log.String()) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("not JSON: %s", line)
		}
		for _, k := range []string{"level", "ts", "msg"} {
			if entry[k] == nil {
				t.Errorf("no %s in %s", k, line)
			}
		}
		messages = append(messages, entry["msg"].(string))
		if entry["uri"] == "/status/201?q=1" {
			access = entry
		}
	}
	if text := strings.Join(messages, "\n"); !strings.Contains(text, "Starting podinfo") || !strings.Contains(text, "Starting HTTP Server.") {
		t.Error(text)
	}
	for k, want := range map[string]any{"method": "GET", "route": "/status/{code}", "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "fault": "random-error", "proto": "HTTP/1.1", "level": "debug"} {
		if diff := cmp.Diff(want, access[k]); diff != "" {
			t.Errorf("%s: %s in %v", k, diff, access)
		}
	}
	for _, k := range []string{"status", "duration", "bytes", "remote", "user-agent"} {
		if access[k] == nil {
			t.Errorf("no %s in %v", k, access)
		}
	}
}

// TestTelemetryVariables checks that a bad value of a standard variable is one
// warning, by podinfo and not by OpenTelemetry's SDK too, and ends no start.
func TestTelemetryVariables(t *testing.T) {
	bad := map[string]string{}
	for _, v := range otlp.Table() {
		if strings.HasSuffix(v.Name, "_LIMIT") { // a dependency of OpenTelemetry's packages prints these before main
			continue
		}
		if bad[v.Name] = "?"; v.Accepts == "" && !v.Ignored {
			delete(bad, v.Name)
		}
	}
	var words []string
	for name, value := range bad {
		words = append(words, name+"="+value)
	}
	p := serve(t, append(words, "PODINFO_OTEL_SERVICE_NAME=x", "OTEL_TRACES_EXPORTER=none", "OTEL_LOGS_EXPORTER=none", "OTEL_METRICS_EXPORTER=prometheus")...)
	p.stop(t)
	got := map[string]int{}
	for line := range strings.Lines(p.log.String()) {
		var entry struct{ Level, Msg string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Errorf("not JSON: %s", line)
		}
		if name, _, ok := strings.Cut(entry.Msg, "="); ok && entry.Level == "warn" {
			got[name]++
		}
	}
	for name := range bad {
		if want := 1; !strings.HasSuffix(name, "S_EXPORTER") && got[name] != want {
			t.Errorf("%s: %d warnings", name, got[name])
		}
	}
}

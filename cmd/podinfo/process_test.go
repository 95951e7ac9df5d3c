package main_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
)

// binary is the path of podinfo, which TestMain builds once.
var binary string

func TestMain(m *testing.M) {
	mainIfAsked()
	dir, err := os.MkdirTemp("", "podinfo")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "podinfo")
	build := exec.Command("go", "build", "-o", binary, ".")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// process is a running podinfo.
type process struct {
	cmd  *exec.Cmd
	port int
	url  string
	log  *output
	done chan struct{} // closed when the process has ended
	code int
}

// output collects the output of a process.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// launch starts podinfo. Each word is either VARIABLE=value or an argument.
func launch(t *testing.T, words ...string) *process {
	t.Helper()
	var environ, args []string
	for _, w := range words {
		if name, _, ok := strings.Cut(w, "="); ok && !strings.HasPrefix(w, "-") && name == strings.ToUpper(name) {
			environ = append(environ, w)
		} else {
			args = append(args, w)
		}
	}
	return launchWith(t, environ, args...)
}

// launchWith starts podinfo with more variables and with arguments.
func launchWith(t *testing.T, environ []string, args ...string) *process {
	t.Helper()
	p := &process{log: new(output), done: make(chan struct{})}
	p.cmd = exec.Command(binary, args...)
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "PODINFO_SHUTDOWN_GRACE=0s"}, environ...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	start(t, p)
	return p
}

// start starts a process. The end of the test kills it.
func start(t *testing.T, p *process) {
	t.Helper()
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.cmd.Wait()
		p.code = p.cmd.ProcessState.ExitCode()
		close(p.done)
	}()
	t.Cleanup(func() { p.cmd.Process.Kill(); <-p.done })
}

// serve launches podinfo on a free port and waits until it responds.
func serve(t *testing.T, words ...string) *process {
	t.Helper()
	port := registrytest.FreePort(t)
	p := launch(t, append([]string{"PODINFO_HOST=127.0.0.1", fmt.Sprintf("PODINFO_PORT=%d", port), "PODINFO_DATA_PATH=" + t.TempDir()}, words...)...)
	p.port, p.url = port, fmt.Sprintf("http://127.0.0.1:%d", port)
	p.await(t, p.url+"/")
	return p
}

// await polls url until the server responds, with other than 503 if url is that of
// its readiness: the ports open one after another.
func (p *process) await(t *testing.T, url string) {
	t.Helper()
	for began := time.Now(); time.Since(began) < 20*time.Second; {
		if res, err := client.Get(url); err == nil {
			res.Body.Close()
			if !strings.HasSuffix(url, "/readyz") || res.StatusCode != http.StatusServiceUnavailable {
				return
			}
		}
		select {
		case <-p.done:
			t.Fatalf("podinfo exited with %d: %s", p.code, p.log)
		case <-time.After(2 * time.Millisecond):
		}
	}
	t.Fatalf("no response from %s: %s", url, p.log)
}

// end waits for the process and returns its exit code.
func (p *process) wait(t *testing.T) int {
	t.Helper()
	select {
	case <-p.done:
		return p.code
	case <-time.After(30 * time.Second):
		t.Fatalf("still running: %s", p.log)
		return -1
	}
}

// stop sends SIGTERM and returns the exit code.
func (p *process) stop(t *testing.T) int {
	t.Helper()
	p.cmd.Process.Signal(syscall.SIGTERM)
	return p.wait(t)
}

var client = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Timeout:       30 * time.Second,
}

// call sends a request and returns the response and its body.
func (p *process) call(t *testing.T, method, path, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, p.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", method, path, err, p.log)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(b)
}

// raw sends bytes on a new connection and returns the first line of the
// response.
func (p *process) raw(t *testing.T, request string) string {
	t.Helper()
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", p.port))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, request)
	line, _ := bufio.NewReader(c).ReadString('\n')
	return strings.TrimSpace(line)
}

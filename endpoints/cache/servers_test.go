package cache_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	redis.SetLogger(&redisLog)
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if redisLog.String() != "" {
			fmt.Fprintln(os.Stderr, "go-redis would have written to standard error:", redisLog.String())
			code = max(code, 1)
		}
		os.Exit(code)
	}))
}

// redisLog collects what go-redis would write to standard error.
var redisLog logger

type logger struct {
	mu sync.Mutex
	strings.Builder
}

func (l *logger) Printf(_ context.Context, format string, v ...any) {
	if strings.HasPrefix(format, "sentinel: ") { // a new master, logged once per failover
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l, format+"\n", v...)
}

// child is a real server that runs as a child process on loopback.
type child struct {
	addr string
	args []string
	cmd  *exec.Cmd
}

func redisServer(t *testing.T, args ...string) *child {
	t.Helper()
	c := newChild(t)
	_, port, _ := net.SplitHostPort(c.addr)
	c.args = append([]string{"redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", t.TempDir()}, args...)
	c.start(t)
	return c
}

func memcachedServer(t *testing.T, args ...string) *child {
	t.Helper()
	c := newChild(t)
	_, port, _ := net.SplitHostPort(c.addr)
	c.args = append([]string{"memcached", "-l", "127.0.0.1", "-p", port, "-U", "0", "-u", "nobody"}, args...)
	c.start(t)
	return c
}

// newChild chooses a free port.
func newChild(t *testing.T) *child {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return &child{addr: l.Addr().String()}
}

// start starts the server and waits until it responds.
func (c *child) start(t *testing.T) {
	t.Helper()
	c.cmd = exec.Command(c.args[0], c.args[1:]...)
	var out strings.Builder
	c.cmd.Stdout, c.cmd.Stderr = &out, &out
	if err := c.cmd.Start(); err != nil {
		t.Fatalf("%v: run `make deps` to install %s", err, c.args[0])
	}
	t.Cleanup(c.kill)
	deadline := time.Now().Add(30 * time.Second)
	for !c.responds() {
		if time.Now().After(deadline) {
			c.kill()
			t.Fatalf("%s does not respond: %s", c.args[0], out.String())
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// responds sends a line to which a server of either protocol responds with a
// line, which may be an error.
func (c *child) responds() bool {
	conn, err := net.DialTimeout("tcp", c.addr, time.Second)
	if err != nil {
		return false
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Second))
	fmt.Fprint(conn, "version\r\n")
	line, err := bufio.NewReader(conn).ReadString('\n')
	return err == nil && !strings.Contains(line, "LOADING")
}

// kill kills the server if it is running.
func (c *child) kill() {
	if c.cmd.ProcessState == nil {
		c.cmd.Process.Kill()
		c.cmd.Wait()
	}
}

// hang suspends the server until resume is called.
func (c *child) hang(t *testing.T) {
	t.Helper()
	c.signal(t, syscall.SIGSTOP)
	// Wait4 returns when every thread has stopped.
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(c.cmd.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Fatalf("%s did not stop: %v %v", c.args[0], status, err)
	}
}

func (c *child) resume(t *testing.T) { t.Helper(); c.signal(t, syscall.SIGCONT) }

func (c *child) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

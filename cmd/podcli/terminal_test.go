//go:build unix

package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/term"

	"github.com/seed-4591fe7d/podinfo/cmd/internal/clitest"
)

// screen is a terminal on which podcli runs.
type screen struct {
	*os.File
	tty  *os.File
	cmd  *exec.Cmd
	text string // everything that was written to the terminal
	seen int    // length of the part of text that until has consumed
}

func onTerminal(t *testing.T, env string, args ...string) *screen {
	t.Helper()
	master, tty, err := pty.Open()
	if err != nil {
		t.Skipf("cannot open a terminal: %v", err)
	}
	t.Cleanup(func() { master.Close(); tty.Close() })
	if err := pty.Setsize(master, &pty.Winsize{Rows: 24, Cols: 120}); err != nil {
		t.Fatal(err)
	}
	cmd := podcli(t, args...)
	cmd.Env = append(cmd.Env, env)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return &screen{File: polled(t, master), tty: tty, cmd: cmd}
}

// polled returns a copy of f that supports deadlines.
func polled(t *testing.T, f *os.File) *os.File {
	t.Helper()
	fd, err := syscall.Dup(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	same := os.NewFile(uintptr(fd), f.Name())
	t.Cleanup(func() { same.Close() })
	return same
}

// until reads until text appears after the parts that were consumed before.
func (s *screen) until(t *testing.T, text string) {
	t.Helper()
	s.SetReadDeadline(time.Now().Add(processTimeout))
	buf := make([]byte, 4096)
	for {
		if at := strings.Index(s.text[s.seen:], text); at >= 0 {
			s.seen += at + len(text)
			return
		}
		n, err := s.Read(buf)
		if err != nil {
			t.Fatalf("%v, waiting for %q after %q", err, text, s.text)
		}
		s.text += string(buf[:n])
	}
}

func (s *screen) key(keys string) { s.WriteString(keys) }

const (
	up, left, ctrlA, ctrlD, enter = "\x1b[A", "\x1b[D", "\x01", "\x04", "\r"
	green, wipe                   = "\x1b[32m", "\x1b[K"
)

func TestTerminal(t *testing.T) {
	s, _ := newSocket(t, false)
	c := onTerminal(t, "", "ws", s.url("/echo"))
	before, err := term.GetState(int(c.tty.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	c.until(t, "connected to ws://")
	c.until(t, "> ")
	c.key("helo" + left + "l" + enter)
	c.until(t, green+"< hello")
	c.key(up + ctrlA + "oh " + enter)
	c.until(t, green+"< oh hello")
	c.key(up + up + enter)
	c.until(t, green+"< hello")
	if diff := cmp.Diff([]string{"hello", "oh hello", "hello"}, s.next(3)); diff != "" {
		t.Error(diff)
	}
	c.key(ctrlD)
	c.until(t, "closed: 1000 (normal closure)")
	if code := clitest.ExitCode(t, c.cmd.Wait()); code != 0 || s.next(1)[0] != "close 1000 (normal closure)" {
		t.Errorf("exit code %d", code)
	}
	after, err := term.GetState(int(c.tty.Fd()))
	if err != nil || !reflect.DeepEqual(before, after) {
		t.Errorf("the terminal was not restored: %+v, %+v before, %v", after, before, err)
	}
}

func TestTerminalCloseCode(t *testing.T) {
	s, _ := newSocket(t, false)
	c := onTerminal(t, "NO_COLOR=1", "ws", s.url("/echo"))
	c.until(t, "> ")
	c.key("a" + enter)
	c.until(t, "< a")
	c.key("leave" + enter)
	c.until(t, "closed: 1001 (going away) bye")
	if code := clitest.ExitCode(t, c.cmd.Wait()); code != 1 || strings.Contains(c.text, green) {
		t.Errorf("exit code %d, %q", code, c.text)
	}
}

func TestControlCharactersAreReplaced(t *testing.T) {
	s, _ := newSocket(t, false)
	c := onTerminal(t, "", "ws", s.url("/control"))
	c.until(t, "\uFFFD[2Jclear\uFFFD")
	c.key(ctrlD)
	c.until(t, "closed: 1000")
	clitest.ExitCode(t, c.cmd.Wait())
}

func TestProgress(t *testing.T) {
	release := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer s.Close()
	c := onTerminal(t, "", "check", "http", s.URL, "--timeout=1h")
	c.until(t, "attempt 1 of 1: waiting for the response")
	close(release)
	c.until(t, wipe+"check succeed: http "+s.URL)
	if code := clitest.ExitCode(t, c.cmd.Wait()); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestLoadBar(t *testing.T) {
	s := httptest.NewServer(site())
	defer s.Close()
	c := onTerminal(t, "", "load", s.URL+"/ok", "--duration=200ms")
	c.until(t, "[")
	c.until(t, "% ")
	c.until(t, wipe+"Target")
	c.until(t, "max")
	if code := clitest.ExitCode(t, c.cmd.Wait()); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestDumbTerminal checks that a terminal without capabilities gets no progress line.
func TestDumbTerminal(t *testing.T) {
	c := onTerminal(t, "TERM=dumb", "check", "tcp", silent(t))
	c.until(t, "check succeed")
	if clitest.ExitCode(t, c.cmd.Wait()) != 0 || strings.Contains(c.text, "\x1b") {
		t.Errorf("%q", c.text)
	}
}

package pages

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// limit is what a block of commands may take, a cold build included.
const limit = 5 * time.Minute

// TestCommands runs the commands of each page in order, as a reader would who
// has a second terminal for servers: in one shell, in the root of the repository.
func TestCommands(t *testing.T) {
	bin := programs(t)
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if !slices.ContainsFunc(p.Blocks, func(b Block) bool { return b.Language == "sh" }) {
			continue
		}
		t.Run(p.Path, func(t *testing.T) {
			removeNewFiles(t)
			s := &session{t: t, page: p.Path, bin: bin, state: filepath.Join(t.TempDir(), "environment")}
			t.Cleanup(s.stopServers)
			for _, b := range p.Blocks {
				if b.Language == "sh" {
					s.run(b)
				}
			}
		})
	}
}

// programs builds what an installed podinfo has on its PATH, and grpcurl.
func programs(t *testing.T) string {
	t.Helper()
	bin := t.TempDir()
	root, err := filepath.Abs(Root)
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"build", "-o", bin, "./cmd/podinfo", "./cmd/podcli"},
		{"build", "-modfile=hack/tools/go.mod", "-o", bin, "github.com/fullstorydev/grpcurl/cmd/grpcurl"},
	} {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	return bin
}

// A session is one reader of one page.
type session struct {
	t       *testing.T
	page    string
	bin     string
	state   string // file with the variables that earlier blocks exported
	servers []*exec.Cmd
}

func (s *session) run(b Block) {
	s.t.Helper()
	where := fmt.Sprintf("%s:%d", s.page, b.Line)
	background := false
	for _, d := range b.Directives {
		command, with := strings.CutPrefix(d, "with ")
		switch {
		case with:
			s.serve(where, command)
		case d == "server":
			s.stopServers()
			background = true
		case d == "another server":
			background = true
		case d == "in a cluster", strings.HasPrefix(d, "not, "):
			s.syntax(where, b.Text)
			return
		default:
			s.t.Fatalf("%s: unknown directive %q", where, d)
		}
	}
	if background {
		for line := range strings.Lines(strings.ReplaceAll(b.Text, "\\\n", " ")) {
			s.serve(where, line)
		}
		return
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), limit)
	defer cancel()
	cmd := s.shell(ctx, b.Text+"\nexport -p >"+s.state)
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("%s: %v\n%s\n%s", where, err, b.Text, out)
	}
}

// shell returns a command that runs a script in a process group of its own.
func (s *session) shell(ctx context.Context, script string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "bash", "-eu", "-c", "[ ! -e "+s.state+" ] || source "+s.state+"\n"+script)
	cmd.Dir = Root
	// Nobody waits for the servers to be taken out of load balancing.
	cmd.Env = append(os.Environ(), "PATH="+s.bin+":"+os.Getenv("PATH"), "PODINFO_SHUTDOWN_GRACE=0s")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	return cmd
}

// syntax checks commands that cannot run here.
func (s *session) syntax(where, text string) {
	s.t.Helper()
	cmd := exec.Command("bash", "-n")
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("%s: %v\n%s", where, err, out)
	}
}

// serve starts a server and returns once it listens on a port.
func (s *session) serve(where, command string) {
	s.t.Helper()
	log, err := os.CreateTemp(s.t.TempDir(), "log")
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	cmd := s.shell(s.t.Context(), command)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.servers = append(s.servers, cmd)
	exited := make(chan struct{})
	go func() { _ = cmd.Wait(); close(exited) }()
	for end := time.Now().Add(limit); ; {
		select {
		case <-exited:
			out, _ := os.ReadFile(log.Name())
			s.t.Fatalf("%s: %s exited: %v\n%s", where, command, cmd.ProcessState, out)
		case <-time.After(50 * time.Millisecond):
		}
		if listens(s.t, cmd.Process.Pid) {
			time.Sleep(200 * time.Millisecond) // a server may open several ports
			return
		}
		if time.Now().After(end) {
			out, _ := os.ReadFile(log.Name())
			s.t.Fatalf("%s: %s opened no port\n%s", where, command, out)
		}
	}
}

// stopServers ends the servers like Ctrl-C does.
func (s *session) stopServers() {
	for _, cmd := range s.servers {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGINT)
		for end := time.Now().Add(15 * time.Second); syscall.Kill(-cmd.Process.Pid, 0) == nil; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			}
		}
	}
	s.servers = nil
}

// listens reports whether a process of the group accepts TCP connections. Other
// programs on the machine may open ports at the same time.
func listens(t *testing.T, group int) bool {
	t.Helper()
	accepting := map[string]bool{} // by inode
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		b, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			if f := strings.Fields(line); len(f) > 9 && f[3] == "0A" { // TCP_LISTEN
				accepting["socket:["+f[9]+"]"] = true
			}
		}
	}
	files, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		socket, err := os.Readlink(file)
		if err != nil || !accepting[socket] { // the process may have ended
			continue
		}
		pid, err := strconv.Atoi(strings.Split(file, "/")[2])
		if err != nil {
			t.Fatal(err)
		}
		if of, err := syscall.Getpgid(pid); err == nil && of == group {
			return true
		}
	}
	return false
}

// removeNewFiles removes what the page's commands leave in the work tree.
func removeNewFiles(t *testing.T) {
	before := untracked(t)
	t.Cleanup(func() {
		for file := range maps.Keys(untracked(t)) {
			if !before[file] {
				os.Remove(filepath.Join(Root, file))
			}
		}
	})
}

func untracked(t *testing.T) map[string]bool {
	t.Helper()
	cmd := exec.Command("git", "ls-files", "--others", "--exclude-standard")
	cmd.Dir = Root
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]bool{}
	for file := range strings.Lines(string(out)) {
		files[strings.TrimSuffix(file, "\n")] = true
	}
	return files
}

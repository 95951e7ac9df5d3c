package ci

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

var programs string // the directory of podinfo and podcli

var build = sync.OnceValue(func() error {
	cmd := exec.Command("go", "build", "-o", programs, "./cmd/podinfo", "./cmd/podcli")
	cmd.Dir, cmd.Stderr = "../..", os.Stderr
	return cmd.Run()
})

func TestMain(m *testing.M) {
	var err error
	if programs, err = os.MkdirTemp("", "podinfo-ci-"); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(programs)
	os.Exit(code)
}

func program(t *testing.T) string {
	t.Helper()
	if err := build(); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(programs, "podinfo")
}

// serve starts podinfo, as a container does, and returns its address.
func serve(t *testing.T, environment map[string]string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	_, port, _ := net.SplitHostPort(address)
	cmd := exec.Command(program(t), "--host", "127.0.0.1", "--port", port, "--shutdown-grace", "0s")
	cmd.Env = os.Environ()
	for name, value := range environment {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if resp, err := http.Get("http://" + address + "/readyz"); err == nil {
			resp.Body.Close()
			return address
		}
	}
	t.Fatal("podinfo does not respond")
	return ""
}

// shell runs a command of a file with podcli on the PATH, at the address instead
// of localhost:9898.
func shell(t *testing.T, address, command string) {
	t.Helper()
	command = regexp.MustCompile(`localhost:9898`).ReplaceAllString(command, address)
	cmd := exec.CommandContext(t.Context(), "sh", "-ec", command)
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(program(t))+":"+os.Getenv("PATH"), "GITHUB_RUN_ID="+t.Name())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", strings.TrimSpace(command), err, out)
	}
}

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-4591fe7d/podinfo/cmd/internal/clitest"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
)

// processTimeout ends processes that hang.
const processTimeout = 2 * time.Minute

const adminToken = clitest.AdminToken

// binaries is the folder with kubectl-podinfo, podcli and podinfo.
var binaries string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "kubectl-podinfo")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		binaries = dir
		for _, args := range [][]string{
			{"build", fmt.Sprint("-race=", registrytest.Race()), "-o", filepath.Join(dir, "kubectl-podinfo"), "."},
			{"build", "-C", "../..", "-o", dir + "/", "./cmd/podcli", "./cmd/podinfo"},
		} {
			if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
				fmt.Fprintf(os.Stderr, "%v: %s", err, out)
				return 1
			}
		}
		return m.Run()
	}())
}

// serve starts a podinfo process. It returns the port of its faults API, and a
// function that returns the status of its response to /version.
func serve(t *testing.T, env ...string) (port int, version func() int) {
	t.Helper()
	p := clitest.ServePodinfo(t, filepath.Join(binaries, "podinfo"), env...)
	return p.AdminPort, func() int { return p.Status(t, "/version") }
}

// program returns a command that runs a program in the test's folder.
func program(t *testing.T, name string, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(t.Context(), processTimeout)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, filepath.Join(binaries, name), args...)
	// Without GORACE, a binary with the race detector sleeps a second at exit.
	cmd.Env = []string{"TERM=xterm", "PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "GORACE=atexit_sleep_ms=0"}
	return cmd
}

// ran is the result of a process.
type ran struct {
	code     int
	out, err string
}

func run(t *testing.T, stdin, name string, args ...string) ran {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := program(t, name, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	return ran{clitest.ExitCode(t, cmd.Run()), out.String(), errs.String()}
}

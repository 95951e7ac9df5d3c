package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
)

// processTimeout ends processes that hang.
const processTimeout = 2 * time.Minute

const adminToken = "s3cret"

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
		info, _ := debug.ReadBuildInfo()
		race := slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
		for _, args := range [][]string{
			{"build", fmt.Sprint("-race=", race), "-o", filepath.Join(dir, "kubectl-podinfo"), "."},
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
	web, port := registrytest.FreePort(t), registrytest.FreePort(t)
	cmd := exec.Command(filepath.Join(binaries, "podinfo"))
	cmd.Env = append([]string{
		"PODINFO_HOST=127.0.0.1", fmt.Sprint("PODINFO_PORT=", web), fmt.Sprint("PODINFO_PORT_METRICS=", port), "PODINFO_DATA_PATH=" + t.TempDir(),
		"PODINFO_FAULTS_ENABLED=true", "PODINFO_FAULTS_ADMIN=true", "PODINFO_FAULTS_ADMIN_TOKEN=" + adminToken, "PODINFO_SHUTDOWN_GRACE=0s",
	}, env...)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	t.Cleanup(func() { cmd.Process.Kill(); <-ended })
	for began := time.Now(); ; {
		if res, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/readyz", port)); err == nil && res.Body.Close() == nil && res.StatusCode == http.StatusOK {
			break
		}
		select {
		case <-ended:
			t.Fatalf("podinfo ended: %s", &log)
		case <-time.After(5 * time.Millisecond):
		}
		if time.Since(began) > processTimeout {
			t.Fatal("podinfo is not ready")
		}
	}
	return port, func() int {
		res, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/version", web))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		return res.StatusCode
	}
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
	return ran{exitCode(t, cmd.Run()), out.String(), errs.String()}
}

func exitCode(t *testing.T, err error) int {
	t.Helper()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	if err != nil {
		t.Fatal(err)
	}
	return 0
}

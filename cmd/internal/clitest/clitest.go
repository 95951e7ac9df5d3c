// Package clitest starts podinfo for the tests of the command lines.
package clitest

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"testing"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
)

// readyTimeout is how long a process may take until it is ready.
const readyTimeout = time.Minute

// AdminToken is the token of the faults API of ServePodinfo.
const AdminToken = "s3cret"

// Podinfo is a process of podinfo with the faults API.
type Podinfo struct {
	Port, AdminPort int // on 127.0.0.1
}

// ServePodinfo starts the program in the file binary until the test ends and waits
// until it is ready. env holds variables such as PODINFO_FAULTS_FILE=rules.yaml.
func ServePodinfo(t *testing.T, binary string, env ...string) Podinfo {
	t.Helper()
	p := Podinfo{registrytest.FreePort(t), registrytest.FreePort(t)}
	cmd := exec.Command(binary)
	cmd.Env = append([]string{
		"PODINFO_HOST=127.0.0.1", fmt.Sprint("PODINFO_PORT=", p.Port), fmt.Sprint("PODINFO_PORT_METRICS=", p.AdminPort), "PODINFO_DATA_PATH=" + t.TempDir(),
		"PODINFO_FAULTS_ENABLED=true", "PODINFO_FAULTS_ADMIN=true", "PODINFO_FAULTS_ADMIN_TOKEN=" + AdminToken, "PODINFO_SHUTDOWN_GRACE=0s",
	}, env...)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	t.Cleanup(func() { cmd.Process.Kill(); <-ended })
	for began := time.Now(); time.Since(began) < readyTimeout; {
		if status, err := get(p.AdminPort, "/readyz"); err == nil && status == http.StatusOK {
			return p
		}
		select {
		case <-ended:
			t.Fatalf("podinfo ended: %s", &log)
		case <-time.After(2 * time.Millisecond):
		}
	}
	t.Fatal("podinfo is not ready")
	return Podinfo{}
}

// Status returns the status of the response to a GET request for a path.
func (p Podinfo) Status(t *testing.T, path string) int {
	t.Helper()
	status, err := get(p.Port, path)
	if err != nil {
		t.Fatal(err)
	}
	return status
}

func get(port int, path string) (int, error) {
	res, err := new(http.Client).Get(fmt.Sprintf("http://127.0.0.1:%d%s", port, path))
	if err != nil {
		return 0, err
	}
	return res.StatusCode, res.Body.Close()
}

// ExitCode returns the exit code of a process that [exec.Cmd.Wait] or Run ended with
// err. It ends the test if the process could not be run.
func ExitCode(t *testing.T, err error) int {
	t.Helper()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	if err != nil {
		t.Fatal(err)
	}
	return 0
}

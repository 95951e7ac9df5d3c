//go:build container

package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/opencontainers/runtime-spec/specs-go"
)

const memory = 64 << 20

// TestContainer runs the image under the restricted Pod Security level: read-only
// root file system, no capabilities, no new privileges, 64 MiB of memory.
func TestContainer(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("the test needs root to run runc")
	}
	c := start(t)
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	call := func(method, path, body string) (int, string) {
		t.Helper()
		req, err := http.NewRequest(method, "http://127.0.0.1:"+c.port+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		reply, err := client.Do(req)
		if err != nil {
			t.Fatalf("%v\n%s", err, c.log)
		}
		defer reply.Body.Close()
		text, err := io.ReadAll(reply.Body)
		if err != nil {
			t.Fatal(err)
		}
		return reply.StatusCode, string(text)
	}

	// podcli, found through PATH, tells when the server is up.
	c.exec(t, true, "podcli", "check", "http", "127.0.0.1:"+c.port+"/readyz", "--retry", "30", "--delay", "1s")

	if code, body := call("GET", "/version", ""); code != 200 || !strings.Contains(body, "6.15.0-test") || !strings.Contains(body, "0123456789abcdef") {
		t.Errorf("/version: %d %s", code, body)
	}
	if code, body := call("POST", "/echo", "hello"); code != 202 || body != "hello" {
		t.Errorf("/echo: %d %s", code, body)
	}
	code, body := call("POST", "/store", "kept")
	var stored struct{ Hash string }
	if err := json.Unmarshal([]byte(body), &stored); code != 202 || err != nil {
		t.Fatalf("/store: %d %s", code, body)
	}
	if code, body := call("GET", "/store/"+stored.Hash, ""); code != 200 || body != "kept" {
		t.Errorf("/store/%s: %d %s", stored.Hash, code, body)
	}

	// The restrictions apply to the process.
	status := c.read(t, fmt.Sprintf("/proc/%d/status", c.pid(t)))
	for _, want := range []string{"Uid:\t100\t100\t100\t100", "Gid:\t101\t101\t101\t101", "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000",
		"CapBnd:\t0000000000000000", "NoNewPrivs:\t1"} {
		if !strings.Contains(status, want+"\n") {
			t.Errorf("no %q in\n%s", want, status)
		}
	}
	if got := c.memoryLimit(t); got != memory {
		t.Errorf("the memory limit is %d bytes", got)
	}
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/root/home/app/x", c.pid(t)), nil, 0o600); err == nil {
		t.Error("the root file system is writable")
	}

	// Requests of a megabyte each stay below the memory limit.
	for range 20 {
		if code, _ := call("POST", "/echo", strings.Repeat("x", 1<<20)); code != 202 {
			t.Errorf("/echo: %d", code)
		}
	}

	// On SIGTERM it exits with 0.
	if out, err := exec.Command("runc", "kill", c.id, "TERM").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	select {
	case err := <-c.done:
		if err != nil {
			t.Errorf("%v\n%s", err, c.log)
		}
	case <-time.After(30 * time.Second):
		t.Errorf("still running after SIGTERM\n%s", c.log)
	}
}

type container struct {
	id, port, bundle string
	done             chan error
	log              *bytes.Buffer
}

// start runs the image for the architecture of this machine with runc.
func start(t *testing.T) *container {
	t.Helper()
	dir := t.TempDir()
	c := &container{id: "podinfo-test-" + strconv.Itoa(os.Getpid()), port: freePort(t), bundle: dir, done: make(chan error, 1), log: new(bytes.Buffer)}
	config := unpack(t, filepath.Join(dir, "rootfs"))
	volume := filepath.Join(dir, "volume")
	if err := os.Mkdir(volume, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(volume, 0o777); err != nil { // like an emptyDir, whatever the umask
		t.Fatal(err)
	}
	spec, err := json.Marshal(c.spec(config, volume))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), spec, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("runc", "run", "--bundle", dir, c.id)
	cmd.Stdout, cmd.Stderr = c.log, c.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = exec.Command("runc", "delete", "--force", c.id).Run() })
	go func() { c.done <- cmd.Wait() }()
	for deadline := time.Now().Add(30 * time.Second); c.state().Status != "running"; time.Sleep(50 * time.Millisecond) {
		select {
		case err := <-c.done:
			t.Fatalf("%v\n%s", err, c.log)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("the container does not start\n%s", c.log)
		}
	}
	return c
}

func (c *container) spec(config v1.Config, volume string) *specs.Spec {
	limit := int64(memory)
	return &specs.Spec{
		Version: "1.0.2",
		Root:    &specs.Root{Path: "rootfs", Readonly: true},
		Process: &specs.Process{
			User: specs.User{UID: uid, GID: gid}, Cwd: config.WorkingDir, Env: config.Env,
			Args:            append(config.Cmd, "--host=127.0.0.1", "--port="+c.port),
			Capabilities:    &specs.LinuxCapabilities{},
			NoNewPrivileges: true,
		},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc"},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "mode=755", "size=64k"}},
			{Destination: "/data", Type: "bind", Source: volume, Options: []string{"bind", "nosuid", "nodev"}},
		},
		Linux: &specs.Linux{
			CgroupsPath: "/" + c.id,
			Resources:   &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit}},
			// It shares the network of the host, so that the test can call it.
			Namespaces: []specs.LinuxNamespace{{Type: specs.PIDNamespace}, {Type: specs.MountNamespace}, {Type: specs.IPCNamespace}, {Type: specs.UTSNamespace}},
		},
	}
}

// unpack writes the files of the image, with their owners, and returns its config.
func unpack(t *testing.T, root string) v1.Config {
	t.Helper()
	arch := "linux/" + runtime.GOARCH
	if runtime.GOARCH == "arm" {
		arch += "/v7"
	}
	platform, err := platformOf(arch)
	if err != nil {
		t.Fatal(err)
	}
	built, err := buildFrom("../..", platform)
	if err != nil {
		t.Fatal(err)
	}
	image := built.platforms[0].image
	body := mutate.Extract(image)
	defer body.Close()
	if err := os.MkdirAll(root, 0o755); err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(body); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(root, h.Name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil { // an upper layer may come first
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeDir {
			err = os.MkdirAll(to, 0o755)
		} else {
			err = writeFile(to, r)
		}
		if err == nil {
			err = os.Chown(to, h.Uid, h.Gid)
		}
		if err == nil {
			err = os.Chmod(to, h.FileInfo().Mode())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	return config.Config
}

func writeFile(path string, r io.Reader) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, r); err != nil {
		return err
	}
	return f.Close()
}

type state struct {
	Status string
	Pid    int
}

func (c *container) state() (s state) {
	if out, err := exec.Command("runc", "state", c.id).Output(); err == nil {
		_ = json.Unmarshal(out, &s) // no state yet: try again
	}
	return s
}

func (c *container) pid(t *testing.T) int {
	t.Helper()
	pid := c.state().Pid
	if pid == 0 {
		t.Fatalf("the container has exited\n%s", c.log)
	}
	return pid
}

func (c *container) exec(t *testing.T, ok bool, args ...string) {
	t.Helper()
	if out, err := exec.Command("runc", append([]string{"exec", c.id}, args...)...).CombinedOutput(); (err == nil) != ok {
		t.Fatalf("%v: %v\n%s\n%s", args, err, out, c.log)
	}
}

func (c *container) read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// memoryLimit reads the limit from the kernel, from version 1 or 2 of control groups.
func (c *container) memoryLimit(t *testing.T) int {
	t.Helper()
	for _, path := range []string{"/sys/fs/cgroup/" + c.id + "/memory.max", "/sys/fs/cgroup/memory/" + c.id + "/memory.limit_in_bytes"} {
		if text, err := os.ReadFile(path); err == nil {
			n, err := strconv.Atoi(strings.TrimSpace(string(text)))
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("no control group for memory")
	return 0
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

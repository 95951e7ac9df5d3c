package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// program is a server in a process of its own.
type program struct {
	name       string
	http, grpc string // addresses
	cmd        *exec.Cmd
}

// build compiles podinfo as the image has it, but without podcli.
func build(ctx context.Context, root, to string) error {
	return buildWith(ctx, root, to, variant{"", "./cmd/podinfo", "grpcnotrace", "-s -w"})
}

func buildWith(ctx context.Context, root, to string, v variant) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-tags="+v.tags, "-ldflags="+v.ldflags, "-o", to, v.pkg)
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", root, err, out)
	}
	return nil
}

// startPodinfo starts podinfo with its defaults and these variables. Its log goes to
// the null device.
func startPodinfo(ctx context.Context, name, file string, env ...string) (*program, error) {
	http, grpc := address(), address()
	_, httpPort, _ := net.SplitHostPort(http)
	_, grpcPort, _ := net.SplitHostPort(grpc)
	p := &program{name: name, http: http, grpc: grpc,
		cmd: exec.CommandContext(ctx, file, "--host=127.0.0.1", "--port="+httpPort, "--grpc-port="+grpcPort)}
	p.cmd.Env = append([]string{"PODINFO_WS_ECHO_STATUS_INTERVAL=" + interval.String(), "PODINFO_UI_SAMPLE_INTERVAL=" + interval.String(),
		"PODINFO_UI_MAX_VIEWERS=20000", "PODINFO_HTTP_SERVER_MAX_CONNECTIONS=20000", "PODINFO_GRPC_MAX_CONNECTIONS=1000", "PODINFO_LEVEL=info", "PODINFO_CACHE_ENABLED=true"}, env...)
	p.cmd.Dir = os.TempDir()
	return p, p.start()
}

// startBare starts the bare servers.
func startBare(ctx context.Context) (*program, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &program{name: "bare", http: address(), grpc: address()}
	p.cmd = exec.CommandContext(ctx, self, "serve", p.http, p.grpc)
	return p, p.start()
}

// start starts the program on one processor: idle threads of Go's scheduler look for
// work on the others, in an amount that depends on what else the machine does.
func (p *program) start() error {
	p.cmd.Env = append(p.cmd.Env, "GOMAXPROCS=1", "PATH="+os.Getenv("PATH"))
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	for _, addr := range []string{p.http, p.grpc} {
		if err := dialable(addr); err != nil {
			p.stop()
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}

func dialable(addr string) error {
	for range 2000 {
		if conn, err := net.Dial("tcp", addr); err == nil {
			return conn.Close()
		}
		time.Sleep(10 * time.Millisecond)
	}
	return errors.New("nothing listens on " + addr)
}

func (p *program) stop() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

// address returns a loopback address that nothing listens on. Its port is not one of
// those that the kernel gives to outgoing connections.
func address() string {
	for range 100 {
		addr := fmt.Sprint("127.0.0.1:", 20000+rand.IntN(10000))
		if l, err := net.Listen("tcp", addr); err == nil {
			l.Close()
			return addr
		}
	}
	return ""
}

// usage is what a process has used.
type usage struct {
	cpu    time.Duration
	system float64 // share of cpu in the kernel, in ticks of 10 ms
	ticks  float64
}

// usage reads the clock of the process, which counts nanoseconds (clock_getcpuclockid(3)).
func (p *program) usage() (u usage, err error) {
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^p.cmd.Process.Pid)<<3|2, &t); err != nil {
		return u, fmt.Errorf("%s: CPU clock: %w", p.name, err)
	}
	u.cpu = time.Duration(t.Nano())
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return u, err
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 13 {
		return u, fmt.Errorf("%s: unreadable /proc/PID/stat", p.name)
	}
	user, _ := strconv.ParseFloat(fields[11], 64)
	u.system, _ = strconv.ParseFloat(fields[12], 64)
	u.ticks = user + u.system
	return u, nil
}

// memory returns a figure of /proc/PID/status in bytes, such as VmRSS, the resident
// memory of the process.
func (p *program) memory(figure string) float64 {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	_, after, _ := strings.Cut(string(status), "\n"+figure+":")
	var kb float64
	fmt.Sscan(after, &kb)
	return kb * 1024
}

// instructions starts counting the instructions that the process retires. The
// returned function ends it; the count is 0 if the machine has no counters.
func (p *program) instructions(ctx context.Context) func() float64 {
	none := func() float64 { return 0 }
	if !counters() {
		return none
	}
	var out strings.Builder
	cmd := exec.CommandContext(ctx, "perf", "stat", "-x,", "-e", "instructions", "-p", strconv.Itoa(p.cmd.Process.Pid))
	cmd.Stderr = &out
	if cmd.Start() != nil {
		return none
	}
	return func() float64 {
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait()
		count, _, _ := strings.Cut(out.String(), ",")
		n, _ := strconv.ParseFloat(count, 64)
		return n
	}
}

// Command mixed runs two programs, podinfo of two versions or podinfo and upstream,
// behind one address, as a Service has the pods of both during a migration. It
// checks that tokens, cache entries and the page's requests work across both and
// that stopping one loses no request, and prints a Markdown table. It needs
// redis-server.
//
//	go build -o /tmp/podinfo ./cmd/podinfo
//	go run ./hack/mixed /tmp/upstream /tmp/podinfo
//
// docs/mixed-versions.md has the tables.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"time"
)

const secret = "a-secret-of-thirty-two-bytes-or-more"

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: mixed PROGRAM PROGRAM")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1], os.Args[2])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mixed:", err)
		os.Exit(1)
	}
}

// run starts both programs and Redis, and prints the table.
func run(ctx context.Context, first, second string) error {
	redis, stopRedis, err := startRedis(ctx)
	if err != nil {
		return err
	}
	defer stopRedis()
	var pods []*pod
	defer func() {
		for _, p := range pods {
			p.kill()
		}
	}()
	for _, program := range []string{first, second} {
		p := &pod{program: program, redis: redis}
		if err := p.start(ctx); err != nil {
			return err
		}
		pods = append(pods, p)
	}
	failed := false
	fmt.Println("| What | From | To | Result |\n|---|---|---|---|")
	for _, order := range [][2]*pod{{pods[0], pods[1]}, {pods[1], pods[0]}} {
		from, to := order[0], order[1]
		for _, c := range []struct {
			name string
			run  func(ctx context.Context, from, to *pod) (string, error)
		}{{"token", token}, {"cache", cache}, {"page", page}, {"drain", drain}} {
			result, err := c.run(ctx, from, to)
			if err != nil {
				result, failed = "**"+err.Error()+"**", true
			}
			fmt.Printf("| %s | %s | %s | %s |\n", c.name, from.name(), to.name(), result)
		}
		if err := from.start(ctx); err != nil { // after the drain
			return err
		}
	}
	if failed {
		return errors.New("the versions do not work together: see the table")
	}
	return nil
}

// A pod is a process of one of the programs.
type pod struct {
	program, redis string
	address        string
	version        string
	cmd            *exec.Cmd
	exited         chan struct{} // closed when the process has ended
}

func (p *pod) name() string { return filepath.Base(p.program) + " " + p.version }

// start starts the process and waits until it is ready. It can be used again after
// the process has ended.
func (p *pod) start(ctx context.Context) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	p.address = "127.0.0.1:" + port
	p.cmd = exec.Command(p.program, "--host=127.0.0.1", "--port="+port, "--cache-server=tcp://"+p.redis, "--level=error")
	p.cmd.Env = append(os.Environ(), "PODINFO_JWT_SECRET="+secret)
	p.cmd.Stderr = os.Stderr
	if err := p.cmd.Start(); err != nil {
		return err
	}
	p.exited = make(chan struct{})
	go func() {
		_ = p.cmd.Wait() // the drain counts what was lost, whatever the exit code
		close(p.exited)
	}()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for ctx.Err() == nil {
		if got, err := send(ctx, p, http.MethodGet, "/readyz", "", nil); err == nil && got.status == http.StatusOK {
			about, err := info(ctx, p)
			p.version = about.Version
			return err
		}
		select {
		case <-p.exited:
			return fmt.Errorf("%s ended: %v", p.program, p.cmd.ProcessState)
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return fmt.Errorf("%s is not ready", p.program)
}

func (p *pod) kill() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}

func startRedis(ctx context.Context) (address string, stop func(), err error) {
	port, err := freePort()
	if err != nil {
		return "", nil, err
	}
	cmd := exec.CommandContext(ctx, "redis-server", "--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no")
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	address = "127.0.0.1:" + port
	for range 1000 {
		if conn, err := net.Dial("tcp", address); err == nil {
			return address, stop, conn.Close()
		}
		time.Sleep(20 * time.Millisecond)
	}
	stop()
	return "", nil, errors.New("redis-server does not listen")
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

// Command memory measures how much memory podinfo and upstream take for large
// and for announced bodies, and prints a Markdown table. It runs each load on a
// fresh process of each program, over loopback. It needs Linux.
//
//	go build -o /tmp/podinfo ./cmd/podinfo
//	go run ./hack/memory /tmp/podinfo /tmp/upstream
//
// docs/memory.md has the table, and says how to build upstream.
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	bodySize = 10 << 20
	heads    = 2000
	settle   = 5 * time.Second // after which memory is measured when nothing happens
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: memory PODINFO UPSTREAM")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "memory:", err)
		os.Exit(1)
	}
}

// A load is what clients do to a server. It calls measure while they hold it.
type load struct {
	name string
	run  func(s *server, measure func()) (note string, err error)
}

var loads = []load{
	{"nothing", func(_ *server, measure func()) (string, error) { measure(); return "", nil }},
	{"1 body of 10 MiB", bodies(1)},
	{"10 bodies of 10 MiB at the same time", bodies(10)},
	{"100 bodies of 10 MiB at the same time", bodies(100)},
	{"2,000 heads that announce 10 MiB, first round", announce(1)},
	{"2,000 heads that announce 10 MiB, second round", announce(2)},
	{"1,000 heads that announce 10 MiB, on four HTTP/2 connections", streams},
}

func run(ctx context.Context, programs []string) error {
	fmt.Println("| Load on /echo | podinfo: peak | afterwards | upstream: peak | afterwards |\n|---|--:|--:|--:|--:|")
	for _, l := range loads {
		row := "| " + l.name
		for _, program := range programs {
			peak, after, note, err := measure(ctx, program, l)
			if err != nil {
				return fmt.Errorf("%s: %s: %w", program, l.name, err)
			}
			if note != "" {
				note = " (" + note + ")"
			}
			row += fmt.Sprintf(" | %d MB%s | %d MB", peak, note, after)
		}
		fmt.Println(row + " |")
	}
	return nil
}

// measure runs a load on a new process. It returns the largest resident memory
// while the clients are there and the resident memory when they have left.
func measure(ctx context.Context, program string, l load) (peak, after int, note string, err error) {
	s, err := start(ctx, program)
	if err != nil {
		return 0, 0, "", err
	}
	defer s.stop()
	note, err = l.run(s, func() { peak = max(peak, s.memory("VmHWM")) })
	if err != nil {
		return 0, 0, "", err
	}
	peak = max(peak, s.memory("VmHWM"))
	time.Sleep(settle)
	return peak, s.memory("VmRSS"), note, nil
}

// server is a process that serves HTTP and HTTP/2 without TLS.
type server struct {
	cmd  *exec.Cmd
	dir  string
	addr string
}

func start(ctx context.Context, program string) (*server, error) {
	dir, err := os.MkdirTemp("", "memory-")
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := l.Addr().String()
	l.Close()
	_, port, _ := net.SplitHostPort(addr)
	// Upstream needs a directory for its page; podinfo has no such flag.
	args := []string{"--host=127.0.0.1", "--port=" + port, "--h2c", "--level=error", "--data-path=" + dir}
	if help, _ := exec.Command(program, "--help").CombinedOutput(); bytes.Contains(help, []byte("--ui-path")) {
		args = append(args, "--ui-path="+dir)
	}
	program, err = filepath.Abs(program)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{cmd, dir, addr}
	for range 100 {
		if res, err := http.Get("http://" + addr + "/healthz"); err == nil {
			res.Body.Close()
			return s, nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	s.stop()
	return nil, errors.New("does not answer /healthz")
}

func (s *server) stop() {
	s.cmd.Process.Kill()
	s.cmd.Wait()
	os.RemoveAll(s.dir)
}

// memory returns a field of the process's status in MB.
func (s *server) memory(field string) int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), field+":")
	if fields := strings.Fields(rest); len(fields) > 0 {
		kb, _ := strconv.Atoi(fields[0])
		return kb * 1024 / 1e6
	}
	return 0
}

// bodies returns a load of n clients that send a body each. The last byte of each
// is held back until all others have been sent, so that all bodies are there at
// the same time.
func bodies(n int) func(*server, func()) (string, error) {
	return func(s *server, measure func()) (string, error) {
		body := bytes.Repeat([]byte("0123456789abcdef"), bodySize/16)
		var sent, done sync.WaitGroup
		statuses := make(chan string, n)
		sent.Add(n)
		for range n {
			done.Go(func() {
				status, err := echo(s.addr, body, func() { sent.Done(); sent.Wait() })
				if err != nil {
					status = err.Error()
				}
				statuses <- status
			})
		}
		done.Wait()
		measure()
		return summary(statuses), nil
	}
}

// echo sends a body and returns the status, once the reply is read.
func echo(addr string, body []byte, beforeLast func()) (string, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		beforeLast()
		return "", err
	}
	defer c.Close()
	last := len(body) - 1
	fmt.Fprintf(c, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", len(body))
	c.Write(body[:last]) // an error is one of reading too
	beforeLast()
	c.Write(body[last:])
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return "", err
	}
	return strconv.Itoa(res.StatusCode), nil
}

// summary counts outcomes, "" if all are 202.
func summary(outcomes chan string) string {
	close(outcomes)
	count, all := map[string]int{}, 0
	for o := range outcomes {
		count[o]++
		all++
	}
	if count["202"] == all {
		return ""
	}
	var parts []string
	for o, n := range count {
		parts = append(parts, fmt.Sprintf("%d × %s", n, o))
	}
	return strings.Join(parts, ", ")
}

// announce returns a load of heads without bodies, in rounds. The clients of a
// round leave before the next one.
func announce(rounds int) func(*server, func()) (string, error) {
	return func(s *server, measure func()) (string, error) {
		for range rounds {
			var conns []net.Conn
			for range heads {
				c, err := net.Dial("tcp", s.addr)
				if err != nil {
					return "", err
				}
				conns = append(conns, c)
				fmt.Fprintf(c, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", bodySize)
			}
			time.Sleep(settle)
			measure()
			for _, c := range conns {
				c.Close()
			}
			time.Sleep(settle)
		}
		return "", nil
	}
}

// streams sends heads over HTTP/2.
func streams(s *server, measure func()) (string, error) {
	const connections = 4
	var out, header bytes.Buffer
	out.WriteString(http2.ClientPreface)
	framer, encoder := http2.NewFramer(&out, nil), hpack.NewEncoder(&header)
	framer.WriteSettings()
	for i := range uint32(heads / 2 / connections) {
		header.Reset()
		for _, f := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":authority", "x"}, {":path", "/echo"}, {"content-length", strconv.Itoa(bodySize)}} {
			encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
		}
		framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, BlockFragment: header.Bytes(), EndHeaders: true})
	}
	for range connections {
		c, err := net.Dial("tcp", s.addr)
		if err != nil {
			return "", err
		}
		defer c.Close()
		go io.Copy(io.Discard, c)
		c.Write(out.Bytes())
	}
	time.Sleep(settle)
	measure()
	return "", nil
}

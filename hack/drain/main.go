// Command drain measures what clients lose when podinfo stops under load: with and
// without internal/serve/backlog_linux.go, which empties the accept queue of a port
// before it closes. It builds both programs, stops each of them with SIGTERM under
// each load, and prints the table of docs/shutdown.md.
//
//	go -C hack/drain run . -n 30
//	go -C hack/drain run . -n 10 -protocols -share 5 -latency 200ms
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Times of one run. The grace is podinfo's default of 3 s, which is not changed.
const (
	warmUp    = 500 * time.Millisecond
	ioTimeout = 20 * time.Second
)

// A load is what the clients do.
type load struct {
	name    string
	clients int
	keep    bool          // keep connections instead of one for each request
	pause   time.Duration // between two requests of a client, on average
}

var loads = []load{
	{"new connections, no pause", 64, false, 0},
	{"new connections, 50 ms pause", 64, false, 50 * time.Millisecond},
	{"kept connections, no pause", 100, true, 0},
	{"kept connections, 3 s pause", 400, true, 3 * time.Second}, // many send nothing during the grace
}

// counts are the results of all runs of a program under a load.
type counts struct {
	requests  atomic.Int64 // with a response
	lost      atomic.Int64 // reset or closed after the connection was established
	refused   atomic.Int64 // connections, which ends a client
	slow      atomic.Int64 // of refused: after more than half a second
	badExits  atomic.Int64
	perSecond atomic.Int64 // sum over the runs
}

// client sends requests until a connection is refused.
func (c *counts) client(addr string, l load) {
	var conn net.Conn
	var in *bufio.Reader
	for {
		time.Sleep(l.pause/2 + rand.N(l.pause+1))
		if conn == nil {
			began := time.Now()
			var err error
			if conn, err = net.DialTimeout("tcp", addr, ioTimeout); err != nil {
				c.refused.Add(1)
				if time.Since(began) > 500*time.Millisecond {
					c.slow.Add(1)
				}
				return
			}
			conn.SetDeadline(time.Now().Add(time.Minute))
			in = bufio.NewReader(conn)
		}
		closed, err := exchange(conn, in, l.keep)
		if err == nil {
			c.requests.Add(1)
		} else {
			c.lost.Add(1)
		}
		if err != nil || closed {
			conn.Close()
			conn = nil
		}
	}
}

// exchange sends a POST, which no client may repeat on its own, and reads the
// response. It reports whether the connection ends with it.
func exchange(conn net.Conn, in *bufio.Reader, keep bool) (closed bool, err error) {
	return send(conn, in, post, keep)
}

// send is exchange for any request.
func send(conn net.Conn, in *bufio.Reader, request string, keep bool) (closed bool, err error) {
	option := ""
	if !keep {
		option = "Connection: close\r\n"
	}
	body := "\r\n"
	if request == post {
		body = "Content-Length: 1\r\n\r\nx"
	}
	if _, err := fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: x\r\n%s%s", request, option, body); err != nil {
		return true, err
	}
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		return true, err
	}
	if res.StatusCode >= http.StatusBadRequest {
		return true, fmt.Errorf("%w: %s", errStatus, res.Status)
	}
	_, err = io.Copy(io.Discard, res.Body)
	return res.Close, err
}

// run starts the program, puts the load on it, and stops it.
func (c *counts) run(program string, l load) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	addr := fmt.Sprint("127.0.0.1:", port)
	cmd, err := start(program, addr, "--host=127.0.0.1", fmt.Sprint("--port=", port), "--level=error")
	if err != nil {
		return err
	}
	var all sync.WaitGroup
	for range l.clients {
		all.Go(func() { c.client(addr, l) })
	}
	time.Sleep(warmUp + 3*l.pause/2) // until each client has a connection
	before := c.requests.Load()
	cmd.Process.Signal(syscall.SIGTERM)
	time.Sleep(2 * time.Second) // within the grace
	c.perSecond.Add((c.requests.Load() - before) / 2)
	if cmd.Wait() != nil {
		c.badExits.Add(1)
	}
	all.Wait()
	return nil
}

// start starts the program with its share of a processor, and waits until it listens.
func start(program, addr string, args ...string) (*exec.Cmd, error) {
	cmd := exec.Command(program, args...)
	cmd.Stderr = os.Stderr
	if err := errors.Join(cmd.Start(), starve(cmd.Process)); err != nil {
		return nil, err
	}
	for {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			return cmd, conn.Close()
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// build builds podinfo twice in dir: as it is, and with the function of
// backlog_other.go in place of backlog_linux.go.
func build(dir string) (with, without string, err error) {
	root, err := filepath.Abs("../..")
	if err != nil {
		return "", "", err
	}
	stub, overlay := filepath.Join(dir, "stub.go"), filepath.Join(dir, "overlay.json")
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(root, "internal/serve/backlog_linux.go"): stub}})
	if err != nil {
		return "", "", err
	}
	err = errors.Join(
		os.WriteFile(stub, []byte("package serve\n\nimport \"net\"\n\nfunc acceptBacklog(*net.TCPListener) []net.Conn { return nil }\n"), 0o600),
		os.WriteFile(overlay, replace, 0o600))
	if err != nil {
		return "", "", err
	}
	with, without = filepath.Join(dir, "with"), filepath.Join(dir, "without")
	for _, args := range [][]string{{"-o", with}, {"-overlay", overlay, "-o", without}} {
		cmd := exec.Command("go", append(append([]string{"build"}, args...), "./cmd/podinfo")...)
		cmd.Dir, cmd.Stderr = root, os.Stderr
		if err := cmd.Run(); err != nil {
			return "", "", err
		}
	}
	return with, without, nil
}

// share is what podinfo gets of a processor, in percent, or 0 for all that there is.
var share = flag.Int("share", 0, "limit podinfo to a `percentage` of a processor, with control groups of version 1")

var (
	perProtocol = flag.Bool("protocols", false, "measure the protocols instead, all at once")
	latency     = flag.Duration("latency", 0, "`latency` of the link in each direction, with -protocols")
	program     = flag.String("program", "", "with -protocols, the `file` of the program instead of podinfo as it is here")
)

// starve limits a process to the share.
func starve(p *os.Process) error {
	if *share == 0 {
		return nil
	}
	const group = "/sys/fs/cgroup/cpu/podinfo-drain"
	write := func(file string, n int) error {
		return os.WriteFile(filepath.Join(group, file), []byte(fmt.Sprint(n)), 0)
	}
	return errors.Join(os.MkdirAll(group, 0o755),
		write("cpu.cfs_period_us", 100_000), write("cpu.cfs_quota_us", *share*1000), write("cgroup.procs", p.Pid))
}

func measure(n int) error {
	if *program != "" {
		return measureProtocols(*program, n, link{*latency})
	}
	dir, err := os.MkdirTemp("", "drain")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	with, without, err := build(dir)
	if err != nil {
		return err
	}
	if *perProtocol {
		return measureProtocols(with, n, link{*latency})
	}
	fmt.Println("| Load | Backlog | Shutdowns | Requests/s | Requests | Lost | Refused after a wait | Exit code not 0 |")
	fmt.Println("|---|---|---|---|---|---|---|---|")
	for _, l := range loads {
		results := map[string]*counts{with: {}, without: {}}
		for i := range n {
			programs := []string{with, without}
			for k := range programs { // in alternating order, so that other work on the machine affects both
				program := programs[(i+k)%2]
				if err := results[program].run(program, l); err != nil {
					return err
				}
			}
		}
		for _, program := range []string{without, with} {
			c, name := results[program], map[string]string{with: "accepted", without: "reset"}[program]
			fmt.Printf("| %d clients, %s | %s | %d | %d | %d | %d | %d of %d | %d |\n", l.clients, l.name, name, n,
				c.perSecond.Load()/int64(n), c.requests.Load(), c.lost.Load(), c.slow.Load(), c.refused.Load(), c.badExits.Load())
		}
	}
	return nil
}

func main() {
	n := flag.Int("n", 30, "number of shutdowns per program and load")
	flag.Parse()
	if err := measure(*n); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Command proxy measures podinfo proxy beside a bare httputil.ReverseProxy and
// nginx, with the same service behind them, and prints Markdown tables. It needs
// Linux, and nginx from Debian.
//
//	go build -o /tmp/podinfo ./cmd/podinfo
//	go run ./hack/proxy /tmp/podinfo
//
// docs/proxy.md has the tables.
package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	rounds   = 7               // of all programs in turn; the tables have the medians
	duration = 2 * time.Second // of one load
	idle     = 1000            // connections
	stream   = 1 << 30         // bytes
	tick     = 10 * time.Millisecond
)

func main() {
	switch {
	case len(os.Args) == 3 && os.Args[1] == "service":
		log.Fatal(http.ListenAndServe(os.Args[2], http.HandlerFunc(serve)))
	case len(os.Args) == 4 && os.Args[1] == "bare":
		target, err := url.Parse(os.Args[3])
		if err != nil {
			log.Fatal(err)
		}
		bare := &httputil.ReverseProxy{
			Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target); r.SetXForwarded() },
			Transport: &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true},
		}
		log.Fatal(http.ListenAndServe(os.Args[2], bare))
	case len(os.Args) == 2:
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		defer stop()
		if err := run(ctx, os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, "proxy:", err)
			os.Exit(1)
		}
	default:
		fmt.Fprintln(os.Stderr, "usage: proxy PODINFO")
		os.Exit(2)
	}
}

// serve is the service: it sends 128 bytes, or many.
func serve(w http.ResponseWriter, r *http.Request) {
	n := 128
	if r.URL.Path == "/stream" {
		n = stream
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(n))
	for b := make([]byte, min(n, 64<<10)); n > 0; n -= len(b) {
		if _, err := w.Write(b); err != nil {
			return
		}
	}
}

// program is a running proxy, or the service itself.
type program struct {
	name string
	addr string
	cmd  *exec.Cmd
}

// result is what one load measured.
type result struct {
	rate, cpu, p50, p99 float64 // a second; µs
}

func run(ctx context.Context, podinfo string) error {
	dir, err := os.MkdirTemp("", "proxy-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	self, err := os.Executable()
	if err != nil {
		return err
	}
	service := address()
	start := func(name, addr, file string, args ...string) *program {
		p := &program{name, addr, exec.CommandContext(ctx, file, args...)}
		err = errors.Join(err, p.start())
		return p
	}
	all := []*program{start("nothing between", service, self, "service", service)}
	addr := address()
	all = append(all, start("ReverseProxy", addr, self, "bare", addr, "http://"+service))
	addr = address()
	_, port, _ := net.SplitHostPort(addr)
	all = append(all, start("podinfo proxy", addr, podinfo, "proxy", "http://"+service, "--host=127.0.0.1", "--port="+port, "--port-metrics=0"))
	addr = address()
	err = errors.Join(err, os.WriteFile(filepath.Join(dir, "nginx.conf"), fmt.Appendf(nil, nginx, dir, service, addr), 0o600))
	all = append(all, start("nginx", addr, cmp.Or(path("nginx"), "/usr/sbin/nginx"), "-c", filepath.Join(dir, "nginx.conf"), "-e", filepath.Join(dir, "error.log")))
	for _, p := range all {
		defer p.stop()
	}
	if err != nil {
		return err
	}
	if err := throughput(all); err != nil {
		return err
	}
	fmt.Printf("\n| | 1 GiB stream | memory of %d idle connections |\n|---|--:|--:|\n", idle)
	for _, p := range all {
		seconds, err := p.stream()
		if err != nil {
			return err
		}
		memory, err := p.idle()
		if err != nil {
			return err
		}
		fmt.Printf("| %s | %.2f GB/s | %.1f MB |\n", p.name, stream/1e9/seconds, memory)
	}
	return nil
}

func path(name string) string { file, _ := exec.LookPath(name); return file }

const nginx = `daemon off; pid %[1]s/pid; worker_processes auto;
events { worker_connections 4096; }
http {
	access_log off;
	client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s; uwsgi_temp_path %[1]s; scgi_temp_path %[1]s;
	keepalive_requests 1000000;
	upstream service { server %[2]s; keepalive 256; keepalive_requests 1000000; }
	server {
		listen %[3]s;
		location / { proxy_pass http://service; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr; proxy_max_temp_file_size 0; }
	}
}
`

// address returns an address that nothing listens on.
func address() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (p *program) start() error {
	p.cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	for range 500 {
		if conn, err := net.Dial("tcp", p.addr); err == nil {
			return conn.Close()
		}
		time.Sleep(tick)
	}
	return fmt.Errorf("%s does not listen on %s", p.name, p.addr)
}

func (p *program) stop() {
	if p.cmd.Process != nil {
		p.cmd.Process.Signal(os.Interrupt)
		p.cmd.Wait()
	}
}

// throughput prints a table for each number of connections.
func throughput(all []*program) error {
	for _, conns := range []int{1, 32, 256} {
		results := make([][]result, len(all))
		for range rounds {
			for i, p := range all {
				r, err := p.load(conns)
				if err != nil {
					return fmt.Errorf("%s: %w", p.name, err)
				}
				results[i] = append(results[i], r)
			}
		}
		fmt.Printf("\n| %d connections | requests/s | of ReverseProxy | CPU a request | p50 added | p99 added |\n|---|--:|--:|--:|--:|--:|\n", conns)
		of := func(i int, f func(result) float64) float64 { return median(results[i], f) }
		for i, p := range all {
			rate := func(r result) float64 { return r.rate }
			p50, p99 := func(r result) float64 { return r.p50 }, func(r result) float64 { return r.p99 }
			fmt.Printf("| %s | %.0f | %.2f | %.0f µs | %.0f µs | %.0f µs |\n", p.name, of(i, rate), of(i, rate)/of(1, rate),
				of(i, func(r result) float64 { return r.cpu }), of(i, p50)-of(0, p50), of(i, p99)-of(0, p99))
		}
	}
	return nil
}

func median(results []result, f func(result) float64) float64 {
	var all []float64
	for _, r := range results {
		all = append(all, f(r))
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// load sends requests over connections for a while, one at a time on each.
func (p *program) load(conns int) (result, error) {
	var mu sync.Mutex
	var took []time.Duration
	var failed error
	before, began := p.cpu(), time.Now()
	var clients sync.WaitGroup
	for range conns {
		clients.Go(func() {
			own, err := p.client(began.Add(duration))
			mu.Lock()
			defer mu.Unlock()
			took, failed = append(took, own...), errors.Join(failed, err)
		})
	}
	clients.Wait()
	spent, n := time.Since(began), float64(len(took))
	cpu := p.cpu() - before
	slices.Sort(took)
	at := func(q float64) float64 { return float64(took[int(q*(n-1))]) / 1e3 }
	if failed != nil || n == 0 {
		return result{}, cmp.Or(failed, errors.New("no response"))
	}
	return result{n / spent.Seconds(), float64(cpu) / 1e3 / n, at(0.5), at(0.99)}, nil
}

func (p *program) client(until time.Time) (took []time.Duration, err error) {
	conn, err := net.Dial("tcp", p.addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	for now := time.Now(); now.Before(until); {
		if err := get(conn, in, "/"); err != nil {
			return took, err
		}
		end := time.Now()
		took, now = append(took, end.Sub(now)), end
	}
	return took, nil
}

// get sends a request and discards the response.
func get(conn net.Conn, in *bufio.Reader, path string) error {
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: service\r\n\r\n", path); err != nil {
		return err
	}
	length := int64(-1)
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) == 2 {
			break
		}
		if name, value, _ := strings.Cut(string(line), ":"); strings.EqualFold(name, "Content-Length") {
			length, err = strconv.ParseInt(strings.TrimSpace(value), 10, 64)
			if err != nil {
				return err
			}
		}
	}
	if length < 0 {
		return errors.New("a response without a length")
	}
	_, err := io.CopyN(io.Discard, in, length)
	return err
}

// stream returns the seconds of a large response.
func (p *program) stream() (float64, error) {
	conn, err := net.Dial("tcp", p.addr)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	began := time.Now()
	err = get(conn, bufio.NewReaderSize(conn, 256<<10), "/stream")
	return time.Since(began).Seconds(), err
}

// idle returns the memory that connections take after one request each, in MB.
func (p *program) idle() (float64, error) {
	before := p.memory()
	for range idle {
		conn, err := net.Dial("tcp", p.addr)
		if err != nil {
			return 0, err
		}
		defer conn.Close()
		if err := get(conn, bufio.NewReader(conn), "/"); err != nil {
			return 0, err
		}
	}
	return p.memory() - before, nil
}

// pids returns the process and its workers.
func (p *program) pids() []string {
	pid := strconv.Itoa(p.cmd.Process.Pid)
	children, _ := os.ReadFile("/proc/" + pid + "/task/" + pid + "/children")
	return append(strings.Fields(string(children)), pid)
}

// cpu returns the processor time that the program has taken.
func (p *program) cpu() (sum time.Duration) {
	for _, pid := range p.pids() {
		stat, _ := os.ReadFile("/proc/" + pid + "/stat")
		if fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:])); len(fields) > 12 {
			user, _ := strconv.Atoi(fields[11])
			system, _ := strconv.Atoi(fields[12])
			sum += time.Duration(user+system) * tick
		}
	}
	return sum
}

// memory returns the resident memory of the program, in MB.
func (p *program) memory() (sum float64) {
	for _, pid := range p.pids() {
		status, _ := os.ReadFile("/proc/" + pid + "/status")
		_, after, _ := strings.Cut(string(status), "VmRSS:")
		if fields := strings.Fields(after); len(fields) > 0 {
			kb, _ := strconv.ParseFloat(fields[0], 64)
			sum += kb / 1e3
		}
	}
	return sum
}

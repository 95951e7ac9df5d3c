package wsecho

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"github.com/seed-4591fe7d/podinfo/registry"
)

// serverVariable makes the test binary the server that is measured, so that
// the clients' memory is not counted.
const serverVariable = "WSECHO_MEASURED_SERVER"

// measuredServer says its address and then, for each line it reads, its
// resident memory in bytes.
func measuredServer() {
	app, err := registry.New([]registry.Module{new(Module)}, registry.Env(map[string]string{"PODINFO_WS_ECHO_STATUS_INTERVAL": "1s"}))
	if err == nil {
		err = app.Start(context.Background())
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	s := httptest.NewServer(app)
	fmt.Println(s.URL)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		runtime.GC()
		debug.FreeOSMemory()
		fmt.Println(resident())
	}
}

func resident() int {
	b, _ := os.ReadFile("/proc/self/statm") // in pages; the second field is the resident set
	var size, pages int
	fmt.Sscan(string(b), &size, &pages)
	return pages * os.Getpagesize()
}

// BenchmarkIdleMemory reports the resident memory of a connection that has
// echoed once and been sent a status message, with 5,000 of them open.
func BenchmarkIdleMemory(b *testing.B) {
	const limit = 7 << 10
	if runtime.GOOS != "linux" {
		b.Skip("resident memory is read from /proc")
	}
	for b.Loop() {
		each := idleMemory(b, 5000)
		b.ReportMetric(float64(each), "B/conn")
		if each > limit {
			b.Errorf("%d bytes for an idle connection, want at most %d", each, limit)
		}
	}
}

// idleMemory starts a server of its own, because one that has had as many
// connections before has memory to give them.
func idleMemory(b *testing.B, connections int) (each int) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), serverVariable+"=1")
	cmd.Stderr = os.Stderr
	ask, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer cmd.Wait()
	defer ask.Close()
	answers := bufio.NewScanner(out)
	answer := func() string {
		if !answers.Scan() {
			b.Fatal("the server is gone")
		}
		return answers.Text()
	}
	measure := func() int {
		io.WriteString(ask, "\n")
		n, err := strconv.Atoi(answer())
		if err != nil {
			b.Fatal(err)
		}
		return n
	}
	url := answer()
	if !strings.HasPrefix(url, "http") {
		b.Fatal(url)
	}
	hang(openIdle(b, url, 100)) // what is paid once
	before := measure()
	defer hang(openIdle(b, url, connections))
	return (measure() - before) / connections
}

func openIdle(b *testing.B, url string, n int) (peers []*peer) {
	for range n {
		p := dial(b, url, "")
		p.in = bufio.NewReaderSize(p.Conn, 256)
		peers = append(peers, p)
	}
	for _, p := range peers {
		p.send(b, text("hello"))
		for status, echo := false, false; !status || !echo; {
			heard := p.next(b)
			status, echo = status || heard == "status", echo || heard == "text hello"
		}
	}
	return peers
}

func hang(up []*peer) {
	for _, p := range up {
		p.Close()
	}
}

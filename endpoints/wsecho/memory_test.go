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

// serverVariable makes the test binary run the measured server, so that the
// memory of the clients is not counted.
const serverVariable = "WSECHO_MEASURED_SERVER"

// measuredServer prints its URL, and then its resident memory in bytes for each
// line that it reads.
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

// resident returns the resident memory of this process in bytes.
func resident() int {
	b, _ := os.ReadFile("/proc/self/statm") // the second field is the resident set in pages
	var size, pages int
	fmt.Sscan(string(b), &size, &pages)
	return pages * os.Getpagesize()
}

// BenchmarkIdleMemory reports the resident memory per connection with 5,000 open
// connections, each of which has echoed a message and sent a status message.
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

// idleMemory returns the bytes per connection. It starts a new server each time,
// because one that has had connections before reuses their memory.
func idleMemory(b *testing.B, connections int) (each int) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), serverVariable+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
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
	defer in.Close()
	lines := bufio.NewScanner(out)
	next := func() string {
		if !lines.Scan() {
			b.Fatal("the server is gone")
		}
		return lines.Text()
	}
	measure := func() int {
		io.WriteString(in, "\n")
		n, err := strconv.Atoi(next())
		if err != nil {
			b.Fatal(err)
		}
		return n
	}
	url := next()
	if !strings.HasPrefix(url, "http") {
		b.Fatal(url)
	}
	closeAll(openIdle(b, url, 100)) // so that one-time costs are not counted
	before := measure()
	defer closeAll(openIdle(b, url, connections))
	return (measure() - before) / connections
}

// openIdle opens n connections and waits until each is idle.
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

func closeAll(peers []*peer) {
	for _, p := range peers {
		p.Close()
	}
}

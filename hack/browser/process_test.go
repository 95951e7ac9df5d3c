package browser

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Two releases of podinfo.
const release, nextRelease = "6.15.0", "6.99.0"

var built = map[string]string{} // paths of the binaries, by release

func build(dir string) error {
	for _, version := range []string{release, nextRelease} {
		built[version] = filepath.Join(dir, "podinfo-"+version)
		cmd := exec.Command("go", "build", "-ldflags", "-X github.com/seed-4591fe7d/podinfo.release="+version, "-o", built[version], "./cmd/podinfo")
		cmd.Dir = "../.."
		cmd.Stderr = os.Stderr
		if err := cmd.Run(); err != nil {
			return err
		}
	}
	return nil
}

// server is a running podinfo.
type server struct {
	cmd  *exec.Cmd
	addr string
	url  string // without a slash at the end
}

// start runs a podinfo on a free port until the test ends.
func start(t *testing.T, vars ...string) *server {
	t.Helper()
	return startAt(t, freeAddr(t), release, vars...)
}

func startAt(t *testing.T, addr, version string, vars ...string) *server {
	t.Helper()
	host, port, _ := net.SplitHostPort(addr)
	s := &server{cmd: exec.Command(built[version]), addr: addr, url: "http://" + addr}
	s.cmd.Env = append([]string{"PODINFO_HOST=" + host, "PODINFO_PORT=" + port, "PODINFO_DATA_PATH=" + t.TempDir(), "PODINFO_SHUTDOWN_GRACE=0s", "PODINFO_UI_SAMPLE_INTERVAL=500ms"}, vars...)
	var log strings.Builder
	s.cmd.Stdout, s.cmd.Stderr = &log, &log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.stop()
		if t.Failed() {
			t.Logf("%s of podinfo %s said:\n%.4000s", addr, version, log.String())
		}
	})
	for began := time.Now(); time.Since(began) < 20*time.Second; time.Sleep(5 * time.Millisecond) {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return s
		}
	}
	t.Fatalf("podinfo does not listen: %s", log.String())
	return nil
}

// stop ends the process as a crash would, and waits until it has.
func (s *server) stop() {
	s.cmd.Process.Kill()
	s.cmd.Wait()
}

// status is what the server answers to a client that is no browser.
func (s *server) status(t *testing.T, path string) int {
	t.Helper()
	res, err := http.Get(s.url + path)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	return res.StatusCode
}

// proxy forwards what is below prefix, without it, to the server that target
// holds at the moment. It counts the requests and those that are open.
type proxy struct {
	*httptest.Server
	target      atomic.Pointer[server]
	total, open atomic.Int64
}

func newProxy(t *testing.T, prefix string, s *server) *proxy {
	t.Helper()
	p := new(proxy)
	p.target.Store(s)
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			u, err := url.Parse(p.target.Load().url)
			if err != nil {
				panic(err)
			}
			r.SetURL(u)
			r.Out.Host = r.In.Host
			r.SetXForwarded()
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, fmt.Sprint("no backend: ", err), http.StatusBadGateway)
		},
	}
	p.Server = httptest.NewServer(http.StripPrefix(prefix, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.total.Add(1)
		p.open.Add(1)
		defer p.open.Add(-1)
		forward.ServeHTTP(w, r)
	})))
	t.Cleanup(func() { p.CloseClientConnections(); p.Close() })
	return p
}

// freeAddr is an address that nobody listens on.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

package browser

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Two releases of podinfo. Their scripts cannot be mixed: an export has another
// name in the next release.
const release, nextRelease = "6.15.0", "6.99.0"

var binaries = map[string]string{} // paths by release

func build(dir string) error {
	overlay, err := nextAssets(dir)
	if err != nil {
		return err
	}
	for version, flags := range map[string][]string{release: nil, nextRelease: {"-overlay", overlay}} {
		binaries[version] = filepath.Join(dir, "podinfo-"+version)
		args := append([]string{"build", "-ldflags", "-X github.com/seed-4591fe7d/podinfo.release=" + version, "-o", binaries[version]}, flags...)
		cmd := exec.Command("go", append(args, "./cmd/podinfo")...)
		cmd.Dir = "../.."
		cmd.Stderr = os.Stderr
		if err := cmd.Run(); err != nil {
			return err
		}
	}
	return nil
}

// nextAssets writes the assets of the next release, and returns the path of an
// overlay file that makes the go command use them.
func nextAssets(dir string) (overlay string, err error) {
	files, err := filepath.Glob(assets + "/*")
	if err != nil {
		return "", err
	}
	replace := map[string]string{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return "", err
		}
		if f, err = filepath.Abs(f); err != nil {
			return "", err
		}
		next := regexp.MustCompile(`\bannounce\b`).ReplaceAll(text, []byte("proclaim")) // an export
		if filepath.Ext(f) == ".css" {
			next = append(next, []byte(":root { --release: next; }\n")...)
		}
		replace[f] = filepath.Join(dir, filepath.Base(f))
		if err := os.WriteFile(replace[f], next, 0o644); err != nil {
			return "", err
		}
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay = filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, text, 0o644)
}

// server is a running podinfo.
type server struct {
	cmd   *exec.Cmd
	addr  string
	url   string // without a slash at the end
	log   output
	ended chan struct{}
	err   error // the result of Wait once ended is closed
}

// output collects the output of a process.
type output struct {
	mu        sync.Mutex
	text      strings.Builder
	listening chan struct{} // closed when the output says that the server listens
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	before := strings.Contains(o.text.String(), "Starting HTTP Server.")
	o.text.Write(b)
	if !before && strings.Contains(o.text.String(), "Starting HTTP Server.") {
		close(o.listening)
	}
	return len(b), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// start runs a podinfo on a free port until the test ends.
func start(t *testing.T, vars ...string) *server {
	t.Helper()
	return startAt(t, freeAddr(t), release, vars...)
}

func startAt(t *testing.T, addr, version string, vars ...string) *server {
	t.Helper()
	return launch(t, addr, exec.Command(binaries[version]), vars...)
}

// startPod starts podinfo with its own host name, if the test may set one.
func startPod(t *testing.T, name, version string, vars ...string) *server {
	t.Helper()
	const named = `echo "$0" > /proc/sys/kernel/hostname && exec "$@"`
	if exec.Command("unshare", "--uts", "sh", "-c", named, name, "true").Run() != nil {
		return startAt(t, freeAddr(t), version, vars...)
	}
	return launch(t, freeAddr(t), exec.Command("unshare", "--uts", "sh", "-c", named, name, binaries[version]), vars...)
}

// launch starts a process and waits until its output says that it listens.
// Connecting to the port proves nothing, because another process may have taken
// it.
func launch(t *testing.T, addr string, cmd *exec.Cmd, vars ...string) *server {
	t.Helper()
	host, port, _ := net.SplitHostPort(addr)
	s := &server{cmd: cmd, addr: addr, url: "http://" + addr, log: output{listening: make(chan struct{})}, ended: make(chan struct{})}
	s.cmd.Env = append([]string{"PODINFO_HOST=" + host, "PODINFO_PORT=" + port, "PODINFO_DATA_PATH=" + t.TempDir(), "PODINFO_SHUTDOWN_GRACE=0s", "PODINFO_UI_SAMPLE_INTERVAL=500ms"}, vars...)
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		s.err = s.cmd.Wait()
		close(s.ended)
	}()
	t.Cleanup(func() {
		s.stop()
		if t.Failed() {
			t.Logf("output of podinfo on %s:\n%.4000s", addr, &s.log)
		}
	})
	select {
	case <-s.log.listening:
	case <-s.ended:
		t.Fatalf("podinfo exited: %v", s.err)
	case <-time.After(timeout):
		t.Fatal("podinfo does not listen")
	}
	return s
}

// stop kills the process and waits for its end.
func (s *server) stop() {
	s.cmd.Process.Kill()
	<-s.ended
}

// status returns the status of a response to a client that is not a browser.
func (s *server) status(t *testing.T, path string) int {
	t.Helper()
	res, err := http.Get(s.url + path)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	return res.StatusCode
}

// hostname returns the host name that the server reports.
func (s *server) hostname(t *testing.T) string {
	t.Helper()
	res, err := http.Get(s.url + "/api/info")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var info struct{ Hostname string }
	if err := json.NewDecoder(res.Body).Decode(&info); err != nil {
		t.Fatal(err)
	}
	return info.Hostname
}

// proxy strips a prefix from requests and forwards them to the current target.
// It counts all requests and those in flight.
type proxy struct {
	*httptest.Server
	target      atomic.Pointer[server]
	total, open atomic.Int64
	served      func(path string) // called after each response, if not nil
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
		if p.served != nil {
			p.served(r.URL.Path)
		}
	})))
	t.Cleanup(func() { p.CloseClientConnections(); p.Close() })
	return p
}

// freeAddr returns an address that no process listens on.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

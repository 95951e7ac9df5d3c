package podinfo_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/sirupsen/logrus"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/seed-4591fe7d/podinfo/endpoints/httpserver"
	"github.com/seed-4591fe7d/podinfo/internal/jsonlog"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/capability"
)

const (
	sent       = "hello world" // what a client sends of a body
	perRequest = 64 << 10      // memory that such a request may take, in bytes
	atOnce     = 16            // such requests at the same time, for each route and protocol
)

// declared are the lengths of the bodies that clients announce. Code that
// believes them often does so up to a limit only.
var declared = [...]int{10 << 20, 1 << 20}

// TestDeclaredLengthsTakeNoMemory announces large bodies on every route that may
// read one, sends a few bytes of each and holds the connections. New routes are
// covered, because the list is the App's own.
func TestDeclaredLengthsTakeNoMemory(t *testing.T) {
	for name, env := range map[string]map[string]string{
		"default":  {"PODINFO_UI_ADMIN": "true", "PODINFO_FAULTS_ENABLED": "true", "PODINFO_FAULTS_ADMIN": "true"},
		"backends": {"PODINFO_BACKEND_URL": "http://127.0.0.1:1"},
	} {
		t.Run(name, func(t *testing.T) {
			w := &witness{events: make(chan bool)}
			l := listen(t)
			env := maps.Clone(env)
			maps.Copy(env, map[string]string{"PODINFO_H2C": "true", "PODINFO_DATA_PATH": t.TempDir(), "PODINFO_MODULES": "pprof,-fault-injection", "PODINFO_DELAY_MAX": "0s"})
			app := start(t, env, registry.With(w, &httpserver.Module{Listener: l}))
			var routes []registry.Route
			for _, rt := range app.Mounted() {
				if name == "default" || rt.Module == "echo" {
					routes = append(routes, rt.Route)
				}
			}
			w.holdAll(t, l.Addr(), routes)
		})
	}
	t.Run("metrics port", func(t *testing.T) {
		w := &witness{events: make(chan bool)}
		l := listen(t)
		app := start(t, map[string]string{"PODINFO_FAULTS_ENABLED": "true", "PODINFO_FAULTS_ADMIN": "true"})
		mux := http.NewServeMux()
		var routes []registry.Route
		for _, s := range app.Assembly().Modules() {
			api, ok := s.Module.(capability.AdminAPI)
			if !ok {
				continue
			}
			for _, rt := range api.AdminRoutes() {
				mux.HandleFunc(rt.Method+" "+rt.Path, rt.Handler)
				routes = append(routes, rt)
			}
		}
		srv := &http.Server{Protocols: new(http.Protocols), Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			w.ServeHTTP(rw, r, mux.ServeHTTP)
		})}
		srv.Protocols.SetHTTP1(true)
		srv.Protocols.SetUnencryptedHTTP2(true)
		// net/http closes a connection with an unread body after half a second, and
		// does not wait for that itself.
		var served sync.WaitGroup
		srv.ConnState = func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				served.Add(1)
			case http.StateClosed:
				served.Done()
			}
		}
		served.Go(func() { srv.Serve(l) })
		t.Cleanup(func() { srv.Close(); served.Wait() })
		w.holdAll(t, l.Addr(), routes)
	})
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// methods returns the methods of the requests with a body that a route may read.
func methods(rt registry.Route) []string {
	switch {
	case rt.Method == "":
		return []string{http.MethodPost, http.MethodPut}
	case rt.Body != "", rt.Method == http.MethodPost, rt.Method == http.MethodPut:
		return []string{rt.Method}
	}
	return nil
}

var wildcard = regexp.MustCompile(`\{[^/]*\}`)

// witness is the outermost middleware. It sends an event when a handler has read
// what was sent and waits for more, or has returned: whether it has read that.
type witness struct{ events chan bool }

func (*witness) Info() registry.Info {
	return registry.Info{Name: "witness", Phase: registry.Edge, Before: "recovery"}
}

func (w *witness) ServeHTTP(rw http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	body := &witnessed{ReadCloser: r.Body, left: len(sent), events: w.events}
	r = r.WithContext(r.Context()) // net/http looks for its own body in the original
	r.Body = body
	next(rw, r)
	body.tell()
}

type witnessed struct {
	io.ReadCloser
	left   int
	events chan bool // nil after the event
}

func (b *witnessed) Read(p []byte) (int, error) {
	if b.left == 0 {
		b.tell()
	}
	n, err := b.ReadCloser.Read(p)
	b.left -= n
	return n, err
}

func (b *witnessed) tell() {
	if b.events != nil {
		b.events <- b.left == 0
		b.events = nil
	}
}

// holdAll measures the memory that requests for the routes take.
func (w *witness) holdAll(t *testing.T, addr net.Addr, routes []registry.Route) {
	t.Helper()
	documented := 0
	before := inUse()
	for _, rt := range routes {
		if rt.Body != "" {
			documented++
		}
		path := wildcard.ReplaceAllString(cmp.Or(rt.Pattern, rt.Path), "0")
		for _, method := range methods(rt) {
			for protocol, send := range map[string]func(testing.TB, net.Addr, string, string){"HTTP/1.1": sendHTTP1, "HTTP/2": sendHTTP2} {
				send(t, addr, method, path)
				reads := 0
				for range atOnce {
					if <-w.events {
						reads++
					}
				}
				if rt.Body != "" && reads != atOnce {
					t.Errorf("%s %s over %s: %d of %d bodies were read, so this test does not show what they take", method, path, protocol, reads, atOnce)
				}
				after := inUse()
				if growth := (after - before) / atOnce; growth >= perRequest {
					t.Errorf("%s %s over %s: %d kB for each request that announced a large body and sent %d bytes, want less than %d kB",
						method, path, protocol, growth>>10, len(sent), perRequest>>10)
				}
				before = after
			}
		}
	}
	if documented == 0 {
		t.Error("no route says that it reads a body")
	}
}

// inUse returns the memory in use in bytes, without what the garbage collector
// can free.
func inUse() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc + m.StackInuse)
}

// sendHTTP1 sends the beginnings of requests, each over a connection of its own.
func sendHTTP1(t testing.TB, addr net.Addr, method, path string) {
	t.Helper()
	for i := range atOnce {
		fmt.Fprintf(dial(t, addr), "%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", method, path, declared[i%len(declared)], sent)
	}
}

// sendHTTP2 sends the beginnings of requests over one connection, without TLS.
func sendHTTP2(t testing.TB, addr net.Addr, method, path string) {
	t.Helper()
	var frames, header bytes.Buffer
	frames.WriteString(http2.ClientPreface)
	framer, encoder := http2.NewFramer(&frames, nil), hpack.NewEncoder(&header)
	framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 30})
	framer.WriteWindowUpdate(0, 1<<30)
	for i := range atOnce {
		header.Reset()
		for _, f := range [][2]string{
			{":method", method}, {":scheme", "http"}, {":authority", "localhost"}, {":path", path},
			{"content-type", "application/json"}, {"content-length", fmt.Sprint(declared[i%len(declared)])},
		} {
			encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
		}
		stream := uint32(2*i + 1)
		framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: header.Bytes(), EndHeaders: true})
		framer.WriteData(stream, false, []byte(sent))
	}
	dial(t, addr).Write(frames.Bytes())
}

// dial connects to the server and discards what it sends.
func dial(t testing.TB, addr net.Addr) net.Conn {
	t.Helper()
	c, err := new(net.Dialer).DialContext(context.Background(), "tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() { defer close(read); io.Copy(io.Discard, c) }()
	t.Cleanup(func() { c.Close(); <-read })
	return c
}

// TestOverTheMemoryBudget sends bodies that exceed the budget to every route that
// reads one. They are refused, counted and logged as such, and nothing is left.
func TestOverTheMemoryBudget(t *testing.T) {
	log := new(registrytest.Log)
	logger := logrus.New()
	logger.SetFormatter(jsonlog.Formatter{})
	logger.SetOutput(log)
	app := start(t, map[string]string{
		"PODINFO_MEMORY_BUDGET": "100KiB", "PODINFO_DATA_PATH": t.TempDir(), "PODINFO_ACCESS_LOG_LEVEL": "info", "PODINFO_UI_ADMIN": "true",
	}, registry.Logger(logger))
	server := httptest.NewServer(app)
	want := 0
	for _, rt := range app.Mounted() {
		if rt.Body == "" {
			continue
		}
		for _, method := range methods(rt.Route) {
			req, err := http.NewRequest(method, server.URL+wildcard.ReplaceAllString(rt.Pattern, "0"), strings.NewReader(strings.Repeat("x", 200<<10)))
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(rt.Path, "/ui/") {
				req.Header.Set("Content-Type", "application/json") // without it, the page's requests are refused unread
			}
			// Over a connection that stays open: of one that closes, net/http's client may
			// lose a response that comes before it has sent the whole body.
			res, err := server.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(res.Body)
			if res.Body.Close(); err != nil {
				t.Fatal(err)
			}
			body := string(text)
			switch {
			case res.StatusCode == http.StatusServiceUnavailable:
				want++
				if res.Header.Get("Retry-After") != "1" || body != "{\n  \"code\": 503,\n  \"message\": \"no memory for this request now: try again later\"\n}" {
					t.Errorf("%s %s: %v %s", method, rt.Pattern, res.Header, body)
				}
			case rt.Label == "token" && res.StatusCode == http.StatusRequestEntityTooLarge: // names are short
			case rt.Label == "store" && res.StatusCode == http.StatusAccepted: // goes to the disk in pieces
			default:
				t.Errorf("%s %s: %d %s", method, rt.Pattern, res.StatusCode, body)
			}
		}
	}
	server.Close() // waits for the handlers
	page := get(app, "/metrics").Body.String()
	for _, line := range []string{
		`podinfo_memory_budget_bytes{state="in_use"} 0`, `podinfo_memory_budget_bytes{state="limit"} 102400`,
		fmt.Sprintf(`podinfo_requests_refused_total{reason="memory"} %d`, want),
	} {
		if !strings.Contains(page, line+"\n") {
			t.Errorf("/metrics lacks %s", line)
		}
	}
	if got := strings.Count(log.String(), `"status":503,`); want == 0 || got != want || strings.Count(log.String(), `"refused":"memory"`) != want {
		t.Errorf("%d requests were refused; the access log:\n%s", want, log)
	}
}

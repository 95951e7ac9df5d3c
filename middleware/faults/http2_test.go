package faults_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	promset "github.com/VictoriaMetrics/metrics"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver/grpctest"
	"github.com/seed-4591fe7d/podinfo/endpoints/httpserver"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/middleware/faults"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// serveHTTP2 starts an http-server that serves modules over HTTP/2, and connects
// to it frame by frame. get begins a GET.
func serveHTTP2(t *testing.T, secure bool, rulesText string, mods ...registry.Module) (c *rawClient, get func(stream uint32, path string)) {
	t.Helper()
	env, conf, scheme := rules(rulesText), (*tls.Config)(nil), "http"
	server := new(httpserver.Module)
	port := fmt.Sprint(registrytest.FreePort(t))
	env["PODINFO_HOST"], env["PODINFO_PORT"], env["PODINFO_H2C"] = "127.0.0.1", port, "true"
	if secure {
		dir := t.TempDir()
		conf, scheme = &tls.Config{RootCAs: registrytest.WriteCert(t, dir, "server"), ServerName: "localhost"}, "https"
		env["PODINFO_PORT"], env["PODINFO_SECURE_PORT"], env["PODINFO_CERT_PATH"] = "0", port, dir
		delete(env, "PODINFO_H2C")
	}
	registrytest.New(t, env, append(mods, server)...)
	c = dialRaw(t, "127.0.0.1:"+port, conf)
	return c, func(stream uint32, path string) {
		c.headers(stream, true, ":method", "GET", ":scheme", scheme, ":path", path, ":authority", "x")
	}
}

// The frames on a connection when one of its streams is broken while another is in
// flight, and what the metrics say that the client saw.
func TestHTTP2(t *testing.T) {
	for _, c := range []struct {
		rule string
		want []string
		seen string
	}{
		{"fault: {http2: {rst: REFUSED_STREAM}}", []string{"RST_STREAM 3 REFUSED_STREAM", "DATA 1", "HEADERS 5"}, "RST_STREAM REFUSED_STREAM"},
		{"fault: {http2: {rst: ENHANCE_YOUR_CALM}}", []string{"RST_STREAM 3 ENHANCE_YOUR_CALM", "DATA 1", "HEADERS 5"}, "RST_STREAM ENHANCE_YOUR_CALM"},
		{"at: after, fault: {http2: {rst: CANCEL}}", []string{"RST_STREAM 3 CANCEL", "DATA 1", "HEADERS 5"}, "RST_STREAM CANCEL"},
		{"fault: {http2: {goaway: ENHANCE_YOUR_CALM}}", []string{"GOAWAY 2147483647 ENHANCE_YOUR_CALM ", "EOF"}, "GOAWAY ENHANCE_YOUR_CALM"},
		{"fault: {http2: {goaway: NO_ERROR, unprocessed: true}}", []string{"GOAWAY 1 NO_ERROR ", "EOF"}, "GOAWAY NO_ERROR, unprocessed"},
		{"fault: {http2: {close: true}}", []string{"EOF"}, "connection closed"},
		{"fault: {reset: true}", []string{"RST_STREAM 3 INTERNAL_ERROR", "DATA 1", "HEADERS 5"}, "RST_STREAM INTERNAL_ERROR"},
	} {
		for _, secure := range []bool{false, true} {
			m, set, e := new(faults.Module), promset.NewSet(), new(endpoint)
			s := &stream{make(chan struct{}), make(chan error, 1)}
			client, get := serveHTTP2(t, secure, "rules: [{name: r, match: {path: /a}, "+c.rule+"}]", m, e, s)
			m.ContributeMetrics(set)
			get(1, "/stream")
			for range 2 {
				client.next() // the header and the first part
			}
			get(3, "/a")
			got := []string{client.next()}
			if strings.HasPrefix(got[0], "RST") {
				close(s.more)
				got = append(got, client.next())
				get(5, "/api/x")
				for len(got) < len(c.want) {
					if f := client.next(); strings.HasSuffix(f, " 5") {
						got = append(got, f)
					}
				}
			} else if got[0] != "EOF" {
				got = append(got, client.next())
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s, TLS %v: %s", c.rule, secure, diff)
			}
			client.conn.Close()
			<-s.ended
			if want := `podinfo_fault_cuts_total{rule="r",seen="` + c.seen + `"} 1`; !strings.Contains(page(set), want) {
				t.Errorf("%s: no %s in\n%s", c.rule, want, page(set))
			}
			e.mu.Lock()
			if ran := e.hits > 0 && c.rule[:2] != "at"; strings.HasPrefix(got[0], "GO") && ran {
				t.Errorf("%s: the handler ran", c.rule)
			}
			e.mu.Unlock()
		}
	}
}

// What Go's client makes of it: it repeats a refused stream, and says why others end.
func TestHTTP2Clients(t *testing.T) {
	for fault, want := range map[string]string{
		"http2: {rst: REFUSED_STREAM}, ":  "200",
		"http2: {rst: INTERNAL_ERROR}":    "INTERNAL_ERROR",
		"http2: {goaway: PROTOCOL_ERROR}": "PROTOCOL_ERROR",
		"http2: {close: true}":            "EOF",
	} {
		port := fmt.Sprint(registrytest.FreePort(t))
		env := rules("rules: [{name: r, when: {first: 1}, fault: {" + strings.TrimSuffix(fault, ", ") + "}}]")
		env["PODINFO_HOST"], env["PODINFO_PORT"], env["PODINFO_H2C"] = "127.0.0.1", port, "true"
		registrytest.New(t, env, new(faults.Module), new(endpoint), new(httpserver.Module))
		transport := &http.Transport{Protocols: new(http.Protocols)}
		transport.Protocols.SetUnencryptedHTTP2(true)
		client := http.Client{Transport: transport}
		res, err := client.Post("http://127.0.0.1:"+port+"/a", "text/plain", strings.NewReader("x"))
		got := fmt.Sprint(err)
		if err == nil {
			b, _ := io.ReadAll(res.Body)
			res.Body.Close()
			if got = fmt.Sprint(res.StatusCode); string(b) != text {
				t.Errorf("%s: %q", fault, b)
			}
		}
		if !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", fault, got, want)
		}
		client.CloseIdleConnections()
	}
}

// grpc-go's client maps the end of a call to a code, repeats a refused one, and the
// frames have the code of the rule.
func TestHTTP2OfCalls(t *testing.T) {
	for fault, want := range map[string]struct {
		frames []string
		code   codes.Code
	}{
		"http2: {rst: REFUSED_STREAM}":    {[]string{"RST_STREAM 1 REFUSED_STREAM"}, codes.OK}, // the second attempt
		"http2: {rst: ENHANCE_YOUR_CALM}": {[]string{"RST_STREAM 1 ENHANCE_YOUR_CALM"}, codes.ResourceExhausted},
		"http2: {rst: CANCEL}":            {[]string{"RST_STREAM 1 CANCEL"}, codes.Canceled},
		"http2: {goaway: INTERNAL_ERROR}": {[]string{"GOAWAY 2147483647 INTERNAL_ERROR fault r", "EOF"}, codes.Unavailable},
		"http2: {close: true}":            {[]string{"EOF"}, codes.Unavailable},
	} {
		s := grpctest.Serve(t, rules("rules: [{name: r, match: {per: client}, when: {first: 1}, fault: {"+fault+"}}]"), new(faults.Module), new(grpctest.Service))
		_, err := pb.NewTestServiceClient(s.Conn).UnaryCall(t.Context(), &pb.SimpleRequest{})
		if status.Code(err) != want.code {
			t.Errorf("%s: %v, want %v", fault, err, want.code)
		}
		s = grpctest.Serve(t, rules("rules: [{name: r, fault: {"+fault+"}}]"), new(faults.Module), new(grpctest.Service))
		c := dialRaw(t, s.Addr, nil)
		c.open(1, "UnaryCall", "")
		c.sendEmpty(1, true)
		if diff := cmp.Diff(want.frames, c.frames(len(want.frames))); diff != "" {
			t.Errorf("%s: %s", fault, diff)
		}
	}
}

// A slow upload keeps the window closed: the client gets no WINDOW_UPDATE for its
// stream, while one without a fault does.
func TestUploadWithholdsTheWindow(t *testing.T) {
	up := routes{{Method: "POST", Path: "/up", Handler: func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }}}
	for _, pauses := range []bool{true, false} {
		c, _ := serveHTTP2(t, false, fmt.Sprintf("rules: [{name: r, match: {percent: %d}, fault: {upload: {for: 1m}}}]", map[bool]int{true: 100}[pauses]), new(faults.Module), up)
		c.headers(1, false, ":method", "POST", ":scheme", "http", ":path", "/up", ":authority", "x")
		room, conn, updated := 0, 65535, false
		read := func(pong bool) { // until the pong, or until a frame changes the window
			for {
				switch f, err := c.fr.ReadFrame(); f := f.(type) {
				case *http2.SettingsFrame:
					if n, ok := f.Value(http2.SettingInitialWindowSize); ok {
						room = int(n)
					}
				case *http2.WindowUpdateFrame:
					if f.StreamID == 0 {
						conn += int(f.Increment)
					} else {
						updated = true
					}
				case *http2.PingFrame:
					if pong {
						return
					}
				case nil:
					t.Fatal(err)
				}
				if !pong && (updated || room > 0 && conn > 65535) {
					return
				}
			}
		}
		read(false)
		for n := 0; room > 0 && conn > 0; room, conn = room-n, conn-n {
			n = min(room, conn, 16<<10)
			must(t, c.fr.WriteData(1, false, make([]byte, n)))
		}
		if pauses {
			must(t, c.fr.WritePing(false, [8]byte{1}))
			read(true)
		} else {
			for !updated {
				read(false)
			}
		}
		if updated == pauses {
			t.Errorf("with a pause %v: WINDOW_UPDATE %v", pauses, updated)
		}
		c.conn.Close()
	}
}

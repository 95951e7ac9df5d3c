package serve

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// get begins a GET of a path on a stream.
func get(t *testing.T, fr *http2.Framer, stream uint32, path string) {
	t.Helper()
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, f := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":path", path}, {":authority", "x"}} {
		enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	if err := fr.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true}); err != nil {
		t.Fatal(err)
	}
}

// Handlers end streams and connections by codes of their choice, with TLS and
// without, beside a stream that goes on. The test fails when net/http has no longer
// what http2.go relies on.
func TestBreakHTTP2(t *testing.T) {
	const large = 100 << 10 // several frames and several writes
	held := make(chan bool)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, stream := HTTP2Of(w, r)
		if c == nil || stream == 0 {
			t.Errorf("connection %v, stream %d", c, stream)
			return
		}
		switch r.URL.Path {
		case "/large":
			w.Write(make([]byte, large))
			http.NewResponseController(w).Flush()
			<-held
		case "/rst":
			c.ResetAs(stream, 7)
			panic(http.ErrAbortHandler)
		case "/plain":
			panic(http.ErrAbortHandler)
		case "/goaway":
			c.GoAway(11, LastStream)
			panic(http.ErrAbortHandler)
		case "/end":
			c.End()
			panic(http.ErrAbortHandler)
		}
	})
	for _, secure := range []bool{false, true} {
		for path, want := range map[string][]string{
			"/rst":    {"RST_STREAM 3 REFUSED_STREAM", "DATA 1 end", "HEADERS 5", "RST_STREAM 7 INTERNAL_ERROR"},
			"/goaway": {"GOAWAY ENHANCE_YOUR_CALM", "EOF"},
			"/end":    {"EOF"},
		} {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			srv := &http.Server{Handler: handler, Protocols: new(http.Protocols)}
			srv.Protocols.SetHTTP1(true)
			srv.Protocols.SetHTTP2(secure)
			srv.Protocols.SetUnencryptedHTTP2(!secure)
			client := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}
			if secure {
				certs := httptest.NewUnstartedServer(nil)
				certs.StartTLS()
				srv.TLSConfig = &tls.Config{Certificates: certs.TLS.Certificates}
				certs.Close()
			}
			s := New(srv, l, nil)
			s.BreakHTTP2()
			served := make(chan error)
			go func() { served <- s.Serve() }()
			conn, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			if secure {
				conn = tls.Client(conn, client)
			}
			conn.SetDeadline(time.Now().Add(20 * time.Second))
			fr := http2.NewFramer(conn, conn)
			fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
			io.WriteString(conn, http2.ClientPreface)
			fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
			fr.WriteWindowUpdate(0, 1<<20)
			got, data, released := []string{}, 0, false
			next := func() string {
				for {
					f, err := fr.ReadFrame()
					switch f := f.(type) {
					case *http2.DataFrame:
						if data += len(f.Data()); f.StreamEnded() {
							return fmt.Sprintf("DATA %d end", f.StreamID)
						}
						if f.StreamID == 1 && data == large {
							return "all"
						}
					case *http2.MetaHeadersFrame:
						return fmt.Sprintf("HEADERS %d", f.StreamID)
					case *http2.RSTStreamFrame:
						return fmt.Sprintf("RST_STREAM %d %v", f.StreamID, f.ErrCode)
					case *http2.GoAwayFrame:
						return fmt.Sprintf("GOAWAY %v", f.ErrCode)
					case nil:
						if errors.Is(err, io.EOF) {
							return "EOF"
						}
						return err.Error()
					}
				}
			}
			get(t, fr, 1, "/large")
			for f := next(); f != "all"; f = next() {
				if f != "HEADERS 1" {
					t.Fatal(f)
				}
			}
			get(t, fr, 3, path)
			got = append(got, next())
			switch {
			case path == "/rst":
				released = true
				held <- true
				got = append(got, next())
				get(t, fr, 5, "/")
				got = append(got, next())
				get(t, fr, 7, "/plain")
				got = append(got, next())
			case got[0] != "EOF":
				got = append(got, next())
			}
			if diff := cmp.Diff(want, slices.DeleteFunc(got, func(s string) bool { return s == "DATA 5 end" })); diff != "" {
				t.Errorf("%s, TLS %v: %s", path, secure, diff)
			}
			conn.Close()
			if !released {
				held <- true
			}
			s.Close()
			if err := <-served; err != nil {
				t.Error(err)
			}
			known := func() int { s.mu.Lock(); defer s.mu.Unlock(); return len(s.states) }
			for deadline := time.Now().Add(10 * time.Second); known() > 0; time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("%s, TLS %v: %d connections are remembered", path, secure, known())
				}
			}
		}
	}
}

package reply_test

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/seed-4591fe7d/podinfo/registry/record"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// compressor is the middleware of these tests. It compresses every body that
// is not encoded, and notes what it did for one request.
type compressor struct {
	statuses []int
	writer   *reply.Writer
	closed   bool
	wrote    error
}

// watched is a gzip.Writer that notes its Close.
type watched struct {
	*gzip.Writer
	c *compressor
}

func (w watched) Close() error { w.c.closed = true; return w.Writer.Close() }

func (c *compressor) start(status int, h http.Header, to io.Writer) io.WriteCloser {
	c.statuses = append(c.statuses, status)
	if h.Get("Content-Encoding") != "" {
		return nil
	}
	h.Set("Content-Encoding", "gzip")
	return watched{gzip.NewWriter(to), c}
}

// serve serves handler through the middleware, over HTTP/1.1 or h2c, and
// returns the client for it.
func serve(t *testing.T, h2c bool, c *compressor, handler func(c *compressor, w http.ResponseWriter)) (url string, client *http.Client) {
	t.Helper()
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.writer = reply.NewWriter(w, r, c.start)
		handler(c, c.writer)
		if err := c.writer.Close(); err != nil {
			t.Error(err)
		}
	}))
	tr := &http.Transport{DisableCompression: true}
	if h2c {
		srv.Config.Protocols, tr.Protocols = new(http.Protocols), new(http.Protocols)
		srv.Config.Protocols.SetUnencryptedHTTP2(true)
		tr.Protocols.SetUnencryptedHTTP2(true)
	}
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.Start()
	t.Cleanup(srv.Close)
	t.Cleanup(tr.CloseIdleConnections)
	return srv.URL, &http.Client{Transport: tr}
}

// over runs a test over HTTP/1.1 and over HTTP/2 without TLS.
func over(t *testing.T, f func(t *testing.T, h2c bool)) {
	t.Run("HTTP1", func(t *testing.T) { f(t, false) })
	t.Run("h2c", func(t *testing.T) { f(t, true) })
}

func TestWriter(t *testing.T) {
	long := strings.Repeat("hello ", 1000)
	for name, c := range map[string]struct {
		method   string // "" is GET
		handler  func(c *compressor, w http.ResponseWriter)
		status   int
		header   map[string]string // part of the response's; "" is absent
		body     string            // decoded
		statuses []int             // that start was called with
	}{
		"implicit status": {
			handler: func(_ *compressor, w http.ResponseWriter) { io.WriteString(w, "<html>"); io.WriteString(w, long) },
			status:  200, header: map[string]string{"Content-Encoding": "gzip", "Content-Type": "text/html; charset=utf-8"}, body: "<html>" + long, statuses: []int{200},
		},
		"status, type and length": {
			handler: func(_ *compressor, w http.ResponseWriter) {
				w.Header().Set("Content-Type", "text/x")
				w.Header().Set("Content-Length", fmt.Sprint(len(long)))
				w.WriteHeader(404)
				io.WriteString(w, long)
			},
			status: 404, header: map[string]string{"Content-Encoding": "gzip", "Content-Type": "text/x"}, body: long, statuses: []int{404},
		},
		"two statuses": {
			handler: func(_ *compressor, w http.ResponseWriter) {
				w.WriteHeader(201)
				w.WriteHeader(500)
				io.WriteString(w, long)
			},
			status: 201, header: map[string]string{"Content-Encoding": "gzip"}, body: long, statuses: []int{201},
		},
		"HEAD": {
			method: "HEAD",
			handler: func(_ *compressor, w http.ResponseWriter) {
				w.Header().Set("Content-Length", fmt.Sprint(len(long)))
				io.WriteString(w, long)
			},
			status: 200, header: map[string]string{"Content-Encoding": "gzip", "Content-Length": ""}, statuses: []int{200},
		},
		"no content": {
			handler: func(c *compressor, w http.ResponseWriter) { w.WriteHeader(204); _, c.wrote = io.WriteString(w, "x") },
			status:  204, header: map[string]string{"Content-Encoding": ""},
		},
		"not modified": {
			handler: func(c *compressor, w http.ResponseWriter) { w.WriteHeader(304); _, c.wrote = io.WriteString(w, "x") },
			status:  304, header: map[string]string{"Content-Encoding": ""},
		},
		"encoded already": {
			handler: func(_ *compressor, w http.ResponseWriter) {
				w.Header().Set("Content-Encoding", "br")
				w.Header().Set("Content-Length", "6")
				io.WriteString(w, "brotli")
			},
			status: 200, header: map[string]string{"Content-Encoding": "br", "Content-Length": "6"}, body: "brotli", statuses: []int{200},
		},
		"nothing written": {
			handler: func(*compressor, http.ResponseWriter) {},
			status:  200, header: map[string]string{"Content-Encoding": "", "Content-Length": "0"},
		},
		"early hints": {
			handler: func(_ *compressor, w http.ResponseWriter) {
				w.Header().Set("Link", "</a.css>")
				w.WriteHeader(103)
				io.WriteString(w, long)
			},
			status: 200, header: map[string]string{"Content-Encoding": "gzip", "X-Hints": "103 </a.css>"}, body: long, statuses: []int{200},
		},
		"flushed first": {
			handler: func(_ *compressor, w http.ResponseWriter) { w.(http.Flusher).Flush(); io.WriteString(w, long) },
			status:  200, header: map[string]string{"Content-Encoding": "gzip"}, body: long, statuses: []int{200},
		},
	} {
		t.Run(name, func(t *testing.T) {
			over(t, func(t *testing.T, h2c bool) {
				comp := new(compressor)
				url, client := serve(t, h2c, comp, c.handler)
				hints := ""
				ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
					hints = fmt.Sprint(code, " ", h.Get("Link"))
					return nil
				}})
				req, err := http.NewRequestWithContext(ctx, c.method, url, nil)
				if err != nil {
					t.Fatal(err)
				}
				res, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				res.Header.Set("X-Hints", hints)
				for name, want := range c.header {
					if got := res.Header.Get(name); got != want {
						t.Errorf("%s: %q, want %q", name, got, want)
					}
				}
				if got := read(t, res, c.method == "HEAD"); res.StatusCode != c.status || got != c.body {
					t.Errorf("%d %.50q, want %d %.50q", res.StatusCode, got, c.status, c.body)
				}
				if diff := cmp.Diff(c.statuses, comp.statuses); diff != "" {
					t.Errorf("calls of start: %s", diff)
				}
				if (c.status == 204 || c.status == 304) != errors.Is(comp.wrote, http.ErrBodyNotAllowed) {
					t.Errorf("a write: %v", comp.wrote)
				}
			})
		})
	}
}

// read is the body of a response, decoded by what its header says.
func read(t *testing.T, res *http.Response, head bool) string {
	t.Helper()
	body := io.Reader(res.Body)
	if res.Header.Get("Content-Encoding") == "gzip" && !head {
		z, err := gzip.NewReader(body)
		if err != nil {
			t.Fatal(err)
		}
		body = z
	}
	b, err := io.ReadAll(body)
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

// The client reads what was flushed while the handler waits for it.
func TestWriterFlushes(t *testing.T) {
	over(t, func(t *testing.T, h2c bool) {
		seen := make(chan struct{})
		url, client := serve(t, h2c, new(compressor), func(_ *compressor, w http.ResponseWriter) {
			io.WriteString(w, "first\n")
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
			<-seen
			io.WriteString(w, "second\n")
		})
		res, err := client.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		z, err := gzip.NewReader(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(z)
		if line, err := lines.ReadString('\n'); line != "first\n" {
			t.Error(line, err)
		}
		close(seen)
		if rest, err := io.ReadAll(lines); string(rest) != "second\n" {
			t.Error(string(rest), err)
		}
	})
}

// A body that a panic broke off is not ended as if it were complete.
func TestWriterAfterAPanic(t *testing.T) {
	over(t, func(t *testing.T, h2c bool) {
		c := new(compressor)
		url, client := serve(t, h2c, c, func(_ *compressor, w http.ResponseWriter) {
			io.WriteString(w, "half of it")
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		})
		res, err := client.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		z, err := gzip.NewReader(res.Body)
		if err == nil {
			_, err = io.ReadAll(z)
		}
		if err == nil || c.closed {
			t.Errorf("the client read to the end: %v, closed %v", err == nil, c.closed)
		}
	})
}

func TestWriterHijacks(t *testing.T) {
	over(t, func(t *testing.T, h2c bool) {
		c := new(compressor)
		url, client := serve(t, h2c, c, func(_ *compressor, w http.ResponseWriter) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if h2c != errors.Is(err, errors.ErrUnsupported) {
				t.Error(err)
			}
			if err == nil {
				io.WriteString(conn, "HTTP/1.1 299 Taken\r\nContent-Length: 2\r\n\r\nok")
				conn.Close()
			}
		})
		res, err := client.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if want := map[bool]int{true: 200, false: 299}[h2c]; res.StatusCode != want || len(c.statuses) > 0 {
			t.Errorf("%d, start was called with %v", res.StatusCode, c.statuses)
		}
	})
}

// What else a response writer can do is found through Unwrap.
func TestWriterUnwraps(t *testing.T) {
	over(t, func(t *testing.T, h2c bool) {
		url, client := serve(t, h2c, new(compressor), func(_ *compressor, w http.ResponseWriter) {
			if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Hour)); err != nil {
				t.Error(err)
			}
		})
		res, err := client.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
	})
	record.Serve(bare{httptest.NewRecorder()}, httptest.NewRequest("GET", "/", nil), func(rec http.ResponseWriter, r *http.Request) {
		w := reply.NewWriter(rec, r, new(compressor).start)
		if err := w.FlushError(); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("flush of a response that cannot be flushed: %v", err)
		}
		if _, _, err := w.Hijack(); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("hijack of a response that cannot be hijacked: %v", err)
		}
	})
}

// bare has none of the optional interfaces.
type bare struct{ http.ResponseWriter }

// hijacked is a response writer whose connection can be taken.
type hijacked struct{ http.ResponseWriter }

func (hijacked) Hijack() (net.Conn, *bufio.ReadWriter, error) { return nil, nil, nil }

func TestWriterIsOverOnce(t *testing.T) {
	c := new(compressor)
	rec := httptest.NewRecorder()
	w := reply.NewWriter(rec, httptest.NewRequest("GET", "/", nil), c.start)
	io.WriteString(w, "x")
	if err := errors.Join(w.Close(), w.Close()); err != nil {
		t.Error(err)
	}
	size := rec.Body.Len()
	if _, err := io.WriteString(w, "late"); err == nil || rec.Body.Len() != size {
		t.Errorf("a late write: %v", err)
	}

	c = new(compressor)
	w = reply.NewWriter(hijacked{httptest.NewRecorder()}, httptest.NewRequest("GET", "/", nil), c.start)
	io.WriteString(w, "x")
	if _, _, err := w.Hijack(); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil || c.closed {
		t.Errorf("the body of a connection that was taken over is ended: %v", err)
	}
}

// plainFlusher is an encoder whose Flush returns nothing.
type plainFlusher struct {
	io.Writer
	flushed bool
}

func (f *plainFlusher) Flush()     { f.flushed = true }
func (*plainFlusher) Close() error { return nil }

func TestWriterFlushesAnyEncoder(t *testing.T) {
	var enc *plainFlusher
	w := reply.NewWriter(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil), func(_ int, _ http.Header, to io.Writer) io.WriteCloser {
		enc = &plainFlusher{Writer: to}
		return enc
	})
	if w.Flush(); enc == nil || !enc.flushed {
		t.Error("not flushed")
	}
}

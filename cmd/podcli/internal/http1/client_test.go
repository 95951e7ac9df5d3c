package http1

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// serve answers the requests on each connection with the next of texts, and closes
// the connection after an empty one or after the last.
func serve(t *testing.T, texts ...string) (url string, connections *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	connections = new(atomic.Int64)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			r := bufio.NewReader(conn)
			for len(texts) > 0 {
				text := texts[0]
				texts = texts[1:]
				if req, err := http.ReadRequest(r); err != nil || text == "" {
					break
				} else if _, err := io.Copy(io.Discard, req.Body); err != nil {
					break
				}
				io.WriteString(conn, text)
				if strings.Contains(text, "Connection: close") {
					break
				}
			}
			conn.Close()
		}
	}()
	return "http://" + l.Addr().String(), connections
}

func client(t *testing.T, method, url, body string, timeout time.Duration) *Client {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(req, timeout)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

func TestResponses(t *testing.T) {
	for _, c := range []struct {
		name, method string
		texts        []string
		status       int
		size         int64
		connections  int64
	}{
		{"kept", "GET", []string{ok, ok}, 200, 2, 1},
		{"chunked", "GET", []string{ok, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"}, 200, 3, 1},
		{"interim", "GET", []string{ok, "HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n" + ok}, 200, 2, 1},
		{"no body", "HEAD", []string{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n"}, 204, 0, 1},
		{"close", "POST", []string{"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", ok}, 200, 2, 2},
		{"until the end", "GET", []string{ok, "HTTP/1.1 500 No\r\nConnection: close\r\n\r\nsome"}, 500, 4, 1},
		{"closed while idle", "GET", []string{ok, "", ok}, 200, 2, 2},
	} {
		url, connections := serve(t, c.texts...)
		client := client(t, c.method, url, "body", time.Minute)
		if _, _, err := client.Do(t.Context()); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		status, size, err := client.Do(t.Context())
		if err != nil || status != c.status || size != c.size || connections.Load() != c.connections {
			t.Errorf("%s: %d, %d bytes over %d connections, %v", c.name, status, size, connections.Load(), err)
		}
	}
}

func TestErrors(t *testing.T) {
	for _, c := range []struct {
		name, method string
		texts        []string
		want         error
	}{
		{"a POST is not sent twice", "POST", []string{ok, "", ok}, io.EOF},
		{"a GET is sent twice at most", "GET", []string{ok, "", "", ok}, io.EOF},
		{"cut body", "GET", []string{ok, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"}, io.ErrUnexpectedEOF},
		{"cut header", "GET", []string{ok, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"}, io.ErrUnexpectedEOF},
	} {
		url, _ := serve(t, c.texts...)
		client := client(t, c.method, url, "", time.Minute)
		if _, _, err := client.Do(t.Context()); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		// Closing with an unread request resets the connection on some systems.
		if _, _, err := client.Do(t.Context()); !errors.Is(err, c.want) && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestEnds checks the ends of a request without a response.
func TestEnds(t *testing.T) {
	arrived := make(chan struct{}, 2)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-r.Context().Done()
	}))
	defer s.Close()
	if _, _, err := client(t, "GET", s.URL, "", 10*time.Millisecond).Do(t.Context()); err != context.DeadlineExceeded {
		t.Errorf("timeout: %v", err)
	}
	<-arrived
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-arrived
		cancel()
	}()
	if _, _, err := client(t, "GET", s.URL, "", time.Hour).Do(ctx); !errors.Is(err, net.ErrClosed) {
		t.Errorf("cancelled: %v", err)
	}
	s.Close()
	if _, _, err := client(t, "GET", s.URL, "", time.Minute).Do(t.Context()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("refused: %v", err)
	}
}

func TestRequest(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		name, password, _ := r.BasicAuth()
		if string(body) != "body" || name != "a" || password != "b" || r.Host != "other" || r.Header.Get("X") != "1" || r.RequestURI != "/p?q=1" {
			t.Errorf("%q %+v", body, r)
		}
	}))
	defer s.Close()
	req, err := http.NewRequest("POST", strings.Replace(s.URL, "://", "://a:b@", 1)+"/p?q=1", strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "other"
	req.Header.Set("X", "1")
	c, err := New(req, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 2 {
		if status, _, err := c.Do(t.Context()); status != 200 || err != nil {
			t.Errorf("%d %v", status, err)
		}
	}
}

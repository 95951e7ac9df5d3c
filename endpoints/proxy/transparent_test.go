package proxy_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-4591fe7d/podinfo/endpoints/proxy"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/middleware/accesslog"
	"github.com/seed-4591fe7d/podinfo/middleware/faults"
	"github.com/seed-4591fe7d/podinfo/middleware/metrics"
	"github.com/seed-4591fe7d/podinfo/middleware/recovery"
	"github.com/seed-4591fe7d/podinfo/middleware/tracing"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// front returns a server whose proxy forwards to a service.
func front(t testing.TB, service string, env ...string) *registrytest.Server {
	t.Helper()
	vars := map[string]string{"PODINFO_PROXY_URL": service}
	for i := 0; i+1 < len(env); i += 2 {
		vars[env[i]] = env[i+1]
	}
	mods := []registry.Module{new(recovery.Module), new(tracing.Module), new(metrics.Module), new(accesslog.Module), new(faults.Module), new(proxy.Module)}
	return registrytest.Serve(t, vars, mods...)
}

// service is a TCP server that sends the same bytes for each request.
type service struct {
	net.Listener
	requests chan string // as they arrived, without the body
}

// serve starts a service. It responds, and then closes the connection or resets it.
func serve(t *testing.T, response string, reset bool) *service {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	s := &service{l, make(chan string, 10)}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go s.respond(conn.(*net.TCPConn), response, reset)
		}
	}()
	return s
}

func (s *service) respond(conn *net.TCPConn, response string, reset bool) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	in := bufio.NewReader(conn)
	var head strings.Builder
	length := 0
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		head.WriteString(line)
		fmt.Sscanf(line, "Content-Length: %d", &length)
		if line == "\r\n" {
			break
		}
	}
	io.CopyN(io.Discard, in, int64(length))
	s.requests <- head.String()
	for part := range strings.SplitSeq(response, "~") { // a pause
		io.WriteString(conn, part)
		if strings.Contains(response, "~") {
			time.Sleep(20 * time.Millisecond)
		}
	}
	if reset {
		conn.SetLinger(0)
		return
	}
	conn.CloseWrite()
	io.Copy(io.Discard, in)
}

// view is what a client sees of a response.
type view struct {
	Interim []string
	Status  string
	Header  http.Header
	Length  int64
	Chunked bool
	Body    string
	Trailer http.Header
	Err     string
}

// look sends a request to an address and returns what its client sees.
func look(t *testing.T, addr, method string) (v view) {
	t.Helper()
	req, _ := http.NewRequest(method, "http://"+addr+"/x", nil)
	req = req.WithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		v.Interim = append(v.Interim, fmt.Sprint(code, h))
		return nil
	}}))
	tr := &http.Transport{DisableKeepAlives: true, DisableCompression: true}
	res, err := tr.RoundTrip(req)
	if err != nil {
		v.Err = ending(err)
		return v
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	res.Header.Del("Connection")
	v.Status, v.Header, v.Length, v.Chunked, v.Body, v.Trailer = res.Status, res.Header, res.ContentLength, len(res.TransferEncoding) > 0, string(b), res.Trailer
	v.Err = ending(err)
	return v
}

// ending names how a response ended.
func ending(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, syscall.ECONNRESET):
		return "reset"
	case strings.Contains(err.Error(), "malformed MIME header"):
		return "cut"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "cut"
	}
	return err.Error()
}

// TestResponsesPassAsTheyAre compares what clients see of a service with and without
// the proxy.
func TestResponsesPassAsTheyAre(t *testing.T) {
	for _, c := range []struct {
		name, response string
		reset          bool
	}{
		{"plain", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/plain\r\nDate: x\r\n\r\nhello", false},
		{"no headers at all", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n<html", false},
		{"reason", "HTTP/1.1 404 Nope\r\nContent-Length: 0\r\n\r\n", false},
		{"unknown status", "HTTP/1.1 599 Odd\r\nContent-Length: 2\r\n\r\nab", false},
		{"no content", "HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n", false},
		{"not modified", "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n", false},
		{"repeated headers", "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nVary: A\r\nVary: B\r\nContent-Length: 0\r\n\r\n", false},
		{"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", false},
		{"chunked and slow", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n~5\r\nhello\r\n~5\r\nthere\r\n~0\r\n\r\n", false},
		{"trailers", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 7\r\n\r\n", false},
		{"until the end", "HTTP/1.1 200 OK\r\nX-A: 1\r\n\r\nhello", false},
		{"interim", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", false},
		{"interim twice", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </b>\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", false},
		{"encoded", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", false},
		{"redirect", "HTTP/1.1 302 Found\r\nLocation: //elsewhere/a b\r\nContent-Length: 0\r\n\r\n", false},
		{"no response", "", false},
		{"reset without a response", "", true},
		{"cut in the header", "HTTP/1.1 200 OK\r\nContent-Le", false},
		{"cut in the body", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n~hello", false},
		{"cut before the body", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", false},
		{"cut between chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n~", false},
		{"reset in the body", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n~hello~", true},
	} {
		for _, method := range []string{"GET", "HEAD", "POST"} {
			t.Run(c.name+" to "+method, func(t *testing.T) {
				t.Parallel()
				if _, body, _ := strings.Cut(c.response, "\r\n\r\n"); method == "HEAD" && body != "" {
					t.Skip("no response to HEAD")
				}
				s := serve(t, c.response, c.reset)
				f := front(t, "http://"+s.Addr().String())
				want := look(t, s.Addr().String(), method)
				got := look(t, f.Listener.Addr().String(), method)
				if c.name == "reason" || c.name == "unknown status" { // net/http has its own
					want.Status, got.Status = want.Status[:3], got.Status[:3]
				}
				if c.name == "until the end" { // the proxy may keep the connection
					want.Chunked, got.Chunked = false, false
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

// TestTrailersOfRequestsPass checks it over HTTP/1.1 and HTTP/2.
func TestTrailersOfRequestsPass(t *testing.T) {
	plain := new(http.Protocols)
	plain.SetHTTP1(true)
	plain.SetUnencryptedHTTP2(true)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		fmt.Fprint(w, string(b), err, r.Trailer.Get("X-Sum"))
	}))
	s.Config.Protocols = plain
	s.Start()
	t.Cleanup(s.Close)
	for _, scheme := range []string{"http", "h2c"} {
		f := front(t, scheme+strings.TrimPrefix(s.URL, "http"))
		pr, pw := io.Pipe()
		req, _ := http.NewRequestWithContext(t.Context(), "POST", f.URL, pr)
		req.Trailer = http.Header{"X-Sum": nil}
		go func() {
			io.WriteString(pw, "hello")
			req.Trailer.Set("X-Sum", "7")
			pw.Close()
		}()
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if string(b) != "hello<nil>7" {
			t.Errorf("%s: the service got %q", scheme, b)
		}
	}
}

// TestRequestsPassAsTheyAre checks what reaches the service of a request.
func TestRequestsPassAsTheyAre(t *testing.T) {
	const end = "Connection: close\r\n\r\n"
	for _, c := range []struct {
		request string
		want    string // the request line, and lines of the header
		env     []string
	}{
		{"GET / HTTP/1.1\r\nHost: a.example:8080\r\n" + end, "GET / HTTP/1.1\nHost: a.example:8080", nil},
		{"GET //a//b/../c/./d/ HTTP/1.1\r\nHost: a\r\n" + end, "GET //a//b/../c/./d/ HTTP/1.1", nil},
		{"GET /a%2Fb/%2e%2e/%20?q=%2F&x=1;y=%zz&&a HTTP/1.1\r\nHost: a\r\n" + end, "GET /a%2Fb/%2e%2e/%20?q=%2F&x=1;y=%zz&&a HTTP/1.1", nil},
		{"GET /a? HTTP/1.1\r\nHost: a\r\n" + end, "GET /a? HTTP/1.1", nil},
		{"BREW /a HTTP/1.1\r\nHost: a\r\n" + end, "BREW /a HTTP/1.1", nil},
		{"POST /a HTTP/1.1\r\nHost: a\r\nOrigin: https://elsewhere\r\nContent-Length: 3\r\n" + end + "abc", "POST /a HTTP/1.1\nContent-Length: 3\nOrigin: https://elsewhere", nil},
		{"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n" + end, "POST /a HTTP/1.1\nContent-Length: 0", nil},
		{"GET /a HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.2.3.4\r\n" + end, "X-Forwarded-For: 1.2.3.4, 127.0.0.1\nX-Forwarded-Host: a\nX-Forwarded-Proto: http", nil},
		{"GET /a HTTP/1.0\r\n" + end, "X-Forwarded-Proto: http", nil},
		{"GET /a HTTP/1.1\r\nHost:\r\n" + end, "X-Forwarded-Proto: http", nil},
		{"GET /a HTTP/1.1\r\nHost:\r\nX-Forwarded-Host:b\r\n" + end, "X-Forwarded-Proto: http", nil},
		{"GET /a HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.2.3.4\r\n" + end, "X-Forwarded-For: 1.2.3.4", []string{"PODINFO_PROXY_FORWARDED", "keep"}},
		{"GET /a HTTP/1.1\r\nHost: a\r\nForwarded: for=1.2.3.4\r\n" + end, "Forwarded: for=1.2.3.4", []string{"PODINFO_PROXY_FORWARDED", "keep"}},
		{"GET /a HTTP/1.1\r\nHost: a\r\nKeep-Alive: 3\r\nX-Hop: 1\r\nConnection: close, X-Hop\r\n\r\n", "GET /a HTTP/1.1", nil},
		{"GET /a HTTP/1.1\r\nHost: a\r\n" + end, "GET /base/a HTTP/1.1", []string{"PODINFO_PROXY_URL", "http://SERVICE/base/"}},
		{"GET /|{}^\\\"<>`[]#~ü?q=|#ü HTTP/1.1\r\nHost: a\r\n" + end, "GET /|{}^\\\"<>`[]#~ü?q=|#ü HTTP/1.1", nil},
		{"GET /a%2Fb|c/%7c HTTP/1.1\r\nHost: a\r\n" + end, "GET /base/a%2Fb|c/%7c HTTP/1.1", []string{"PODINFO_PROXY_URL", "http://SERVICE/base/"}},
		{"GET //a|b HTTP/1.1\r\nHost: a\r\n" + end, "GET http://SERVICE//a|b HTTP/1.1", nil}, // as net/http writes it
		{"GET http://b/c|d HTTP/1.1\r\nHost: a\r\n" + end, "GET /c|d HTTP/1.1\nHost: b", nil},
		{"GET /a HTTP/1.1\r\nHost: a\r\n" + end, "Authorization: Basic dTpwIHc=", []string{"PODINFO_PROXY_URL", "http://u:p%20w@SERVICE"}},
		{"GET /a HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer x\r\n" + end, "Authorization: Bearer x", []string{"PODINFO_PROXY_URL", "http://u:p%20w@SERVICE"}},
		{"GET /a HTTP/1.1\r\nHost: a\r\nKeep-Alive: 3\r\nTe: deflate\r\nConnection: close, Keep-Alive, X-One\r\nX-One: 1\r\n\r\n", "Keep-Alive: 3\nTe: deflate\nX-One: 1", []string{"PODINFO_PROXY_HOP_HEADERS", "keep-alive,TE,x-one"}},
	} {
		s := serve(t, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false)
		here := strings.NewReplacer("SERVICE", s.Addr().String())
		for i := range c.env {
			c.env[i] = here.Replace(c.env[i])
		}
		f := front(t, "http://"+s.Addr().String(), c.env...)
		conn, err := net.Dial("tcp", f.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, c.request)
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || res.StatusCode != 200 {
			t.Errorf("%q: %v %v", c.request, res, err)
			conn.Close()
			continue
		}
		conn.Close()
		got := <-s.requests
		for line := range strings.SplitSeq(here.Replace(c.want), "\n") {
			if !strings.Contains("\r\n"+got, "\r\n"+line+"\r\n") {
				t.Errorf("%q: want %q in %q", c.request, line, got)
			}
		}
		for _, never := range []string{"User-Agent", "Accept-Encoding", "X-Hop", "Transfer-Encoding", "X-Api-Version"} {
			if strings.Contains(got, never+":") {
				t.Errorf("%q: %s in %q", c.request, never, got)
			}
		}
		if !strings.Contains(c.request, "Host: ") && strings.Contains(got, "X-Forwarded-Host") {
			t.Errorf("%q: another host in %q", c.request, got)
		}
	}
}

// TestWhatDoesNotPass checks the requests that the service never sees, which
// docs/proxy.md lists.
func TestWhatDoesNotPass(t *testing.T) {
	s := serve(t, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false)
	f := front(t, "http://"+s.Addr().String())
	for request, want := range map[string]int{"GET /%zz": 400, "GET /a%": 400, "OPTIONS *": 200, "CONNECT a:443": 405} {
		conn, err := net.Dial("tcp", f.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, request+" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || res.StatusCode != want {
			t.Errorf("%s: %v %v", request, res, err)
		}
		conn.Close()
	}
	if n := len(s.requests); n > 0 {
		t.Errorf("%d requests passed", n)
	}
}

// TestResponsesThatDoNotPass checks the responses that docs/proxy.md lists.
func TestResponsesThatDoNotPass(t *testing.T) {
	for response, want := range map[string]int{
		"HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n":                       502,
		"HTTP/1.1 1000 Odd\r\nContent-Length: 0\r\n\r\n":                      502,
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab": 502,
		"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 10<<20) + "\r\n\r\n":   502,
		"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 9<<20) + "\r\n\r\n":    200,
		"HTTP/1.1 304 Not Modified\r\nEtag: a\r\nContent-Length: 5\r\n\r\n":   304,
		"HTTP/1.1 204 No Content\r\nEtag: a\r\nContent-Length: 0\r\n\r\n":     204,
	} {
		f := front(t, "http://"+serve(t, response, false).Addr().String())
		tr := &http.Transport{DisableKeepAlives: true, MaxResponseHeaderBytes: 20 << 20}
		req, _ := http.NewRequestWithContext(t.Context(), "GET", f.URL+"/x", nil)
		res, err := tr.RoundTrip(req)
		if err != nil {
			t.Errorf("%.60q: %v", response, err)
			continue
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != want || want == 502 && !strings.Contains(string(body), "not HTTP") || res.StatusCode/100 != 5 && res.Header["Content-Length"] != nil {
			t.Errorf("%.60q: %s %.200v %.200s", response, res.Status, res.Header, body)
		}
	}
}

// TestHeadersOfTheChain checks that a response after an interim one has the headers
// that the chain has set.
func TestHeadersOfTheChain(t *testing.T) {
	const interim = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
	for response, want := range map[string]int{
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n":           200,
		interim + "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n": 200,
		interim + "nonsense\r\n\r\n":                             502,
		"HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n":          502,
		"HTTP/1.1 000 Odd\r\nContent-Length: 0\r\n\r\n":          502,
	} {
		f := front(t, "http://"+serve(t, response, false).Addr().String(), "PODINFO_FAULTS", "rules: [{name: late, delay: 1ms}]")
		res, body := f.Call(t, "GET", "/x", "")
		if res.StatusCode != want || res.Header.Get("X-Podinfo-Fault") != "late" || res.Header.Get("Link") != "" || want == 502 && !strings.Contains(body, "not HTTP") {
			t.Errorf("%q: %s %v %s", response, res.Status, res.Header, body)
		}
	}
}

// TestHopHeaders checks which headers of a connection pass to the client.
func TestHopHeaders(t *testing.T) {
	s := serve(t, "HTTP/1.1 407 Proxy\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nConnection: X-Hop\r\nX-Hop: 1\r\nContent-Length: 0\r\n\r\n", false)
	for names, want := range map[string][]string{
		"":                                 nil,
		"keep-alive":                       {"Keep-Alive"},
		"Proxy-Authenticate,x-hop":         {"Proxy-Authenticate", "X-Hop"},
		"Keep-Alive,X-Hop,X-Never-Present": {"Keep-Alive", "X-Hop"},
	} {
		f := front(t, "http://"+s.Addr().String(), "PODINFO_PROXY_HOP_HEADERS", names)
		res, _ := f.Call(t, "GET", "/x", "")
		<-s.requests
		var got []string
		for _, name := range []string{"Keep-Alive", "Proxy-Authenticate", "X-Hop"} {
			if res.Header[name] != nil {
				got = append(got, name)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" || res.StatusCode != 407 {
			t.Errorf("%q: %s %s", names, res.Status, diff)
		}
	}
}

// TestLateBodies checks that a change of the body applies also when the service sends
// the header first.
func TestLateBodies(t *testing.T) {
	const (
		chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n~5\r\nhello\r\n~5\r\nthere\r\n~0\r\n\r\n"
		known   = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n~hello~there"
	)
	for range 3 { // ReverseProxy flushes the header before, after or while the body comes
		for _, c := range []struct{ response, fault, want string }{
			{chunked, "corrupt: {bytes: 5}", ".....there"},
			{known, "corrupt: {bytes: 10}", ".........."},
			{chunked, "repeat: 2", "hellohellothere"},
			{known, "repeat: 2", "hellotherehellothere"},
			{chunked, "repeat: 2, append: '!'", "hellohellothere!"},
			{chunked, "append: '!'", "hellothere!"},
			{chunked, "body: other", "other"},
		} {
			f := front(t, "http://"+serve(t, c.response, false).Addr().String(), "PODINFO_FAULTS", "rules: [{name: r, fault: {reply: {"+c.fault+"}}}]")
			got := look(t, f.Listener.Addr().String(), "GET")
			if len(got.Body) == len(c.want) {
				for i := range c.want {
					if c.want[i] == '.' && got.Body[i] != "hellothere"[i] {
						got.Body = got.Body[:i] + "." + got.Body[i+1:]
					}
				}
			}
			if got.Body != c.want || got.Err != "" || got.Header.Get("X-Podinfo-Fault") != "r" {
				t.Errorf("%s: %q %s, want %q", c.fault, got.Body, got.Err, c.want)
			}
		}
	}
}

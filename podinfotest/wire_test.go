package podinfotest_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/seed-4591fe7d/podinfo/endpoints/echo/echopb"
	. "github.com/seed-4591fe7d/podinfo/podinfotest"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// short is the deadline of a client that waits for something that never comes.
const short = 300 * time.Millisecond

// What a client sees.
type seen func(error) bool

func is(target error) seen { return func(err error) bool { return errors.Is(err, target) } }

func timeout(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout() && errors.Is(err, context.DeadlineExceeded)
}

func contains(text string) seen {
	return func(err error) bool { return err != nil && strings.Contains(err.Error(), text) }
}

func invalid(reason x509.InvalidReason) seen {
	return func(err error) bool {
		e, ok := errors.AsType[x509.CertificateInvalidError](err)
		return ok && e.Reason == reason
	}
}

func dns(check func(*net.DNSError) bool) seen {
	return func(err error) bool {
		e, ok := errors.AsType[*net.DNSError](err)
		return ok && check(e)
	}
}

// unwanted is a client without a certificate. With TLS 1.3 its handshake succeeds, so
// that its request may break before it reads the alert.
func unwanted(err error) bool {
	return contains("certificate required")(err) || contains("client conn could not be established")(err) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}

func as[E error](err error) bool { _, ok := errors.AsType[E](err); return ok }

// wireRows say what the first attempt sees: a client of net/http, a client of grpc-go,
// which connects again by itself unless a call is to fail fast, and the record.
var wireRows = []struct {
	name   string // as in docs/podinfotest-connections.md
	step   Step
	tls    bool
	http   seen
	record string
	code   codes.Code
}{
	{"`Refuse()`", Refuse(), false, is(syscall.ECONNREFUSED), "refused", codes.Unavailable},
	{"`Blackhole()`", Blackhole(), false, timeout, "no answer", codes.DeadlineExceeded},
	{"`FullBacklog(d)`", FullBacklog(time.Hour), false, timeout, "backlog full", codes.DeadlineExceeded},
	{"`Silent()`", Silent(), false, timeout, "no answer", codes.DeadlineExceeded},
	{"`Down(d)`", Down(10 * time.Millisecond), false, is(syscall.ECONNREFUSED), "down", codes.Unavailable},
	{"`NoSuchHost()`", NoSuchHost(), false, dns(func(e *net.DNSError) bool { return e.IsNotFound }), "no such host", codes.Unavailable},
	{"`ResolverFailure()`", ResolverFailure(), false, dns(func(e *net.DNSError) bool { return e.IsTemporary && !e.IsTimeout }), "resolver failed", codes.Unavailable},
	{"`ExpiredCertificate()`", ExpiredCertificate(), true, invalid(x509.Expired), "expired", codes.Unavailable},
	{"`NotYetValidCertificate()`", NotYetValidCertificate(), true, invalid(x509.Expired), "not-yet-valid", codes.Unavailable},
	{"`WrongHostCertificate()`", WrongHostCertificate(), true, as[x509.HostnameError], "wrong-host", codes.Unavailable},
	{"`SelfSignedCertificate()`", SelfSignedCertificate(), true, as[x509.UnknownAuthorityError], "self-signed", codes.Unavailable},
	{"`UnknownAuthority()`", UnknownAuthority(), true, as[x509.UnknownAuthorityError], "unknown-authority", codes.Unavailable},
	{"`StallHandshake()`", StallHandshake(), true, timeout, "handshake stalled", codes.DeadlineExceeded},
	{"`SlowHandshake(d)`", SlowHandshake(time.Hour), true, timeout, "handshake slow", codes.DeadlineExceeded},
	{"`BreakHandshake()`", BreakHandshake(), true, is(io.EOF), "handshake broken", codes.Unavailable},
	{"`Fault` with `tls: {break: reset}`", Fault(scenario.Fault{TLS: &scenario.TLS{Break: scenario.ResetTLS}}), true, is(syscall.ECONNRESET), "handshake broken", codes.Unavailable},
	{"`Fault` with `tls: {break: alert}`", Fault(scenario.Fault{TLS: &scenario.TLS{Break: scenario.AlertTLS}}), true, contains("remote error: tls: internal error"), "handshake broken", codes.Unavailable},
	{"`AskForCertificate()`", AskForCertificate(), true, unwanted, "no client certificate", codes.Unavailable},
}

// The page says what the tests check: for each step the code of a call and the word of
// the record.
func TestPageOfConnections(t *testing.T) {
	page, err := os.ReadFile("../docs/podinfotest-connections.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range wireRows {
		want := regexp.MustCompile(`(?m)^\| ` + regexp.QuoteMeta(row.name) + ` \| .* \| ` + fmt.Sprintf("`%v` \\| `%s` \\| .* \\|$", row.code, row.record))
		if !want.Match(page) {
			t.Errorf("docs/podinfotest-connections.md has no row for %s with %v and %s", row.name, row.code, row.record)
		}
	}
	for _, row := range http2Rows {
		want := regexp.MustCompile("(?m)^\\| `" + regexp.QuoteMeta(row.name) + "` \\| .*`" + fmt.Sprint(row.code) + "` \\| `" + regexp.QuoteMeta(row.record[0]) + "` \\|$")
		if !want.Match(page) {
			t.Errorf("docs/podinfotest-connections.md has no row for %s with %v and %s", row.name, row.code, row.record[0])
		}
	}
}

// everywhere runs a test over TCP, and in memory inside a bubble.
func everywhere(t *testing.T, f func(t *testing.T, start func(Config, ...string) *Server)) {
	t.Run("TCP", func(t *testing.T) {
		f(t, func(c Config, env ...string) *Server { return c.Start(t, env...) })
	})
	t.Run("memory", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f(t, func(c Config, env ...string) *Server { return c.StartInMemory(t, env...) })
		})
	})
}

// fetch sends a GET within a time.
func fetch(t *testing.T, c *http.Client, url string, within time.Duration) error {
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return err
}

// The first attempt fails, and the second succeeds.
func TestConnectionSteps(t *testing.T) {
	for _, row := range wireRows {
		t.Run(row.name, func(t *testing.T) {
			everywhere(t, func(t *testing.T, start func(Config, ...string) *Server) {
				srv := start(Config{TLS: row.tls})
				srv.ScriptConnections(row.step, OK())
				if err := fetch(t, srv.Client(), srv.URL+"/version", short); err == nil || !row.http(err) {
					t.Errorf("the first attempt: %#v %v", errors.Unwrap(err), err)
				}
				time.Sleep(50 * time.Millisecond) // of the bubble, or for the port to come back
				if err := fetch(t, srv.Client(), srv.URL+"/version", 10*time.Second); err != nil {
					t.Errorf("the second attempt: %v", err)
				}
				srv.Attempts().WantAnswers(t, row.record, "200")
				srv.Requests("*").WantAnswers(t, "200")
			})
		})
	}
}

// A call that does not wait for the connection sees the first attempt fail. Later ones
// succeed, because grpc-go connects again by itself.
func TestConnectionStepsOfCalls(t *testing.T) {
	for _, row := range wireRows {
		t.Run(row.name, func(t *testing.T) {
			everywhere(t, func(t *testing.T, start func(Config, ...string) *Server) {
				srv := start(Config{TLS: row.tls})
				srv.ScriptConnections(row.step, OK())
				again := grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: 10 * time.Millisecond, MaxDelay: 10 * time.Millisecond}, MinConnectTimeout: 2 * short}
				client := echopb.NewEchoServiceClient(srv.GRPC(grpc.WithConnectParams(again)))
				ctx, cancel := context.WithTimeout(t.Context(), short)
				defer cancel()
				_, err := client.Echo(ctx, &echopb.Message{Body: "x"})
				if got := status.Code(err); got != row.code {
					t.Errorf("the first call: %v, want %v: %v", got, row.code, err)
				}
				ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				if _, err := client.Echo(ctx, &echopb.Message{Body: "x"}, grpc.WaitForReady(true)); err != nil {
					t.Errorf("the second call: %v", err)
				}
				srv.Attempts().WantAnswers(t, row.record, "OK")
			})
		})
	}
}

// A client with a certificate is served, and one that does not verify shows.
func TestHandshakesThatSucceed(t *testing.T) {
	everywhere(t, func(t *testing.T, start func(Config, ...string) *Server) {
		srv := start(Config{TLS: true})
		srv.ScriptConnections(AskForCertificate(), ExpiredCertificate(), SlowHandshake(10*time.Millisecond))
		conf := srv.TLSConfig()
		conf.Certificates = []tls.Certificate{srv.ClientCertificate()}
		careless := srv.TLSConfig()
		careless.InsecureSkipVerify = true
		for i, conf := range []*tls.Config{conf, careless, srv.TLSConfig()} {
			transport := &http.Transport{DialContext: srv.DialContext, TLSClientConfig: conf, ForceAttemptHTTP2: i > 0}
			if err := fetch(t, &http.Client{Transport: transport}, srv.URL+"/version", 10*time.Second); err != nil {
				t.Errorf("%d: %v", i, err)
			}
			transport.CloseIdleConnections()
		}
		srv.Attempts().WantAnswers(t, "200", "200", "200")
		if got := fmt.Sprint(srv.Attempts()[0].Proto, srv.Attempts()[1].Proto); got != "HTTP/1.1HTTP/2.0" {
			t.Error(got)
		}
	})
}

// Certificates follow the clock of the bubble.
func TestCertificatesInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(50 * 365 * 24 * time.Hour)
		srv := StartTLS(t)
		time.Sleep(10 * 365 * 24 * time.Hour)
		if err := fetch(t, srv.Client(), srv.URL+"/version", time.Second); err != nil {
			t.Error(err)
		}
	})
}

// The script acts on clients with a dialer of their own, as far as loopback can.
func TestForeignClients(t *testing.T) {
	// net/http reads and writes at the same time; one of them gets the reset.
	reset := func(err error) bool { return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) }
	for _, row := range []struct {
		step   Step
		http   seen
		record string
	}{
		{Refuse(), reset, "refused"},
		{Blackhole(), timeout, "no answer"},
		{FullBacklog(time.Hour), timeout, "backlog full"},
		{Down(20 * time.Millisecond), reset, "down"},
	} {
		srv := Start(t)
		srv.ScriptConnections(row.step, OK())
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		if err := fetch(t, client, srv.URL+"/version", short); err == nil || !row.http(err) {
			t.Errorf("%s: %v", row.record, err)
		}
		time.Sleep(100 * time.Millisecond) // until the port is open again
		if err := fetch(t, client, srv.URL+"/version", 10*time.Second); err != nil {
			t.Errorf("%s, again: %v", row.record, err)
		}
		srv.Attempts()[:1].WantAnswers(t, row.record)
	}
}

// While the server is down the port is closed for everyone.
func TestDownClosesThePort(t *testing.T) {
	srv := Start(t)
	srv.ScriptConnections(Down(time.Hour))
	c, err := net.Dial("tcp", strings.TrimPrefix(srv.URL, "http://"))
	if err == nil {
		c.Read(make([]byte, 1))
		c.Close()
	}
	if _, err = net.Dial("tcp", strings.TrimPrefix(srv.URL, "http://")); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Error(err)
	}
}

// Waits for a connection take the time that the kernel would take.
func TestConnectingTakesTime(t *testing.T) {
	for _, row := range []struct {
		step Step
		err  error
		took time.Duration
	}{
		{Blackhole(), syscall.ETIMEDOUT, 127 * time.Second},
		{FullBacklog(0), nil, 0},
		{FullBacklog(time.Millisecond), nil, time.Second},
		{FullBacklog(4 * time.Second), nil, 7 * time.Second},
		{OK().Delay(time.Minute), nil, time.Minute},
	} {
		synctest.Test(t, func(t *testing.T) {
			srv := StartInMemory(t)
			srv.ScriptConnections(row.step)
			began := time.Now()
			c, err := srv.DialContext(t.Context(), "tcp", "x:80")
			if took := time.Since(began); !errors.Is(err, row.err) || took != row.took {
				t.Errorf("%v: %v after %v, want %v after %v", row.err, err, took, row.err, row.took)
			}
			if c != nil {
				c.Close()
			}
		})
	}
}

// A lookup that nobody answers takes the time of Go's resolver.
func TestResolverTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := StartInMemory(t)
		srv.ScriptConnections(ResolverTimeout())
		began := time.Now()
		_, err := srv.DialContext(t.Context(), "tcp", "api.test:80")
		if !dns(func(e *net.DNSError) bool { return e.IsTimeout && e.Name == "api.test" })(err) || time.Since(began) != 10*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		srv.Attempts().WantAnswers(t, "resolver silent")
	})
}

// A connection is closed while it is idle. net/http sends a later request on another one.
func TestIdleClose(t *testing.T) {
	everywhere(t, func(t *testing.T, start func(Config, ...string) *Server) {
		srv := start(Config{})
		srv.ScriptConnections(IdleClose(100 * time.Millisecond))
		for range 2 {
			if err := fetch(t, srv.Client(), srv.URL+"/version", 10*time.Second); err != nil {
				t.Error(err)
			}
			time.Sleep(200 * time.Millisecond)
		}
		srv.Requests("/version").WantConnections(t, 2)
	})
}

// A resolver fails as the script says, and knows only names for tests.
func TestResolver(t *testing.T) {
	everywhere(t, func(t *testing.T, start func(Config, ...string) *Server) {
		srv := start(Config{})
		srv.ScriptConnections(NoSuchHost(), ResolverFailure(), ResolverTimeout(), OK())
		look := func(name string) error {
			time.Sleep(200 * time.Millisecond) // another lookup
			ctx, cancel := context.WithTimeout(t.Context(), short)
			defer cancel()
			_, err := srv.Resolver().LookupHost(ctx, name)
			return err
		}
		for i, want := range []seen{
			dns(func(e *net.DNSError) bool { return e.IsNotFound }), dns(func(e *net.DNSError) bool { return !e.IsNotFound && !e.IsTimeout }),
			dns(func(e *net.DNSError) bool { return e.IsTimeout }),
		} {
			if err := look("api.test."); err == nil || !want(err) {
				t.Errorf("lookup %d: %#v", i, err)
			}
		}
		if err := look("api.test."); err != nil {
			t.Error(err)
		}
		if err := look("api.invalid."); err == nil {
			t.Error("an unknown name")
		}
		srv.Attempts().WantAnswers(t, "no such host", "resolver failed", "resolver silent")
	})
}

// Open connections and new ones wait for the end of a partition, and lose nothing.
func TestPartition(t *testing.T) {
	for _, secure := range []bool{false, true} {
		everywhere(t, func(t *testing.T, start func(Config, ...string) *Server) {
			srv := start(Config{TLS: secure})
			srv.Script("/version", Partition(2*short), OK())
			if err := fetch(t, srv.Client(), srv.URL+"/version", short); !timeout(err) {
				t.Errorf("within the partition: %v", err)
			}
			srv.Script("/version", Partition(short))
			began := time.Now()
			if err := fetch(t, srv.Client(), srv.URL+"/version", 10*time.Second); err != nil || time.Since(began) < short {
				t.Errorf("%v after %v", err, time.Since(began))
			}
			srv.Partition(short)
			began = time.Now()
			if err := fetch(t, srv.Client(), srv.URL+"/version", 10*time.Second); err != nil || time.Since(began) < short {
				t.Errorf("%v after %v", err, time.Since(began))
			}
			srv.Requests("/version").WantAnswers(t, "200", "200", "200")
		})
	}
}

// net/http sends an idempotent request again on another connection, and no other.
func TestStaleConnection(t *testing.T) {
	everywhere(t, func(t *testing.T, start func(Config, ...string) *Server) {
		srv := start(Config{})
		srv.Script("/version", Stale(), OK())
		for range 2 {
			if err := fetch(t, srv.Client(), srv.URL+"/version", 10*time.Second); err != nil {
				t.Error(err)
			}
		}
		srv.Requests("/version").WantConnections(t, 2)
		srv.Attempts().WantAnswers(t, "200", "dead connection", "200")
		srv.Script("/version", Stale(), OK())
		if err := fetch(t, srv.Client(), srv.URL+"/version", 10*time.Second); err != nil {
			t.Error(err)
		}
		res, err := srv.Client().Post(srv.URL+"/echo", "text/plain", strings.NewReader("x"))
		if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
			t.Errorf("a POST: %v %v", res, err)
		}
		srv.Requests("/echo").WantCount(t, 0)
		srv.Attempts().WantAnswers(t, "200", "dead connection", "200", "200", "dead connection")
		if at := srv.Attempts(); at[1].Conn != at[0].Conn || len(srv.Requests("*")) != 3 {
			t.Error(at)
		}
	})
}

// The response arrives, whatever the request has as its body, and whoever reads it.
func TestStaleConnectionAfterUpload(t *testing.T) {
	everywhere(t, func(t *testing.T, start func(Config, ...string) *Server) {
		srv := start(Config{})
		srv.Script("POST /bookings", Stale(), Stale(), OK())
		for _, body := range []io.Reader{strings.NewReader("{}"), struct{ io.Reader }{strings.NewReader(strings.Repeat("x", 100_000))}} {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, srv.URL+"/bookings", body)
			if err != nil {
				t.Fatal(err)
			}
			res, err := srv.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, res.Body)
			res.Body.Close()
			srv.Client().CloseIdleConnections()
		}
	})
}

// A connection that is dead stays so: the router that has forgotten it passes on no
// FIN when the server closes the idle connection after a minute.
func TestStaleConnectionIsNotClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := StartInMemory(t)
		srv.Script("/version", Stale(), OK())
		if err := fetch(t, srv.Client(), srv.URL+"/version", 10*time.Second); err != nil {
			t.Error(err)
		}
		time.Sleep(5 * time.Minute)
		res, err := srv.Client().Post(srv.URL+"/echo", "text/plain", strings.NewReader("x"))
		if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
			t.Errorf("a POST: %v %v", res, err)
		}
		srv.Attempts().WantAnswers(t, "200", "dead connection")
		srv.Script("/version", Stale(), OK()) // and at the end of the test
		if err := fetch(t, srv.Client(), srv.URL+"/version", 10*time.Second); err != nil {
			t.Error(err)
		}
		time.Sleep(5 * time.Minute)
	})
}

// http2Rows say how a request and a call end.
var http2Rows = []struct {
	name   string // as in docs/podinfotest-connections.md
	step   Step
	client string // the error of net/http, "" for success
	record []string
	code   codes.Code
	calls  []string
}{
	{"RefuseStream()", RefuseStream(), "", []string{"RST_STREAM REFUSED_STREAM", "202"}, codes.OK, []string{"Unavailable", "OK"}},
	{"GoAwayUnprocessed()", GoAwayUnprocessed(), "", []string{"GOAWAY NO_ERROR, unprocessed", "202"}, codes.OK, []string{"Unavailable", "OK"}},
	{"EnhanceYourCalm()", EnhanceYourCalm(), "ENHANCE_YOUR_CALM", []string{"GOAWAY ENHANCE_YOUR_CALM"}, codes.Unavailable, []string{"Unavailable"}},
	{"EndConnection()", EndConnection(), "EOF", []string{"connection closed"}, codes.Unavailable, []string{"Unavailable"}},
}

// Each end over HTTP/2 is another one for clients, and in the record.
func TestHTTP2Steps(t *testing.T) {
	for _, row := range http2Rows {
		for _, secure := range []bool{false, true} {
			t.Run(fmt.Sprint(row.record[0], " TLS=", secure), func(t *testing.T) {
				everywhere(t, func(t *testing.T, start func(Config, ...string) *Server) {
					srv := start(Config{TLS: secure})
					srv.Script("/echo", row.step, OK())
					client := echopb.NewEchoServiceClient(srv.GRPC())
					if _, err := client.Echo(t.Context(), &echopb.Message{Body: "x"}); err != nil { // so that the script begins on a later stream
						t.Error(err)
					}
					srv.Script("/echo.EchoService/Echo", row.step, OK())
					transport := &http.Transport{DialContext: srv.DialContext, TLSClientConfig: srv.TLSConfig(), Protocols: new(http.Protocols)}
					transport.Protocols.SetHTTP2(secure)
					transport.Protocols.SetUnencryptedHTTP2(!secure)
					defer transport.CloseIdleConnections()
					res, err := (&http.Client{Transport: transport}).Post(srv.URL+"/echo", "text/plain", strings.NewReader("x"))
					if err == nil {
						res.Body.Close()
					}
					if row.client == "" && err != nil || row.client != "" && !contains(row.client)(err) {
						t.Errorf("net/http: %v, want %q", err, row.client)
					}
					srv.Requests("/echo").WantAnswers(t, row.record...)
					_, err = client.Echo(t.Context(), &echopb.Message{Body: "x"})
					if status.Code(err) != row.code {
						t.Errorf("grpc-go: %v, want %v", err, row.code)
					}
					calls := srv.WaitAnswered(t.Context(), "/echo.EchoService/Echo", len(row.calls)+1)[1:]
					calls.WantAnswers(t, row.calls...)
					if calls[0].Ended != row.record[0] {
						t.Errorf("the call ended by %q", calls[0].Ended)
					}
				})
			})
		}
	}
}

// Uploads wait for the server to read them.
func TestSlowUploads(t *testing.T) {
	const size = 4 << 20 // more than the windows and buffers of a connection
	for _, row := range []struct {
		step Step
		took time.Duration
	}{
		{SlowUpload(size), time.Second}, {StallUpload(size/2, time.Minute), time.Minute}, {WithholdWindow(time.Minute), time.Minute},
	} {
		for i := range 6 {
			http2, path := i%2 > 0, []string{"/echo", "/added", "/added/*"}[i/2] // the handler of podinfo, and none
			synctest.Test(t, func(t *testing.T) {
				srv := StartInMemory(t, "PODINFO_HTTP_SERVER_STALL_TIMEOUT=1h", "PODINFO_HTTP_SERVER_TIMEOUT=1h", "PODINFO_BODY_LIMIT_BYTES=100000000")
				srv.Script(path, row.step)
				transport := &http.Transport{DialContext: srv.DialContext, Protocols: new(http.Protocols)}
				transport.Protocols.SetHTTP1(!http2)
				transport.Protocols.SetUnencryptedHTTP2(http2)
				defer transport.CloseIdleConnections()
				began := time.Now()
				sent := &timed{Reader: strings.NewReader(strings.Repeat("x", size))}
				res, err := (&http.Client{Transport: transport}).Post(srv.URL+strings.Replace(path, "*", "x", 1), "text/plain", struct{ io.Reader }{sent})
				if err != nil {
					t.Fatal(err)
				}
				io.Copy(io.Discard, res.Body)
				res.Body.Close()
				if took := sent.at.Sub(began); took < row.took/2 {
					t.Errorf("%v, %s, HTTP/2 %v: the client had sent all after %v", row.took, path, http2, took)
				}
			})
		}
	}
}

// timed notes the time of the last read.
type timed struct {
	io.Reader
	at time.Time
}

func (r *timed) Read(b []byte) (int, error) {
	r.at = time.Now()
	return r.Reader.Read(b)
}

// Headers arrive slowly, in pieces or in excess, and after interim responses.
func TestHeaders(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		for _, secure := range []bool{false, true} {
			everywhere(t, func(t *testing.T, start func(Config, ...string) *Server) {
				srv := start(Config{TLS: secure})
				srv.Script("/version", SlowHeader(time.Second), SplitHeader(), HugeHeader(100_000), Interim(103, 103), OK())
				transport := &http.Transport{DialContext: srv.DialContext, TLSClientConfig: srv.TLSConfig(), Protocols: new(http.Protocols), MaxResponseHeaderBytes: 20_000}
				transport.Protocols.SetHTTP1(!http2)
				transport.Protocols.SetHTTP2(http2 && secure)
				transport.Protocols.SetUnencryptedHTTP2(http2 && !secure)
				defer transport.CloseIdleConnections()
				client := &http.Client{Transport: transport}
				began := time.Now()
				for i, fails := range []bool{false, false, true, false, false} {
					if err := fetch(t, client, srv.URL+"/version", 10*time.Second); (err != nil) != fails {
						t.Errorf("HTTP/2 %v, TLS %v, attempt %d: %v", http2, secure, i+1, err)
					}
					if took := time.Since(began); i == 0 && took < time.Second/2 {
						t.Errorf("HTTP/2 %v, TLS %v: the header came after %v", http2, secure, took)
					}
				}
			})
		}
	}
}

// A header may be larger than the text of a scenario.
func TestVeryHugeHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := StartInMemory(t)
		srv.Script("/a", HugeHeader(11<<20), HugeHeader(2<<20), OK())
		for i, fails := range []bool{true, false, false} {
			if err := fetch(t, srv.Client(), srv.URL+"/a", time.Minute); (err != nil) != fails {
				t.Errorf("attempt %d: %v", i+1, err)
			}
		}
	})
}

// A client's header timeout ends a header that arrives slowly.
func TestHeaderTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := StartInMemory(t)
		srv.Script("/version", SlowHeader(time.Minute))
		transport := &http.Transport{DialContext: srv.DialContext, ResponseHeaderTimeout: time.Second}
		began := time.Now()
		err := fetch(t, &http.Client{Transport: transport}, srv.URL+"/version", time.Hour)
		if e, ok := errors.AsType[net.Error](err); !ok || !e.Timeout() || time.Since(began) != time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		transport.CloseIdleConnections()
	})
}

// A script of connections is done when its last step was used.
func TestConnectionsDone(t *testing.T) {
	for fetches, want := range []string{"the script of connections is not done: 0 of 2 connections were made", "the script of connections is not done: 1 of 2 connections were made", ""} {
		h := listen(t, func(tb testing.TB) {
			srv := Config{Strict: true}.StartInMemory(tb)
			srv.ScriptConnections(Refuse(), OK())
			for range fetches {
				if c, err := srv.DialContext(t.Context(), "tcp", "x:80"); err == nil {
					c.Close()
				}
			}
		})
		if h != want {
			t.Errorf("%d connections: %s", fetches, h)
		}
	}
}

// Steps in the wrong script say where they belong.
func TestMisplacedSteps(t *testing.T) {
	for want, f := range map[string]func(*Server){
		"step 1: refuse applies to connections, which have no path: use ScriptConnections": func(s *Server) { s.Script("/version", Refuse()) },
		"step 2: 503 applies to requests: use Script":                                      func(s *Server) { s.ScriptConnections(OK(), Fail(503, 1)) },
		"step 1: expired needs TLS: start the server with StartTLS or Config.TLS":          func(s *Server) { s.ScriptConnections(ExpiredCertificate()) },
		"step 1: stale does not apply to calls":                                            func(s *Server) { s.Script("/echo.EchoService/Echo", Stale()) },
		"a client certificate without TLS":                                                 func(s *Server) { s.ClientCertificate() },
	} {
		h := listen(t, func(tb testing.TB) { f(StartInMemory(tb)) })
		if !strings.Contains(h, want) {
			t.Errorf("%s: %s", want, h)
		}
	}
}

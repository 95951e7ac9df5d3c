// Package podinfotest breaks an HTTP or gRPC client in a Go test: fast,
// repeatably, and in parallel with other tests.
//
// What it has that [net/http/httptest] has not are scripts, faults below HTTP, the
// record of what arrived, gRPC and WebSockets, and all of that in a
// [testing/synctest] bubble. This is a complete test:
//
//	package shop_test
//
//	import (
//		"testing"
//		"testing/synctest"
//		"time"
//
//		"github.com/seed-4591fe7d/podinfo/podinfotest"
//	)
//
//	func TestRetry(t *testing.T) {
//		synctest.Test(t, func(t *testing.T) {
//			srv := podinfotest.StartInMemory(t)
//			srv.Script("POST /api/pay", podinfotest.Fail(503, 2), podinfotest.Reset(), podinfotest.OK())
//			for wait := time.Second; ; wait *= 2 { // the client under test
//				res, err := srv.Client().Post(srv.URL+"/api/pay", "", nil)
//				if err == nil {
//					res.Body.Close()
//				}
//				if err == nil && res.StatusCode == 200 {
//					break
//				}
//				time.Sleep(wait)
//			}
//			srv.Requests("POST /api/pay").WantBackoff(t, 0, time.Second, 2*time.Second, 4*time.Second)
//		})
//	}
//
// [Start] serves podinfo, with all its modules, on loopback ports until the test
// ends. [StartInMemory] serves the same modules over in-memory connections. Inside
// a [testing/synctest] bubble it uses the bubble's fake clock, so that a test of a
// client with a timeout of 30 seconds and a backoff of 10 minutes takes
// milliseconds, and the waits are exact to the nanosecond.
//
// [Server.Script] says what happens to each attempt to request a path or a route,
// or to call an RPC. The engine of fault scenarios runs it, and [Server.Scenario]
// loads such a scenario. Broken connections are real: over TCP a [Reset] sends RST,
// and the client gets syscall.ECONNRESET. In-memory connections return the same
// errors. Note that net/http sends an idempotent request again by itself when a
// connection that it had used before breaks; a failed assertion says where it did.
//
// A script is for any path, "*" for the whole service, and [MatchHeader] and its
// siblings limit it to some requests. [Reply], [ReplyJSON], [ReplyFile] and
// [ReplyTemplate] are stubs. [Config.Handler] puts your own handler behind the
// faults.
//
// [Server.ScriptConnections] says what happens to each connection before a request:
// refused, unanswered, a failed name lookup, or with [StartTLS] a bad certificate or a
// broken handshake. [Server.Attempts] returns the failed connections among the
// requests.
//
// [Proxy] puts the same scripts and assertions in front of another service: a URL,
// an [net/http/httptest.Server] or an [net/http.Handler], which is called directly
// and may be in a bubble too.
//
//	srv := podinfotest.Proxy(t, shop) // an http.Handler
//	srv.Script("POST /orders", podinfotest.Reset().Handled(), podinfotest.OK()) // booked, but the client does not get the response
//
// [Server.Requests] returns what has arrived. Its assertions show the requests as a
// table when they fail:
//
//	3 requests to POST /api/pay, want 4
//	  #  at    gap  request        conn  response  took  rules
//	  1  0s         POST /api/pay  1     503       0s    script1.1.503
//	  2  1s    1s   POST /api/pay  1     cut       0s    script1.2.reset
//	  3  3s    2s   POST /api/pay  2     200       0s
//
// An assertion that finds too few requests names near misses, [Server.WantDone] the
// steps that were not used, and [Server.WantNoOthers] the requests that no script
// matches. [Config.Strict] checks both at the end of the test. A response body that
// the client leaves open fails the test by name, see [Server.Watch].
//
// A request body with a known length of at most 64 KiB is read before the request
// is handled, so that it is recorded whatever happens to the request. A handler
// therefore cannot respond before such a body has arrived. Other bodies are recorded
// as handlers read them, and the rest, up to 64 KiB, before the response ends, or the
// connection breaks. A client that stops meanwhile delays that by one second at
// most. Over HTTP/2 only a body with a length is read to that bound, because the
// client of another one may wait for the response, and a step that resets the stream
// after the response has begun, such as [Truncate], leaves out what had not arrived.
// BodyCut reports that a part is missing.
//
// The fake clock of a bubble stands still while a goroutine waits for a sync.Mutex. Do
// not delay a response for which the client holds one, as golang.org/x/oauth2 does when
// it fetches a token: such a test ends only with the timeout of go test.
//
// Waits are exact only inside a bubble. Over real time a busy machine is late, and
// [Requests.WantBackoff] needs some slack.
//
// Each in-memory server has its own host name, such as podinfo1.test, and is not
// reached by the name of another one. Use [Server.Reach] for a client that fails
// over or balances its load between servers.
//
// A server ends with its test and leaves no goroutine. With goleak, register the
// check with t.Cleanup before calling Start, because a deferred check runs too
// early.
//
//	t.Cleanup(func() { goleak.VerifyNone(t) }) // before Start, and so called after the server has ended
//	srv := podinfotest.Start(t)
//
// The panic and stress modules do not act: [Server.Exits] and [Server.Stress] return
// what they were asked to do. Inside a bubble everything must be in memory and be
// started in the same bubble. This excludes Start, a server that was started
// outside, and settings that open another port, name a server or watch a file.
//
// [Check] tests that a module keeps the contract of package registry.
//
// # What an import costs
//
// Import this package only in test files. A program links what it imports. These
// are upper bounds for the stripped binary in MB (-ldflags "-s -w", linux/amd64):
//
//	embedding                                less than
//	registry and one middleware                      9
//	modules that speak only HTTP, served            12
//	podinfo.New: all modules, as a handler          40
//	podinfo.Main: the program                       40
//	a test with this package                        35
//	a test, -tags podinfo_slim                      21
//
// A test with only net/http/httptest has 7. The build tag podinfo_slim leaves out the
// modules tracing, ui, cache and swagger, with OpenTelemetry, the client of Redis and
// the files of the page; gRPC stays. A setting of a module that is left out fails the
// test by name.
//
// The first two link neither gRPC, Protocol Buffers, OpenTelemetry nor Redis.
// Only tracing links OpenTelemetry, and only cache links Redis. These modules link
// gRPC: crash, delay, echo, env, grpcserver, headers, info, status, token, tracing,
// version.
package podinfotest

// Package podinfotest breaks an HTTP or gRPC client in a Go test: fast,
// repeatably, and in parallel with other tests.
//
// [Start] serves podinfo, with all its modules, on loopback ports until the test
// ends. [StartInMemory] serves the same modules over in-memory connections. Inside
// a [testing/synctest] bubble it uses the bubble's fake clock, so that a test of a
// client with a timeout of 30 seconds and a backoff of 10 minutes takes
// milliseconds, and the waits are exact to the nanosecond.
//
//	synctest.Test(t, func(t *testing.T) {
//		srv := podinfotest.StartInMemory(t)
//		srv.Script("POST /api/pay", podinfotest.Fail(503, 2), podinfotest.Reset(), podinfotest.OK())
//		pay(srv.Client(), srv.URL) // tries again after 1 s, 2 s and 4 s
//		srv.Requests("POST /api/pay").WantBackoff(t, 0, time.Second, 2*time.Second, 4*time.Second)
//	})
//
// [Server.Script] says what happens to each attempt to request a path or a route,
// or to call an RPC. The engine of fault scenarios runs it, and [Server.Scenario]
// loads such a scenario. Broken connections are real: over TCP a [Reset] sends RST,
// and the client gets syscall.ECONNRESET. In-memory connections return the same
// errors. Note that net/http sends an idempotent request again by itself when a
// connection that it had used before breaks.
//
// [Proxy] puts the same scripts and assertions in front of another service: a URL,
// an [net/http/httptest.Server] or an [net/http.Handler], which is called directly
// and may be in a bubble too.
//
//	srv := podinfotest.Proxy(t, shop) // an http.Handler
//	srv.Script("POST /orders", podinfotest.Truncate(0), podinfotest.OK()) // booked, but the client does not get the response
//
// [Server.Requests] returns what has arrived. Its assertions show the requests as a
// table when they fail:
//
//	3 requests, want 4
//	  #  at    gap  request        conn  response  took  rules
//	  1  0s         POST /api/pay  1     503       0s    script1.1.503
//	  2  1s    1s   POST /api/pay  1     cut       0s    script1.2.reset
//	  3  3s    2s   POST /api/pay  2     200       0s
//
// A request body with a known length of at most 64 KiB is read before the request
// is handled, so that it is recorded whatever happens to the request. A handler
// therefore cannot respond before such a body has arrived. Of other bodies the
// part that handlers read is recorded, and BodyCut reports that a part is missing.
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
//
// The first two link neither gRPC, Protocol Buffers, OpenTelemetry nor Redis.
// Only tracing links OpenTelemetry, and only cache links Redis. These modules link
// gRPC: crash, delay, echo, env, grpcserver, headers, info, status, token, tracing,
// version.
package podinfotest

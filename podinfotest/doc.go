// Package podinfotest breaks an HTTP or gRPC client in a Go test: fast, the
// same each time, and in parallel with other tests.
//
// [Start] serves podinfo, with all its modules, on a loopback port until the
// test ends. [StartInMemory] serves the same over connections in memory. Called
// in a bubble of [testing/synctest] it lives on the bubble's clock: a client with
// timeouts of half a minute and a backoff of ten is tested in milliseconds, and
// its waits are exact to the nanosecond.
//
//	synctest.Test(t, func(t *testing.T) {
//		srv := podinfotest.StartInMemory(t)
//		srv.Script("POST /api/pay", podinfotest.Fail(503, 2), podinfotest.Reset(), podinfotest.OK())
//		pay(srv.Client(), srv.URL) // tries again after 1 s, 2 s and 4 s
//		srv.Requests("POST /api/pay").WantBackoff(t, 0, time.Second, 2*time.Second, 4*time.Second)
//	})
//
// [Server.Script] says what happens attempt by attempt, to a path, a route or an
// RPC, by the engine that runs fault scenarios; [Server.Scenario] loads one of
// those. Faults of the wire are real: over TCP a [Reset] is a RST, and the client
// meets syscall.ECONNRESET. A connection in memory behaves likewise, with the
// same errors. Beware that net/http itself tries an idempotent request once more
// when a connection it had used before breaks.
//
// [Server.Requests] is what arrived, with assertions whose failures show it as a
// table:
//
//	3 requests, want 4
//	  #  at    gap  request        conn  answer  took  rules
//	  1  0s         POST /api/pay  1     503     0s    script1.1.503
//	  2  1s    1s   POST /api/pay  1     cut     0s    script1.2.reset
//	  3  3s    2s   POST /api/pay  2     200     0s
//
// A body of a length that is known and at most 64 KiB is read before the request
// is handled, so that it is recorded whatever happens to the request; what it
// costs a test is that a handler cannot answer before such a body has arrived. Of
// others that is recorded which handlers read, and BodyCut tells of the rest.
//
// Waits are exact in a bubble alone: over real time a busy machine is late, and
// [Requests.WantBackoff] needs some slack.
//
// Each server in memory has a name of its own, podinfo1.test or another, and no
// server answers for another one. [Server.Reach] is for a client of several, which
// fails over or balances its load.
//
// A server ends with its test and leaves no goroutine. Who looks for some with
// goleak has to look later: deferred it would be too early.
//
//	t.Cleanup(func() { goleak.VerifyNone(t) }) // before Start, and so called after its end
//	srv := podinfotest.Start(t)
//
// /panic, its RPC and stress are recorded ([Server.Exits], [Server.Stress]) and not
// done. In a bubble everything has to be in memory and to start inside: no Start
// over TCP, no server from outside, and no settings that open another port, name a
// server or watch a file.
//
// [Check] is the conformance test of someone's own module.
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

package faults

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"time"

	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// A breaker applies a kind of fault: by a function for each scope that the table
// of kinds, the fields of [scenario.Fault], has a tag for. A kind that pauses
// the response has pace in place of http. [Module.Ready] applies all kinds in
// the scope of readiness.
//
// After the handler the same functions apply. Those that replace the response get
// a next that does nothing; edits is true for the others, which call the handler
// themselves.
type breaker struct {
	http, webSocket requestBreaker
	pace            pacer
	grpc            callBreaker
	connection      connectionBreaker
	handshake       handshakeBreaker
	edits           bool
}

type (
	// requestBreaker responds to a request, or calls next for the response.
	requestBreaker func(m *Module, w http.ResponseWriter, r *http.Request, next http.HandlerFunc, s *scenario.Strike)

	// pacer returns how long to wait, and the part of b to send then. After
	// the whole body it is called once more, with b nil and end true.
	pacer func(s *slow, b []byte, end bool) (wait time.Duration, part []byte)

	// callBreaker breaks a call below gRPC, or returns the error that ends it
	// and when. With pause the messages of the call stop for a while.
	callBreaker func(ctx context.Context, m *Module, t rpc.Connection, s *scenario.Strike) (broken *rpc.Error, at moment)

	// connectionBreaker returns the connection to serve, or nil after it has
	// taken c over.
	connectionBreaker func(m *Module, c net.Conn, s *scenario.Strike) net.Conn

	// handshakeBreaker returns what takes the place of the server's conf.
	handshakeBreaker func(m *Module, hello *tls.ClientHelloInfo, conf *tls.Config, s *scenario.Strike) (*tls.Config, error)
)

// breakers apply the kinds of faults, by name. A test holds them against the
// table of kinds.
var breakers = map[string]breaker{
	"status":    {http: respond, webSocket: respond},
	"empty":     {http: closeUnanswered, webSocket: closeUnanswered, grpc: closeCall},
	"reset":     {http: resetUnanswered, webSocket: resetUnanswered, grpc: resetCall},
	"truncate":  {http: (*Module).cut, edits: true},
	"bad-chunk": {http: (*Module).cut, edits: true},
	"garbage":   {http: sendGarbage, webSocket: sendGarbage},
	"stall":     {pace: stall, grpc: stallCall},
	"bandwidth": {pace: throttle},
	"upload":    {http: slowUpload},
	"hang":      {http: hang, webSocket: hang, grpc: hangCall},
	"goaway":    {http: respondAndLeave, grpc: leaveCall},
	"reply":     {http: changeReply},
	"http2":     {http: endStream, grpc: endCallStream},
	"websocket": {webSocket: breakMessages},
	"grpc":      {grpc: endCall},

	"connection": {connection: breakConnection},
	"tls":        {handshake: breakHandshake},
}

// breakerOf returns the kind of fault of a strike, which may be nil, and what
// applies it. The kind is nil when the strike breaks nothing in the scope.
func breakerOf(s *scenario.Strike, scope scenario.Scope) (*scenario.Kind, breaker) {
	if s == nil {
		return nil, breaker{}
	}
	kind := s.Kind(scope)
	if kind == nil {
		return nil, breaker{}
	}
	return kind, breakers[kind.Name]
}

// Package capability holds the interfaces that modules ask each other for.
//
// A module that offers something implements the interface; it need not import
// this package. A module that wants it calls [registry.Use], [registry.Optional]
// or [registry.All] with the capability of the same name in the plural:
//
//	m.issuer, err = registry.Use(h, capability.TokenIssuers)
//
// Each interface has one method, with a name that no module has for another purpose. A
// module that has a method of that name with another signature is an error
// from New. Where there is more to do than one call, the method returns what
// does it, usually the module itself.
//
// Two capabilities are elsewhere because of their types: a module's gRPC
// services are grpcserver.Service, as a program without gRPC must not link it,
// and its half of the gRPC chain is [rpc.Middleware].
package capability

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"net"
	"net/http"
	"reflect"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

type (
	typ    = reflect.Type
	method = reflect.Method
)

// A MetricsContributor exports its own metrics. ContributeMetrics is called
// once, when the metrics module starts, which may be before the contributor's
// Start, with the set that /metrics shows. Names need their labels in one
// fixed order; histograms are made by set.NewPrometheusHistogram, the names of
// counters end in "_total", and everything else is a gauge or a summary.
type MetricsContributor interface {
	ContributeMetrics(set *metrics.Set)
}

// The metrics module uses MetricsContributors.
var MetricsContributors = registry.NewCapability[MetricsContributor](
	func(t typ) (method, bool) { return t.MethodByName("ContributeMetrics") })

// A MetricsDescriber says what its metrics mean, by name without labels.
type MetricsDescriber interface {
	DescribeMetrics() map[string]string
}

// The metrics module uses MetricsDescribers.
var MetricsDescribers = registry.NewCapability[MetricsDescriber](
	func(t typ) (method, bool) { return t.MethodByName("DescribeMetrics") })

// A MetricsPage serves the page that Prometheus scrapes.
type MetricsPage interface {
	MetricsPageHandler() http.Handler
}

// The metrics-server and tracing modules use MetricsPages.
var MetricsPages = registry.NewCapability[MetricsPage](
	func(t typ) (method, bool) { return t.MethodByName("MetricsPageHandler") })

// A RequestMeasurer measures requests and calls for one watcher.
type RequestMeasurer interface {
	// WatchRequests makes the module call f at the end of each request and call,
	// concurrently, until stop is called or another watcher begins. While nobody
	// watches, requests cost nothing more.
	WatchRequests(f func(MeasuredRequest)) (stop func())
}

// A MeasuredRequest is an HTTP request or a gRPC call that has ended.
type MeasuredRequest struct {
	Name    string        // label of the route, or full method of the call
	RPC     bool          // a gRPC call
	Failed  bool          // the server failed
	Faulted bool          // a fault was injected
	Took    time.Duration // negative for a stream
}

// The ui module uses RequestMeasurers.
var RequestMeasurers = registry.NewCapability[RequestMeasurer](
	func(t typ) (method, bool) { return t.MethodByName("WatchRequests") })

// A HealthProber knows whether the App is alive and ready.
type HealthProber interface {
	HealthProbes() HealthProbes
}

// HealthProbes are what orchestrators ask, operators' orders included.
type HealthProbes interface {
	Healthz() http.Handler
	Readyz() http.Handler
	// Status returns nil if the App is ready, or why it is not.
	Status(ctx context.Context) error
	// Alive reports what Healthz responds: whether a restart would not help.
	Alive() bool
	// SetReady is what /readyz/enable and /readyz/disable do.
	SetReady(ready bool)
}

// The metrics-server, grpc-server and ui modules use HealthProbers.
var HealthProbers = registry.NewCapability[HealthProber](
	func(t typ) (method, bool) { return t.MethodByName("HealthProbes") })

// An AdminAPI has routes for operators, which are served on the metrics port
// and not behind the chain.
type AdminAPI interface {
	AdminRoutes() []registry.Route
}

// The metrics-server module uses AdminAPIs.
var AdminAPIs = registry.NewCapability[AdminAPI](
	func(t typ) (method, bool) { return t.MethodByName("AdminRoutes") })

// A TokenIssuer signs tokens.
type TokenIssuer interface {
	IssuedTokens() IssuedTokens
}

// IssuedTokens verifies what its module signed.
type IssuedTokens interface {
	// Verify returns the name in a token and when it expires, or why the token
	// is refused.
	Verify(token string) (name string, expires time.Time, err error)
	// WellKnownSecret reports whether the secret is the public default.
	WellKnownSecret() bool
	// SecretLen returns the length of the secret in bytes.
	SecretLen() int
}

// The jwt module uses TokenIssuers.
var TokenIssuers = registry.NewCapability[TokenIssuer](
	func(t typ) (method, bool) { return t.MethodByName("IssuedTokens") })

// A TokenVerifier verifies the bearer tokens of requests.
type TokenVerifier interface {
	// VerifyToken returns why a token is not valid, nil if it is. Call it after
	// Start.
	VerifyToken(token string) error
}

// The faults module uses TokenVerifiers.
var TokenVerifiers = registry.NewCapability[TokenVerifier](
	func(t typ) (method, bool) { return t.MethodByName("VerifyToken") })

// A SharedCounter counts together with other replicas.
type SharedCounter interface {
	SharedCounts() SharedCounts
}

// SharedCounts are numbers on a server that replicas have in common.
type SharedCounts interface {
	// Add adds to the number of a key and returns the sum, in one round trip. A
	// key that is not used for the lifetime starts over.
	Add(ctx context.Context, key string, add uint64, lifetime time.Duration) (uint64, error)
	// Timeout returns the time limit of Add.
	Timeout() time.Duration
}

// The faults module uses SharedCounters.
var SharedCounters = registry.NewCapability[SharedCounter](
	func(t typ) (method, bool) { return t.MethodByName("SharedCounts") })

// A RequestTracer knows the span of the request or call whose context is ctx.
type RequestTracer interface {
	// RequestTrace returns the IDs of the trace and the span in hexadecimal, ""
	// without a span, and whether the trace is sampled.
	RequestTrace(ctx context.Context) (traceID, spanID string, sampled bool)
}

// The access-log module uses RequestTracers.
var RequestTracers = registry.NewCapability[RequestTracer](
	func(t typ) (method, bool) { return t.MethodByName("RequestTrace") })

// An ExemplarTracer knows the span of a request, for the exemplars of metrics.
type ExemplarTracer interface {
	// SampledSpan returns the IDs of the span of ctx. sampled is false without a
	// span and for one that is not exported.
	SampledSpan(ctx context.Context) (trace [16]byte, span [8]byte, sampled bool)
}

// The metrics module uses ExemplarTracers.
var ExemplarTracers = registry.NewCapability[ExemplarTracer](
	func(t typ) (method, bool) { return t.MethodByName("SampledSpan") })

// A DatabaseTracer makes a span of each operation on a database server.
type DatabaseTracer interface {
	// DatabaseSpan begins the span. The caller passes the context on and calls
	// end with the error of the operation, and with the server's code for it if
	// it has one.
	DatabaseSpan(ctx context.Context, op DatabaseOperation) (_ context.Context, end func(err error, code string))
}

// A DatabaseOperation is what its span says about it.
type DatabaseOperation struct {
	System    string // redis or memcached
	Namespace string // the number of the database, "" if there is only one
	Name      string // the command, GET
	Server    string // host:port, "" if it is not known
}

// The cache module uses DatabaseTracers.
var DatabaseTracers = registry.NewCapability[DatabaseTracer](
	func(t typ) (method, bool) { return t.MethodByName("DatabaseSpan") })

// A TransportTracer makes a span of each HTTP request that goes through a
// transport.
type TransportTracer interface {
	// TraceTransport wraps next. Wrapped transports nest: that of the last
	// module in the list is outermost.
	TraceTransport(next http.RoundTripper) http.RoundTripper
}

// The echo module uses TransportTracers.
var TransportTracers = registry.NewCapability[TransportTracer](
	func(t typ) (method, bool) { return t.MethodByName("TraceTransport") })

// A FaultObserver is told about every injected fault: metrics count it, and
// the access log and the trace of the request name it.
type FaultObserver interface {
	// FaultInjected is called while the request or call whose context is ctx is
	// handled, from its goroutine.
	FaultInjected(ctx context.Context, fault string)
}

// Every module that injects faults uses FaultObservers, through fault.ObserversOf.
var FaultObservers = registry.NewCapability[FaultObserver](
	func(t typ) (method, bool) { return t.MethodByName("FaultInjected") })

// A FaultSwitcher fails every request while its switch is on.
type FaultSwitcher interface {
	FaultSwitch() FaultSwitch
}

// FaultSwitch is the switch of /fault_injection.
type FaultSwitch interface {
	Injecting() bool
	Inject(on bool)
}

// The ui module uses FaultSwitchers.
var FaultSwitchers = registry.NewCapability[FaultSwitcher](
	func(t typ) (method, bool) { return t.MethodByName("FaultSwitch") })

// A FaultRuler delays and breaks requests by rules.
type FaultRuler interface {
	FaultRules() FaultRules
}

// FaultRules are the rules at work, and what may be done with them.
type FaultRules interface {
	Rules() []scenario.State
	// PutRule adds the rule or replaces the one of its name.
	PutRule(r *scenario.Rule) error
	// RemoveRule returns false if there is no rule of that name.
	RemoveRule(name string) bool
	Paused() bool
	Pause(paused bool)
	// Server describes the server: its name, by what else rules match it, and
	// what it serves.
	Server() (name string, self scenario.Self, on scenario.Server)
}

// The ui module uses FaultRulers.
var FaultRulers = registry.NewCapability[FaultRuler](
	func(t typ) (method, bool) { return t.MethodByName("FaultRules") })

// A ConnectionRuler breaks TCP connections by rules.
type ConnectionRuler interface {
	ConnectionRules() ConnectionRules
}

// ConnectionRules are the rules for TCP connections.
type ConnectionRules interface {
	Engine() *scenario.Engine
	// CountHit counts a hit of a rule, and notifies the observers.
	CountHit(rule, kind string)
	// GuardAdmin returns a handler behind the access control of the API of
	// fault rules.
	GuardAdmin(h http.HandlerFunc) http.HandlerFunc
}

// The tcp-proxy module uses ConnectionRulers.
var ConnectionRulers = registry.NewCapability[ConnectionRuler](
	func(t typ) (method, bool) { return t.MethodByName("ConnectionRules") })

// A ConnectionBreaker breaks requests and calls below HTTP/2, so the ports have to
// be able to reach the connection of a request or call.
type ConnectionBreaker interface {
	BreaksConnections()
}

// The http-server module uses ConnectionBreakers. The grpc-server module always follows the
// frames of its connections.
var ConnectionBreakers = registry.NewCapability[ConnectionBreaker](
	func(t typ) (method, bool) { return t.MethodByName("BreaksConnections") })

// A ConnectionFaulter breaks connections at their accept, and TLS handshakes.
type ConnectionFaulter interface {
	ConnectionFaults() ConnectionFaults
}

// ConnectionFaults are the faults of the connections to a port.
type ConnectionFaults interface {
	// Accept returns the connection to serve, or nil if it has taken c over.
	Accept(c net.Conn) net.Conn
	// TLS returns a configuration whose handshakes it breaks. protocols are what
	// the port offers by ALPN.
	TLS(conf *tls.Config, protocols ...string) *tls.Config
}

// The http-server module uses ConnectionFaulters.
var ConnectionFaulters = registry.NewCapability[ConnectionFaulter](
	func(t typ) (method, bool) { return t.MethodByName("ConnectionFaults") })

// A PortOwner has ports for the App's routes, or passes their connections on.
type PortOwner interface {
	// OwnPorts returns the ports whose numbers the settings have.
	OwnPorts() []OwnPort
}

// An OwnPort is a port that a module opens.
type OwnPort struct {
	Listen string // host and port, such as ":9898"
	Target string // where its connections go, "" for the App's routes
}

// The proxy module uses PortOwners.
var PortOwners = registry.NewCapability[PortOwner](
	func(t typ) (method, bool) { return t.MethodByName("OwnPorts") })

// A TLSServer may serve a port with TLS, whose handshakes a ConnectionFaulter breaks.
type TLSServer interface {
	// ServesTLS depends on the settings alone.
	ServesTLS() bool
}

// The faults module uses TLSServers, for warnings.
var TLSServers = registry.NewCapability[TLSServer](
	func(t typ) (method, bool) { return t.MethodByName("ServesTLS") })

// A TCPProxier passes TCP connections on, and breaks them by a ConnectionRuler.
type TCPProxier interface {
	// TCPProxies returns the names for match.tcp of fault rules, nil if clients may
	// add some. It depends on the settings alone.
	TCPProxies() []string
}

// The faults module uses TCPProxiers, for warnings.
var TCPProxiers = registry.NewCapability[TCPProxier](
	func(t typ) (method, bool) { return t.MethodByName("TCPProxies") })

// An RPCLister mounts the RPCs of other modules.
type RPCLister interface {
	// ListRPCs returns the module of each full method, without the internal ones,
	// of the modules that are on or on standby.
	ListRPCs() map[string]string
}

// The jwt and faults modules use RPCListers.
var RPCListers = registry.NewCapability[RPCLister](
	func(t typ) (method, bool) { return t.MethodByName("ListRPCs") })

// An RPCCaller calls the server's own RPCs, for clients that do not speak gRPC.
type RPCCaller interface {
	OwnRPCs() OwnRPCs
}

// OwnRPCs are the server's own RPCs.
type OwnRPCs interface {
	// List lists the methods of the modules that are linked now.
	List() []RPCMethod
	// Call calls a method with a request in JSON. The call passes the gRPC chain. It
	// returns an error if the request is not one of the method, or there is no such
	// method. Call it after Start.
	Call(ctx context.Context, method string, header map[string]string, request []byte) (RPCReply, error)
}

// An RPCMethod is a method that can be called.
type RPCMethod struct {
	Method  string          `json:"method"` // "/echo.EchoService/Echo"
	Module  string          `json:"module"`
	Kind    rpc.Kind        `json:"kind"`
	Request json.RawMessage `json:"request"` // with every field at its default
}

// An RPCReply is what a call returned.
type RPCReply struct {
	Code      string            `json:"code"` // such as OK
	Message   string            `json:"message"`
	Responses []json.RawMessage `json:"responses"`
	Truncated bool              `json:"truncated"` // a stream had more responses
	Header    []string          `json:"header"`    // "name: value"
	Trailer   []string          `json:"trailer"`
}

// The ui module uses RPCCallers.
var RPCCallers = registry.NewCapability[RPCCaller](
	func(t typ) (method, bool) { return t.MethodByName("OwnRPCs") })

// A ResponseNamer says who made a response.
type ResponseNamer interface {
	// ResponseHeader returns the headers of every response of the App, nil for
	// none. The caller must not modify the result.
	ResponseHeader() http.Header
}

// The http-server and metrics-server modules use ResponseNamers, for responses
// that do not pass the chain.
var ResponseNamers = registry.NewCapability[ResponseNamer](
	func(t typ) (method, bool) { return t.MethodByName("ResponseHeader") })

// Named is a capability with the name of its variable, for documentation.
type Named struct {
	Plural string
	Capability
}

// Capability is a [registry.Capability] of any interface.
type Capability interface {
	Interface() reflect.Type
	Check(registry.Module) error
}

// All lists the capabilities of this package.
func All() []Named {
	return []Named{
		{"MetricsContributors", MetricsContributors},
		{"MetricsDescribers", MetricsDescribers},
		{"MetricsPages", MetricsPages},
		{"RequestMeasurers", RequestMeasurers},
		{"HealthProbers", HealthProbers},
		{"AdminAPIs", AdminAPIs},
		{"TokenIssuers", TokenIssuers},
		{"TokenVerifiers", TokenVerifiers},
		{"SharedCounters", SharedCounters},
		{"RequestTracers", RequestTracers},
		{"ExemplarTracers", ExemplarTracers},
		{"DatabaseTracers", DatabaseTracers},
		{"TransportTracers", TransportTracers},
		{"FaultObservers", FaultObservers},
		{"FaultSwitchers", FaultSwitchers},
		{"FaultRulers", FaultRulers},
		{"ConnectionRulers", ConnectionRulers},
		{"ConnectionBreakers", ConnectionBreakers},
		{"ConnectionFaulters", ConnectionFaulters},
		{"PortOwners", PortOwners},
		{"TLSServers", TLSServers},
		{"TCPProxiers", TCPProxiers},
		{"RPCListers", RPCListers},
		{"RPCCallers", RPCCallers},
		{"ResponseNamers", ResponseNamers},
	}
}

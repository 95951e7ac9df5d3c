package tracing

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/capability"
)

// observer is a sampler that records what it sees.
type observer map[string][]string // keys of the attributes by the name of the span

func (observer) Description() string { return "observer" }

func (o observer) ShouldSample(p sdk.SamplingParameters) sdk.SamplingResult {
	for _, kv := range p.Attributes {
		o[p.Name] = append(o[p.Name], string(kv.Key))
	}
	return sdk.SamplingResult{Decision: sdk.RecordAndSample, Tracestate: trace.SpanContextFromContext(p.ParentContext).TraceState()}
}

// TestSamplerSeesAttributes checks the attributes that the semantic conventions
// want to be given when a span starts.
func TestSamplerSeesAttributes(t *testing.T) {
	m := &Module{ServiceName: "svc"}
	if _, err := registry.New(nil, registry.With(m)); err != nil {
		t.Fatal(err)
	}
	seen := observer{}
	m.provider = sdk.NewTracerProvider(sdk.WithSampler(attributed{seen}), sdk.WithIDGenerator(ids{}))
	m.tracer = m.provider.Tracer(scope)
	r := httptest.NewRequest("GET", "http://example.com:80/path?q=1", nil)
	r.Header.Set("User-Agent", "test")
	newRoute(m, registry.Route{Pattern: "/path"}).ServeHTTP(httptest.NewRecorder(), r, func(http.ResponseWriter, *http.Request) {})
	_, end := m.DatabaseSpan(t.Context(), capability.DatabaseOperation{System: "redis", Namespace: "0", Name: "GET", Server: "redis:6379"})
	end(nil, "")
	for _, got := range seen {
		slices.Sort(got)
	}
	want := observer{
		"GET /path": {"client.address", "http.request.method", "http.route", "network.peer.address", "network.peer.port", "network.protocol.version",
			"server.address", "server.port", "url.path", "url.query", "url.scheme", "user_agent.original"},
		"GET": {"db.namespace", "db.operation.name", "db.system.name", "server.address", "server.port"},
	}
	if diff := cmp.Diff(maps.Collect(maps.All(want)), maps.Collect(maps.All(seen))); diff != "" {
		t.Error(diff)
	}
}

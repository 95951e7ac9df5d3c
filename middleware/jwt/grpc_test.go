package jwt_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver"
	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver/grpctest"
	"github.com/seed-4591fe7d/podinfo/endpoints/token"
	"github.com/seed-4591fe7d/podinfo/endpoints/version"
	"github.com/seed-4591fe7d/podinfo/endpoints/version/versionpb"
	"github.com/seed-4591fe7d/podinfo/middleware/jwt"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// guardedRPCs returns the methods that reject a call without a token.
func guardedRPCs(t *testing.T, s *grpctest.Server) (out []string) {
	t.Helper()
	for method, code := range s.Codes(t.Context()) {
		if code == "Unauthenticated" {
			out = append(out, method)
		}
	}
	if _, err := versionpb.NewVersionServiceClient(s.Conn).Version(t.Context(), &versionpb.VersionRequest{}); status.Code(err) == codes.Unauthenticated {
		out = append(out, "Version")
	}
	slices.Sort(out)
	return out
}

func TestRPCPatterns(t *testing.T) {
	everything := slices.Sorted(slices.Values(append(slices.Clone(grpctest.Methods), "Version")))
	tests := everything[:4]
	for _, c := range []struct {
		paths, prefix string
		want          []string
	}{
		{"/*", "", everything},
		{"/*", "/foo", everything},
		{"/info", "", nil},
		{"/foo/*", "/foo", nil},
		{"/grpc.testing.TestService/*", "", tests},
		{"/grpc.testing.TestService/*", "/foo", tests},
		{"/grpc.testing.TestService", "", tests},
		{"/version.VersionService,/info", "", []string{"Version"}},
		{"/grpc.testing.TestService/UnaryCall", "", []string{"UnaryCall"}},
		{"/grpc.testing.TestService/Streaming*", "", []string{"StreamingInputCall", "StreamingOutputCall"}},
		{"/v*.VersionService/*, /info", "", []string{"Version"}},
		{"/version*", "", []string{"Version"}},
		{"/*,!/grpc.testing.TestService/*", "", []string{"Version"}},
		{"/*,!/grpc.testing.TestService/*", "/foo", []string{"Version"}},
		{"/*,!/version.VersionService/Version", "", tests},
		{"/*,!/version*", "", everything}, // excludes the route, not the gRPC method
	} {
		s := grpctest.Serve(t, env(c.paths, "PODINFO_PREFIX="+c.prefix), new(jwt.Module), new(token.Module), new(version.Module), new(grpctest.Service), new(endpoint))
		if diff := cmp.Diff(c.want, guardedRPCs(t, s)); diff != "" {
			t.Errorf("%s below %q: %s", c.paths, c.prefix, diff)
		}
		if _, err := healthpb.NewHealthClient(s.Conn).Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil {
			t.Errorf("%s: health: %v", c.paths, err)
		}
		reflection, err := reflectpb.NewServerReflectionClient(s.Conn).ServerReflectionInfo(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := reflection.Send(&reflectpb.ServerReflectionRequest{MessageRequest: &reflectpb.ServerReflectionRequest_ListServices{}}); err != nil {
			t.Fatal(err)
		}
		if _, err := reflection.Recv(); err != nil {
			t.Errorf("%s: reflection: %v", c.paths, err)
		}
	}
}

func TestNewRefusesRPCPatterns(t *testing.T) {
	for _, c := range []struct {
		vars map[string]string
		want string
	}{
		{env("/grpc.testing.TestService/Unary"), `PODINFO_JWT_PATHS="/grpc.testing.TestService/Unary": want patterns of existing routes and gRPC methods: /grpc.testing.TestService/Unary matches none (gRPC methods exist while grpc-server is on)`},
		{env("/echo.EchoService/*"), "/echo.EchoService/* matches none"},
		{env("/grpc.health.v1.Health/*"), "/grpc.health.v1.Health/* matches none"},
		{env("/grpc.reflection.v1.ServerReflection/*"), "matches none"},
		{env("/version.VersionService/*", "PODINFO_VERSION_ENABLED=false"), "/version.VersionService/* matches none"},
		{env("/version.VersionService/*", "PODINFO_GRPC_SERVER_ENABLED=false"), "/version.VersionService/* matches none"},
		{env("/*,!/version.VersionService/Nothing"), "/version.VersionService/Nothing matches none"},
		{env("/foo/version.VersionService/*", "PODINFO_PREFIX=/foo"), "/foo/version.VersionService/* matches none"},
	} {
		vars := map[string]string{"PODINFO_GRPC_PORT": "9999"}
		maps.Copy(vars, c.vars)
		_, err := registry.New([]registry.Module{new(jwt.Module), new(token.Module), new(version.Module), new(grpctest.Service), new(endpoint), new(grpcserver.Module)}, registry.Env(vars))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.vars, err, c.want)
		}
	}
}

func TestGuardOfCalls(t *testing.T) {
	tokens := new(token.Module)
	s := grpctest.Serve(t, env("/grpc.testing.TestService/*,/info"), new(jwt.Module), tokens, new(version.Module), new(grpctest.Service), new(endpoint))
	signed, _, err := tokens.Issue("ann")
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Log.String(); !strings.Contains(got, "GET /info, gRPC /grpc.testing.TestService/") || !strings.Contains(got, "GET /info") || strings.Contains(got, "gRPC /version") {
		t.Errorf("log: %s", got)
	}
	for _, c := range []struct {
		authorization []string
		message       string
	}{
		{nil, "authorization bearer header required"},
		{[]string{""}, "authorization bearer header required"},
		{[]string{signed}, "authorization bearer header required"},
		{[]string{"Basic " + signed}, "authorization bearer header required"},
		{[]string{"Bearer " + signed, "Bearer " + signed}, "authorization bearer header required"},
		{[]string{"Bearer " + swapClaims(signed)}, "signature is invalid"},
		{[]string{"Bearer a.b"}, "token contains an invalid number of segments"},
		{[]string{"bearer " + signed}, ""},
		{[]string{"Bearer " + signed}, ""},
	} {
		ctx := t.Context()
		for _, value := range c.authorization {
			ctx = metadata.AppendToOutgoingContext(ctx, "Authorization", value)
		}
		for _, method := range grpctest.Methods {
			st := status.Convert(s.Call(ctx, method))
			want := codes.Unauthenticated
			if c.message == "" {
				want = codes.OK
			}
			if st.Code() != want || !strings.Contains(st.Message(), c.message) {
				t.Errorf("%s %.20q: %v, want %v %q", method, c.authorization, st, want, c.message)
			}
		}
	}
}

// No spelling of a method reaches a guarded one without a token.
func TestSpellingsOfMethods(t *testing.T) {
	s := grpctest.Serve(t, env("/version.VersionService"), new(jwt.Module), new(token.Module), new(version.Module))
	for _, method := range []string{
		"/version.VersionService/Version", "version.VersionService/Version", "//version.VersionService/Version", "/version.VersionService//Version",
		"/version.VersionService/Version/", "/version.VersionService/version", "/Version.VersionService/Version", "/version.VersionService/%56ersion",
		"/version.VersionService%2fVersion", "/version.VersionService/./Version", "/version.VersionService/Version?x=1", "/x/../version.VersionService/Version", "/Version", "",
	} {
		if err := s.Conn.Invoke(t.Context(), method, new(versionpb.VersionRequest), new(versionpb.VersionResponse)); err == nil {
			t.Errorf("%q is served without a token", method)
		}
	}
}

// A module that is switched on later is guarded from the start.
func TestStandbyRPCs(t *testing.T) {
	s := grpctest.Serve(t, env("/version.VersionService/*", "PODINFO_VERSION_ENABLED=standby"), new(jwt.Module), new(token.Module), new(version.Module), new(grpctest.Service), new(endpoint))
	if got := guardedRPCs(t, s); got != nil {
		t.Errorf("guarded while on standby: %v", got)
	}
	if err := s.App.Switch("version", true); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"Version"}, guardedRPCs(t, s)); diff != "" {
		t.Error(diff)
	}
}

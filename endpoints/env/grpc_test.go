package env_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/seed-4591fe7d/podinfo/endpoints/env"
	"github.com/seed-4591fe7d/podinfo/endpoints/env/envpb"
	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver/grpctest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEnvRPC(t *testing.T) {
	process := []string{"PATH=/bin", "A_TOKEN=t", "URL=tcp://user:pw@host:1/x", "BYTES=\xff", "ODD"}
	conn := grpctest.Serve(t, nil, &env.Module{Environ: process}).Conn
	got, err := envpb.NewEnvServiceClient(conn).Env(t.Context(), new(envpb.EnvRequest))
	want := []string{"PATH=/bin", "A_TOKEN=REDACTED", "URL=tcp://user:REDACTED@host:1/x", "BYTES=\uFFFD", "ODD"}
	if diff := cmp.Diff(want, got.GetEnvVars()); diff != "" || err != nil {
		t.Error(diff, err)
	}
	conn = grpctest.Serve(t, map[string]string{"PODINFO_ENV_REVEAL": "true"}, &env.Module{Environ: process[1:2]}).Conn
	if got := grpctest.Raw(t, conn, "/env.EnvService/Env", ""); got != "\n\x09A_TOKEN=t" {
		t.Errorf("%q", got)
	}
}

// TestNames checks the names that clients use and that reflection lists.
func TestNames(t *testing.T) {
	for _, name := range []protoreflect.FullName{"env.EnvService.Env", "env.EnvRequest", "env.EnvResponse.envVars"} {
		if _, err := protoregistry.GlobalFiles.FindDescriptorByName(name); err != nil {
			t.Error(name, err)
		}
	}
}

package grpcserver_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver/grpctest"
	"github.com/seed-4591fe7d/podinfo/endpoints/health"
	"github.com/seed-4591fe7d/podinfo/endpoints/version"
)

// tool returns the path of a pinned program and builds it if necessary.
func tool(t *testing.T, modfile, name string) string {
	t.Helper()
	cmd := exec.Command("go", "tool", "-modfile="+modfile, "-n", name)
	cmd.Dir = "../.."
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// run runs a program and returns its output and exit code.
func run(t *testing.T, name string, args ...string) (string, int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// TestClients uses the port with third-party programs.
func TestClients(t *testing.T) {
	if testing.Short() {
		t.Skip("builds three programs")
	}
	const tools = "hack/tools/go.mod"
	grpcurl, probe, ghz := tool(t, tools, "grpcurl"), tool(t, tools, "grpc-health-probe"), tool(t, "hack/tools/ghz/go.mod", "ghz")
	s := grpctest.Serve(t, nil, new(health.Module), new(version.Module), new(grpctest.Service))

	for _, c := range []struct {
		what string
		cmd  []string
		code int
		want string
	}{
		{"list", []string{grpcurl, "-plaintext", s.Addr, "list"}, 0, "version.VersionService\n"},
		{"describe", []string{grpcurl, "-plaintext", s.Addr, "describe", "version.VersionService"}, 0, "rpc Version ( .version.VersionRequest ) returns ( .version.VersionResponse );"},
		{"call", []string{grpcurl, "-plaintext", s.Addr, "version.VersionService/Version"}, 0, `"version": "1.2.3"`},
		{"stream", []string{grpcurl, "-plaintext", "-d", `{"payload":{"body":"aGk="}}`, s.Addr, "grpc.testing.TestService/FullDuplexCall"}, 0, `"body": "aGk="`},
		{"no such method", []string{grpcurl, "-plaintext", s.Addr, "version.VersionService/Nothing"}, 1, "does not include a method"},
		{"the whole server", []string{probe, "-addr=" + s.Addr}, 0, "status: SERVING"},
		{"the whole server by name", []string{probe, "-addr=" + s.Addr, "-service=podinfo"}, 0, "status: SERVING"},
		{"a service", []string{probe, "-addr=" + s.Addr, "-service=version.VersionService"}, 0, "status: SERVING"},
		{"no such service", []string{probe, "-addr=" + s.Addr, "-service=x"}, 3, "unknown service"},
	} {
		if out, code := run(t, c.cmd[0], c.cmd[1:]...); code != c.code || !strings.Contains(out, c.want) {
			t.Errorf("%s: exit %d, %s, want %d, %q", c.what, code, out, c.code, c.want)
		}
	}

	out, code := run(t, ghz, "--insecure", "--call=version.VersionService.Version", "--total=2000", "--concurrency=50", "--connections=5", "--format=json", s.Addr)
	var report struct {
		Count                  int            `json:"count"`
		StatusCodeDistribution map[string]int `json:"statusCodeDistribution"`
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != 0 {
		t.Fatalf("ghz: exit %d, %v\n%s", code, err, out)
	}
	if report.Count != 2000 || report.StatusCodeDistribution["OK"] != 2000 {
		t.Errorf("ghz: %+v", report)
	}

	post(s, "/readyz/disable")
	if out, code := run(t, probe, "-addr="+s.Addr); code != 4 || !strings.Contains(out, "NOT_SERVING") {
		t.Errorf("not ready: exit %d, %s", code, out)
	}
}

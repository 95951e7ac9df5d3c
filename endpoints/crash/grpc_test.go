package crash_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/seed-4591fe7d/podinfo/endpoints/crash"
	"github.com/seed-4591fe7d/podinfo/endpoints/crash/panicpb"
	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver"
	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver/grpctest"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/registry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRefusedRPC(t *testing.T) {
	s := grpctest.Serve(t, nil, new(crash.Module))
	_, err := panicpb.NewPanicServiceClient(s.Conn).Panic(t.Context(), new(panicpb.PanicRequest))
	if got := status.Convert(err); got.Code() != codes.Internal || got.Message() != "this server does not exit on request" {
		t.Error(err)
	}
	if log := s.Log.String(); !strings.Contains(log, `"remote":"127.0.0.1:`) || !strings.Contains(log, `"code":255`) || !strings.Contains(log, "panic requested") {
		t.Error(log)
	}
}

// TestExitRPC runs itself as a child process, which serves the RPC.
func TestExitRPC(t *testing.T) {
	const asServer = "PANIC_TEST_GRPC_SERVER"
	if os.Getenv(asServer) != "" {
		serveUntilPanic(t)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestExitRPC$")
	cmd.Env = append(os.Environ(), asServer+"=1")
	stdin, err := cmd.StdinPipe() // closed when this process ends, which ends the child
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	addr, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(addr, err, cmd.Wait())
	}
	conn := grpctest.Dial(t, strings.TrimSpace(addr), grpc.WithTransportCredentials(insecure.NewCredentials()))
	err = conn.Invoke(t.Context(), "/panic.PanicService/Panic", new(panicpb.PanicRequest), new(panicpb.PanicResponse))
	if status.Code(err) != codes.Unavailable {
		t.Error(err)
	}
	stdin.Close()
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != crash.Code {
		t.Error(err)
	}
}

// serveUntilPanic prints its address, serves the RPC and fails the test when
// standard input is closed.
func serveUntilPanic(t *testing.T) {
	port := fmt.Sprint(registrytest.FreePort(t))
	app, err := registry.New([]registry.Module{new(crash.Module), new(grpcserver.Module)}, registry.Exit(os.Exit),
		registry.Env(map[string]string{"PODINFO_HOST": "127.0.0.1", "PODINFO_GRPC_PORT": port}))
	if err != nil {
		t.Fatal(err)
	}
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	fmt.Println("127.0.0.1:" + port)
	io.ReadAll(os.Stdin)
	t.Fatal("did not exit")
}

// TestNames checks the names that clients use and that reflection lists.
func TestNames(t *testing.T) {
	for _, name := range []protoreflect.FullName{"panic.PanicService.Panic", "panic.PanicRequest", "panic.PanicResponse"} {
		if _, err := protoregistry.GlobalFiles.FindDescriptorByName(name); err != nil {
			t.Error(name, err)
		}
	}
}

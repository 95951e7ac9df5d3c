package panic_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver"
	panicmod "github.com/seed-4591fe7d/podinfo/endpoints/panic"
	"github.com/seed-4591fe7d/podinfo/endpoints/panic/panicpb"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/registrytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

// dial serves modules over gRPC on a port of its own and connects to it.
func dial(t *testing.T, mods ...registry.Module) (*grpc.ClientConn, *registrytest.Log) {
	t.Helper()
	port := freePort(t)
	_, log := registrytest.New(t, map[string]string{"PODINFO_HOST": "127.0.0.1", "PODINFO_GRPC_PORT": port}, append(mods, new(grpcserver.Module))...)
	conn, err := grpc.NewClient("127.0.0.1:"+port, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn, log
}

func TestRefusedRPC(t *testing.T) {
	conn, log := dial(t, new(panicmod.Module))
	_, err := panicpb.NewPanicServiceClient(conn).Panic(t.Context(), new(panicpb.PanicRequest))
	if s := status.Convert(err); s.Code() != codes.Internal || s.Message() != "this server does not end its process" {
		t.Error(err)
	}
	if log := log.String(); !strings.Contains(log, `"remote":"127.0.0.1:`) || !strings.Contains(log, `"code":255`) || !strings.Contains(log, "Panic asked for") {
		t.Error(log)
	}
}

// The process that ends is this test, run once more.
func TestExitRPC(t *testing.T) {
	const asServer = "PANIC_TEST_GRPC_SERVER"
	if os.Getenv(asServer) != "" {
		serveUntilPanic(t)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestExitRPC$")
	cmd.Env = append(os.Environ(), asServer+"=1")
	stdin, err := cmd.StdinPipe() // when this process ends, so does the other
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
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
	conn, err := grpc.NewClient(strings.TrimSpace(addr), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	err = conn.Invoke(t.Context(), "/panic.PanicService/Panic", new(panicpb.PanicRequest), new(panicpb.PanicResponse))
	if status.Code(err) != codes.Unavailable {
		t.Error(err)
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != panicmod.Code {
		t.Error(err)
	}
}

// serveUntilPanic says where it serves.
func serveUntilPanic(t *testing.T) {
	port := freePort(t)
	app, err := registry.New([]registry.Module{new(panicmod.Module), new(grpcserver.Module)}, registry.Exit(os.Exit),
		registry.Env(map[string]string{"PODINFO_HOST": "127.0.0.1", "PODINFO_GRPC_PORT": port}))
	if err != nil {
		t.Fatal(err)
	}
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	fmt.Println("127.0.0.1:" + port)
	io.ReadAll(os.Stdin)
	t.Fatal("still here")
}

// Reflection shows these names to clients.
func TestNames(t *testing.T) {
	for _, name := range []protoreflect.FullName{"panic.PanicService.Panic", "panic.PanicRequest", "panic.PanicResponse"} {
		if _, err := protoregistry.GlobalFiles.FindDescriptorByName(name); err != nil {
			t.Error(name, err)
		}
	}
}

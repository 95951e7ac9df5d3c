package grpcserver

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/internal/serve"
)

// hello is what a client sends first.
var hello = http2.ClientPreface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00"

// inMemory serves the module over connections in memory. env has names and values of
// settings. connect returns the client's end of a new connection.
func inMemory(t *testing.T, env ...string) (m *Module, drain func(context.Context) error, connect func() net.Conn) {
	t.Helper()
	l := newOwnListener()
	m = &Module{Listener: l}
	settings := map[string]string{"PODINFO_MODULES": "grpc-server"}
	for i := 0; i < len(env); i += 2 {
		settings[env[i]] = env[i+1]
	}
	app, _ := registrytest.New(t, settings, m)
	return m, app.Drain, func() net.Conn {
		conn, err := l.dial(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
}

// TestDrainEndsDespiteSilentClients: a client that says nothing does not keep the
// drain from its end. It gets as long as a request can be under way.
func TestDrainEndsDespiteSilentClients(t *testing.T) {
	for _, c := range []struct {
		name, sent string
		before     time.Duration // the drain
		want       time.Duration // of the drain
	}{
		{"no byte", "", 5 * time.Second, 0},
		{"no byte yet", "", 0, serve.Quiet},
		{"a part of the preface", hello[:10], 5 * time.Second, 0},
		{"no frame", hello[:preface], 5 * time.Second, 0},
		{"a part of a frame", hello[:preface+4], 5 * time.Second, 0},
		{"no call and no response to pings", hello, 5 * time.Second, serve.Quiet},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, drain, connect := inMemory(t)
				conn := connect()
				go io.Copy(io.Discard, conn)
				if _, err := io.WriteString(conn, c.sent); err != nil {
					t.Fatal(err)
				}
				time.Sleep(c.before)
				began := time.Now()
				if err := drain(context.Background()); err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took != c.want {
					t.Errorf("the drain took %v, want %v", took, c.want)
				}
			})
		})
	}
}

// TestConnectionsBegunInTheDrainAreTold: a client whose TLS handshake comes after the
// drain began is told to leave immediately, even beside a silent one.
func TestConnectionsBegunInTheDrainAreTold(t *testing.T) {
	dir := t.TempDir()
	roots := registrytest.WriteCert(t, dir, "server")
	synctest.Test(t, func(t *testing.T) {
		_, drain, connect := inMemory(t, "PODINFO_GRPC_TLS", "true", "PODINFO_CERT_PATH", dir)
		connect() // silent
		late := tls.Client(connect(), &tls.Config{RootCAs: roots, ServerName: "localhost", NextProtos: []string{"h2"}})
		synctest.Wait()
		drained := make(chan error)
		go func() { drained <- drain(context.Background()) }()
		synctest.Wait()
		began := time.Now()
		go io.WriteString(late, hello)
		var frames []http2.FrameType
		for fr := http2.NewFramer(nil, late); !slices.Contains(frames, http2.FrameGoAway); {
			f, err := fr.ReadFrame()
			if err != nil {
				t.Errorf("no GOAWAY: %v", err)
				break
			}
			frames = append(frames, f.Header().Type)
		}
		if len(frames) == 0 || frames[0] != http2.FrameSettings || time.Since(began) != 0 {
			t.Errorf("%v after %v, want SETTINGS first, and GOAWAY immediately", frames, time.Since(began))
		}
		go io.Copy(io.Discard, late)
		if err := <-drained; err != nil {
			t.Error(err)
		}
	})
}

// TestLeaveDoesNotBlock: a client that reads nothing does not keep the others from
// being told.
func TestLeaveDoesNotBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _, connect := inMemory(t)
		connect() // the SETTINGS of the server wait for it
		synctest.Wait()
		m.Leave()
	})
}

// TestDrainEndsAfterOwnCalls: the server's own calls, which the page makes, are not
// waited for when they have ended.
func TestDrainEndsAfterOwnCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, drain, _ := inMemory(t)
		if reply, err := m.OwnRPCs().Call(t.Context(), "/grpc.health.v1.Health/Check", nil, []byte("{}")); err != nil || reply.Code != "OK" {
			t.Fatalf("%+v %v", reply, err)
		}
		began := time.Now()
		if err := drain(context.Background()); err != nil || time.Since(began) != 0 {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

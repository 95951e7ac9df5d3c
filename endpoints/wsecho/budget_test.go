package wsecho

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/gobwas/ws"
	"github.com/google/go-cmp/cmp"

	"github.com/seed-4591fe7d/podinfo/internal/jsonlog"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
)

func withBudget(size string) map[string]string {
	return map[string]string{"PODINFO_WS_ECHO_STATUS_INTERVAL": "1h", "PODINFO_MEMORY_BUDGET": size}
}

// settle waits until so many bytes are reserved.
func settle(t *testing.T, m *Module, want int64) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); m.host.Budget().Used() != want; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%d bytes are reserved, want %d", m.host.Budget().Used(), want)
		}
	}
}

// TestBudget checks that a message for which there is no memory closes its
// connection only.
func TestBudget(t *testing.T) {
	for _, c := range []struct {
		what, budget string
		send         []string
		want         string
	}{
		{"a short message", "32KiB", []string{text("hello")}, "text hello"},
		{"a long reply", "160KiB", []string{masked(ws.OpBinary, true, strings.Repeat("\x00", 100<<10))}, "text " + strings.Repeat("\x00", 100<<10)},
		{"a long message", "64KiB", []string{text(strings.Repeat("x", 100<<10))}, "close 1013 no memory for this message now"},
		{"a long message in fragments", "64KiB", []string{start(strings.Repeat("x", 20<<10)), middle(strings.Repeat("x", 20<<10)), middle(strings.Repeat("x", 40<<10))}, "close 1013 no memory for this message now"},
		{"no memory for the reply", "10KiB", []string{text("hello")}, "close 1013 no memory for this message now"},
	} {
		t.Run(c.what, func(t *testing.T) {
			m := new(Module)
			s := registrytest.Serve(t, withBudget(c.budget), m)
			other := dial(t, s.URL, "")
			p := dial(t, s.URL, "")
			for _, frames := range c.send {
				p.send(t, frames)
			}
			p.expect(t, c.want)
			other.send(t, ping("there"))
			other.expect(t, "pong there")
			settle(t, m, 0)
			refused := strings.HasPrefix(c.want, "close")
			if got := m.host.Budget().Refused() == 1; got != refused {
				t.Errorf("refused: %v", got)
			}
			p.Close()
			if refused {
				for !strings.Contains(s.Log.String(), `"refused":"memory"`) {
					runtime.Gosched()
				}
			}
		})
	}
}

// TestDeclaredLength checks that memory is reserved for what has arrived, not for
// the length of a frame.
func TestDeclaredLength(t *testing.T) {
	m := new(Module)
	s := registrytest.Serve(t, withBudget("16MiB"), m)
	for _, c := range []struct {
		bytes int
		want  int64
	}{{0, 0}, {1, 2 << 10}, {11, 2 << 10}, {60 << 10, 66 << 10}} {
		var peers []*peer
		for range 10 {
			p := dial(t, s.URL, "")
			frame := append([]byte{0x82, 0x80 | 127}, binary.BigEndian.AppendUint64(nil, 1<<20)...)
			p.send(t, ping("")+string(frame)+"mask"+strings.Repeat("x", c.bytes))
			p.expect(t, "pong ")
			peers = append(peers, p)
		}
		settle(t, m, 10*c.want)
		for _, p := range peers {
			p.Close()
		}
		settle(t, m, 0)
	}
}

// TestUnreadReply checks that a client that does not read its reply holds memory of
// the budget, and only until the write timeout.
func TestUnreadReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := new(Module)
		app, log := registrytest.New(t, withBudget("1MiB"), m)
		set := metrics.NewSet()
		m.ContributeMetrics(set)
		began := time.Now()
		stalled, other := pipe(t, app, ""), pipe(t, app, "")
		stalled.send(t, masked(ws.OpBinary, true, strings.Repeat("\x00", 900<<10)))
		synctest.Wait()
		other.send(t, text("hello"))
		other.expect(t, "text hello")
		go io.WriteString(other, text(strings.Repeat("x", 200<<10)))
		other.expect(t, "close 1013 no memory for this message now")
		if used := m.host.Budget().Used(); used < 900<<10 {
			t.Errorf("%d bytes are reserved", used)
		}
		for !strings.Contains(log.String(), `"refused":"stall"`) { // on the fake clock
			time.Sleep(time.Second)
			synctest.Wait()
		}
		after(t, began, writeTimeout)
		var b bytes.Buffer
		set.WritePrometheus(&b)
		if used := m.host.Budget().Used(); used != 0 || !strings.Contains(b.String(), `{reason="stall"} 1`) {
			t.Errorf("%d bytes are reserved\n%s\n%s", used, &b, log)
		}
	})
}

// TestEchoInPieces compares replies that are encoded in pieces with the same in one
// piece. The declared length has to be right, too.
func TestEchoInPieces(t *testing.T) {
	m := new(Module)
	registrytest.New(t, nil, m)
	now := time.Now()
	for seed := range uint64(100) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		var content []byte
		for size := rnd.IntN(80 << 10); len(content) < size; {
			switch rnd.IntN(4) {
			case 0:
				content = append(content, byte(rnd.IntN(256))) // often not UTF-8
			case 1:
				content = append(content, strings.Repeat("\x00", rnd.IntN(1000))...)
			default:
				content = append(content, "hello wörld 😀 \"\\\n"...)
			}
		}
		msg := m.newMessage(ws.OpBinary)
		msg.in.Write(content)
		var b bytes.Buffer
		if err := m.writeEcho(&b, msg, now); err != nil {
			t.Fatal(err)
		}
		m.freeMessage(msg)
		h, err := ws.ReadHeader(&b)
		if err != nil || h.Length != int64(b.Len()) {
			t.Fatalf("seed %d: length %d, %d bytes, %v", seed, h.Length, b.Len(), err)
		}
		want := string(append(jsonlog.AppendString([]byte(`{"ts":"`+now.Format(time.RFC3339Nano)+`","msg":`), string(content)), "}\n"...))
		if diff := cmp.Diff(want, b.String()); diff != "" {
			t.Fatalf("seed %d: %s", seed, diff)
		}
	}
}

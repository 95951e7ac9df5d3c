package tcpproxy

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/middleware/faults"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Each kind has a function if and only if its row in the table of kinds has the
// tag tcp.
func TestBreakersMatchTheTableOfKinds(t *testing.T) {
	unknown := map[string]bool{}
	for name := range breakers {
		unknown[name] = true
	}
	for _, k := range scenario.Kinds(scenario.TCPConnections) {
		delete(unknown, k.Name)
		n := 0
		b := breakers[k.Name]
		for _, has := range []bool{b.accept != nil, b.effect != nil, b.port} {
			if has {
				n++
			}
		}
		if n != 1 {
			t.Errorf("breakers[%q] in endpoints/tcpproxy/breakers.go has %d functions, want one: write a function that does %q, or remove the tag tcp from its field of scenario.Fault", k.Name, n, k.Does(scenario.TCPConnections))
		}
	}
	for name := range unknown {
		t.Errorf("breakers[%q] in endpoints/tcpproxy/breakers.go: no kind of that name has a tag tcp; add it to its field of scenario.Fault or remove the entry", name)
	}
}

// bench is a proxy for connections in memory.
type bench struct {
	t        testing.TB
	m        *Module
	faults   *faults.Module
	p        *proxy
	ended    chan Connection
	services sync.WaitGroup
	began    time.Time
}

func newBench(t *testing.T, rules string, env ...string) *bench {
	b := &bench{t: t, faults: new(faults.Module), ended: make(chan Connection, 100), began: time.Now()}
	b.m = &Module{OnClose: func(c Connection) { b.ended <- c }}
	vars := map[string]string{"PODINFO_FAULTS": rules, "PODINFO_FAULTS_MAX_DELAY": "1h", "PODINFO_SEED": "1", "PODINFO_TCP_PROXY_TOXIPROXY_API": "true"}
	for i := 0; i+1 < len(env); i += 2 {
		vars[env[i]] = env[i+1]
	}
	registrytest.New(t, vars, b.faults, b.m)
	t.Cleanup(b.services.Wait)
	b.m.mu.Lock()
	defer b.m.mu.Unlock()
	b.p = b.m.newProxy("db", "", "")
	b.m.proxies = append(b.m.proxies, b.p)
	return b
}

// connect opens a connection through the proxy to a service.
func (b *bench) connect(service func(net.Conn)) net.Conn {
	client, server := net.Pipe()
	b.m.dial = func(context.Context, string) (net.Conn, error) {
		conn, target := net.Pipe()
		b.services.Go(func() { service(target) })
		return conn, nil
	}
	b.p.start(server, func() bool { return true })
	b.t.Cleanup(func() { client.Close() })
	return client
}

// sending returns a service that sends texts, one a second, and closes the
// connection.
func (b *bench) sending(texts ...string) func(net.Conn) {
	return func(c net.Conn) {
		go io.Copy(io.Discard, c)
		for i, text := range texts {
			time.Sleep(time.Until(b.began.Add(time.Duration(i) * time.Second)))
			io.WriteString(c, text)
		}
		c.Close()
	}
}

// log reads from a connection and returns the time in milliseconds of each read
// with its bytes, and that of the end.
func (b *bench) log(from net.Conn) string {
	var out []string
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		ms := time.Since(b.began).Milliseconds()
		if n > 0 {
			text := string(buf[:n])
			if n > 20 {
				text = fmt.Sprint(n, " bytes")
			}
			out = append(out, fmt.Sprintf("%d:%s", ms, text))
		}
		if err != nil {
			return strings.Join(append(out, fmt.Sprintf("%d end", ms)), " ")
		}
	}
}

// When data and its end arrive, by the rules, on the fake clock.
func TestKindsOverTime(t *testing.T) {
	const text = "0123456789"
	for _, c := range []struct {
		rules string
		want  string // after the target has sent text and, a second later, text and the end
	}{
		{"fault: {latency: 200ms}", "200:0123456789 1200:0123456789 1200 end"},
		{"fault: {latency: 3s}", "3000:0123456789 4000:0123456789 4000 end"},
		{"fault: {latency: {uniform: {min: 100ms, max: 300ms}}}", ""},
		{"fault: {latency: 200ms, direction: in}", "0:0123456789 1000:0123456789 1000 end"},
		{"fault: {latency: 200ms, direction: both}", "200:0123456789 1200:0123456789 1200 end"},
		{"fault: {bandwidth: 10}", "100:0 200:1 300:2 400:3 500:4 600:5 700:6 800:7 900:8 1000:9 1100:0 1200:1 1300:2 1400:3 1500:4 1600:5 1700:6 1800:7 1900:8 2000:9 2000 end"},
		{"fault: {bandwidth: 1000}", "10:0123456789 1010:0123456789 1010 end"},
		{"fault: {slice: {size: 4, delay: 50ms}}", "0:01 50:234 100:56 150:789 1000:01 1050:234 1100:56 1150:789 1200 end"},
		{"fault: {stall: {after: 13, for: 5s}}", "0:0123456789 1000:012 6000:3456789 6000 end"},
		{"fault: {stall: 5s}", "5000:0123456789 5000:0123456789 5000 end"},
		{"fault: {slow-close: 5s}", "0:0123456789 1000:0123456789 6000 end"},
		{"fault: {hold: true}", ""},
		{"fault: {silence: 5s}", "1000 end"},
		{"fault: {silence: 500ms}", "500 end"},
		{"fault: {close: 1500ms}", "0:0123456789 1000:0123456789 1000 end"},
		{"fault: {close: 500ms}", "0:0123456789 500 end"},
		{"fault: {close: {idle: 600ms}}", "0:0123456789 600 end"},
		{"fault: {close: {bytes: 15}}", "0:0123456789 1000:01234 1000 end"},
		{"fault: {close: {bytes: 10}}", "0:0123456789 0 end"},
		{"fault: {close: {bytes: 5, after: 200ms}}", "0:01234 200 end"},
		{"fault: {close: {bytes: 0, after: 200ms, reset: true}}", "200 end"},
		{"fault: {corrupt: 0}", "0:0123456789 1000:0123456789 1000 end"},
		{"delay: 2s", "2000:0123456789 2000:0123456789 2000 end"},
		{"fault: {empty: true}", "0 end"},
		{"fault: {reset: true}", "0 end"},
		{"match: {tcp: 'd*'}, fault: {latency: 200ms}", "200:0123456789 1200:0123456789 1200 end"},
		{"match: {tcp: other}, fault: {latency: 200ms}", "0:0123456789 1000:0123456789 1000 end"},
		{"match: {path: /a}, delay: 200ms", "0:0123456789 1000:0123456789 1000 end"},
		{"match: {percent: 0}, fault: {latency: 200ms}", "0:0123456789 1000:0123456789 1000 end"},
		{"when: {window: {from: 500ms, to: 2s}}, fault: {latency: 100ms}", "0:0123456789 1100:0123456789 1100 end"},
		{"ttl: 500ms, fault: {latency: 100ms}", "100:0123456789 1000:0123456789 1000 end"},
		{"combine: true, fault: {bandwidth: 100}}, {name: s, fault: {slice: {size: 5, delay: 10ms}}", "100:01234 110:56789 1100:01234 1110:56789 1120 end"},
		{"fault: {bandwidth: 100}}, {name: s, fault: {slice: {size: 5, delay: 10ms}}", "100:0123456789 1100:0123456789 1100 end"},
		{"choose: [{percent: 100, fault: {latency: 200ms}}]", "200:0123456789 1200:0123456789 1200 end"},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, "rules: [{name: r, "+c.rules+"}]")
			client := b.connect(b.sending(text, text))
			if c.want == "" {
				client.SetReadDeadline(time.Now().Add(time.Minute))
			}
			got := b.log(client)
			switch {
			case strings.Contains(c.rules, "uniform"):
				var first, second, end int
				if _, err := fmt.Sscanf(got, "%d:0123456789 %d:0123456789 %d end", &first, &second, &end); err != nil || first < 100 || first > 300 || second < 1100 || second > 1300 || first == second-1000 {
					t.Errorf("%s: %s", c.rules, got)
				}
			case c.want == "":
				if got != "60000 end" {
					t.Errorf("%s: %s", c.rules, got)
				}
			case got != c.want:
				t.Errorf("%s: %s", c.rules, cmp.Diff(c.want, got))
			}
		})
	}
}

// A share of the bytes changes, and the seed says which.
func TestCorrupt(t *testing.T) {
	var runs []string
	for range 2 {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, "rules: [{name: r, fault: {corrupt: 20}}]")
			client := b.connect(b.sending(strings.Repeat("x", 10000)))
			got, err := io.ReadAll(client)
			if err != nil {
				t.Error(err)
			}
			runs = append(runs, string(got))
		})
	}
	changed := len(runs[0]) - strings.Count(runs[0], "x")
	if len(runs[0]) != 10000 || changed < 1800 || changed > 2200 || runs[0] != runs[1] {
		t.Errorf("%d of %d bytes changed", changed, len(runs[0]))
	}
}

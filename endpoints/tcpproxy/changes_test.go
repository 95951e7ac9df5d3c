package tcpproxy

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// put adds or replaces a rule for all proxies.
func (b *bench) put(name, rule string) {
	r, err := scenario.ParseRule("rule", name, []byte("{"+rule+"}"))
	if err == nil {
		err = b.faults.PutRule(r)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// at waits until a time of the fake clock.
func (b *bench) at(ms int) { time.Sleep(time.Until(b.began.Add(time.Duration(ms) * time.Millisecond))) }

// Rules that change while a connection is open apply to it, as a toxic does. The
// service sends 0 to 4, one a second.
func TestRulesOfOpenConnections(t *testing.T) {
	for _, c := range []struct {
		what string
		do   func(b *bench)
		want string
	}{
		{"added", func(b *bench) { b.at(500); b.put("r", "fault: {latency: 100ms}") }, "0:0 1100:1 2100:2 3100:3 4100:4 4100 end"},
		{"added and removed", func(b *bench) {
			b.at(500)
			b.put("r", "fault: {latency: 100ms}")
			b.at(2500)
			b.faults.RemoveRule("r")
		}, "0:0 1100:1 2100:2 3000:3 4000:4 4000 end"},
		{"changed", func(b *bench) {
			b.put("r", "fault: {latency: 100ms}")
			b.at(1500)
			b.put("r", "fault: {latency: 300ms}")
		}, "100:0 1100:1 2300:2 3300:3 4300:4 4300 end"},
		{"removed while data waits", func(b *bench) {
			b.put("r", "fault: {latency: 1h}")
			b.at(1500)
			b.faults.RemoveRule("r")
		}, "1500:0 1500:1 2000:2 3000:3 4000:4 4000 end"},
		{"another one while data waits", func(b *bench) {
			b.put("r", "combine: true, fault: {latency: 2500ms}")
			b.at(1500)
			b.put("s", "fault: {slice: 1}")
		}, "2500:0 3500:1 4500:2 5500:3 6500:4 6500 end"},
		{"hold", func(b *bench) {
			b.put("r", "fault: {hold: true}")
			b.at(1500)
			b.faults.RemoveRule("r")
		}, "1500:0 1500:1 2000:2 3000:3 4000:4 4000 end"},
		{"silence", func(b *bench) {
			b.at(500)
			b.put("r", "fault: {silence: 0s}")
			b.at(1500)
			b.faults.RemoveRule("r")
		}, "0:0 1500 end"},
		{"paused", func(b *bench) {
			b.put("r", "fault: {latency: 100ms}")
			b.at(1500)
			b.faults.Pause(true)
			b.at(2500)
			b.faults.Pause(false)
		}, "100:0 1100:1 2000:2 3100:3 4100:4 4100 end"},
		{"at accept only", func(b *bench) { b.at(500); b.put("r", "fault: {reset: true}") }, "0:0 1000:1 2000:2 3000:3 4000:4 4000 end"},
		{"close", func(b *bench) { b.at(500); b.put("r", "fault: {close: 1s}") }, "0:0 1000:1 1500 end"},
		{"close after bytes", func(b *bench) { b.at(500); b.put("r", "fault: {close: {bytes: 2}}") }, "0:0 1000:1 2000:2 2000 end"},
		{"down", func(b *bench) { b.at(1500); b.put("r", "fault: {down: true}") }, "0:0 1000:1 1500 end"},
		{"flap", func(b *bench) { b.put("r", "when: {flap: {hit: 1500ms, pass: 1s}}, fault: {latency: 100ms}") }, "100:0 1100:1 2000:2 3100:3 4000:4 4000 end"},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, "true")
			go c.do(b)
			synctest.Wait()
			got := b.log(b.connect(b.sending("0", "1", "2", "3", "4")))
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s: %s", c.what, diff)
			}
			b.at(10000)
		})
	}
}

// Which of ten connections are hit.
func TestConnectionsThatAreHit(t *testing.T) {
	for rule, want := range map[string]string{
		"when: {first: 2}, fault: {empty: true}":                                           "xx........",
		"when: {after: 1, every: 3}, fault: {empty: true}":                                 "...x..x..x",
		"when: {outcomes: [pass, hit], cycle: true}, fault: {empty: true}":                 ".x.x.x.x.x",
		"limit: {rate: 0.5, burst: 3}, fault: {empty: true}":                               "...xxxxxxx",
		"match: {tcp: db, per: client}, when: {first: 1}, fault: {empty: true}":            "x.........",
		"match: {tcp: db, per: 'header:a'}, fault: {empty: true}":                          "..........",
		"choose: [{percent: 50, fault: {empty: true}}]":                                    "",
		"match: {percent: 50}, fault: {empty: true}":                                       "",
		"match: {percent: 50}, when: {first: 1}, fault: {close: {bytes: 0, reset: false}}": "",
	} {
		var runs []string
		for range 2 {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, "rules: [{name: r, "+rule+"}]")
				run := ""
				for range 10 {
					b.began = time.Now()
					mark := "."
					if got, _ := io.ReadAll(b.connect(b.sending("0"))); len(got) == 0 {
						mark = "x"
					}
					run += mark
				}
				runs = append(runs, run)
			})
		}
		if runs[0] != runs[1] || want != "" && runs[0] != want || want == "" && (runs[0] == ".........." || runs[0] == "xxxxxxxxxx") {
			t.Errorf("%s: %v, want %s", rule, runs, want)
		}
	}
}

// A slot of a limit is free again when the connection has ended or the rule is
// removed.
func TestConnectionsOccupySlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "rules: [{name: r, limit: {concurrency: 1}, fault: {empty: true}}]")
		try := func(want bool) net.Conn {
			t.Helper()
			c := b.connect(b.sending("0", "1", "2", "3"))
			n, _ := c.Read(make([]byte, 1))
			if n == 1 != want {
				t.Errorf("connected: %v, want %v", n == 1, want)
			}
			return c
		}
		first := try(true)
		try(false)
		first.Close()
		synctest.Wait()
		try(true)
		try(false)
	})
}

// Under load a latency delays the data and does not limit its rate.
func TestLatencyDoesNotLimitTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "rules: [{name: r, fault: {latency: 1s}}]")
		const size = 8 << 20
		n, err := io.Copy(io.Discard, b.connect(b.sending(strings.Repeat("x", size))))
		if took := time.Since(b.began); n != size || err != nil || took != time.Second {
			t.Errorf("%d bytes in %v, %v", n, took, err)
		}
	})
}

// A bandwidth is kept under load, whatever the other rules and the reader do.
func TestBandwidthUnderLoad(t *testing.T) {
	for _, more := range []string{"", ", combine: true}, {name: s, fault: {latency: 1s}", ", combine: true}, {name: s, fault: {slice: 100}"} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, "rules: [{name: r, fault: {bandwidth: 100000}"+more+"}]")
			c := b.connect(b.sending(strings.Repeat("x", 1<<20)))
			time.Sleep(5 * time.Second) // the client does not read
			paused := time.Now()
			buf, n := make([]byte, 4096), 0
			for time.Since(paused) < 5*time.Second {
				k, err := c.Read(buf)
				if n += k; err != nil {
					t.Fatal(err)
				}
			}
			if n < 450_000 || n > 650_000 {
				t.Errorf("%s: %d bytes in 5 seconds", more, n)
			}
		})
	}
}

// The memory of what waits is bounded by the budget, and nothing is lost.
func TestWaitingDataKeepsTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "rules: [{name: r, fault: {latency: 1s}}]", "PODINFO_MEMORY_BUDGET", "1MiB")
		const size = 4 << 20
		most, watched := int64(0), make(chan bool)
		go func() {
			defer close(watched)
			for time.Since(b.began) < 10*time.Second {
				time.Sleep(100 * time.Millisecond)
				most = max(most, b.m.host.Budget().Used())
			}
		}()
		n, err := io.Copy(io.Discard, b.connect(b.sending(strings.Repeat("x", size))))
		<-watched
		if n != size || err != nil || most == 0 || most > 1<<20 || b.m.host.Budget().Used() != 0 {
			t.Errorf("%d bytes, %v, at most %d in memory, %d at the end", n, err, most, b.m.host.Budget().Used())
		}
	})
}

// What accept and say nothing means: no target is needed, and the client's end ends
// the connection.
func TestSilenceInBothDirections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "rules: [{name: r, fault: {silence: 0s, direction: both}}]")
		c := b.connect(func(c net.Conn) { t.Error("the target was connected"); c.Close() })
		io.WriteString(c, "hello")
		c.SetReadDeadline(time.Now().Add(time.Hour))
		if n, err := c.Read(make([]byte, 1)); n != 0 || fmt.Sprint(err) != "read pipe: i/o timeout" {
			t.Error(n, err)
		}
		c.Close()
		if got := <-b.ended; got.In != 0 || got.Out != 0 || len(got.Rules) != 1 {
			t.Errorf("%+v", got)
		}
	})
}

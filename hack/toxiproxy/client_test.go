package toxiproxy

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2/client"
	"github.com/google/go-cmp/cmp"
)

// bench is a proxy in front of a service that echoes, with toxiproxy's client.
type bench struct {
	*testing.T
	api    string
	client *toxiproxy.Client
	proxy  *toxiproxy.Proxy
	open   *net.TCPConn // through the proxy, since before the toxics
}

// check returns an error for anything but nil.
func (b *bench) check(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *bench) dial() (*net.TCPConn, error) {
	c, err := net.Dial("tcp", b.proxy.Listen)
	if err != nil {
		return nil, err
	}
	b.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn), nil
}

// say sends a text and returns what comes back until all of it has, or an end.
func say(c *net.TCPConn, text string) (string, error) {
	if _, err := io.WriteString(c, text); err != nil {
		return "", err
	}
	got := make([]byte, len(text))
	n, err := io.ReadFull(c, got)
	return string(got[:n]), err
}

// exchange is say over a new connection.
func (b *bench) exchange(text string) (string, error) {
	c, err := b.dial()
	if err != nil {
		return "", err
	}
	return say(c, text)
}

// well checks that new connections work.
func (b *bench) well() {
	b.Helper()
	if got, err := b.exchange("hello"); got != "hello" || err != nil {
		b.Errorf("a new connection: %q %v", got, err)
	}
}

// add adds a toxic.
func (b *bench) add(kind, stream string, toxicity float32, a toxiproxy.Attributes) *toxiproxy.Toxic {
	b.Helper()
	t, err := b.proxy.AddToxic("", kind, stream, toxicity, a)
	b.check(err)
	return t
}

type attrs = toxiproxy.Attributes

// gone reports whether an error says that the connection was closed.
func gone(err error) bool {
	return err == io.EOF || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// What the README of toxiproxy documents, through its client: each row acts on an
// open connection and on new ones, and ends with the toxic.
var documented = []struct {
	row string
	do  func(b *bench)
}{
	{"latency", func(b *bench) {
		b.add("latency", "", 1, attrs{"latency": 100, "jitter": 0})
		began := time.Now()
		if got, err := say(b.open, "hello"); got != "hello" || err != nil || time.Since(began) < 100*time.Millisecond {
			b.Error(got, err, time.Since(began))
		}
		b.check(b.proxy.RemoveToxic("latency_downstream"))
	}},
	{"latency upstream, updated while data waits", func(b *bench) {
		b.add("latency", "upstream", 1, attrs{"latency": 3_600_000})
		io.WriteString(b.open, "a")
		if _, err := b.proxy.UpdateToxic("latency_upstream", -1, attrs{"latency": 1}); err != nil {
			b.Error(err)
		}
		if n, err := io.ReadFull(b.open, make([]byte, 1)); n != 1 {
			b.Error(err)
		}
		b.check(b.proxy.RemoveToxic("latency_upstream"))
	}},
	{"down", func(b *bench) {
		b.check(b.proxy.Disable())
		if _, err := b.exchange("x"); !errors.Is(err, syscall.ECONNREFUSED) {
			b.Error(err)
		}
		if _, err := say(b.open, "x"); !gone(err) {
			b.Error(err)
		}
		b.open = nil
		b.check(b.proxy.Enable())
	}},
	{"bandwidth", func(b *bench) {
		b.add("bandwidth", "downstream", 1, attrs{"rate": 100})
		text := strings.Repeat("x", 20_000)
		began := time.Now()
		if got, err := say(b.open, text); got != text || err != nil || time.Since(began) < 150*time.Millisecond {
			b.Error(len(got), err, time.Since(began))
		}
		b.check(b.proxy.RemoveToxic("bandwidth_downstream"))
	}},
	{"bandwidth of 0, which Testcontainers documents as a cut", func(b *bench) {
		b.add("bandwidth", "downstream", 1, attrs{"rate": 0})
		io.WriteString(b.open, "held")
		b.open.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if n, err := b.open.Read(make([]byte, 10)); n != 0 {
			b.Error(n, err)
		}
		b.open.SetReadDeadline(time.Time{})
		b.check(b.proxy.RemoveToxic("bandwidth_downstream"))
		got := make([]byte, 4)
		if _, err := io.ReadFull(b.open, got); string(got) != "held" {
			b.Error(string(got), err)
		}
	}},
	{"slow_close", func(b *bench) {
		b.add("slow_close", "downstream", 1, attrs{"delay": 100})
		began := time.Now()
		b.open.CloseWrite()
		if _, err := b.open.Read(make([]byte, 1)); err != io.EOF || time.Since(began) < 100*time.Millisecond {
			b.Error(err, time.Since(began))
		}
		b.open = nil
		b.check(b.proxy.RemoveToxic("slow_close_downstream"))
	}},
	{"timeout", func(b *bench) {
		b.add("timeout", "upstream", 1, attrs{"timeout": 10})
		if got, err := say(b.open, "dropped"); got != "" || !gone(err) {
			b.Error(got, err)
		}
		if got, err := b.exchange("dropped"); got != "" || !gone(err) {
			b.Error(got, err)
		}
		b.open = nil
		b.check(b.proxy.RemoveToxic("timeout_upstream"))
	}},
	{"timeout of 0, which lasts until it is removed", func(b *bench) {
		b.add("timeout", "downstream", 1, attrs{"timeout": 0})
		io.WriteString(b.open, "dropped")
		b.open.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if n, err := b.open.Read(make([]byte, 10)); n != 0 || gone(err) {
			b.Error(n, err)
		}
		b.open.SetReadDeadline(time.Time{})
		b.check(b.proxy.RemoveToxic("timeout_downstream"))
		if n, err := b.open.Read(make([]byte, 10)); n != 0 || !gone(err) {
			b.Error(n, err)
		}
		b.open = nil
	}},
	{"reset_peer", func(b *bench) {
		b.add("reset_peer", "upstream", 1, attrs{"timeout": 0})
		if got, err := b.exchange("x"); got != "" || !errors.Is(err, syscall.ECONNRESET) {
			b.Error(got, err)
		}
		if got, err := say(b.open, "x"); got != "" || !gone(err) {
			b.Error(got, err)
		}
		b.open = nil
		b.check(b.proxy.RemoveToxic("reset_peer_upstream"))
	}},
	{"slicer", func(b *bench) {
		b.add("slicer", "downstream", 1, attrs{"average_size": 10, "size_variation": 5, "delay": 10})
		text := strings.Repeat("0123456789", 50)
		if got, err := say(b.open, text); got != text || err != nil {
			b.Error(len(got), err)
		}
		b.check(b.proxy.RemoveToxic("slicer_downstream"))
	}},
	{"limit_data", func(b *bench) {
		b.add("limit_data", "downstream", 1, attrs{"bytes": 7})
		if got, err := say(b.open, "hello"); got != "hello" || err != nil {
			b.Error(got, err)
		}
		if got, err := say(b.open, "hello"); got != "he" || err != io.ErrUnexpectedEOF && !gone(err) {
			b.Error(got, err)
		}
		b.open = nil
		b.check(b.proxy.RemoveToxic("limit_data_downstream"))
	}},
	{"toxicity", func(b *bench) {
		b.add("timeout", "downstream", 0, attrs{"timeout": 1})
		b.well()
		if _, err := b.proxy.UpdateToxic("timeout_downstream", 0.5, attrs{}); err != nil {
			b.Error(err)
		}
		hit := 0
		for range 60 {
			if _, err := b.exchange("x"); err != nil {
				hit++
			}
		}
		if hit == 0 || hit == 60 {
			b.Errorf("%d of 60 connections are hit by a toxicity of 0.5", hit)
		}
		b.open = nil
		b.check(b.proxy.RemoveToxic("timeout_downstream"))
	}},
	{"toxics together", func(b *bench) {
		b.add("latency", "downstream", 1, attrs{"latency": 50})
		b.add("slicer", "downstream", 1, attrs{"average_size": 2})
		b.add("bandwidth", "upstream", 1, attrs{"rate": 1000})
		b.well()
		toxics, err := b.proxy.Toxics()
		b.check(err)
		var names []string
		for _, t := range toxics {
			names = append(names, fmt.Sprint(t.Name, " ", t.Type, " ", t.Stream, " ", t.Toxicity))
		}
		if diff := cmp.Diff([]string{"bandwidth_upstream bandwidth upstream 1", "latency_downstream latency downstream 1", "slicer_downstream slicer downstream 1"}, names); diff != "" {
			b.Error(diff)
		}
		b.check(b.client.ResetState())
		p, err := b.client.Proxy(b.proxy.Name)
		if b.check(err); len(p.ActiveToxics) != 0 {
			b.Error(p.ActiveToxics)
		}
	}},
	{"populate", func(b *bench) {
		config := []toxiproxy.Proxy{
			{Name: b.proxy.Name, Listen: b.proxy.Listen, Upstream: b.proxy.Upstream, Enabled: true},
			{Name: "second", Listen: "127.0.0.1:0", Upstream: b.proxy.Upstream, Enabled: true},
		}
		for range 2 {
			proxies, err := b.client.Populate(config)
			if b.check(err); len(proxies) != 2 || proxies[0].Listen != b.proxy.Listen {
				b.Error(proxies)
			}
			config[1].Listen = proxies[1].Listen
		}
		all, err := b.client.Proxies()
		b.check(err)
		if _, err := say(b.open, "x"); err != nil {
			b.Errorf("an unchanged proxy was restarted: %v", err)
		}
		b.check(all["second"].Delete())
	}},
	{"a change of upstream", func(b *bench) {
		b.proxy.Upstream = listener(b.T, func(c net.Conn) { io.WriteString(c, "other") })
		b.check(b.proxy.Save())
		if _, err := say(b.open, "x"); !gone(err) {
			b.Error(err)
		}
		b.open = nil
		c, err := b.dial()
		b.check(err)
		if got, _ := io.ReadAll(c); string(got) != "other" {
			b.Error(string(got))
		}
		b.proxy.Upstream = listener(b.T, echo)
		b.check(b.proxy.Save())
	}},
	{"errors", func(b *bench) {
		var e *toxiproxy.ApiError
		if _, err := b.client.CreateProxy(b.proxy.Name, "127.0.0.1:0", "x:1"); !errors.As(err, &e) || *e != (toxiproxy.ApiError{Message: "proxy already exists", Status: 409}) {
			b.Error(err)
		}
		if _, err := b.client.CreateProxy("new", b.proxy.Listen, "x:1"); !errors.As(err, &e) || e.Status != 500 || !strings.Contains(e.Message, "address already in use") {
			b.Error(err)
		}
		if _, err := b.client.Proxy("nothing"); !errors.As(err, &e) || *e != (toxiproxy.ApiError{Message: "proxy not found", Status: 404}) {
			b.Error(err)
		}
		if err := b.proxy.RemoveToxic("nothing"); !errors.As(err, &e) || *e != (toxiproxy.ApiError{Message: "toxic not found", Status: 404}) {
			b.Error(err)
		}
	}},
}

func TestDocumentedToxics(t *testing.T) {
	for _, server := range []struct {
		name  string
		start func(testing.TB) string
	}{{"toxiproxy", original}, {"podinfo", ours}} {
		for _, row := range documented {
			t.Run(server.name+"/"+row.row, func(t *testing.T) {
				b := &bench{T: t, api: server.start(t)}
				b.client = toxiproxy.NewClient(b.api)
				var err error
				b.proxy, err = b.client.CreateProxy("shopify_test_redis_master", "127.0.0.1:0", listener(t, echo))
				b.check(err)
				b.open, err = b.dial()
				b.check(err)
				if _, err := say(b.open, "x"); err != nil {
					t.Fatal(err)
				}
				row.do(b)
				if t.Failed() {
					return
				}
				b.well()
				if b.open != nil {
					if got, err := say(b.open, "hello"); got != "hello" || err != nil {
						t.Errorf("the open connection, after the toxics: %q %v", got, err)
					}
				}
			})
		}
	}
}

// A toxic is a rule, and exists as long as the rule.
func TestToxicsAreRules(t *testing.T) {
	api, _ := serve(t, "PODINFO_FAULTS_ADMIN=true")
	c := toxiproxy.NewClient(api)
	p, err := c.CreateProxy("redis", "127.0.0.1:0", listener(t, echo))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.AddToxic("slow", "latency", "upstream", 0.25, attrs{"latency": 100, "jitter": 200}); err != nil {
		t.Fatal(err)
	}
	_, got := send(t, api, "GET", "/faults/rules/redis.slow", "")
	want := map[string]any{
		"name": "redis.slow", "match": map[string]any{"tcp": "redis", "percent": 25.0}, "combine": true,
		"fault": map[string]any{"direction": "in", "latency": map[string]any{"table": map[string]any{"p0": "0s", "p25": "0s", "p100": "300ms"}}},
	}
	rule, _ := got.(map[string]any)
	if diff := cmp.Diff(want, rule["rule"]); diff != "" {
		t.Error(diff)
	}
	if code, _ := send(t, api, "DELETE", "/faults/rules/redis.slow", ""); code != 200 {
		t.Error(code)
	}
	if toxics, err := p.Toxics(); len(toxics) != 0 || err != nil {
		t.Error(toxics, err)
	}
}

// The same access control as that of the API of fault rules.
func TestAccess(t *testing.T) {
	api, _ := serve(t, "PODINFO_FAULTS_ADMIN=true", "PODINFO_FAULTS_ADMIN_TOKEN=secret")
	if _, err := toxiproxy.NewClient(api).Proxies(); err == nil {
		t.Error("no token is needed")
	}
}

// The example of the command line in the README of toxiproxy prints the same.
func TestCommandLine(t *testing.T) {
	out, err := exec.Command("go", "tool", "-n", "cli").Output()
	if err != nil {
		t.Fatal(err)
	}
	cli := strings.TrimSpace(string(out))
	up := listener(t, echo)
	var printed [2][]string
	for i, start := range []func(testing.TB) string{original, ours} {
		api, port := start(t), freePort(t)
		for _, args := range []string{
			"create -l 127.0.0.1:PORT -u UP redis", "list", "inspect redis",
			"toxic add -t latency -a latency=1000 redis", "inspect redis", "list",
			"toxic update -n latency_downstream -a jitter=25 --toxicity 0.5 redis", "inspect redis",
			"toxic add -t latency -a latency=1000 redis", "toxic add -t magic redis", "toxic add -u -t slicer -n cut -a average_size=10 redis", "inspect redis",
			"toxic remove -n latency_downstream redis", "toxic remove -n latency_downstream redis",
			"toggle redis", "list", "toggle redis", "create -l 127.0.0.1:0 -u UP redis",
			"delete redis", "delete redis", "list", "inspect redis",
		} {
			args = strings.NewReplacer("PORT", fmt.Sprint(port), "UP", up).Replace(args)
			out, _ := exec.CommandContext(t.Context(), cli, slices.Concat([]string{"-h", "http://" + api}, strings.Fields(args))...).CombinedOutput()
			printed[i] = append(printed[i], ports.ReplaceAllString(args, "ADDR")+"\n"+ports.ReplaceAllString(string(out), "ADDR"))
		}
	}
	if diff := cmp.Diff(printed[0], printed[1]); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(printed[1][3], "Added downstream latency toxic 'latency_downstream' on proxy 'redis'") {
		t.Error(printed[1])
	}
}

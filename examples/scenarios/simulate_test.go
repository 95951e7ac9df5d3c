package scenarios_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// prediction is what podcli fault simulate is compared with: clients that send
// requests at a rate, however long the responses take.
type prediction struct {
	do    action  // a request or a call
	flags string  // of podcli, about the request and the server
	rate  float64 // per second, fast by default
	env   []string
	paced bool // responses take longer than the delays
}

// The rates are such that no request arrives when another ends, or when a period
// of a scenario does.
const (
	fast = 96.7
	slow = 1.03
	sent = 150
)

// predictions are the requests and calls of scenarios that are not about connections
// or messages.
var predictions = map[string]prediction{
	"bad-release":       {do: get("/"), flags: "--label=track=canary", rate: slow, env: []string{"PODINFO_FAULTS_LABELS=track=canary"}},
	"bit-rot":           {do: get("/files/a"), flags: "--path=/files/a"},
	"broken-wire":       {do: get("/")},
	"brown-out":         {do: get("/"), rate: slow},
	"cache-stampede":    {do: get("/items/1"), flags: "--path=/items/1"},
	"cold-start":        {do: get("/"), rate: slow},
	"congestion":        {do: get("/"), rate: slow, paced: true},
	"duplicate-payment": {do: send("POST", "/payments", "", "Idempotency-Key", "a"), flags: "--method=POST --path=/payments --header=Idempotency-Key:a"},
	"early-hints":       {do: get("/")},
	"error-bursts":      {do: get("/")},
	"error-in-200":      {do: get("/files/a"), flags: "--path=/files/a"},
	"flaky-dependency":  {do: get("/api/x"), flags: "--path=/api/x", rate: slow},
	"game-day":          {do: get("/")},
	"goaway-storm":      {do: get("/")},
	"grpc-deadlines":    {do: call{method: echo, patience: 30 * time.Second}, flags: "--grpc=echo.EchoService/Echo", paced: true},
	"grpc-errors":       {do: call{method: echo}, flags: "--grpc=echo.EchoService/Echo"},
	"maintenance":       {do: send("POST", "/", ""), flags: "--method=POST"},
	"old-app-versions":  {do: get("/config", "User-Agent", "shop/4.1"), flags: "--path=/config --header=User-Agent:shop/4.1"},
	"one-tenant":        {do: get("/", "Authorization", bearer("acme")), flags: "--claim=tenant_id=acme"},
	"partial-outage":    {do: get("/"), flags: "--pod=podinfo-0", env: []string{"PODINFO_INSTANCE=podinfo-0"}},
	"pool-exhaustion":   {do: get("/api/x").within(time.Minute), flags: "--path=/api/x", paced: true},
	"query-of-death":    {do: send("POST", "/orders", `{"items":[{"sku":"null-1"}]}`), flags: "--method=POST --path=/orders --json=$.items[*].sku=null-1"},
	"queueing":          {do: get("/")},
	"quota":             {do: call{method: echo, metadata: []string{"x-api-key", "a"}}, flags: "--grpc=echo.EchoService/Echo --header=x-api-key:a"},
	"rate-limiting":     {do: get("/api/x", "X-Api-Key", "a"), flags: "--path=/api/x --header=X-Api-Key:a"},
	"rebalancing":       {do: get("/")},
	"recovery-herd":     {do: get("/"), rate: slow},
	"refused-streams":   {do: get("/")},
	"retries":           {do: get("/echo", "X-Request-Id", "a"), flags: "--path=/echo --header=X-Request-Id:a"},
	"retry-after-date":  {do: get("/api/x", "X-Api-Key", "a"), flags: "--path=/api/x --header=X-Api-Key:a"},
	"rolling-restart":   {do: get("/"), rate: slow},
	"slow-database":     {do: get("/cache/x"), flags: "--path=/cache/x"},
	"slow-network":      {do: get("/"), paced: true},
	"slow-upload":       {do: send("POST", "/", page), flags: "--method=POST", paced: true},
	"stale-cache":       {do: get("/prices"), flags: "--path=/prices"},
	"thundering-herd":   {do: get("/")},
	"wrong-framing":     {do: get("/")},
	"zone-outage":       {do: get("/").within(time.Minute), flags: "--zone=eu-west-1a", env: []string{"PODINFO_FAULTS_ZONE=eu-west-1a"}, paced: true},
}

// simulated is the result of podcli fault simulate, and of a real run.
type simulated struct {
	Passed int            // requests that no rule hit
	Hits   map[string]int // by rule
	Max    time.Duration  // longest delay
}

// TestSimulate compares what podcli fault simulate predicts with what clients saw.
func TestSimulate(t *testing.T) {
	podcli := filepath.Join(t.TempDir(), "podcli")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", podcli, "../../cmd/podcli").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	runCommands(t, podcli)
	for name, p := range predictions {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := p.simulate(t, podcli, name+".yaml")
			synctest.Test(t, func(t *testing.T) {
				got := p.observe(t, name+".yaml")
				if p.paced {
					want.Max, got.Max = 0, 0
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("simulate and clients: %s", diff)
				}
			})
		})
	}
}

// runCommands runs the commands of README.md, which must not print a warning.
func runCommands(t *testing.T, podcli string) {
	t.Helper()
	commands := regexp.MustCompile(`(?m)^podcli (.*)$`).FindAllStringSubmatch(introduction, -1)
	if len(commands) == 0 {
		t.Error("README.md has no command")
	}
	for _, c := range commands {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", podcli+" "+c[1])
		cmd.Dir = "../.."
		var stderr strings.Builder
		cmd.Stderr = &stderr
		if err := cmd.Run(); err != nil || stderr.Len() > 0 {
			t.Errorf("%s: %v\n%s", c[0], err, stderr.String())
		}
	}
}

func (p prediction) perSecond() float64 {
	if p.rate == 0 {
		return fast
	}
	return p.rate
}

// simulate runs podcli on the clock of a bubble, which begins in 2000.
func (p prediction) simulate(t *testing.T, podcli, file string) simulated {
	t.Helper()
	args := append([]string{
		"fault", "simulate", file, "-o=json", "--pod=podinfotest", "--start=2000-01-01 00:00", "--took=0s", "--keys=1", "--max-delay=24h",
		fmt.Sprint("-n=", sent), fmt.Sprint("--rate=", p.perSecond()),
	}, strings.Fields(p.flags)...)
	if !strings.Contains(p.flags, "--grpc") && !strings.Contains(p.flags, "--path") {
		args = append(args, "--path=/")
	}
	b, err := exec.CommandContext(t.Context(), podcli, args...).Output()
	var o struct {
		Passed int
		Delay  struct{ Max float64 }
		Rules  []struct {
			Name string
			Hits int
		}
	}
	if err == nil {
		err = json.Unmarshal(b, &o)
	}
	if err != nil {
		t.Fatalf("podcli %s: %v: %s", args, err, b)
	}
	out := simulated{Passed: o.Passed, Hits: map[string]int{}, Max: time.Duration(o.Delay.Max * float64(time.Second)).Round(time.Microsecond)}
	for _, r := range o.Rules {
		out.Hits[r.Name] = r.Hits
	}
	for _, r := range parse(t, file).Rules {
		if len(r.Choose) > 0 || r.Fault != nil && r.Fault.Unready { // its alternatives are counted, or no requests
			delete(out.Hits, r.Name)
		}
	}
	maps.DeleteFunc(out.Hits, func(_ string, hits int) bool { return hits == 0 })
	return out
}

// observe sends the requests to a server.
func (p prediction) observe(t *testing.T, file string) simulated {
	t.Helper()
	on, do := inMemory, p.do
	if q, ok := do.(request); ok {
		on, do = behindProxy, q.show("X-Podinfo-Fault")
	}
	c := on(t, file, p.env)
	defer c.close()
	type result struct {
		seen string
		took time.Duration
	}
	results, began := make(chan result, sent), time.Now()
	for i := range sent {
		time.Sleep(time.Until(began.Add(time.Duration(float64(i) / p.perSecond() * float64(time.Second)))))
		go func() {
			sent := time.Now()
			seen := do.act(c)[0]
			results <- result{seen, time.Since(sent)}
		}()
	}
	out := simulated{Hits: map[string]int{}}
	for range sent {
		r := <-results
		if r.seen == "200 " { // without the header
			out.Passed++
		}
		out.Max = max(out.Max, r.took.Round(time.Microsecond))
	}
	for _, r := range c.srv.Requests("*") {
		if r.RPC && len(r.Rules) == 0 {
			out.Passed++
		}
		for _, rule := range r.Rules {
			out.Hits[rule]++
		}
	}
	return out
}

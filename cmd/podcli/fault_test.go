package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-4591fe7d/podinfo/cmd/internal/clitest"
	"github.com/seed-4591fe7d/podinfo/cmd/internal/faultclient"
)

// podinfoBinary builds the server once.
var podinfoBinary = sync.OnceValues(func() (string, error) {
	bin := filepath.Join(filepath.Dir(binary), "podinfo")
	out, err := exec.Command("go", "build", "-o", bin, "../podinfo").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, out)
	}
	return bin, err
})

// podinfo is a server process with the faults API.
type podinfo struct {
	clitest.Podinfo
	url, admin string
}

func servePodinfo(t *testing.T, env ...string) *podinfo {
	t.Helper()
	bin, err := podinfoBinary()
	if err != nil {
		t.Fatal(err)
	}
	p := clitest.ServePodinfo(t, bin, env...)
	return &podinfo{p, fmt.Sprint("http://127.0.0.1:", p.Port), fmt.Sprint("127.0.0.1:", p.AdminPort)}
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "faults.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestFaultAPI runs every command against a server process and checks what the server
// does afterwards.
func TestFaultAPI(t *testing.T) {
	p := servePodinfo(t)
	token := writeFile(t, clitest.AdminToken+"\n")
	const two = "seed: 42\nrules:\n- {name: a, match: {path: /version}, fault: {status: 503}}\n- {name: b, match: {path: '/env*', headers: {x-user: beta}}, when: {first: 2}, delay: 1ms, ttl: 1h, combine: true}\n"
	for _, c := range []struct {
		args, stdin string
		code        int
		out, err    string
		status      int // of /version afterwards
	}{
		{"list", "", 0, "0 rules, etag 1-", "", 200},
		{"apply -", two, 0, "+ a\n+ b\n2 rules now: 2 added, 0 changed, 0 removed, 0 unchanged\n", "", 503},
		{"list", "", 0, `
NAME  MATCH                                 ACTION                              WHEN      SEEN  HITS  EXPIRES
a     path: /version                        fault: {status: 503}                always    1     1     never
b     path: /env*, headers: {x-user: beta}  delay: {fixed: 1ms}, combine: true  first: 2  0     0     in `[1:], "", 503},
		{"apply -", strings.Replace(two, "503", "500", 1), 0, "~ a\n2 rules now: 0 added, 1 changed, 0 removed, 1 unchanged\n", "", 500},
		{"apply -", two[:strings.Index(two, "- {name: b")] + "- {name: c, delay: 1}", 1, "", `stdin:4:20: rule "c": delay: "1" is not a duration`, 500},
		{"apply - --rule a", two, 0, "~ a\n", "", 503},
		{"apply - --rule d", two, 1, "", `podcli fault apply: stdin has no rule "d" (did you mean "a"?)`, 503},
		{"apply -", "name: c\ndelay: 1ms", 0, "+ c\n3 rules now: 1 added, 0 changed, 0 removed, 2 unchanged\n", "", 503},
		{"apply - --rule c", "delay: 2ms", 0, "~ c\n", "", 503},
		{"apply - --rule c", "name: d\ndelay: 2ms", 1, "", `stdin has no rule "c"`, 503},
		{"apply - -o json", two, 0, `"added":[],"changed":[],"removed":["c"],"kept":["a","b"]}`, "", 503},
		{"apply - --if-match 1-0", two, 1, "", "have changed in the meantime; nothing was applied", 503},
		{"apply - --if-match *", two, 0, "2 unchanged", "", 503},
		{"pause", "", 0, "paused: 2 rules\n", "", 200},
		{"list", "", 0, "2 rules, paused, seed 42, etag ", "", 200},
		{"resume -o json", "", 0, `{"paused":false,"rules":2}`, "", 503},
		{"rm aa b", "", 1, "", `has no rule "aa" (did you mean "a"?)`, 503},
		{"rm b a b", "", 0, "- a\n- b\n0 rules now: 0 added, 0 changed, 2 removed, 0 unchanged\n", "", 200},
		{"apply -", two, 0, "+ a", "", 503},
		{"rm --all -o json", "", 0, `"removed":["a","b"]`, "", 200},
	} {
		args := append([]string{"fault"}, strings.Fields(c.args)...)
		r := runWith(t, c.stdin, append(args, "--server", p.admin, "--token-file", token)...)
		if r.code != c.code || !strings.Contains(r.out, c.out) || !strings.Contains(r.err, c.err) || (r.err == "") != (c.err == "") {
			t.Errorf("%s: %+v\nwant %+v", c.args, r, c)
		}
		if got := p.Status(t, "/version"); got != c.status {
			t.Errorf("%s: the server responds with %d, want %d", c.args, got, c.status)
		}
	}
}

func TestFaultListJSON(t *testing.T) {
	p := servePodinfo(t, `PODINFO_FAULTS={seed: 7, rules: [{name: r, match: {path: /version, per: client}, fault: {status: 503}, ttl: 1h}]}`)
	p.Status(t, "/version")
	o := run(t, "fault", "list", "-o=json", "--server=http://"+p.admin+"/", "--token="+clitest.AdminToken).object(t)
	rule := o["rules"].([]any)[0].(map[string]any)
	ends, err := time.Parse(time.RFC3339Nano, fmt.Sprint(rule["expires"]))
	if err != nil || time.Until(ends) > time.Hour || time.Until(ends) < time.Hour-processTimeout {
		t.Error(rule["expires"], err)
	}
	delete(rule, "expires")
	etag := o["etag"].(string)
	want := map[string]any{"etag": etag, "paused": false, "held": 0.0, "seed": 7.0, "rules": []any{map[string]any{
		"rule": map[string]any{"name": "r", "match": map[string]any{"path": "/version", "per": "client"}, "fault": map[string]any{"status": 503.0}, "ttl": "1h0m0s"},
		"seen": 1.0, "hits": 1.0, "keys": 1.0,
	}}}
	if diff := cmp.Diff(want, o); diff != "" || etag == "" || strings.Contains(etag, `"`) {
		t.Error(diff)
	}
	// apply accepts the etag that list prints.
	if r := runWith(t, "name: s\ndelay: 1ms", "fault", "apply", "-", "--if-match", etag, "--server", p.admin, "--token", clitest.AdminToken); r.code != 0 || r.err != "" {
		t.Errorf("%+v", r)
	}
}

func TestFaultFailures(t *testing.T) {
	p := servePodinfo(t)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
			return
		}
		io.WriteString(w, "{}")
	}))
	defer other.Close()
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"list", "--server", p.admin}, "podcli fault list: http://" + p.admin + " requires a token: use --token-file"},
		{[]string{"rm", "--all", "--server", p.admin, "--token", "x"}, " rejected the token: wrong token"},
		{[]string{"pause", "--server", p.url}, "has no faults API: use the metrics port of a server with PODINFO_FAULTS_ADMIN=true"},
		{[]string{"list", "--server", refused(t)}, "connect: connection refused"},
		{[]string{"watch", "--server", silent(t), "--timeout=50ms"}, ": no response within 50ms"},
		{[]string{"list", "--server", other.URL}, " did not respond as the faults API does"},
		{[]string{"pause", "--server", other.URL}, " responded with status 302: Found"},
		{[]string{"list", "--server", "https://" + p.admin}, "server gave HTTP response to HTTPS client"},
	} {
		r := run(t, append([]string{"fault"}, c.args...)...)
		r.expect(t, 1, "podcli fault "+c.args[0]+": ", c.want)
		if r.out != "" || strings.Contains(r.err, clitest.AdminToken) {
			t.Errorf("%+v", r)
		}
	}
}

// TestFaultConflict uses a TLS proxy that changes the rules between podcli's reading
// and its change. The proxy's change must not be lost.
func TestFaultConflict(t *testing.T) {
	p := servePodinfo(t)
	api := &url.URL{Scheme: "http", Host: p.admin}
	direct := func(method, path, body string) {
		req, _ := http.NewRequest(method, api.JoinPath(path).String(), strings.NewReader(body))
		req.Header.Set("Authorization", "Bearer "+clitest.AdminToken)
		res, err := http.DefaultClient.Do(req)
		if err != nil || res.Body.Close() != nil || res.StatusCode != http.StatusOK {
			t.Error(res, err)
		}
	}
	direct("PUT", "/faults", "rules: [{name: a, delay: 1ms}, {name: b, delay: 1ms}]")
	ca, conf, _ := localhost(t)
	meddle := false
	proxy := httputil.NewSingleHostReverseProxy(api)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != "GET" && meddle {
			direct("PUT", "/faults/rules/theirs", "fault: {status: 503}")
		}
		proxy.ServeHTTP(w, r)
	}))
	s.TLS = conf
	s.StartTLS()
	defer s.Close()
	flags := []string{"--server", s.URL, "--cacert", ca.file, "--token", clitest.AdminToken}
	meddle = true
	runWith(t, "rules: []", append([]string{"fault", "apply", "-"}, flags...)...).
		expect(t, 1, "podcli fault apply: "+s.URL, "changed in the meantime; nothing was applied")
	run(t, append([]string{"fault", "rm", "a", "b"}, flags...)...).
		expect(t, 1, "podcli fault rm: removing a: the rules on the server have changed in the meantime")
	meddle = false
	if r := run(t, append([]string{"fault", "list"}, flags...)...); !strings.Contains(r.out, "3 rules") || !strings.Contains(r.out, "\ntheirs ") {
		t.Errorf("%+v", r)
	}
}

func TestFaultWatch(t *testing.T) {
	p := servePodinfo(t, "PODINFO_FAULTS={rules: [{name: r, match: {path: /version}, fault: {status: 503}}]}")
	p.Status(t, "/version") // a hit before the watch, which is not printed
	for _, format := range []string{"text", "json"} {
		cmd := podcli(t, "fault", "watch", "--interval=5ms", "--count=2", "-o", format, "--server", p.admin, "--token", clitest.AdminToken)
		pipe, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := make(chan string)
		go func() {
			defer close(lines)
			for in := bufio.NewScanner(pipe); in.Scan(); {
				lines <- in.Text()
			}
		}()
		var got []string
		for open := true; open; {
			select {
			case line, more := <-lines:
				if open = more; open {
					got = append(got, line)
				}
			default:
				p.Status(t, "/version")
			}
		}
		if code := clitest.ExitCode(t, cmd.Wait()); code != 0 || len(got) != 2 {
			t.Fatalf("%d %q", code, got)
		}
		for _, line := range got {
			if format == "text" {
				var day, clock, rule string
				var more, hits, seen int
				if _, err := fmt.Sscanf(line, "%s %s %s +%d hits=%d seen=%d", &day, &clock, &rule, &more, &hits, &seen); err != nil || rule != "r" || more < 1 || hits <= more || seen < hits {
					t.Errorf("%q: %v", line, err)
				}
				continue
			}
			var o struct {
				Time             time.Time
				Rule             string
				More, Hits, Seen int
			}
			if err := json.Unmarshal([]byte(line), &o); err != nil || o.Time.IsZero() || o.Rule != "r" || o.More < 1 || o.Hits <= o.More || o.Seen < o.Hits {
				t.Errorf("%q: %v", line, err)
			}
		}
	}
	if r := run(t, "fault", "watch", "--duration=20ms", "--interval=5ms", "--server", p.admin, "--token", clitest.AdminToken); r != (ran{}) {
		t.Errorf("%+v", r)
	}
}

// TestFaultWatchInterrupted interrupts the command after its first poll.
func TestFaultWatchInterrupted(t *testing.T) {
	polled := make(chan struct{}, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"1"`)
		io.WriteString(w, `{"rules": []}`)
		polled <- struct{}{}
	}))
	defer s.Close()
	cmd := podcli(t, "fault", "watch", "--interval=1h", "--server", s.URL)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-polled
	cmd.Process.Signal(syscall.SIGINT)
	if code := clitest.ExitCode(t, cmd.Wait()); code != 0 {
		t.Error(code)
	}
}

// TestWatcher checks the new hits of a rule that was replaced, whose counters start
// from 0 again, and of a rule that was added.
func TestWatcher(t *testing.T) {
	w := new(watcher)
	poll := func(hits ...uint64) (more []uint64) {
		rules := new(faultclient.Rules)
		for i, n := range hits {
			rules.Rules = append(rules.Rules, faultclient.State{Name: fmt.Sprint("r", i), Hits: n})
		}
		for _, g := range w.newHits(rules) {
			more = append(more, g.more)
		}
		return more
	}
	for i, c := range []struct{ hits, more []uint64 }{
		{[]uint64{5}, nil}, {[]uint64{5}, nil}, {[]uint64{6}, []uint64{1}}, {[]uint64{2}, []uint64{2}}, {[]uint64{2, 1}, []uint64{1}}, {nil, nil}, {[]uint64{2, 0}, []uint64{2}},
	} {
		if diff := cmp.Diff(c.more, poll(c.hits...)); diff != "" {
			t.Errorf("%d: %s", i, diff)
		}
	}
}

// TestFaultSimulateReply checks which simulated responses rules about them hit.
func TestFaultSimulateReply(t *testing.T) {
	const rules = "{rules: [{name: a, match: {reply: {status: 5xx, headers: {x-a: 'b*'}}}, fault: {reset: true}}, {name: b, match: {reply: {code: [OK, UNAVAILABLE]}}, fault: {grpc: ABORTED}}]}"
	for flags, want := range map[string][2]float64{
		"":          {4, 4}, // in turn what each rule matches
		"--path=/x": {0, 0},
		"--reply-status=503 --reply-header=X-A:bc": {8, 0},
		"--reply-status=503 --reply-header=X-A:c":  {0, 0},
		"--grpc=a.B/C":                        {0, 8},
		"--grpc=a.B/C --reply-code=NOT_FOUND": {0, 0},
	} {
		o := runWith(t, rules, append([]string{"fault", "simulate", "-", "-n=8", "-o=json"}, strings.Fields(flags)...)...).object(t)
		hits := func(i int) float64 { return o["rules"].([]any)[i].(map[string]any)["hits"].(float64) }
		if got := [2]float64{hits(0), hits(1)}; got != want {
			t.Errorf("%s: %v, want %v", flags, got, want)
		}
	}
}

// TestFaultSimulateIsTrue checks that a server does what the simulation says.
func TestFaultSimulateIsTrue(t *testing.T) {
	const rules = "{seed: 5, rules: [{name: a, match: {path: /version, percent: 30}, fault: {status: 500}}, {name: b, match: {path: /version}, when: {every: 3, after: 4}, fault: {status: 503}}]}"
	p := servePodinfo(t, "PODINFO_FAULTS="+rules, "PODINFO_INSTANCE=pod-3")
	const n = 200
	got := map[int]float64{}
	for range n {
		got[p.Status(t, "/version")]++
	}
	o := runWith(t, rules, "fault", "simulate", "-", "--path=/version", "--pod=pod-3", fmt.Sprint("-n=", n), "-o=json").object(t)
	hits := func(i int) float64 { return o["rules"].([]any)[i].(map[string]any)["hits"].(float64) }
	if want := map[int]float64{200: o["passed"].(float64), 500: hits(0), 503: hits(1)}; !cmp.Equal(got, want) || len(got) != 3 {
		t.Errorf("the server gave %v, the simulation %v", got, want)
	}
}

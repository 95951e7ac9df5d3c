package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-4591fe7d/podinfo/cmd/internal/clitest"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
)

// processTimeout ends processes that hang.
const processTimeout = time.Minute

var binary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "podcli")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "podcli")
		args := []string{"build", "-ldflags", "-X main.release=1.2.3", "-o", binary}
		if registrytest.Race() { // the binary then reports races too
			args = append(args, "-race")
		}
		if out, err := exec.Command("go", append(args, ".")...).CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "%v: %s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// podcli returns a command that runs the program with a minimal environment.
func podcli(t *testing.T, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(t.Context(), processTimeout)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, binary, args...)
	// Without GORACE, a binary with the race detector sleeps a second at exit.
	cmd.Env = []string{"TERM=xterm", "PATH=" + os.Getenv("PATH"), "GORACE=atexit_sleep_ms=0"}
	return cmd
}

// ran is the result of a process.
type ran struct {
	code     int
	out, err string
}

func run(t *testing.T, args ...string) ran { return runWith(t, "", args...) }

func runWith(t *testing.T, stdin string, args ...string) ran {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := podcli(t, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	code := clitest.ExitCode(t, cmd.Run())
	return ran{code, out.String(), errs.String()}
}

// expect checks the exit code, and that stderr is one line that contains each text.
func (r ran) expect(t *testing.T, code int, texts ...string) {
	t.Helper()
	if r.code != code || strings.Count(r.err, "\n") != 1 || strings.ContainsAny(r.err, "\x1b\r") {
		t.Errorf("exit code %d, want %d; stdout %q, stderr %q", r.code, code, r.out, r.err)
	}
	for _, text := range texts {
		if !strings.Contains(r.err, text) {
			t.Errorf("stderr %q, want %q in it", r.err, text)
		}
	}
}

// object returns the JSON on stdout.
func (r ran) object(t *testing.T) (o map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.out), &o); err != nil {
		t.Fatalf("%v in %q", err, r.out)
	}
	return o
}

// refused returns an address without a listener.
func refused(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// silent returns an address where the kernel accepts connections and nothing
// responds.
func silent(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

func TestCommandLine(t *testing.T) {
	for _, c := range []struct {
		args string
		code int
		out  string // the whole output, or its beginning if it ends with …
		err  string
	}{
		{"version", 0, "1.2.3\n", ""},
		{"--version", 0, "1.2.3\n", ""},
		{"-v", 0, "1.2.3\n", ""},
		{"version -o json", 0, "{\"version\":\"1.2.3\"}\n", ""},
		{"-o json version", 0, "{\"version\":\"1.2.3\"}\n", ""},
		{"--output=json version", 0, "{\"version\":\"1.2.3\"}\n", ""},
		{"version now", 2, "", "podcli version: takes no arguments, got \"now\"\n"},
		{"version -o yaml", 2, "", "podcli version: invalid argument \"yaml\" for \"-o, --output\" flag: want text or json\n"},
		{"", 0, "Probe and client commands.…", ""},
		{"--help", 0, "Probe and client commands.…", ""},
		{"--nope", 2, "", "podcli: unknown flag: --nope\n"},
		{"help", 0, "Probe and client commands.…", ""},
		{"help check", 0, "Check a server, a port or a certificate.…", ""},
		{"help check http", 0, "Check that an HTTP…", ""},
		{"help chick", 2, "", "podcli help: unknown command \"chick\" in podcli\n"},
		{"bogus", 2, "", "podcli: unknown command \"bogus\": want one of check, ws, load, fault, sleep, version, completion, help\n"},
		{"check", 0, "Check a server, a port or a certificate.…", ""},
		{"check bogus", 2, "", "podcli check: unknown command \"bogus\": want one of http, tcp, grpc, ws, cert\n"},
		{"check http", 2, "", "podcli check http: takes one ADDR, got 0 arguments; example: podcli check http localhost:9898/readyz --retry 3 --delay 2s\n"},
		{"check http a b", 2, "", "podcli check http: takes one ADDR, got 2 arguments; example: podcli check http localhost:9898/readyz --retry 3 --delay 2s\n"},
		{"check http --help", 0, "Check that an HTTP…", ""},
		{"check http a --nope", 2, "", "podcli check http: unknown flag: --nope\n"},
		{"check --retry x http a", 2, "", "podcli check http: invalid argument \"x\" for \"--retry\" flag: must be an integer\n"},
		{"check http a --retry -1", 2, "", "podcli check http: --retry and --delay must not be negative, --timeout must be above 0\n"},
		{"check http a --timeout 0", 2, "", "podcli check http: --retry and --delay must not be negative, --timeout must be above 0\n"},
		{"check http ftp://a", 2, "", "podcli check http: address \"ftp://a\": want http://HOST or https://HOST\n"},
		{"check http a --expect-status 20x", 2, "", "podcli check http: invalid argument \"20x\" for \"--expect-status\" flag: \"20x\" is not a status: want 200, 2xx or 200-399\n"},
		{"check http a --header nope", 2, "", "podcli check http: invalid argument \"nope\" for \"--header\" flag: want 'Name: value'\n"},
		{"check http a --cacert /nowhere", 2, "", "podcli check http: --cacert: open /nowhere: no such file or directory\n"},
		{"check http a --cert /nowhere", 2, "", "podcli check http: --cert and --key must be given together\n"},
		{"check tcp a", 2, "", "podcli check tcp: address a: missing port in address\n"},
		{"check grpc a", 2, "", "podcli check grpc: address a: missing port in address\n"},
		{"check grpc a:1 --insecure", 2, "", "podcli check grpc: the certificate flags require --tls\n"},
		{"check ws http://localhost", 2, "", "podcli check ws: address \"http://localhost\": want ws://HOST or wss://HOST\n"},
		{"check cert a/b", 2, "", "podcli check cert: address \"a/b\": want HOST or HOST:PORT\n"},
		{"check cert a --warn-days -1", 2, "", "podcli check cert: --warn-days must not be negative\n"},
		{"load a --rate 0", 2, "", "podcli load: --rate must be above 0 and at most 1000000; --duration and --timeout must be above 0\n"},
		{"load a:1 --grpc nope", 2, "", "podcli load: --grpc \"nope\": want echo, stream, health or package.Service/Method\n"},
		{"load a:1 --tls", 2, "", "podcli load: --tls applies to --grpc only; for HTTP use an https:// address\n"},
		{"fault list --timeout 0", 2, "", "podcli fault list: --timeout must be above 0\n"},
		{"fault list --server ftp://a", 2, "", "podcli fault list: address \"ftp://a\": want http://HOST or https://HOST\n"},
		{"fault list --token a --token-file b", 2, "", "podcli fault list: --token and --token-file cannot be combined\n"},
		{"fault list --token-file /nowhere", 2, "", "podcli fault list: --token-file: open /nowhere: no such file or directory\n"},
		{"fault list --token-file /dev/null", 2, "", "podcli fault list: --token-file: /dev/null is empty\n"},
		{"fault list --cert a", 2, "", "podcli fault list: --cert and --key must be given together\n"},
		{"fault list a", 2, "", "podcli fault list: takes no arguments, got \"a\"\n"},
		{"fault apply", 2, "", "podcli fault apply: takes one FILE, got 0 arguments; example: podcli fault apply examples/scenarios/brown-out.yaml\n"},
		{"fault apply /nowhere", 1, "", "/nowhere: no such file or directory\n"},
		{"fault rm", 2, "", "podcli fault rm: give the names of rules, or --all; example: podcli fault rm checkout-is-slow\n"},
		{"fault rm a --all", 2, "", "podcli fault rm: give the names of rules, or --all; example: podcli fault rm checkout-is-slow\n"},
		{"fault watch --interval 0", 2, "", "podcli fault watch: --interval must be above 0, --duration and --count must not be negative\n"},
		{"fault check", 2, "", "podcli fault check: give at least one FILE; example: podcli fault check examples/scenarios/*.yaml\n"},
		{"fault simulate /dev/null", 1, "", "/dev/null: empty, as while it is being written; use rules: [] for no rules\n"},
		{"fault simulate x -n 0", 2, "", "podcli fault simulate: --requests must be 1 to 10000000, --keys 1 to 16777216\n"},
		{"fault simulate x --rate 0", 2, "", "podcli fault simulate: --rate must be above 0 and at most 1000000, --max-delay above 0, --took not negative\n"},
		{"fault simulate x --rate 1e-5", 2, "", "podcli fault simulate: --requests at this --rate take longer than 10000h0m0s\n"},
		{"fault simulate x --start noon", 2, "", "podcli fault simulate: --start \"noon\": want a time of day such as 22:30, or a date and time such as 2026-03-02 09:00\n"},
		{"fault simulate x --query a", 2, "", "podcli fault simulate: invalid argument \"a\" for \"--query\" flag: want name=value\n"},
		{"fault simulate x --grpc a", 2, "", "podcli fault simulate: --grpc \"a\": want service/method, such as echo.EchoService/Echo\n"},
		{"fault simulate x --grpc a/b --path /", 2, "", "podcli fault simulate: --grpc cannot be combined with --path, --method, --query, --json, --host or --websocket\n"},
		{"fault simulate x --path a", 2, "", "podcli fault simulate: --path \"a\": want a path that begins with /; use --query for the query\n"},
		{"sleep 1ms", 0, "", ""},
		{"sleep 0s --exit-code 3", 3, "", ""},
		{"sleep 0s --exit-code=255", 255, "", ""},
		{"sleep", 2, "", "podcli sleep: takes one DURATION, got 0 arguments; example: podcli sleep 5s\n"},
		{"sleep 5", 2, "", "podcli sleep: \"5\" is not a duration: want one such as 5s or 1m30s\n"},
		{"sleep -- -5s", 2, "", "podcli sleep: \"-5s\" is not a duration: want one such as 5s or 1m30s\n"},
		{"sleep 0s --exit-code 256", 2, "", "podcli sleep: --exit-code 256: want a number from 0 to 255\n"},
		{"check http a --token-url ftp://a", 2, "", "podcli check http: invalid argument \"ftp://a\" for \"--token-url\" flag: address \"ftp://a\": want http://HOST or https://HOST\n"},
		{"ws", 2, "", "podcli ws: takes one URL, got 0 arguments; example: podcli ws localhost:9898/ws/echo\n"},
		{"ws a --timeout 0", 2, "", "podcli ws: --timeout must be above 0, --wait must not be negative\n"},
		{"completion csh", 2, "", "podcli completion: unknown shell \"csh\": want bash, zsh or fish\n"},
	} {
		r := run(t, strings.Fields(c.args)...)
		start, cut := strings.CutSuffix(c.out, "…")
		if r.code != c.code || r.err != c.err || !strings.HasPrefix(r.out, start) || !cut && r.out != c.out {
			t.Errorf("%s: %+v, want %+v", c.args, r, c)
		}
	}
}

// TestHelp checks the help of every command, and that commands with arguments have
// an example.
func TestHelp(t *testing.T) {
	var visit func(c *command)
	visit = func(c *command) {
		var text bytes.Buffer
		if err := c.help(&text); err != nil || !strings.Contains(text.String(), "Usage:\n  "+c.path) {
			t.Errorf("%s: %v %s", c.path, err, &text)
		}
		if c.args != "" && c.makeSubs == nil && len(c.examples) == 0 && !c.hidden {
			t.Errorf("%s has no example", c.path)
		}
		for _, s := range c.subs() {
			visit(s)
		}
	}
	visit(root())
}

func TestCompletion(t *testing.T) {
	for words, want := range map[string][]string{
		"":                     {"check", "ws", "load", "fault", "sleep", "version", "completion", "help"},
		"check":                {"http", "tcp", "grpc", "ws", "cert"},
		"fault":                {"list", "apply", "rm", "pause", "resume", "watch", "check", "simulate"},
		"completion":           {"bash", "zsh", "fish"},
		"check tcp":            {"--retry", "--delay", "--timeout", "--output", "--help"},
		"check tcp --retry 2":  {"--retry", "--delay", "--timeout", "--output", "--help"},
		"version --output":     {"--output", "--help"},
		"check http --timeout": nil,
	} {
		r := run(t, append([]string{"__complete"}, strings.Fields(words)...)...)
		if got := strings.Fields(r.out); r.code != 0 || want != nil && !slices.Equal(got, want) || len(got) == 0 {
			t.Errorf("%q: %+v, want %q", words, r, want)
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		path, err := exec.LookPath(shell)
		script := run(t, "completion", shell)
		if script.code != 0 || !strings.Contains(script.out, "podcli __complete") {
			t.Errorf("%s: %+v", shell, script)
		}
		if err != nil {
			t.Logf("%s is not installed: its script is not tested", shell)
			continue
		}
		file := filepath.Join(t.TempDir(), "script")
		if err := os.WriteFile(file, []byte(script.out), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(path, "-n", file).CombinedOutput(); err != nil {
			t.Errorf("%s: %v %s", shell, err, out)
		}
	}
}

func TestBashCompletes(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("bash is not installed")
	}
	cmd := exec.CommandContext(t.Context(), bash, "-c", run(t, "completion", "bash").out+`
COMP_WORDS=(podcli check http --exp); COMP_CWORD=3; _podcli; echo "${COMPREPLY[@]}"
COMP_WORDS=(podcli ch); COMP_CWORD=1; _podcli; echo "${COMPREPLY[@]}"`)
	cmd.Env = []string{"PATH=" + filepath.Dir(binary)}
	out, err := cmd.CombinedOutput()
	if want := "--expect-status --expect-body\ncheck\n"; err != nil || string(out) != want {
		t.Errorf("%v %q, want %q", err, out, want)
	}
}

// TestLight checks that podcli does not depend on packages that would make each start
// slower. The only packages of the server that it may use are those of the fault
// engine and small ones.
func TestLight(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	const root = "github.com/seed-4591fe7d/podinfo/"
	engine := []string{root + "registry/fault/scenario", root + "registry/rpc", root + "internal/suggest", root + "internal/glob", root + "internal/httpmethod", root + "internal/splitmix", root + "internal/closecode", root + "internal/simulate", root + "internal/lazyregexp"}
	for dep := range strings.Lines(string(out)) {
		dep = strings.TrimSpace(dep)
		if slices.Contains(engine, dep) {
			continue
		}
		for _, heavy := range []string{"google.golang.org/", "k8s.io/", "github.com/sirupsen/", "github.com/spf13/cobra", root} {
			if strings.HasPrefix(dep, heavy) && !strings.HasPrefix(dep, root+"cmd/") {
				t.Errorf("podcli links %s", dep)
			}
		}
	}
}

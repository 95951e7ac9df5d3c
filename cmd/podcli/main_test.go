package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"
)

// patience is for processes that hang; nothing waits for it to pass.
const patience = time.Minute

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
		if raceEnabled() {
			args = append(args, "-race")
		}
		if out, err := exec.Command("go", append(args, ".")...).CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "%v: %s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// raceEnabled says whether the tests were built with -race, for the binary is
// then built so too.
func raceEnabled() bool {
	info, _ := debug.ReadBuildInfo()
	return slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// podcli is the program as a process to be. Its environment is a quiet one.
func podcli(t *testing.T, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, binary, args...)
	// A binary with the race detector would sleep a second before it ends.
	cmd.Env = []string{"TERM=xterm", "PATH=" + os.Getenv("PATH"), "GORACE=atexit_sleep_ms=0"}
	return cmd
}

// ran is how a process ended.
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
	code := exitCode(t, cmd.Run())
	return ran{code, out.String(), errs.String()}
}

func exitCode(t *testing.T, err error) int {
	t.Helper()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	if err != nil {
		t.Fatal(err)
	}
	return 0
}

// expect checks that r has the code, and each text on its one line of stderr.
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

// object is the JSON on stdout.
func (r ran) object(t *testing.T) (o map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.out), &o); err != nil {
		t.Fatalf("%v in %q", err, r.out)
	}
	return o
}

// refused is an address where nobody listens.
func refused(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// silent is an address where connections are taken, by the kernel, and never
// answered.
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
		out  string // all, or the beginning when it ends with …
		err  string
	}{
		{"version", 0, "1.2.3\n", ""},
		{"version -o json", 0, "{\"version\":\"1.2.3\"}\n", ""},
		{"-o json version", 0, "{\"version\":\"1.2.3\"}\n", ""},
		{"--output=json version", 0, "{\"version\":\"1.2.3\"}\n", ""},
		{"version now", 1, "", "podcli version: takes no arguments, got \"now\"\n"},
		{"version -o yaml", 1, "", "podcli version: invalid argument \"yaml\" for \"-o, --output\" flag: want text or json\n"},
		{"", 0, "Probe and client commands.…", ""},
		{"--help", 0, "Probe and client commands.…", ""},
		{"--nope", 1, "", "podcli: unknown flag: --nope\n"},
		{"help", 0, "Probe and client commands.…", ""},
		{"help check", 0, "Check that something answers.…", ""},
		{"help check http", 0, "Check that an HTTP…", ""},
		{"help chick", 1, "", "podcli help: no command \"chick\" in podcli\n"},
		{"bogus", 1, "", "podcli: unknown command \"bogus\": want check, ws, load, fault, version, completion, help\n"},
		{"check", 0, "Check that something answers.…", ""},
		{"check bogus", 1, "", "podcli check: unknown command \"bogus\": want http, tcp, grpc, ws, cert\n"},
		{"check http", 1, "", "podcli check http: want one ADDR, got 0; for example: podcli check http localhost:9898/readyz --retry 3 --delay 2s\n"},
		{"check http a b", 1, "", "podcli check http: want one ADDR, got 2; for example: podcli check http localhost:9898/readyz --retry 3 --delay 2s\n"},
		{"check http --help", 0, "Check that an HTTP…", ""},
		{"check http a --nope", 1, "", "podcli check http: unknown flag: --nope\n"},
		{"check --retry x http a", 1, "", "podcli check http: invalid argument \"x\" for \"--retry\" flag: must be an integer\n"},
		{"check http a --retry -1", 1, "", "podcli check http: --retry and --delay want 0 or more, --timeout more than 0\n"},
		{"check http a --timeout 0", 1, "", "podcli check http: --retry and --delay want 0 or more, --timeout more than 0\n"},
		{"check http ftp://a", 1, "", "podcli check http: address \"ftp://a\": want a host, and http:// or https://\n"},
		{"check http a --expect-status 20x", 1, "", "podcli check http: invalid argument \"20x\" for \"--expect-status\" flag: \"20x\" is none of 200, 2xx, 200-399\n"},
		{"check http a --header nope", 1, "", "podcli check http: invalid argument \"nope\" for \"--header\" flag: want 'Name: value'\n"},
		{"check http a --cacert /nowhere", 1, "", "podcli check http: --cacert: open /nowhere: no such file or directory\n"},
		{"check http a --cert /nowhere", 1, "", "podcli check http: --cert and --key go together\n"},
		{"check tcp a", 1, "", "podcli check tcp: address a: missing port in address\n"},
		{"check grpc a", 1, "", "podcli check grpc: address a: missing port in address\n"},
		{"check grpc a:1 --insecure", 1, "", "podcli check grpc: the certificate flags want --tls\n"},
		{"check ws localhost", 1, "", "podcli check ws: address \"localhost\": want ws:// or wss://\n"},
		{"check ws http://localhost", 1, "", "podcli check ws: address \"http://localhost\": want a host, and ws:// or wss://\n"},
		{"check cert a/b", 1, "", "podcli check cert: address \"a/b\": want a host, or a host and a port\n"},
		{"check cert a --warn-days -1", 1, "", "podcli check cert: --warn-days wants 0 or more\n"},
		{"load a --rate 0", 1, "", "podcli load: --rate (at most 1000000), --duration, --connections and --timeout want more than 0\n"},
		{"load a:1 --grpc nope", 1, "", "podcli load: --grpc \"nope\": want echo, health or package.Service/Method\n"},
		{"load a:1 --tls", 1, "", "podcli load: --tls is for --grpc; over HTTP the address says https://\n"},
		{"fault list --timeout 0", 1, "", "podcli fault list: --timeout wants more than 0\n"},
		{"fault list --server ftp://a", 1, "", "podcli fault list: address \"ftp://a\": want a host, and http:// or https://\n"},
		{"fault list --token a --token-file b", 1, "", "podcli fault list: want one of --token and --token-file\n"},
		{"fault list --token-file /nowhere", 1, "", "podcli fault list: --token-file: open /nowhere: no such file or directory\n"},
		{"fault list --token-file /dev/null", 1, "", "podcli fault list: --token-file: /dev/null is empty\n"},
		{"fault list --cert a", 1, "", "podcli fault list: --cert and --key go together\n"},
		{"fault list a", 1, "", "podcli fault list: takes no arguments, got \"a\"\n"},
		{"fault apply", 1, "", "podcli fault apply: want one FILE, got 0; for example: podcli fault apply examples/scenarios/brown-out.yaml\n"},
		{"fault apply /nowhere", 1, "", "/nowhere: no such file or directory\n"},
		{"fault rm", 1, "", "podcli fault rm: want names of rules, or --all; for example: podcli fault rm checkout-is-slow\n"},
		{"fault rm a --all", 1, "", "podcli fault rm: want names of rules, or --all; for example: podcli fault rm checkout-is-slow\n"},
		{"fault watch --interval 0", 1, "", "podcli fault watch: --interval wants more than 0, --duration and --count 0 or more\n"},
		{"fault check", 1, "", "podcli fault check: want at least one FILE; for example: podcli fault check examples/scenarios/*.yaml\n"},
		{"fault simulate /dev/null", 1, "", "podcli fault simulate: /dev/null has no rules\n"},
		{"fault simulate x -n 0", 1, "", "podcli fault simulate: --requests wants 1 to 10000000, --keys 1 to 16777216\n"},
		{"fault simulate x --rate 0", 1, "", "podcli fault simulate: --rate (at most 1000000) and --max-delay want more than 0, --took 0 or more\n"},
		{"fault simulate x --rate 1e-5", 1, "", "podcli fault simulate: --requests at that --rate take more than 10000h0m0s\n"},
		{"fault simulate x --start noon", 1, "", "podcli fault simulate: --start \"noon\": want a time of the day such as 22:30\n"},
		{"fault simulate x --query a", 1, "", "podcli fault simulate: invalid argument \"a\" for \"--query\" flag: want name=value\n"},
		{"fault simulate x --grpc a", 1, "", "podcli fault simulate: --grpc \"a\": want service/method, such as echo.EchoService/Echo\n"},
		{"fault simulate x --grpc a/b --path /", 1, "", "podcli fault simulate: --grpc wants no --path, --method, --query, --host or --websocket beside it\n"},
		{"fault simulate x --path a", 1, "", "podcli fault simulate: --path \"a\": want a path that begins with /, and --query for what comes after a ?\n"},
		{"ws", 1, "", "podcli ws: want one URL, got 0; for example: podcli ws localhost:9898/ws/echo\n"},
		{"ws a --timeout 0", 1, "", "podcli ws: --timeout wants more than 0, --wait 0 or more\n"},
		{"completion csh", 1, "", "podcli completion: unknown shell \"csh\": want bash, zsh or fish\n"},
	} {
		r := run(t, strings.Fields(c.args)...)
		start, cut := strings.CutSuffix(c.out, "…")
		if r.code != c.code || r.err != c.err || !strings.HasPrefix(r.out, start) || !cut && r.out != c.out {
			t.Errorf("%s: %+v, want %+v", c.args, r, c)
		}
	}
}

// TestHelp goes through every command there is: help must not depend on what
// a command does, and its examples must be ones that it takes.
func TestHelp(t *testing.T) {
	var visit func(c *command)
	visit = func(c *command) {
		var text bytes.Buffer
		if err := c.help(&text); err != nil || !strings.Contains(text.String(), "Usage:\n  "+c.path) {
			t.Errorf("%s: %v %s", c.path, err, &text)
		}
		if c.args != "" && c.below == nil && len(c.examples) == 0 && !c.hidden {
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
		"":                     {"check", "ws", "load", "fault", "version", "completion", "help"},
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
			t.Logf("%s is not installed: its script is not run", shell)
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

// TestLight holds the packages out that would make each start slower. Of the
// server it takes the engine of faults alone.
func TestLight(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	const root = "github.com/seed-4591fe7d/podinfo/"
	engine := []string{root + "registry/fault/scenario", root + "registry/rpc", root + "internal/suggest", root + "internal/glob", root + "internal/httpmethod", root + "internal/splitmix"}
	for dep := range strings.Lines(string(out)) {
		dep = strings.TrimSpace(dep)
		if slices.Contains(engine, dep) {
			continue
		}
		for _, heavy := range []string{"google.golang.org/", "github.com/sirupsen/", "github.com/spf13/cobra", root} {
			if strings.HasPrefix(dep, heavy) && !strings.Contains(dep, "/cmd/podcli") {
				t.Errorf("podcli links %s", dep)
			}
		}
	}
}

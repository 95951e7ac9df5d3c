package main

import (
	"bufio"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	rbac "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/seed-4591fe7d/podinfo/cmd/internal/clitest"
)

// TestDocs runs the commands of docs/fleet.md, each until its first summary. The pod is
// one whose token is in the Secret that the page names.
func TestDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/fleet.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"scenario.yaml": rules, "token": adminToken} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	open, _ := serve(t, "PODINFO_FAULTS_ADMIN_TOKEN=")
	closed, _ := serve(t)
	lines := regexp.MustCompile(`(?m)^(?:kubectl podinfo|podcli) fault .*`).FindAllString(string(page), -1)
	if len(lines) < 9 {
		t.Fatalf("only %d commands", len(lines))
	}
	summary := regexp.MustCompile(`^(1 of 1 (follow|have the same rules)|(removed from|paused on|resumed on) 1 of 1)`)
	for _, line := range lines {
		a := newAPIServer(t, true)
		if strings.Contains(line, "--token") {
			a.put("pod", closed, nil)
		} else {
			a.put("pod", open, nil)
		}
		words := strings.Fields(line)
		if words[0] == "kubectl" { // which would run the plugin
			words = append([]string{"kubectl-podinfo"}, words[2:]...)
		}
		cmd := program(t, words[0], words[1:]...)
		cmd.Dir, cmd.Env = dir, append(cmd.Env, "KUBECONFIG="+a.kubeconfig)
		var errs strings.Builder
		cmd.Stderr = &errs
		pipe, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var last string
		endless := strings.Contains(line, " watch ") || strings.Contains(line, "--until-interrupted")
		for out := bufio.NewScanner(pipe); out.Scan(); {
			// Only once: a second interrupt ends the program at once.
			if last = out.Text(); endless && summary.MatchString(last) {
				cmd.Process.Signal(syscall.SIGINT)
				endless = false
			}
		}
		if code := clitest.ExitCode(t, cmd.Wait()); code != 0 || !summary.MatchString(last) || errs.Len() > 0 {
			t.Errorf("%s: code %d, %q, %s", line, code, last, &errs)
		}
	}
}

// TestDocumented checks that the Role of docs/fleet.md is valid and allows what the plugin
// does, and that the page lists each state.
func TestDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/fleet.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "<!-- role -->\n```yaml\n")
	text, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("no Role")
	}
	object, _, err := serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer().Decode([]byte(text), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	allowed := map[string]string{}
	for _, r := range object.(*rbac.Role).Rules {
		for _, resource := range r.Resources {
			allowed[resource] = strings.Join(r.Verbs, " ")
		}
	}
	for resource, verbs := range map[string]string{"pods": "get list watch", "pods/portforward": "get create", "secrets": "get"} {
		if allowed[resource] != verbs {
			t.Errorf("%s: %q, want %q", resource, allowed[resource], verbs)
		}
	}
	for _, state := range []string{follows, paused, otherRules, notRunning, terminating, "no response", "unauthorized", "no faults API", "rejected"} {
		if !strings.Contains(string(page), "\n| `"+state+"` |") {
			t.Errorf("the page has no row for %q", state)
		}
	}
}

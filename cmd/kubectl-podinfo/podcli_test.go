package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/creack/pty"

	"github.com/seed-4591fe7d/podinfo/cmd/internal/clitest"
)

// TestPodcli runs the plugin by podcli, from its own folder and from PATH.
func TestPodcli(t *testing.T) {
	a := newAPIServer(t, true)
	port, version := serve(t)
	a.put("pod", port, nil)
	args := []string{"fault", "apply", "-", "--selector", "app=podinfo", "-n", "test", "--kubeconfig", a.kubeconfig, "--token", adminToken}
	if r := run(t, rules, "podcli", args...); r.code != 0 || r.err != "" || !strings.Contains(r.out, "1 of 1 follow") || version() != 503 {
		t.Errorf("%+v", r)
	}
	alone := t.TempDir()
	if err := os.Link(filepath.Join(binaries, "podcli"), filepath.Join(alone, "podcli")); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]ran{
		binaries: {0, "removed from 1 of 1\n", ""},
		alone:    {2, "", "podcli fault rm: --selector needs the program kubectl-podinfo, which is neither in PATH nor beside podcli: install it from the same release\n"},
	} {
		cmd := program(t, "podcli", "fault", "rm", "--all", "-l=app=podinfo", "-n", "test", "--kubeconfig", a.kubeconfig, "--token", adminToken)
		cmd.Path, cmd.Env = filepath.Join(alone, "podcli"), []string{"PATH=" + path}
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		if code := clitest.ExitCode(t, cmd.Run()); code != want.code || !strings.HasSuffix(out.String(), want.out) || errs.String() != want.err {
			t.Errorf("PATH=%s: %d %q %q", path, code, &out, &errs)
		}
	}
}

// TestTerminal runs the plugin by podcli on a terminal, on which it redraws the table,
// and presses Ctrl-C.
func TestTerminal(t *testing.T) {
	a := newAPIServer(t, true)
	port, version := serve(t)
	a.put("pod", port, nil)
	file := filepath.Join(t.TempDir(), "scenario.yaml")
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := program(t, "podcli", a.args("apply "+file+" --until-interrupted --interval=20ms --token="+adminToken)...)
	tty, err := pty.Start(cmd)
	if err != nil {
		t.Skipf("cannot open a terminal: %v", err)
	}
	defer tty.Close()
	var text []byte
	until := func(want string) {
		t.Helper()
		for !bytes.Contains(text, []byte(want)) {
			b := make([]byte, 4096)
			n, err := tty.Read(b)
			if text = append(text, b[:n]...); err != nil {
				t.Fatalf("%v: %q, want %q", err, text, want)
			}
		}
		text = nil
	}
	until("\x1b[H\x1b[JPOD ")
	until("1 of 1 follow\r\n\x1b[H\x1b[JPOD ")
	if got := version(); got != 503 {
		t.Errorf("the pod responds with %d", got)
	}
	tty.Write([]byte{3})
	until("removed from 1 of 1\r\n")
	if code := clitest.ExitCode(t, cmd.Wait()); code != 0 || version() != 200 {
		t.Errorf("code %d, the pod responds with %d", code, version())
	}
}

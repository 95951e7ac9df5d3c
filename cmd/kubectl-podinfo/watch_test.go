package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"

	v1 "k8s.io/api/core/v1"

	"github.com/seed-4591fe7d/podinfo/cmd/internal/clitest"
)

// TestUntilInterrupted joins, restarts and meddles with pods while rules are applied,
// and interrupts. It also interrupts when nothing reads the output any more.
func TestUntilInterrupted(t *testing.T) {
	for _, c := range []struct{ meddle, unread bool }{{}, {meddle: true}, {unread: true}} {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			a := newAPIServer(t, true)
			port0, version0 := serve(t)
			a.put("pod-0", port0, nil)
			cmd := program(t, "kubectl-podinfo", a.args("apply - --until-interrupted --interval=100ms --token="+adminToken)...)
			var errs bytes.Buffer
			cmd.Stdin, cmd.Stderr = strings.NewReader(rules), &errs
			pipe, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			out := bufio.NewScanner(pipe)
			await := func(want string) {
				t.Helper()
				var seen []string
				for out.Scan() {
					if seen = append(seen, out.Text()); strings.HasPrefix(out.Text(), want) {
						return
					}
				}
				t.Fatalf("got %q, want %q; stderr %s", seen, want, &errs)
			}
			want := func(status int, versions ...func() int) {
				t.Helper()
				for i, version := range versions {
					if got := version(); got != status {
						t.Errorf("pod-%d responds with %d, want %d", i, got, status)
					}
				}
			}
			await("1 of 1 follow")
			want(503, version0)

			port1, version1 := serve(t)
			a.put("pod-1", port1, nil) // joins
			await("2 of 2 follow")
			want(503, version0, version1)

			port0, version0 = serve(t)
			a.put("pod-0", port0, func(p *v1.Pod) { p.Status.ContainerStatuses[0].State.Running = nil })
			await("1 of 2 follow")
			a.put("pod-0", port0, func(p *v1.Pod) { // its container was restarted
				p.Status.ContainerStatuses[0].ContainerID = "containerd://another"
				p.Status.ContainerStatuses[0].State.Running = &v1.ContainerStateRunning{}
			})
			await("2 of 2 follow")
			want(503, version0, version1)

			end, code, left := "removed from 2 of 2", 0, 200
			if c.meddle {
				end, code, left = "removed from 1 of 2", 1, 418
				req, _ := http.NewRequest("PUT", fmt.Sprintf("http://127.0.0.1:%d/faults", port1), strings.NewReader("rules: [{name: theirs, fault: {status: 418}}]"))
				req.Header.Set("Authorization", "Bearer "+adminToken)
				if res, err := http.DefaultClient.Do(req); err != nil || res.Body.Close() != nil || res.StatusCode != 200 {
					t.Fatal(res, err)
				}
				await("1 of 2 follow")
			}
			if c.unread {
				pipe.Close()
				port2, version2 := serve(t)
				a.put("pod-2", port2, nil)
				defer want(200, version2)
				for version2() != 503 { // after which it has tried to print the table
				}
			}
			cmd.Process.Signal(syscall.SIGINT)
			if !c.unread {
				await(end)
				for out.Scan() {
				}
			}
			if got := clitest.ExitCode(t, cmd.Wait()); got != code || c.meddle != strings.Contains(errs.String(), "pod-1 has other rules than were applied: they stay\n") {
				t.Errorf("code %d, want %d; stderr %s", got, code, &errs)
			}
			want(200, version0)
			want(left, version1)
		})
	}
}

// TestWatch checks that the counters in the table follow, and that the rules of apply
// --watch stay.
func TestWatch(t *testing.T) {
	a := newAPIServer(t, true)
	port, version := serve(t)
	a.put("pod", port, nil)
	r := a.fault(rules, "apply - --watch --duration=1ms --token="+adminToken)
	if r.code != 0 || !strings.Contains(r.out, "1 of 1 follow\n") || r.err != "the rules stay; remove them with: kubectl podinfo fault rm --all --selector app=podinfo --namespace test\n" {
		t.Errorf("%+v", r)
	}
	version()
	cmd := program(t, "kubectl-podinfo", a.args("watch -o json --interval=50ms --token="+adminToken)...)
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	out := bufio.NewScanner(pipe)
	out.Buffer(nil, 1<<20)
	for _, want := range []float64{1, 2} {
		for got := 0.0; got != want; {
			var line struct {
				Pods []struct {
					State string
					Rules struct{ Rules []struct{ Hits float64 } }
				}
			}
			if !out.Scan() {
				t.Fatal("the output ended")
			}
			if err := json.Unmarshal(out.Bytes(), &line); err != nil || line.Pods[0].State != "follows" {
				t.Fatal(err, out.Text())
			}
			got = line.Pods[0].Rules.Rules[0].Hits
		}
		version()
	}
	cmd.Process.Signal(syscall.SIGINT)
	for out.Scan() {
	}
	if code := clitest.ExitCode(t, cmd.Wait()); code != 0 {
		t.Error(code)
	}
}

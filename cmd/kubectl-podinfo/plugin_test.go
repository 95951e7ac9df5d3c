package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
)

// fault runs a command of kubectl-podinfo for the pods of an API server.
func (a *apiServer) fault(stdin, args string) ran {
	a.t.Helper()
	return run(a.t, stdin, "kubectl-podinfo", a.args(args)...)
}

func (a *apiServer) args(args string) []string {
	return append(append([]string{"fault"}, strings.Fields(args)...), "--kubeconfig="+a.kubeconfig, "-n", "test", "-l", "app=podinfo", "--timeout=20s")
}

const rules = "seed: 42\nrules:\n- {name: a, match: {path: /version}, fault: {status: 503}}\n- {name: b, match: {path: /env}, delay: 1ms}\n"

// TestFleet runs each command for three podinfo processes, over both protocols of port
// forwarding, and checks what the processes do afterwards.
func TestFleet(t *testing.T) {
	for _, websocket := range []bool{true, false} {
		t.Run(fmt.Sprint("websocket=", websocket), func(t *testing.T) {
			a := newAPIServer(t, websocket)
			var version []func() int
			for i := range 3 {
				port, v := serve(t)
				a.put(fmt.Sprint("pod-", i), port, nil)
				version = append(version, v)
			}
			a.put("other", 1, func(p *v1.Pod) { p.Labels["app"] = "other" })
			for _, c := range []struct {
				args, stdin string
				code        int
				out, err    string // patterns
				status      int    // of /version afterwards, on each pod
			}{
				{"list", "", 0, `(?s)POD +STATE +RULES +SEEN +HITS +DELAYED\npod-0 +follows +0 +0 +0 +0\npod-1 .*\npod-2 .*\n\(all\) +0 +0 +0\n3 of 3 have the same rules\n`, ``, 200},
				{"apply -", rules, 0, `(?s)pod-0 +follows +2 +0 +0 +0\n.*\n3 of 3 follow, changed within [0-9.]+m?s\n`, ``, 503},
				{"list", "", 0, `(?s)pod-2 +follows +2 +1 +1 +0\n\(all\) +3 +3 +0\n3 of 3`, ``, 503},
				{"apply - --rule a", "{match: {path: /version}, fault: {status: 500}}", 0, `3 of 3 follow`, ``, 500},
				{"apply - --rule c", rules, 2, ``, `kubectl podinfo: stdin has no rule "c"`, 500},
				{"apply -", "rules: [{name: a, delay: 1}]", 2, ``, `stdin:1:\d+: rule "a": delay: "1" is not a duration`, 500},
				{"apply - --rule b", "{match: {path: /env}, delay: 1ms, ttl: 1ns}", 0, `pod-0 +follows +2, 1 ended +`, ``, 500},
				{"pause", "", 0, `paused on 3 of 3\n`, ``, 200},
				{"list", "", 1, `0 of 3 have the same rules\n`, `pod-0: its rules are paused; resume them\n`, 200},
				{"apply -", rules, 1, `pod-1 +paused +2`, `pod-0: its rules are paused; resume them\n`, 200},
				{"resume", "", 0, `resumed on 3 of 3\n`, ``, 503},
				{"list -o json", "", 0, `^\{"count":3,"of":3,"ok":true,"pods":\[\{"pod":"pod-0","state":"follows","rules":\{"etag":".*"summary":"3 of 3 have the same rules"\}\n$`, ``, 503},
				{"rm b", "", 0, `(?s)pod-0 +removed +1 .*removed from 3 of 3\n`, ``, 503},
				{"rm b", "", 0, `removed from 3 of 3\n`, ``, 503},
				{"rm --all", "", 0, `removed from 3 of 3\n`, ``, 200},
			} {
				r := a.fault(c.stdin, c.args+" --token-secret=podinfo-faults")
				if r.code != c.code || !regexp.MustCompile(c.out).MatchString(r.out) || !regexp.MustCompile(c.err).MatchString(r.err) || (r.err == "") != (c.err == "") || strings.Contains(r.out+r.err, adminToken) {
					t.Errorf("%s: code %d, stdout:\n%s\nstderr:\n%s\nwant %+v", c.args, r.code, r.out, r.err, c)
				}
				for i, v := range version {
					if got := v(); got != c.status {
						t.Errorf("%s: pod-%d responds with %d, want %d", c.args, i, got, c.status)
					}
				}
			}
		})
	}
}

// TestPods checks what becomes of a pod that cannot follow, beside one that does.
func TestPods(t *testing.T) {
	without, _ := serve(t, "PODINFO_FAULTS_ADMIN=false", "PODINFO_FAULTS_ADMIN_TOKEN=")
	foreign, _ := serve(t, "PODINFO_FAULTS_ADMIN_TOKEN=another")
	another, _ := serve(t)
	older := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"1-0"`)
		if r.Method == http.MethodPut {
			w.WriteHeader(http.StatusBadRequest)
			w.Write([]byte(`{"code":400,"message":"body:3: unknown key swallow-pings"}`))
			return
		}
		w.Write([]byte(`{"rules": []}`))
	}))
	t.Cleanup(older.Close)
	meddled := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"1-0"`)
		if r.Method == http.MethodPut {
			w.WriteHeader(http.StatusPreconditionFailed)
		}
		w.Write([]byte(`{"rules": []}`))
	}))
	t.Cleanup(meddled.Close)
	portOf := func(s *httptest.Server) int {
		u, _ := url.Parse(s.URL)
		port, _ := strconv.Atoi(u.Port())
		return port
	}
	deleted := metav1.Now()
	for _, c := range []struct {
		name string
		port int
		edit func(*v1.Pod)
		code int
		row  string // pattern, "" if the pod is not in the table
		last string
		err  string // pattern
	}{
		{"no-api", without, nil, 1, `no faults API +- +- +- +-`, "1 of 2 follow", `^x-no-api has no faults API: use the metrics port of a server with PODINFO_FAULTS_ADMIN=true\n$`},
		{"token", foreign, nil, 1, `unauthorized`, "1 of 2 follow", `^x-token rejected the token: wrong token\n$`},
		{"silent", 0, nil, 1, `no response`, "1 of 2 follow", `^x-silent: no response within 20s\n$`},
		{"closed", registrytest.FreePort(t), nil, 1, `no response`, "1 of 2 follow", `^x-closed: failed to connect to localhost:9797: dial tcp 127.0.0.1:\d+: connect: connection refused\n$`},
		{"forbidden", 1, nil, 1, `no response`, "1 of 2 follow", `^x-forbidden: .*pods "x-forbidden" is forbidden: not allowed.*\n$`},
		{"older", portOf(older), nil, 1, `rejected +0`, "1 of 2 follow", `^x-older responded with status 400: body:3: unknown key swallow-pings\n$`},
		{"meddled", portOf(meddled), nil, 1, `other rules`, "1 of 2 follow", `^x-meddled: the rules on the server have changed in the meantime\n$`},
		{"pending", 1, func(p *v1.Pod) {
			p.Status = v1.PodStatus{Phase: v1.PodPending, ContainerStatuses: []v1.ContainerStatus{{Name: "podinfo", State: v1.ContainerState{Waiting: &v1.ContainerStateWaiting{Reason: "ImagePullBackOff"}}}}}
		}, 1, `not running`, "1 of 2 follow", `^x-pending is not running: ImagePullBackOff\n$`},
		{"crashed", 1, func(p *v1.Pod) {
			p.Status.ContainerStatuses[0].State = v1.ContainerState{Terminated: &v1.ContainerStateTerminated{Reason: "OOMKilled"}}
		}, 1, `not running`, "1 of 2 follow", `^x-crashed is not running: its container has ended: OOMKilled\n$`},
		{"terminating", another, func(p *v1.Pod) { p.DeletionTimestamp = &deleted }, 0, `terminating +-`, "1 of 1 follow", `^$`},
		{"completed", 1, func(p *v1.Pod) { p.Status.Phase = v1.PodSucceeded }, 0, ``, "1 of 1 follow", `^$`},
		{"port", another, func(p *v1.Pod) { p.Spec.Containers[1].Ports[1].Name = "metrics" }, 0, `follows +2`, "2 of 2 follow", `^$`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := newAPIServer(t, true)
			good, _ := serve(t)
			a.put("good", good, nil)
			a.put("x-"+c.name, c.port, c.edit)
			r := a.fault(rules, "apply - --token-secret=podinfo-faults/token")
			row := regexp.MustCompile(`(?m)^x-` + c.name + ` +` + c.row).MatchString(r.out)
			if r.code != c.code || row != (c.row != "") || !strings.Contains(r.out, "\n"+c.last+", changed within ") || !regexp.MustCompile(c.err).MatchString(r.err) {
				t.Errorf("code %d, stdout:\n%s\nstderr:\n%s\nwant %+v", r.code, r.out, r.err, c)
			}
		})
	}
}

// TestUsage checks the mistakes for which nothing is sent.
func TestUsage(t *testing.T) {
	a := newAPIServer(t, true)
	port, _ := serve(t)
	a.put("pod", port, func(p *v1.Pod) {
		p.Spec.Containers[1].Env = []v1.EnvVar{{Name: "PODINFO_FAULTS_ADMIN_TOKEN", ValueFrom: &v1.EnvVarSource{SecretKeyRef: &v1.SecretKeySelector{LocalObjectReference: v1.LocalObjectReference{Name: "podinfo-faults"}, Key: "token"}}}}
	})
	kube := "--kubeconfig=" + a.kubeconfig + " -n test -l app=podinfo"
	for _, c := range []struct {
		args string
		code int
		err  string
	}{
		{"fault list", 2, "kubectl podinfo: --selector is missing: give the labels of the pods, such as --selector app=podinfo\n"},
		{"fault list -l a=b=c", 2, "kubectl podinfo: --selector: "},
		{"fault list " + kube + " --token a --token-file b", 2, "kubectl podinfo: --token, --token-file and --token-secret cannot be combined\n"},
		{"fault list " + kube + " --token-file /nowhere", 2, "kubectl podinfo: --token-file: open /nowhere: no such file or directory\n"},
		{"fault list " + kube + " --token-secret absent", 2, "kubectl podinfo: --token-secret: secrets \"absent\" not found\n"},
		{"fault list " + kube + " --token-secret podinfo-faults/key", 2, "kubectl podinfo: --token-secret: Secret podinfo-faults in namespace test has no key \"key\": name it as NAME/KEY\n"},
		{"fault list " + kube + " --token-secret forbidden", 2, "kubectl podinfo: --token-secret: secrets \"forbidden\" is forbidden: not allowed\n"},
		{"fault list " + kube + " --token-secret podinfo-faults/other", 1, "pod rejected the token: wrong token\n"},
		{"fault list " + kube, 1, "pod requires a token: use --token-secret podinfo-faults/token\n"},
		{"fault list --kubeconfig=" + a.kubeconfig + " -n test -l app=absent", 1, "kubectl podinfo: no pods match app=absent in namespace test\n"},
		{"fault list --kubeconfig=/nowhere -l a=b", 2, "kubectl podinfo: stat /nowhere: no such file or directory\n"},
		{"fault list " + kube + " --timeout 0", 2, "kubectl podinfo: --timeout must be above 0\n"},
		{"fault list " + kube + " --port 70000", 2, "kubectl podinfo: --port must be 1 to 65535\n"},
		{"fault list " + kube + " -o yaml", 2, "kubectl podinfo: --output \"yaml\": want text or json\n"},
		{"fault watch " + kube + " --interval 0", 2, "kubectl podinfo: --interval must be above 0, --duration must not be negative\n"},
		{"fault apply - " + kube + " --duration 1m", 2, "kubectl podinfo: --interval and --duration have no effect without --watch or --until-interrupted\n"},
		{"fault apply " + kube, 2, "kubectl podinfo: apply takes one FILE, got 0 arguments\n"},
		{"fault apply /nowhere " + kube, 2, "/nowhere: no such file or directory\n"},
		{"fault list x " + kube, 2, "kubectl podinfo: list takes no arguments, got \"x\"\n"},
		{"fault rm " + kube, 2, "kubectl podinfo: give the names of rules, or --all\n"},
		{"fault list --nope", 2, "kubectl podinfo: unknown flag: --nope\n"},
		{"fault nope", 2, "kubectl podinfo: unknown command \"nope\" in kubectl podinfo fault\n"},
		{"nope", 2, "kubectl podinfo: unknown command \"nope\" in kubectl podinfo\n"},
	} {
		r := run(t, "", "kubectl-podinfo", strings.Fields(c.args)...)
		if r.code != c.code || !strings.HasPrefix(r.err, c.err) || strings.Count(r.err, "\n") != 1 {
			t.Errorf("%s: %+v, want %+v", c.args, r, c)
		}
	}
}

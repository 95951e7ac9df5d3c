package kustomize_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

const monitoring = root + "/components/monitoring/"

// alerts are the rules of the PrometheusRule, in a file that Prometheus loads.
type alerts struct {
	file   string
	Groups []struct {
		Rules []struct{ Alert, Expr string }
	}
}

func readAlerts(t *testing.T, dir string) alerts {
	t.Helper()
	data, err := os.ReadFile(monitoring + "alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var rule struct{ Spec map[string]any }
	if err := yaml.Unmarshal(data, &rule); err != nil {
		t.Fatal(err)
	}
	a := alerts{file: filepath.Join(dir, "alerts.yaml")}
	data, err = yaml.Marshal(rule.Spec)
	if err == nil {
		err = yaml.Unmarshal(data, &a)
	}
	if err == nil {
		err = os.WriteFile(a.file, data, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestAlerts lets promtool lint the rules and test them on made-up series.
func TestAlerts(t *testing.T) {
	dir := t.TempDir()
	rules := readAlerts(t, dir)
	cases, err := os.ReadFile("testdata/promtool/alerts_test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "alerts_test.yaml")
	if err := os.WriteFile(file, cases, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"check", "rules", "--lint-fatal", rules.file}, {"test", "rules", file}} {
		if out, err := exec.Command("promtool", args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", args, err, out)
		}
	}
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			if !strings.Contains(string(cases), "alertname: "+r.Alert+"\n") {
				t.Errorf("testdata/promtool/alerts_test.yaml has no test of %s", r.Alert)
			}
		}
	}
}

// TestQueries lets Prometheus scrape podinfo. Each query of the dashboard has to
// return data, and so has each alert's, without its threshold.
func TestQueries(t *testing.T) {
	dir := t.TempDir()
	server := startPodinfo(t, "--random-error", "--faults=rules: [{ name: cuts, match: { path: /api/info }, fault: { empty: true } }]")
	rules := readAlerts(t, dir)
	prometheus := startPrometheus(t, dir, rules.file, server.metrics)
	open := queries(t)
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			open[r.Alert] = regexp.MustCompile(`\s[=<>]+ [\d.]+\s*$`).ReplaceAllString(r.Expr, "")
		}
	}
	deadline := time.Now().Add(time.Minute)
	for tick := time.Tick(pause); ; <-tick {
		server.use(t)
		for name, query := range open {
			if found, err := prometheus.finds(t.Context(), query); found {
				delete(open, name)
			} else if err != nil {
				t.Fatalf("%s: %v\n%s", name, err, query)
			}
		}
		firing, err := prometheus.finds(t.Context(), `ALERTS{alertname="PodinfoFaults", alertstate="firing"}`)
		if err != nil {
			t.Fatal(err)
		}
		if len(open) == 0 && firing {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("PodinfoFaults is firing: %t; queries without data: %q", firing, open)
		}
	}
}

// queries returns the queries of the dashboard by panel, for any namespace and
// job.
func queries(t *testing.T) map[string]string {
	t.Helper()
	data, err := os.ReadFile(monitoring + "podinfo.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(data, &dashboard); err != nil {
		t.Fatal(err)
	}
	of := map[string]string{}
	fill := strings.NewReplacer("$namespace", ".*", "$job", ".*", "$__rate_interval", "10s")
	for _, p := range dashboard.Panels {
		for i, target := range p.Targets {
			of[fmt.Sprintf("%s %d", p.Title, i)] = fill.Replace(target.Expr)
		}
	}
	if len(of) == 0 {
		t.Fatal("the dashboard has no queries")
	}
	return of
}

type podinfo struct {
	http, metrics, grpc string // addresses
	h2c                 *http.Client
}

func startPodinfo(t *testing.T, args ...string) podinfo {
	t.Helper()
	p := podinfo{http: freeAddr(t), metrics: freeAddr(t), grpc: freeAddr(t)}
	start(t, program, append(args, "--host=127.0.0.1", "--data-path="+t.TempDir(), "--port="+port(p.http), "--port-metrics="+port(p.metrics), "--grpc-port="+port(p.grpc))...)
	await(t, "http://"+p.http+"/healthz")
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	t.Cleanup(transport.CloseIdleConnections)
	p.h2c = &http.Client{Transport: transport}
	return p
}

// use sends requests for each metric, some of which fail.
func (p podinfo) use(t *testing.T) {
	t.Helper()
	for _, path := range []string{"/version", "/status/500", "/cache/a"} {
		drain(t)(http.Get("http://" + p.http + path))
	}
	if resp, err := http.Get("http://" + p.http + "/api/info"); err == nil {
		resp.Body.Close()
		t.Error("the fault did not cut the response")
	}
	// An empty message: the byte for "not compressed" and four of length.
	drain(t)(p.h2c.Post("http://"+p.grpc+"/version.VersionService/Version", "application/grpc", strings.NewReader("\x00\x00\x00\x00\x00")))
}

type prometheus struct{ addr string }

func startPrometheus(t *testing.T, dir, rules, target string) prometheus {
	t.Helper()
	config := filepath.Join(dir, "prometheus.yaml")
	err := os.WriteFile(config, fmt.Appendf(nil, `
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [%q]
scrape_configs:
  - job_name: podinfo
    static_configs:
      - targets: [%q]
        labels:
          {namespace: default, pod: podinfo, container: podinfod, kubernetes_namespace: default, kubernetes_pod_name: podinfo-7d5f8c9b4-x2x9k}
`, rules, target), 0o644)
	if err != nil {
		t.Fatal(err)
	}
	p := prometheus{freeAddr(t)}
	start(t, "prometheus", "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+p.addr, "--log.level=error")
	await(t, "http://"+p.addr+"/-/ready")
	return p
}

// finds reports whether a query returns a series.
func (p prometheus) finds(ctx context.Context, query string) (bool, error) {
	values, err := p.values(ctx, query)
	return len(values) > 0, err
}

// values returns the values of the series that a query returns.
func (p prometheus) values(ctx context.Context, query string) (values []float64, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.addr+"/api/v1/query?"+url.Values{"query": {query}}.Encode(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var answer struct {
		Error string
		Data  struct{ Result []struct{ Value [2]any } }
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return nil, err
	}
	if answer.Error != "" {
		return nil, fmt.Errorf("%s", answer.Error)
	}
	for _, r := range answer.Data.Result {
		v, err := strconv.ParseFloat(fmt.Sprint(r.Value[1]), 64)
		if err != nil {
			return nil, err
		}
		values = append(values, v)
	}
	return values, nil
}

// start runs a program until the test ends.
func start(t *testing.T, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v: run hack/deps to install it", err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
}

// pause is the time between two attempts to reach a program that has no other
// signal for being ready.
const pause = 250 * time.Millisecond

// await waits until a server responds with 200.
func await(t *testing.T, url string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for tick := time.Tick(pause); ; <-tick {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		if ctx.Err() != nil {
			t.Fatalf("%s: %v", url, err)
		}
	}
}

func drain(t *testing.T) func(*http.Response, error) {
	return func(resp *http.Response, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func port(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return port
}

package kustomize_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/seed-4591fe7d/podinfo/hack/packaging/packagingtest"
)

const monitoring = root + "/components/monitoring/"

// alerts are the rules of the PrometheusRule, in a file that Prometheus loads.
type alerts struct {
	file   string
	Groups []struct {
		Rules []rule
	}
}

type rule struct {
	Alert, Record, Expr string
	Labels, Annotations map[string]string
}

// readAlerts writes the rules to dir, after edit has changed their text.
func readAlerts(t *testing.T, dir string, edit func(string) string) alerts {
	t.Helper()
	var object struct{ Spec map[string]any }
	if err := yaml.Unmarshal([]byte(edit(packagingtest.Read(t, monitoring+"alerts.yaml"))), &object); err != nil {
		t.Fatal(err)
	}
	a := alerts{file: filepath.Join(dir, "alerts.yaml")}
	data, err := yaml.Marshal(object.Spec)
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

func unchanged(text string) string { return text }

// rules returns the rules that alert and those that record, by name.
func (a alerts) rules() (alerting, recording map[string]rule) {
	alerting, recording = map[string]rule{}, map[string]rule{}
	for _, g := range a.Groups {
		for _, r := range g.Rules {
			if r.Alert != "" {
				alerting[r.Alert] = r
			} else {
				recording[r.Record+" "+r.Labels["slo"]] = r
			}
		}
	}
	return alerting, recording
}

// promtoolTest is a file for "promtool test rules".
type promtoolTest struct {
	RuleFiles          []string `json:"rule_files"`
	EvaluationInterval string   `json:"evaluation_interval"`
	Tests              []struct {
		Name        string              `json:"name"`
		Interval    string              `json:"interval"`
		InputSeries []map[string]string `json:"input_series"`
		AlertTests  []struct {
			Name     string          `json:"alertname"`
			At       string          `json:"eval_time"`
			Expected []expectedAlert `json:"exp_alerts,omitempty"`
		} `json:"alert_rule_test"`
	} `json:"tests"`
}

type expectedAlert struct {
	Labels      map[string]string `json:"exp_labels"`
	Annotations map[string]string `json:"exp_annotations"`
}

// TestAlerts lets promtool lint the rules and test them on made-up series. Each alert
// has to fire and to resolve.
func TestAlerts(t *testing.T) {
	dir := t.TempDir()
	rules := readAlerts(t, dir, unchanged)
	alerting, _ := rules.rules()
	promtool(t, "", "check", "rules", "--lint-fatal", rules.file)
	resolved := map[string]bool{}
	for _, name := range []string{"alerts_test.yaml", "slo_test.yaml"} {
		var cases promtoolTest
		if err := yaml.UnmarshalStrict([]byte(packagingtest.Read(t, "testdata/promtool/"+name)), &cases); err != nil {
			t.Fatal(err)
		}
		for _, test := range cases.Tests {
			firing := map[string]time.Duration{} // by alert and labels
			for _, at := range test.AlertTests {
				when, err := time.ParseDuration(at.At)
				if err != nil {
					t.Fatal(err)
				}
				var now []string
				for _, e := range at.Expected {
					for _, key := range []string{"description", "runbook_url"} { // the same for all series
						e.Annotations[key] = alerting[at.Name].Annotations[key]
					}
					now = append(now, fmt.Sprint(at.Name, e.Labels))
				}
				for series, since := range firing {
					if strings.HasPrefix(series, at.Name+"map[") && when > since && !slices.Contains(now, series) {
						resolved[at.Name] = true
					}
				}
				for _, series := range now {
					firing[series] = when
				}
			}
		}
		text, err := yaml.Marshal(cases)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, text, 0o644); err != nil {
			t.Fatal(err)
		}
		promtool(t, "", "test", "rules", file)
	}
	for name := range alerting {
		if !resolved[name] {
			t.Errorf("no test in testdata/promtool in which %s fires and then resolves", name)
		}
	}
}

// promtool runs promtool and reports an error if it exits with another code than 0.
func promtool(t *testing.T, input string, args ...string) {
	t.Helper()
	cmd := exec.Command("promtool", args...)
	cmd.Stdin = strings.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", args, err, out)
	}
}

// TestRunbooks: each alert names its section of docs/runbooks.md, and each section
// has an alert.
func TestRunbooks(t *testing.T) {
	sections := map[string]bool{}
	for line := range strings.Lines(packagingtest.Read(t, packagingtest.Root+"/docs/runbooks.md")) {
		if name, ok := strings.CutPrefix(line, "## Podinfo"); ok {
			sections["Podinfo"+strings.TrimSpace(name)] = true
		}
	}
	alerting, _ := readAlerts(t, t.TempDir(), unchanged).rules()
	for name, r := range alerting {
		if url := "https://github.com/seed-4591fe7d/podinfo/blob/main/docs/runbooks.md#" + strings.ToLower(name); r.Annotations["runbook_url"] != url || !sections[name] {
			t.Errorf("%s: runbook_url %q, want %s and a section of that name", name, r.Annotations["runbook_url"], url)
		}
		if r.Annotations["description"] == "" || r.Annotations["summary"] == "" {
			t.Errorf("%s has no summary or no description", name)
		}
		delete(sections, name)
	}
	for name := range sections {
		t.Errorf("docs/runbooks.md has a section for %s, which is no alert", name)
	}
}

// TestMetricsPages lets promtool lint the pages of both ports, with every module that
// has metrics.
func TestMetricsPages(t *testing.T) {
	server := startPodinfo(t, "--random-error", "--pprof-enabled", "--otel-service-name=podinfo", "--cache-server=tcp://127.0.0.1:1", "--faults-file="+cuts(t))
	server.use(t)
	for _, addr := range []string{server.http, server.metrics} {
		page := get(t, "http://"+addr+"/metrics")
		for _, want := range []string{"http_request_duration_seconds", "grpc_server_msg_sent_total", "podinfo_fault_file_good", "podinfo_otel_dropped_total", "podinfo_cache_up"} {
			if !strings.Contains(page, "# HELP "+want+" ") {
				t.Errorf("%s: no help for %s", addr, want)
			}
		}
		promtool(t, page, "check", "metrics")
	}
}

// cuts writes a scenario that leaves requests to /api/info without a response.
func cuts(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "scenario.yaml")
	if err := os.WriteFile(file, []byte(`rules:
- { name: cuts, match: { path: /api/info }, fault: { empty: true } }
- { name: holds, match: { path: /env }, fault: { hang: true } }
- { name: slow, match: { path: /headers }, delay: 10ms }
`), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestExemplars lets Prometheus scrape OpenMetrics with exemplars.
func TestExemplars(t *testing.T) {
	server := startPodinfo(t, "--otel-service-name=podinfo")
	prometheus := startPrometheus(t, t.TempDir(), "", server.metrics, "1s")
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+server.http+"/version", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Traceparent", "00-"+trace+"-00f067aa0ba902b7-01")
	drain(t)(http.DefaultClient.Do(req))
	for _, series := range []string{`http_request_duration_seconds_bucket{path="version"}`, `http_requests_total{status="200"}`} {
		eventually(t, func() string {
			query := url.Values{"query": {series}, "start": {fmt.Sprint(time.Now().Add(-time.Hour).Unix())}, "end": {fmt.Sprint(time.Now().Add(time.Minute).Unix())}}
			var found []struct {
				Exemplars []struct{ Labels map[string]string }
			}
			if err := prometheus.get(t.Context(), "query_exemplars?"+query.Encode(), &found); err != nil {
				t.Fatal(err)
			}
			if len(found) == 1 && len(found[0].Exemplars) == 1 && found[0].Exemplars[0].Labels["trace_id"] == trace && len(found[0].Exemplars[0].Labels["span_id"]) == 16 {
				return ""
			}
			return fmt.Sprintf("exemplars of %s: %v", series, found)
		})
	}
	var targets struct {
		ActiveTargets []struct{ Health, LastError string }
	}
	if err := prometheus.get(t.Context(), "targets", &targets); err != nil {
		t.Fatal(err)
	}
	if len(targets.ActiveTargets) != 1 || targets.ActiveTargets[0].Health != "up" || targets.ActiveTargets[0].LastError != "" {
		t.Errorf("%+v", targets)
	}
}

// TestQueries lets Prometheus scrape podinfo. Each query of the dashboard has to
// return data, and so has each rule's, without the thresholds.
func TestQueries(t *testing.T) {
	dir := t.TempDir()
	server := startPodinfo(t, "--random-error", "--faults-file="+cuts(t), "--faults-max-held=1")
	held, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+server.http+"/env", nil)
	if err != nil {
		t.Fatal(err)
	}
	go http.DefaultClient.Do(held) // takes the only slot until the end of the test
	rules := readAlerts(t, dir, unchanged)
	prometheus := startPrometheus(t, dir, rules.file, server.metrics, "1s")
	open := queries(t)
	alerting, recording := rules.rules()
	for _, some := range []map[string]rule{alerting, recording} {
		for name, r := range some {
			open[name] = regexp.MustCompile(`\s[=<>]+ [\d.]+`).ReplaceAllString(r.Expr, "")
		}
	}
	eventually(t, func() string {
		server.use(t)
		for name, query := range open {
			if prometheus.finds(t, query) {
				delete(open, name)
			}
		}
		firing := prometheus.finds(t, `ALERTS{alertname="PodinfoFaults", alertstate="firing"}`)
		if len(open) == 0 && firing {
			return ""
		}
		return fmt.Sprintf("PodinfoFaults is firing: %t; queries without data: %q", firing, open)
	})
}

// TestAlertsForReal lets Prometheus scrape a podinfo that fails and recovers, with the
// windows of the rules scaled down: five minutes take two seconds.
func TestAlertsForReal(t *testing.T) {
	dir := t.TempDir()
	rules := readAlerts(t, dir, func(text string) string {
		return regexp.MustCompile(`(\[|for: )(\d+)([mhd])`).ReplaceAllStringFunc(text, func(window string) string {
			start := strings.IndexAny(window, "0123456789")
			d, err := time.ParseDuration(strings.Replace(window[start:], "3d", "72h", 1))
			if err != nil {
				t.Fatal(err)
			}
			return fmt.Sprintf("%s%dms", window[:start], (d / 150).Milliseconds())
		})
	})
	server := startPodinfo(t)
	prometheus := startPrometheus(t, dir, rules.file, server.metrics, "250ms")
	wait := func(firing bool) {
		eventually(t, func() string {
			drain(t)(http.Get("http://" + server.http + "/version"))
			var wrong []string
			for _, name := range []string{"PodinfoErrorBudgetFast", "PodinfoErrors"} {
				if prometheus.finds(t, fmt.Sprintf(`ALERTS{alertname=%q, alertstate="firing"}`, name)) != firing {
					wrong = append(wrong, name)
				}
			}
			if len(wrong) == 0 {
				return ""
			}
			return fmt.Sprintf("firing is not %t: %v", firing, wrong)
		})
	}
	wait(false)
	drain(t)(http.Post("http://"+server.http+"/fault_injection/enable", "", nil))
	wait(true)
	drain(t)(http.Post("http://"+server.http+"/fault_injection/disable", "", nil))
	wait(false)
}

// queries returns the queries of the dashboard by panel, for any namespace and
// job.
func queries(t *testing.T) map[string]string {
	t.Helper()
	var dashboard struct {
		Panels []struct {
			Type, Title, Description string
			Targets                  []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(packagingtest.Read(t, monitoring+"podinfo.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	of := map[string]string{}
	fill := strings.NewReplacer("$namespace", ".*", "$job", ".*", "$__rate_interval", "10s")
	for _, p := range dashboard.Panels {
		if p.Type != "row" && p.Description == "" {
			t.Errorf("the panel %q has no description", p.Title)
		}
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
	for _, path := range []string{"/version", "/status/500", "/cache/a", "/headers"} {
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

func startPrometheus(t *testing.T, dir, rules, target, interval string) prometheus {
	t.Helper()
	config := filepath.Join(dir, "prometheus.yaml")
	err := os.WriteFile(config, fmt.Appendf(nil, `
global: {scrape_interval: %s, evaluation_interval: %[1]s}
rule_files: [%[2]q]
scrape_configs:
  - job_name: podinfo
    static_configs:
      - targets: [%[3]q]
        labels:
          {namespace: default, pod: podinfo, container: podinfod, kubernetes_namespace: default, kubernetes_pod_name: podinfo-7d5f8c9b4-x2x9k}
`, interval, rules, target), 0o644)
	if err != nil {
		t.Fatal(err)
	}
	p := prometheus{freeAddr(t)}
	start(t, "prometheus", "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+p.addr, "--enable-feature=exemplar-storage", "--log.level=error")
	await(t, "http://"+p.addr+"/-/ready")
	return p
}

// finds reports whether a query returns a series that has a value.
func (p prometheus) finds(t *testing.T, query string) bool {
	t.Helper()
	values, err := p.values(t.Context(), query)
	if err != nil {
		t.Fatalf("%v\n%s", err, query)
	}
	return slices.ContainsFunc(values, func(v float64) bool { return !math.IsNaN(v) })
}

// values returns the values of the series that a query returns.
func (p prometheus) values(ctx context.Context, query string) (values []float64, err error) {
	var data struct {
		Result []struct{ Value [2]any }
	}
	if err := p.get(ctx, "query?"+url.Values{"query": {query}}.Encode(), &data); err != nil {
		return nil, err
	}
	for _, r := range data.Result {
		v, err := strconv.ParseFloat(fmt.Sprint(r.Value[1]), 64)
		if err != nil {
			return nil, err
		}
		values = append(values, v)
	}
	return values, nil
}

// get reads data from Prometheus's API.
func (p prometheus) get(ctx context.Context, path string, data any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.addr+"/api/v1/"+path, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer := struct {
		Error string
		Data  any
	}{Data: data}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return err
	}
	if answer.Error != "" {
		return errors.New(answer.Error)
	}
	return nil
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

// eventually calls f until it returns "", which is what is still wrong.
func eventually(t *testing.T, f func() (wrong string)) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for tick := time.Tick(pause); ; <-tick {
		wrong := f()
		if wrong == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(wrong)
		}
	}
}

// await waits until a server responds with 200.
func await(t *testing.T, url string) {
	t.Helper()
	eventually(t, func() string {
		resp, err := http.Get(url)
		if err != nil {
			return err.Error()
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return url + ": " + resp.Status
		}
		return ""
	})
}

// get returns the body of a response.
func get(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
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

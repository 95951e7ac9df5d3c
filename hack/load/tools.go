package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

// tool is a load generator: its command line, and how to read its report.
type tool struct {
	name, program string
	args          func(c config) []string
	parse         func(out string) (report, error)
}

// report is what a tool says.
type report struct {
	requests      float64
	p50, p99, max time.Duration
}

func tools() []tool {
	return []tool{
		{"podcli load", "podcli", func(c config) []string { return c.podcli(c.web, "--connections", c.n()) }, parsePodcli},
		{"wrk2", "wrk2", func(c config) []string {
			return []string{"-t1", "-c" + c.n(), "-R" + c.r(), "-d" + strconv.Itoa(int(c.duration.Seconds())), "--latency", c.web}
		}, parseWrk2},
		{"hey", "hey", func(c config) []string {
			return []string{"-c", c.n(), "-q", fmt.Sprint(c.rate / c.connections), "-z", c.duration.String(), c.web}
		}, parseHey},
		{"k6, as many VUs as connections", "k6", func(c config) []string { return c.k6(c.connections) }, parseK6},
		{"k6, 300 VUs", "k6", func(c config) []string { return c.k6(300) }, parseK6},
		{"podcli load --http2, 1 connection of streams", "podcli", func(c config) []string { return c.podcli(c.web, "--http2", "--connections=1", "--streams", c.n()) }, parsePodcli},
		{"podcli load --grpc echo", "podcli", func(c config) []string {
			return c.podcli(c.calls, "--grpc=echo", "--body=hello", "--connections", c.n())
		}, parsePodcli},
		{"ghz", "ghz", func(c config) []string { return c.ghz() }, parseGhz},
		{"ghz --async", "ghz", func(c config) []string { return c.ghz("--async") }, parseGhz},
	}
}

func (c config) podcli(address string, args ...string) []string {
	return append([]string{"load", address, "--rate", c.r(), "--duration", c.duration.String(), "--output=json"}, args...)
}

func (c config) ghz(args ...string) []string {
	return append([]string{
		"--insecure", "--proto", filepath.Join(c.root, "endpoints/echo/echopb/echo.proto"), "--call", "echo.EchoService/Echo",
		"-d", `{"body":"hello"}`, "-c", c.n(), "--connections", c.n(), "--rps", c.r(), "-z", c.duration.String(), "-O", "json", c.calls,
	}, args...)
}

// k6 starts iterations at the asked rate while one of its virtual users is free.
func (c config) k6(users int) []string {
	script := filepath.Join(c.temp, "script.js")
	text := fmt.Sprintf(`import http from "k6/http";
export const options = { discardResponseBodies: true, summaryTrendStats: ["med", "p(99)", "max"], scenarios: { s: {
  executor: "constant-arrival-rate", rate: %d, timeUnit: "1s", duration: "%s", preAllocatedVUs: %d } } };
export default function () { http.get("%s"); }
export function handleSummary(data) { return { stdout: JSON.stringify(data.metrics) }; }
`, c.rate, c.duration, users, c.web)
	if err := os.WriteFile(script, []byte(text), 0o600); err != nil {
		panic(err) // the temporary directory is ours
	}
	return []string{"run", "--quiet", "--no-usage-report", "--address=", script}
}

func parsePodcli(out string) (report, error) {
	var r struct {
		Sent    float64
		Latency struct {
			Max       float64
			Quantiles map[string]float64
		}
	}
	err := json.Unmarshal([]byte(out), &r)
	q := r.Latency.Quantiles
	return report{r.Sent, seconds(q["p50"]), seconds(q["p99"]), seconds(r.Latency.Max)}, err
}

func parseK6(out string) (report, error) {
	var r map[string]struct{ Values map[string]float64 }
	err := json.Unmarshal([]byte(out), &r)
	d := r["http_req_duration"].Values // in milliseconds
	return report{r["http_reqs"].Values["count"], seconds(d["med"] / 1000), seconds(d["p(99)"] / 1000), seconds(d["max"] / 1000)}, err
}

func parseGhz(out string) (report, error) {
	var r struct {
		Count        float64
		Slowest      float64
		Distribution []struct{ Percentage, Latency float64 } `json:"latencyDistribution"`
	}
	err := json.Unmarshal([]byte(out), &r)
	got := report{requests: r.Count, max: time.Duration(r.Slowest)}
	for _, d := range r.Distribution {
		switch d.Percentage {
		case 50:
			got.p50 = time.Duration(d.Latency)
		case 99:
			got.p99 = time.Duration(d.Latency)
		}
	}
	return got, err
}

func parseWrk2(out string) (report, error) {
	n, err0 := number(out, `(\d+) requests in`)
	p50, err1 := duration(out, `50\.000%\s+([\d.]+)(us|ms|s)`)
	p99, err2 := duration(out, `99\.000%\s+([\d.]+)(us|ms|s)`)
	last, err3 := duration(out, `100\.000%\s+([\d.]+)(us|ms|s)`)
	return report{n, p50, p99, last}, errors.Join(err0, err1, err2, err3)
}

func parseHey(out string) (report, error) {
	n, err0 := number(out, `\[200\]\s+(\d+) responses`)
	p50, err1 := number(out, `50%+ in ([\d.]+) secs`)
	p99, err2 := number(out, `99%+ in ([\d.]+) secs`)
	last, err3 := number(out, `Slowest:\s+([\d.]+) secs`)
	return report{n, seconds(p50), seconds(p99), seconds(last)}, errors.Join(err0, err1, err2, err3)
}

func number(out, pattern string) (float64, error) {
	m := regexp.MustCompile(pattern).FindStringSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("no %s in the output: %s", pattern, out)
	}
	return strconv.ParseFloat(m[1], 64)
}

func duration(out, pattern string) (time.Duration, error) {
	m := regexp.MustCompile(pattern).FindStringSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("no %s in the output: %s", pattern, out)
	}
	return time.ParseDuration(m[1] + m[2])
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

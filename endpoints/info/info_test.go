package info_test

import (
	"encoding/json"
	"net/http/httptest"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/seed-4591fe7d/podinfo/endpoints/info"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/registry/reply"
)

const upstreamLogo = "https://raw.githubusercontent.com/stefanprodan/podinfo/gh-pages/cuddle_clap.gif"

func TestReply(t *testing.T) {
	hostname, _ := os.Hostname()
	m := new(info.Module)
	s := registrytest.Serve(t, map[string]string{"PODINFO_UI_MESSAGE": `"num_goroutine": "<&>`}, m)
	want := info.Reply{
		Hostname: hostname, Version: "1.2.3", Revision: "abc", Color: "#34577c", Logo: upstreamLogo, Message: `"num_goroutine": "<&>`,
		GOOS: runtime.GOOS, GOARCH: runtime.GOARCH, Runtime: runtime.Version(), NumCPU: strconv.Itoa(runtime.NumCPU()),
	}
	for path, agent := range map[string]string{"/": "curl/8 Mozilla", "/api/info": "Mozilla/5.0"} {
		res, body := s.Call(t, "GET", path, "", "User-Agent", agent)
		var got info.Reply
		if err := json.Unmarshal([]byte(body), &got); err != nil || res.StatusCode != 200 {
			t.Errorf("%s: %d %v", path, res.StatusCode, err)
		}
		if varies := res.Header.Get("Vary") == "User-Agent, Accept"; varies != (path == "/") {
			t.Errorf("%s: %v", path, res.Header)
		}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(info.Reply{}, "NumGoroutine")); diff != "" {
			t.Error(path, diff)
		}
		if n, err := strconv.Atoi(got.NumGoroutine); err != nil || n < 1 {
			t.Errorf("num_goroutine is %q", got.NumGoroutine)
		}
		if whole, _ := reply.Encode(got); string(whole) != body {
			t.Errorf("%s: %q, want %q", path, body, whole)
		}
	}
	if diff := cmp.Diff(want, m.Runtime(), cmpopts.IgnoreFields(info.Reply{}, "NumGoroutine")); diff != "" || m.Runtime().NumGoroutine == "" {
		t.Error(diff)
	}
}

func TestDefaultMessage(t *testing.T) {
	m := new(info.Module)
	registrytest.New(t, nil, m)
	if got := m.Runtime().Message; got != "greetings from podinfo v1.2.3" {
		t.Error(got)
	}
}

func TestColor(t *testing.T) {
	const standard = "#34577c"
	for value, want := range map[string]string{"#abc": "#abc", "#A1B2C3": "#A1B2C3", "rebeccapurple": "rebeccapurple", " #fff\n": "#fff", "#12": standard, "#12345g": standard,
		"34577c": standard, "red;}": standard, "rgb(0,0,0)": standard, "</style>": standard} {
		m := new(info.Module)
		app, log := registrytest.New(t, map[string]string{"PODINFO_UI_COLOR": value}, m)
		warned := strings.Contains(log.String(), "PODINFO_UI_COLOR=") && len(app.Warnings()) == 1
		if m.Color != want || warned != (want == standard) {
			t.Errorf("%q: %q, want %q: %s", value, m.Color, want, log)
		}
	}
}

func BenchmarkInfo(b *testing.B) {
	app, _ := registrytest.New(b, nil, new(info.Module))
	r := httptest.NewRequest("GET", "/api/info", nil)
	b.ReportAllocs()
	for b.Loop() {
		app.ServeHTTP(httptest.NewRecorder(), r)
	}
}

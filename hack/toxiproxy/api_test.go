package toxiproxy

import (
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var ports = regexp.MustCompile(`127\.0\.0\.1:\d+`)

// send sends a request and returns the status with the JSON of the response, as far
// as clients read it.
func send(t *testing.T, api, method, path, body string) (int, any) {
	t.Helper()
	req, err := http.NewRequest(method, "http://"+api+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if len(b) > 0 {
		if err := json.Unmarshal([]byte(ports.ReplaceAllString(string(b), "127.0.0.1:PORT")), &v); err != nil {
			t.Fatalf("%s %s: %v: %s", method, path, err, b)
		}
	}
	return res.StatusCode, simplified(v)
}

// simplified removes what differs between builds of toxiproxy, the names of its Go
// types, and a field that it shows by accident.
func simplified(v any) any {
	switch x := v.(type) {
	case map[string]any:
		delete(x, "Logger")
		if _, ok := x["version"]; ok {
			x["version"] = "VERSION"
		}
		if text, ok := x["error"].(string); ok && strings.Contains(text, "json: cannot unmarshal") {
			x["error"] = "json: cannot unmarshal"
		}
		for _, inner := range x {
			simplified(inner)
		}
	case []any:
		for _, inner := range x {
			simplified(inner)
		}
	}
	return v
}

// The API responds like toxiproxy's to the same requests.
func TestAPIBesideToxiproxy(t *testing.T) {
	up := listener(t, echo)
	theirs, own := original(t), ours(t)
	for _, c := range []struct{ method, path, body string }{
		{"GET", "/version", ""},
		{"GET", "/proxies", ""},
		{"POST", "/proxies", ""},
		{"POST", "/proxies", "{"},
		{"POST", "/proxies", `{"name": 1}`},
		{"POST", "/proxies", `{"upstream": "a:1"}`},
		{"POST", "/proxies", `{"name": "redis"}`},
		{"POST", "/proxies", `{"name": "redis", "listen": "127.0.0.1:0", "upstream": "UP"}`},
		{"POST", "/proxies", `{"name": "redis", "listen": "127.0.0.1:0", "upstream": "UP"}`},
		{"POST", "/proxies", `{"name": "off", "listen": "127.0.0.1:0", "upstream": "UP", "enabled": false}`},
		{"GET", "/proxies", ""},
		{"GET", "/proxies/redis", ""},
		{"GET", "/proxies/nothing", ""},
		{"POST", "/proxies/nothing", "{}"},
		{"DELETE", "/proxies/nothing", ""},
		{"GET", "/proxies/nothing/toxics", ""},
		{"POST", "/proxies/redis", "["},
		{"POST", "/proxies/redis", `{"enabled": false}`},
		{"PATCH", "/proxies/redis", `{"enabled": true}`},
		{"PATCH", "/proxies/redis", `{"listen": "127.0.0.1:0"}`},
		{"GET", "/proxies/redis/toxics", ""},
		{"POST", "/proxies/redis/toxics", ""},
		{"POST", "/proxies/redis/toxics", `{"type": "latency", "stream": "sideways"}`},
		{"POST", "/proxies/redis/toxics", `{"type": "magic"}`},
		{"POST", "/proxies/redis/toxics", `{"type": "latency", "attributes": {"latency": "long"}}`},
		{"POST", "/proxies/redis/toxics", `{"type": "latency", "attributes": {"latency": 100}}`},
		{"POST", "/proxies/redis/toxics", `{"type": "latency", "attributes": {"latency": 100}}`},
		{"POST", "/proxies/redis/toxics", `{"name": "late", "type": "latency", "stream": "upstream", "toxicity": 0.3, "attributes": {"latency": 100, "jitter": 5}}`},
		{"POST", "/proxies/redis/toxics", `{"type": "bandwidth", "stream": "UPSTREAM", "attributes": {"rate": 100}}`},
		{"POST", "/proxies/redis/toxics", `{"type": "bandwidth", "attributes": {"rate": 100}}`},
		{"POST", "/proxies/redis/toxics", `{"type": "slow_close", "attributes": {"delay": 100}}`},
		{"POST", "/proxies/redis/toxics", `{"type": "timeout", "attributes": {"timeout": 100}}`},
		{"POST", "/proxies/redis/toxics", `{"type": "reset_peer", "attributes": {"timeout": 100}}`},
		{"POST", "/proxies/redis/toxics", `{"type": "slicer", "attributes": {"average_size": 10, "size_variation": 5, "delay": 10}}`},
		{"POST", "/proxies/redis/toxics", `{"type": "limit_data", "attributes": {"bytes": 10}}`},
		{"GET", "/proxies/redis", ""},
		{"GET", "/proxies/redis/toxics", ""},
		{"GET", "/proxies/redis/toxics/late", ""},
		{"GET", "/proxies/redis/toxics/nothing", ""},
		{"POST", "/proxies/redis/toxics/late", `{"attributes": {"jitter": 20}}`},
		{"PATCH", "/proxies/redis/toxics/late", `{"toxicity": 0.7}`},
		{"PATCH", "/proxies/redis/toxics/late", `{"attributes": {"jitter": "long"}}`},
		{"PATCH", "/proxies/redis/toxics/nothing", `{}`},
		{"GET", "/proxies/redis/toxics/late", ""},
		{"DELETE", "/proxies/redis/toxics/late", ""},
		{"DELETE", "/proxies/redis/toxics/late", ""},
		{"GET", "/proxies/redis/toxics", ""},
		{"POST", "/reset", ""},
		{"GET", "/proxies", ""},
		{"POST", "/populate", "{}"},
		{"POST", "/populate", `[{"upstream": "UP"}]`},
		{"POST", "/populate", `[{"name": "a"}]`},
		{"POST", "/populate", `[{"name": "a", "listen": "127.0.0.1:0", "upstream": "UP"}, {"name": "b", "listen": "127.0.0.1:0", "upstream": "UP", "enabled": false}]`},
		{"POST", "/populate", `[{"name": "a", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:1"}]`},
		{"POST", "/populate", `[{"name": "c", "listen": "nowhere", "upstream": "UP"}]`},
		{"POST", "/populate", `[]`},
		{"DELETE", "/proxies/a", ""},
		{"GET", "/proxies", ""},
	} {
		body := strings.ReplaceAll(c.body, "UP", up)
		wantCode, want := send(t, theirs, c.method, c.path, body)
		code, got := send(t, own, c.method, c.path, body)
		if diff := cmp.Diff(want, got); diff != "" || code != wantCode {
			t.Errorf("%s %s %s: %d, want %d: %s", c.method, c.path, c.body, code, wantCode, diff)
		}
	}
}

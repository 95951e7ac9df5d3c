package podinfotest_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	. "github.com/seed-4591fe7d/podinfo/podinfotest"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

func TestTCPProxy(t *testing.T) {
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }))
	defer target.Close()
	p := TCPProxy(t, target.Listener.Addr().String())
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	get := func() string {
		res, err := client.Get("http://" + p.Addr)
		if err != nil {
			return "error"
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			return "cut"
		}
		return string(b)
	}
	zero := 0
	p.Script(
		Empty(),
		OK(),
		Fault(scenario.Fault{Close: &scenario.TCPClose{Bytes: &zero}}).Times(2),
		Delay(time.Millisecond),
		Repeat())
	var got []string
	for range 7 {
		got = append(got, get())
	}
	if diff := cmp.Diff([]string{"error", "hello", "error", "error", "hello", "error", "hello"}, got); diff != "" {
		t.Error(diff)
	}
	ended := p.Ended(7)
	if len(ended[0].Rules) != 1 || !strings.HasPrefix(ended[0].Rules[0], "script1.1.empty") || ended[1].Out == 0 || ended[1].In == 0 || ended[0].Out != 0 {
		t.Errorf("%+v", ended)
	}

	p.Script(OK())
	c, err := net.Dial("tcp", p.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p.Scenario("rules: [{name: down, match: {tcp: proxy}, fault: {down: true}}]")
	if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Error(n, err)
	}
	if got := get(); got != "error" {
		t.Error(got)
	}
}

// A step that does not apply to connections fails the test.
func TestTCPProxyMisuse(t *testing.T) {
	for want, steps := range map[string][]Step{
		"step 2: 503 does not apply to TCP connections": {OK(), Fail(503, 1)},
		"no steps": nil,
		"step 1: 200 does not apply to TCP connections": {Reply(200, "x")},
	} {
		if got := listen(t, func(t testing.TB) { TCPProxy(t, "127.0.0.1:1").Script(steps...) }); !strings.Contains(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

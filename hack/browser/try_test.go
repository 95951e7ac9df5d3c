package browser

import (
	"encoding/json"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

type route struct{ Method, Path, Module, Summary, Body string }

// declaredRoutes returns the routes that the server says it serves.
func declaredRoutes(t *testing.T, s *server) (out []route) {
	t.Helper()
	res, err := http.Get(s.url + "/ui/model")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var model struct{ Routes []route }
	if err := json.NewDecoder(res.Body).Decode(&model); err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(model.Routes, func(r route) bool { return r.Module == "ui" && r.Summary == "" })
}

// TestTryEveryRoute submits the form of each route as it is. Any response of
// the server will do.
func TestTryEveryRoute(t *testing.T) {
	t.Parallel()
	s := start(t)
	p := openLoaded(t, s.url, desktop)
	p.allowFailures()
	routes := declaredRoutes(t, s)
	if n := eval[int](p, `document.querySelectorAll('#try form .field select')[0].options.length`); n != len(routes) || n < 35 {
		t.Fatalf("%d forms for %d routes", n, len(routes))
	}
	wildcard := regexp.MustCompile(`\{([a-zA-Z0-9_]+)(\.\.\.)?\}`)
	for i, r := range routes {
		if r.Path == "/panic" {
			continue
		}
		eval[bool](p, `{ const el = document.querySelector('#try select'); el.value = %s; el.dispatchEvent(new Event('change', { bubbles: true })); true }`, i)
		eval[bool](p, `document.querySelector('#try .reply').replaceChildren(), true`)
		for _, m := range wildcard.FindAllStringSubmatch(r.Path, -1) {
			field := `[...document.querySelectorAll('#try label')].find((l) => l.textContent === ` + "'" + m[1] + "'" + `).control`
			if eval[bool](p, field+`.required && `+field+`.value === ''`) {
				eval[bool](p, field+`.value = 'x', true`)
			}
		}
		if hasMethod := eval[bool](p, `!![...document.querySelectorAll('#try label')].find((l) => l.textContent === 'Method')`); hasMethod != (r.Method == "") {
			t.Errorf("%s %s: has a method field: %v", r.Method, r.Path, hasMethod)
		}
		if hint := p.text("#try .inputs"); r.Body != "" && !strings.Contains(hint, r.Body) {
			t.Errorf("%s %s: the hint on the body is missing in %q", r.Method, r.Path, hint)
		}
		p.click("#try form > .row button:not([type])")
		p.waitFor(`/^\d\d\d /.test(document.querySelector('#try .reply .status')?.textContent)`)
		if strings.HasPrefix(p.text("#try .reply .status"), "404") && !strings.Contains(r.Path, "{") {
			t.Errorf("%s %s: %s", r.Method, r.Path, p.text("#try .reply"))
		}
	}
}

// TestTry checks the response, and that the curl command gets the same one.
func TestTry(t *testing.T) {
	t.Parallel()
	s := start(t, "PODINFO_PREFIX=/foo")
	p := openLoaded(t, s.url+"/foo", desktop)
	p.allowFailures()
	send := func() { p.click("#try form > .row button:not([type])") }
	curl := func() string {
		out, err := exec.Command("sh", "-c", strings.Replace(p.text("#try .command"), "curl ", "curl -s ", 1)).Output()
		if err != nil {
			t.Fatal(err, p.text("#try .command"))
		}
		return string(out)
	}
	const body = `it's "quoted" & <b>strange</b> $HOME`
	p.selectOption("#try select", "any /api/echo –")
	p.typeInto("#try .inputs textarea", body)
	send()
	p.waitText("#try .status", "202 Accepted")
	p.waitFor(`document.querySelector('#try .body').textContent === %s`, body)
	p.waitFor(`/in [\d.]+ (m|µ)?s, first byte after [\d.]+ (m|µ)?s, 36 B/.test(document.querySelector('#try .status').textContent)`)
	if got := curl(); !strings.Contains(got, " 202 Accepted") || !strings.HasSuffix(got, body) {
		t.Errorf("curl printed %s", got)
	}

	p.selectOption("#try select", "GET /status/{code}")
	p.typeInto("#try .inputs input", "418")
	send()
	p.waitText("#try .status", "418 I'm a teapot")
	if got := curl(); !strings.HasPrefix(got, "HTTP/1.1 418") {
		t.Errorf("curl printed %s", got)
	}

	p.selectOption("#try select", "POST /headers")
	p.typeInto("#try .field:last-child textarea", "X-Demo: one: two\nX-Other: 3")
	send()
	p.waitText("#try .body", "one: two")
	if got := curl(); !strings.Contains(got, "one: two") {
		t.Errorf("curl printed %s", got)
	}

	p.selectOption("#try select", "GET /delay/{seconds}")
	p.typeInto("#try .inputs input", "1h")
	send()
	p.click("#try form > .row button:nth-child(2)")
	p.waitText("#try .status", "Cancelled after")
}

// TestTryPanic checks that the page terminates the process only after a
// confirmation.
func TestTryPanic(t *testing.T) {
	t.Parallel()
	s := start(t)
	p := openLoaded(t, s.url, desktop)
	p.allowFailures()
	p.selectOption("#try select", "GET /panic")
	p.click("#try form > .row button:not([type])")
	p.waitText("#try .refused", "Press again")
	if got := s.status(t, "/version"); got != http.StatusOK {
		t.Fatalf("status of /version: %d", got)
	}
	p.click("#try form > .row button:not([type])")
	select {
	case <-s.ended:
		if code := s.cmd.ProcessState.ExitCode(); code != 255 {
			t.Errorf("exit code %d", code)
		}
	case <-time.After(timeout):
		t.Fatal("the process is still running")
	}
	p.waitText("#try .status", "No response")
}

// TestToken gets a token, validates it, and validates an invalid one.
func TestToken(t *testing.T) {
	t.Parallel()
	p := openLoaded(t, start(t).url, desktop)
	p.allowFailures()
	p.typeInto("#token input", "søren")
	p.click("#token form:first-child button")
	p.waitText("#token .status", "Issued, valid until")
	p.waitText("#token pre", `"name": "søren"`)
	p.click("#token form:nth-child(2) button")
	p.waitText("#token .status", "Valid: søren, until")
	eval[bool](p, `{ const el = document.querySelector('#token textarea'); el.value = el.value.slice(0, -6) + 'AAAAAA'; true }`)
	p.click("#token form:nth-child(2) button")
	p.waitText("#token .status", "401")
}

// TestConsole uses the WebSocket panel below a prefix and through a proxy.
func TestConsole(t *testing.T) {
	t.Parallel()
	s := start(t, "PODINFO_PREFIX=/foo", "PODINFO_WS_ECHO_STATUS_INTERVAL=200ms")
	p := openLoaded(t, newProxy(t, "/demo", s).URL+"/demo/foo", desktop)
	p.click("#console form button")
	p.waitText("#console .note", "connected")
	p.typeInto("#console input", "<i>hello</i>")
	p.click("#console form button:not([type])")
	p.waitText("#console .out", "<i>hello</i>")
	p.waitText("#console .in", "hello")
	p.waitText("#console .status", "server")
	p.click("#console form button")
	p.waitText("#console .log :last-child", "closed, code 1000")
	p.waitFor(`document.querySelector('#console form button:not([type])').disabled`)
}

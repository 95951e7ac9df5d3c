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

// declared returns the routes that the server declares.
func declared(t *testing.T, s *server) (out []route) {
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

// TestTryEveryRoute sends each form unchanged, and accepts any response of the server.
func TestTryEveryRoute(t *testing.T) {
	t.Parallel()
	s := start(t)
	p := shown(t, s.url, desktop)
	p.mayFail()
	routes := declared(t, s)
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
			t.Errorf("%s %s: the method can be chosen: %v", r.Method, r.Path, hasMethod)
		}
		if hint := p.text("#try .inputs"); r.Body != "" && !strings.Contains(hint, r.Body) {
			t.Errorf("%s %s: no body in %q", r.Method, r.Path, hint)
		}
		p.click("#try form > .row button:not([type])")
		p.until(`/^\d\d\d /.test(document.querySelector('#try .reply .status')?.textContent)`)
		if strings.HasPrefix(p.text("#try .reply .status"), "404") && !strings.Contains(r.Path, "{") {
			t.Errorf("%s %s: %s", r.Method, r.Path, p.text("#try .reply"))
		}
	}
}

// TestTry: the page shows the response and an equivalent curl command.
func TestTry(t *testing.T) {
	t.Parallel()
	s := start(t, "PODINFO_PREFIX=/foo")
	p := shown(t, s.url+"/foo", desktop)
	p.mayFail()
	send := func() { p.click("#try form > .row button:not([type])") }
	curl := func() string {
		out, err := exec.Command("sh", "-c", strings.Replace(p.text("#try .command"), "curl ", "curl -s ", 1)).Output()
		if err != nil {
			t.Fatal(err, p.text("#try .command"))
		}
		return string(out)
	}
	const body = `it's "quoted" & <b>strange</b> $HOME`
	p.choose("#try select", "any /api/echo –")
	p.enter("#try .inputs textarea", body)
	send()
	p.sees("#try .status", "202 Accepted")
	p.until(`document.querySelector('#try .body').textContent === %s`, body)
	p.until(`/in [\d.]+ (m|µ)?s, first byte after [\d.]+ (m|µ)?s, 36 B/.test(document.querySelector('#try .status').textContent)`)
	if got := curl(); !strings.Contains(got, " 202 Accepted") || !strings.HasSuffix(got, body) {
		t.Errorf("curl says %s", got)
	}

	p.choose("#try select", "GET /status/{code}")
	p.enter("#try .inputs input", "418")
	send()
	p.sees("#try .status", "418 I'm a teapot")
	if got := curl(); !strings.HasPrefix(got, "HTTP/1.1 418") {
		t.Errorf("curl says %s", got)
	}

	p.choose("#try select", "POST /headers")
	p.enter("#try .field:last-child textarea", "X-Demo: one: two\nX-Other: 3")
	send()
	p.sees("#try .body", "one: two")
	if got := curl(); !strings.Contains(got, "one: two") {
		t.Errorf("curl says %s", got)
	}

	p.choose("#try select", "GET /delay/{wait}")
	p.enter("#try .inputs input", "1h")
	send()
	p.click("#try form > .row button:nth-child(2)")
	p.sees("#try .status", "Cancelled after")
}

// TestTryPanic: the form asks for confirmation before it ends the process.
func TestTryPanic(t *testing.T) {
	t.Parallel()
	s := start(t)
	p := shown(t, s.url, desktop)
	p.mayFail()
	p.choose("#try select", "GET /panic")
	p.click("#try form > .row button:not([type])")
	p.sees("#try .refused", "Press again")
	if got := s.status(t, "/version"); got != http.StatusOK {
		t.Fatalf("/version returns %d", got)
	}
	p.click("#try form > .row button:not([type])")
	select {
	case <-s.ended:
		if code := s.cmd.ProcessState.ExitCode(); code != 255 {
			t.Errorf("exited with %d", code)
		}
	case <-time.After(patience):
		t.Fatal("still running")
	}
	p.sees("#try .status", "No answer")
}

// TestToken: the page issues and validates a token, and rejects an invalid one.
func TestToken(t *testing.T) {
	t.Parallel()
	p := shown(t, start(t).url, desktop)
	p.mayFail()
	p.enter("#token input", "søren")
	p.click("#token form:first-child button")
	p.sees("#token .status", "Issued, good until")
	p.sees("#token pre", `"name": "søren"`)
	p.click("#token form:nth-child(2) button")
	p.sees("#token .status", "Valid: søren, until")
	eval[bool](p, `{ const el = document.querySelector('#token textarea'); el.value = el.value.slice(0, -6) + 'AAAAAA'; true }`)
	p.click("#token form:nth-child(2) button")
	p.sees("#token .status", "401")
}

// TestConsole uses the WebSocket console below a prefix and through a proxy.
func TestConsole(t *testing.T) {
	t.Parallel()
	s := start(t, "PODINFO_PREFIX=/foo", "PODINFO_WS_ECHO_STATUS_INTERVAL=200ms")
	p := shown(t, newProxy(t, "/demo", s).URL+"/demo/foo", desktop)
	p.click("#console form button")
	p.sees("#console .note", "connected")
	p.enter("#console input", "<i>hello</i>")
	p.click("#console form button:not([type])")
	p.sees("#console .out", "<i>hello</i>")
	p.sees("#console .in", "hello")
	p.sees("#console .status", "server")
	p.click("#console form button")
	p.sees("#console .log :last-child", "closed, code 1000")
	p.until(`document.querySelector('#console form button:not([type])').disabled`)
}

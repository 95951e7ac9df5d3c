package browser

import (
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestServerDies kills the server and starts it again. The page reports the
// failure, counts the failed requests and recovers by itself.
func TestServerDies(t *testing.T) {
	t.Parallel()
	s := start(t)
	p := openLoaded(t, s.url, phone)
	p.allowFailures()
	p.selectOption("#responses select", "10 per second")
	p.waitFor(`document.querySelector('.drawing').ariaValueMax > 1`)
	eval[bool](p, `document.querySelector('.drawing').focus(), true`)
	p.press(kb.Home) // selects a sample that the next server does not have
	p.waitFor(`document.querySelector('.when').textContent`)
	s.stop()
	p.waitText("#connection", "no connection")
	p.waitText("#banner", "is not responding")
	p.waitFor(`document.querySelector('.strip .lost')`)
	p.waitText("#responses table", "no response")
	p.waitText(".events", "requests are failing: no response")
	p.click(".ping button")
	p.waitText(".result", "No response")

	startAt(t, s.addr, release)
	p.waitText("#connection", "live")
	p.waitFor(`document.getElementById('banner').hidden`)
	p.waitText(".events", "requests succeed again")
	p.waitFor(`document.querySelector('.strip').lastElementChild.className !== 'lost'`)
	p.click(".ping button")
	p.waitText(".result", "Echoed in")
}

// TestProxyWithoutBackend stops the server behind a proxy, which then responds
// with 502 to every request. After that, an EventSource does not reconnect by
// itself.
func TestProxyWithoutBackend(t *testing.T) {
	t.Parallel()
	s := start(t)
	front := newProxy(t, "/demo", s)
	p := openLoaded(t, front.URL+"/demo/", desktop)
	p.allowFailures()
	s.stop()
	p.waitText("#connection", "no connection")
	p.waitText("#responses table", "error 502")
	p.waitText(".events", "requests are failing: error 502")
	startAt(t, s.addr, release)
	p.waitText("#connection", "live")
	p.waitText(".events", "requests succeed again")
}

// TestRollout checks that the page shows a rollout.
func TestRollout(t *testing.T) {
	t.Parallel()
	s := start(t)
	next := startAt(t, freeAddr(t), nextRelease, "PODINFO_UI_COLOR=gold", "PODINFO_UI_MESSAGE=the next one")
	front := newProxy(t, "", s)
	p := openLoaded(t, front.URL, desktop)
	p.selectOption("#responses select", "5 per second")
	front.target.Store(next)
	p.waitText(".events", "version 6.99.0 started responding")
	p.waitText("#responses table", "6.99.0")
	p.waitText("#responses table", "6.15.0") // still among the latest 200
	p.waitFor(`['6.15.0', '6.99.0'].every((v) => document.querySelector('.strip [data-version="' + v + '"]'))`)
	p.waitText("h1", "the next one")
	p.waitFor(`document.querySelector('pod-greeting').style.backgroundColor === 'rgb(255, 215, 0)'`)
	front.target.Store(s)
	p.waitText("h1", "greetings from podinfo v6.15.0")
}

// TestDraining checks that an open page does not delay a shutdown, and that the
// page finds the next server.
func TestDraining(t *testing.T) {
	t.Parallel()
	s := start(t)
	p := openLoaded(t, s.url, desktop)
	p.allowFailures()
	s.cmd.Process.Signal(syscall.SIGTERM)
	if <-s.ended; s.err != nil {
		t.Errorf("with an open page, the server exits with %v", s.err)
	}
	p.waitText("#connection", "no connection")
	startAt(t, s.addr, nextRelease)
	p.waitText("#connection", "live")
	p.waitText("#build", nextRelease)
	p.waitText(".events", "version 6.99.0 started responding")
}

// TestPing checks the ping through a backend.
func TestPing(t *testing.T) {
	t.Parallel()
	backend := start(t)
	p := openLoaded(t, start(t, "PODINFO_BACKEND_URL="+backend.url+"/echo").url, desktop)
	p.allowFailures()
	p.click(".ping button")
	p.waitText(".result", "Echoed by 1 backend in")
	backend.stop()
	p.click(".ping button")
	p.waitText(".result", "1 of 1 backend failed (backend "+backend.url)
}

// TestViewersLimit checks that a page beyond the limit has no live metrics, but
// everything else.
func TestViewersLimit(t *testing.T) {
	t.Parallel()
	s := start(t, "PODINFO_UI_MAX_VIEWERS=1")
	first := openLoaded(t, s.url, desktop)
	second := open(t, s.url, desktop)
	second.allowFailures()
	second.waitText("#chain .lead", "GET /version passes through")
	second.waitText("#responses table", "6.15.0")
	second.waitText("#connection", "no live metrics")
	second.waitText("#banner", "too many pages are open")
	first.must(chromedp.Do(first.ctx, chromedp.Navigate("about:blank")))
	second.waitText("#connection", "live")
}

// TestAdmin uses every control and checks its effect on the server.
func TestAdmin(t *testing.T) {
	t.Parallel()
	s := start(t, "PODINFO_UI_ADMIN=true", "PODINFO_RANDOM_DELAY_ENABLED=standby", "PODINFO_FAULTS_ENABLED=true")
	p := openLoaded(t, s.url, desktop)
	p.allowFailures()
	p.selectOption("#responses select", "10 per second")

	const random = `[aria-label='Module random-delay']`
	p.waitText(`#chain li:has(`+random+`)`, "standby")
	p.click(random)
	p.waitText("#chain .lead", "fault-injection, faults, random-delay and ends in version.")
	p.waitText(`#chain li:has(`+random+`)`, "on")
	p.waitFor(`document.activeElement.matches(%s)`, random) // the switch has kept the focus
	p.click(random)
	p.waitText("#chain .lead", "fault-injection, faults and ends in version.")

	// The routes of a module that is switched off disappear from the forms.
	p.selectOption("#chain select", "POST /token")
	p.click("[aria-label='Module token']")
	p.waitText("#token", "The token module is off.")
	p.waitFor(`![...document.querySelectorAll('#try option, #chain option')].some((o) => o.text.includes('/token'))`)
	p.waitFor(`document.activeElement.matches("[aria-label='Module token']")`)
	p.click("[aria-label='Module token']")
	p.waitText("#token", "Get a token")

	p.click("[aria-label='Readiness']")
	p.waitText("#faults", "Not ready")
	if got := s.status(t, "/readyz"); got != http.StatusServiceUnavailable {
		t.Errorf("status of /readyz: %d", got)
	}
	p.click("[aria-label='Readiness']")
	p.waitText("#faults", "Ready")
	if got := s.status(t, "/readyz"); got != http.StatusOK {
		t.Errorf("status of /readyz: %d", got)
	}

	p.click("[aria-label='Fault injection']")
	p.waitText("#faults", "every request fails with 500")
	p.waitText("#responses .lead", "error 500 from 6.15.0")
	p.waitFor(`document.querySelectorAll('.strip .error').length > 3`)
	p.click(".ping button")
	p.waitText(".result", "500 after")
	p.waitFor(`!document.querySelector('#live tbody tr td:nth-child(3)').textContent.match(/^(0|–)$/)`) // errors a second
	p.waitText("#connection", "live")
	p.click("[aria-label='Fault injection']")
	p.waitText(".events", "requests succeed again")

	p.typeInto("#faults .add input", "teapots")
	p.typeInto("#faults .add textarea", "match: {path: /version}\nfault: {status: 418}")
	p.click("#faults .add .row button")
	p.waitText("#faults tbody", "teapots")
	if got := s.status(t, "/version"); got != http.StatusTeapot {
		t.Errorf("status of /version: %d", got)
	}
	p.waitFor(`document.querySelector('#faults tbody td').textContent === '1'`)
	p.click("[aria-label='Pause all rules']")
	p.waitText("#faults", "no rule applies")
	if got := s.status(t, "/version"); got != http.StatusOK {
		t.Errorf("status of /version: %d", got)
	}
	p.typeInto("#faults .add input", "wrong")
	p.typeInto("#faults .add textarea", "fault: {status: 7}")
	p.click("#faults .add .row button")
	p.waitText("#faults .refused", "status")
	p.click("[aria-label='Remove rule teapots']")
	p.waitText("#faults", "No rules.")
}

// TestAdminToken checks that every change requires the admin token.
func TestAdminToken(t *testing.T) {
	t.Parallel()
	s := start(t, "PODINFO_UI_ADMIN=true", "PODINFO_UI_ADMIN_TOKEN=sesame")
	p := openLoaded(t, s.url, desktop)
	p.allowFailures()
	for _, token := range []string{"", "wrong"} {
		p.typeInto("#faults input[type=password]", token)
		p.click("[aria-label='Fault injection']")
		p.waitText("#faults .refused", "token is missing or wrong")
		if got := s.status(t, "/version"); got != http.StatusOK {
			t.Errorf("status of /version: %d", got)
		}
	}
	p.click("[aria-label='Module access-log']")
	p.waitText("#chain .refused", "token")
	p.typeInto("#faults input[type=password]", "sesame")
	p.click("[aria-label='Fault injection']")
	p.waitText("#faults", "every request fails with 500")
}

// TestReadOnly checks that the page has no switches by default and says how to
// enable them.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	s := start(t, "PODINFO_RANDOM_DELAY_ENABLED=standby", `PODINFO_FAULTS={"rules": [{"name": "late", "delay": "1ms"}]}`)
	p := openLoaded(t, s.url, desktop)
	p.waitText("#chain .note", "PODINFO_UI_ADMIN=true")
	p.waitText("#faults tbody", "late")
	p.waitFor(`Number(document.querySelector('#faults tbody td').textContent) > 0`) // the page's own requests
	if n := eval[int](p, `document.querySelectorAll('[role=switch], #faults button, #faults input').length`); n != 0 {
		t.Errorf("%d switches", n)
	}
	// The page also shows changes that were not made on the page.
	res, err := http.Post(s.url+"/readyz/disable", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	p.waitText("#faults", "Not ready")
}

// TestHidden checks that a hidden page sends no requests.
func TestHidden(t *testing.T) {
	t.Parallel()
	s := start(t)
	front := newProxy(t, "", s)
	p := openLoaded(t, front.URL, desktop)
	p.selectOption("#responses select", "10 per second")
	hide := func(hidden bool) {
		eval[bool](p, `Object.defineProperty(document, 'hidden', { value: %s, configurable: true }), document.dispatchEvent(new Event('visibilitychange')), true`, hidden)
	}
	hide(true)
	for began := time.Now(); front.open.Load() > 0; time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > timeout {
			t.Fatal("the hidden page still receives events")
		}
	}
	before := front.total.Load()
	time.Sleep(time.Second) // time for ten requests
	if n := front.total.Load() - before; n > 0 {
		t.Errorf("%d requests", n)
	}
	hide(false)
	for began := time.Now(); front.total.Load() < before+5; time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > timeout {
			t.Fatal("the visible page sends no requests")
		}
	}
	p.waitText("#connection", "live")
}

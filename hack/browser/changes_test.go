package browser

import (
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestServerDies: the page reports that the server is gone, counts the failed
// requests, and recovers without a reload when the server is back.
func TestServerDies(t *testing.T) {
	t.Parallel()
	s := start(t)
	p := shown(t, s.url, phone)
	p.mayFail()
	p.choose("#answers select", "10 a second")
	p.until(`document.querySelector('.drawing').ariaValueMax > 1`)
	eval[bool](p, `document.querySelector('.drawing').focus(), true`)
	p.press(kb.Home) // selects a point that the next server does not have
	p.until(`document.querySelector('.when').textContent`)
	s.stop()
	p.sees("#connection", "no connection")
	p.sees("#banner", "does not answer")
	p.until(`document.querySelector('.strip .lost')`)
	p.sees("#answers table", "no answer")
	p.sees(".news", "errors in a row: no answer")
	p.click(".ping button")
	p.sees(".result", "No answer")

	startAt(t, s.addr, release)
	p.sees("#connection", "live")
	p.until(`document.getElementById('banner').hidden`)
	p.sees(".news", "answers are good again")
	p.until(`document.querySelector('.strip').lastElementChild.className !== 'lost'`)
	p.click(".ping button")
	p.sees(".result", "Echoed in")
}

// TestProxyWithoutBackend: a proxy returns 502 for every request. A browser does not
// reopen an event stream after that.
func TestProxyWithoutBackend(t *testing.T) {
	t.Parallel()
	s := start(t)
	front := newProxy(t, "/demo", s)
	p := shown(t, front.URL+"/demo/", desktop)
	p.mayFail()
	s.stop()
	p.sees("#connection", "no connection")
	p.sees("#answers table", "error 502")
	p.sees(".news", "errors in a row: error 502")
	startAt(t, s.addr, release)
	p.sees("#connection", "live")
	p.sees(".news", "answers are good again")
}

// TestRollout: the page shows both versions while a rollout moves the traffic.
func TestRollout(t *testing.T) {
	t.Parallel()
	s := start(t)
	next := startAt(t, freeAddr(t), nextRelease, "PODINFO_UI_COLOR=gold", "PODINFO_UI_MESSAGE=the next one")
	front := newProxy(t, "", s)
	p := shown(t, front.URL, desktop)
	p.choose("#answers select", "5 a second")
	front.target.Store(next)
	p.sees(".news", "version 6.99.0 began to answer")
	p.sees("#answers table", "6.99.0")
	p.sees("#answers table", "6.15.0") // still among the last 200
	p.until(`document.querySelector('.strip .v0') && document.querySelector('.strip .v1')`)
	p.sees("h1", "the next one")
	p.until(`document.querySelector('pod-greeting').style.backgroundColor === 'rgb(255, 215, 0)'`)
	front.target.Store(s)
	p.sees("h1", "greetings from podinfo v6.15.0")
}

// TestDraining: an open page does not block the shutdown, and it connects to the next
// server.
func TestDraining(t *testing.T) {
	t.Parallel()
	s := start(t)
	p := shown(t, s.url, desktop)
	p.mayFail()
	s.cmd.Process.Signal(syscall.SIGTERM)
	if <-s.ended; s.err != nil {
		t.Errorf("with an open page the server exits with %v", s.err)
	}
	p.sees("#connection", "no connection")
	startAt(t, s.addr, nextRelease)
	p.sees("#connection", "live")
	p.sees("#build", nextRelease)
	p.sees(".news", "version 6.99.0 began to answer")
}

// TestPing sends the ping through a backend.
func TestPing(t *testing.T) {
	t.Parallel()
	backend := start(t)
	p := shown(t, start(t, "PODINFO_BACKEND_URL="+backend.url+"/echo").url, desktop)
	p.mayFail()
	p.click(".ping button")
	p.sees(".result", "Echoed by 1 backend in")
	backend.stop()
	p.click(".ping button")
	p.sees(".result", "1 of 1 backend failed (backend "+backend.url)
}

// TestViewersLimit: above the limit the page has no live figures, but works otherwise.
func TestViewersLimit(t *testing.T) {
	t.Parallel()
	s := start(t, "PODINFO_UI_MAX_VIEWERS=1")
	first := shown(t, s.url, desktop)
	second := open(t, s.url, desktop)
	second.mayFail()
	second.sees("#chain .lead", "GET /version passes")
	second.sees("#answers table", "6.15.0")
	second.sees("#connection", "no figures")
	second.sees("#banner", "too many pages are open")
	first.must(chromedp.Do(first.ctx, chromedp.Navigate("about:blank")))
	second.sees("#connection", "live")
}

// TestAdmin uses the controls of the page and checks their effect on the server.
func TestAdmin(t *testing.T) {
	t.Parallel()
	s := start(t, "PODINFO_UI_ADMIN=true", "PODINFO_RANDOM_DELAY_ENABLED=standby", "PODINFO_FAULTS_ENABLED=true")
	p := shown(t, s.url, desktop)
	p.mayFail()
	p.choose("#answers select", "10 a second")

	const random = `[aria-label='Module random-delay']`
	p.sees(`#chain li:has(`+random+`)`, "standby")
	p.click(random)
	p.sees("#chain .lead", "fault-injection, faults, random-delay and ends in version.")
	p.sees(`#chain li:has(`+random+`)`, "on")
	p.until(`document.activeElement.matches(%s)`, random) // the focus stays
	p.click(random)
	p.sees("#chain .lead", "fault-injection, faults and ends in version.")

	// A route that disappears with its module disappears from the forms too.
	p.choose("#chain select", "POST /token")
	p.click("[aria-label='Module token']")
	p.sees("#token", "The module token is off.")
	p.until(`![...document.querySelectorAll('#try option, #chain option')].some((o) => o.text.includes('/token'))`)
	p.until(`document.activeElement.matches("[aria-label='Module token']")`)
	p.click("[aria-label='Module token']")
	p.sees("#token", "Get a token")

	p.click("[aria-label='Readiness']")
	p.sees("#faults", "Not ready")
	if got := s.status(t, "/readyz"); got != http.StatusServiceUnavailable {
		t.Errorf("/readyz returns %d", got)
	}
	p.click("[aria-label='Readiness']")
	p.sees("#faults", "Ready")
	if got := s.status(t, "/readyz"); got != http.StatusOK {
		t.Errorf("/readyz returns %d", got)
	}

	p.click("[aria-label='Fault injection']")
	p.sees("#faults", "every request fails with 500")
	p.sees("#answers table", "error 500")
	p.until(`document.querySelectorAll('.strip .error').length > 3`)
	p.click(".ping button")
	p.sees(".result", "500 after")
	p.until(`!document.querySelector('#live tbody tr td:nth-child(3)').textContent.match(/^(0|–)$/)`) // errors per second
	p.sees("#connection", "live")
	p.click("[aria-label='Fault injection']")
	p.sees(".news", "answers are good again")

	p.enter("#faults .add input", "teapots")
	p.enter("#faults .add textarea", "match: {path: /version}\nfault: {status: 418}")
	p.click("#faults .add button")
	p.sees("#faults tbody", "teapots")
	if got := s.status(t, "/version"); got != http.StatusTeapot {
		t.Errorf("/version returns %d", got)
	}
	p.until(`document.querySelector('#faults tbody td').textContent === '1'`)
	p.click("[aria-label='Pause all rules']")
	p.sees("#faults", "no rule hits")
	if got := s.status(t, "/version"); got != http.StatusOK {
		t.Errorf("/version returns %d", got)
	}
	p.enter("#faults .add input", "wrong")
	p.enter("#faults .add textarea", "fault: {status: 7}")
	p.click("#faults .add button")
	p.sees("#faults .refused", "status")
	p.click("[aria-label='Remove rule teapots']")
	p.sees("#faults", "No rules.")
}

// TestAdminToken: the controls require the token.
func TestAdminToken(t *testing.T) {
	t.Parallel()
	s := start(t, "PODINFO_UI_ADMIN=true", "PODINFO_UI_ADMIN_TOKEN=sesame")
	p := shown(t, s.url, desktop)
	p.mayFail()
	for _, token := range []string{"", "wrong"} {
		p.enter("#faults input[type=password]", token)
		p.click("[aria-label='Fault injection']")
		p.sees("#faults .refused", "token is missing or wrong")
		if got := s.status(t, "/version"); got != http.StatusOK {
			t.Errorf("/version returns %d", got)
		}
	}
	p.click("[aria-label='Module access-log']")
	p.sees("#chain .refused", "token")
	p.enter("#faults input[type=password]", "sesame")
	p.click("[aria-label='Fault injection']")
	p.sees("#faults", "every request fails with 500")
}

// TestReadOnly: without PODINFO_UI_ADMIN the page has no controls and names the
// setting.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	s := start(t, "PODINFO_RANDOM_DELAY_ENABLED=standby", `PODINFO_FAULTS={"rules": [{"name": "late", "delay": "1ms"}]}`)
	p := shown(t, s.url, desktop)
	p.sees("#chain .note", "PODINFO_UI_ADMIN=true")
	p.sees("#faults tbody", "late")
	p.until(`Number(document.querySelector('#faults tbody td').textContent) > 0`) // the requests of the page itself
	if n := eval[int](p, `document.querySelectorAll('[role=switch], #faults button, #faults input').length`); n != 0 {
		t.Errorf("%d switches", n)
	}
	// The page shows changes by others, here through the API of upstream.
	res, err := http.Post(s.url+"/readyz/disable", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	p.sees("#faults", "Not ready")
}

// TestHidden: a hidden page sends no requests.
func TestHidden(t *testing.T) {
	t.Parallel()
	s := start(t)
	front := newProxy(t, "", s)
	p := shown(t, front.URL, desktop)
	p.choose("#answers select", "10 a second")
	hide := func(hidden bool) {
		eval[bool](p, `Object.defineProperty(document, 'hidden', { value: %s, configurable: true }), document.dispatchEvent(new Event('visibilitychange')), true`, hidden)
	}
	hide(true)
	for began := time.Now(); front.open.Load() > 0; time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > patience {
			t.Fatal("the event stream is still open")
		}
	}
	before := front.total.Load()
	time.Sleep(time.Second) // enough for ten requests
	if n := front.total.Load() - before; n > 0 {
		t.Errorf("%d requests", n)
	}
	hide(false)
	for began := time.Now(); front.total.Load() < before+5; time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > patience {
			t.Fatal("the page does not resume")
		}
	}
	p.sees("#connection", "live")
}

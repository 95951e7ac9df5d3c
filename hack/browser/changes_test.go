package browser

import (
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestServerDies and comes back: the page says so, counts what failed, and
// goes on by itself.
func TestServerDies(t *testing.T) {
	t.Parallel()
	s := start(t)
	p := shown(t, s.url, phone)
	p.mayFail()
	p.choose("#answers select", "10 a second")
	p.until(`document.querySelector('.drawing').ariaValueMax > 1`)
	eval[bool](p, `document.querySelector('.drawing').focus(), true`)
	p.press(kb.Home) // a point that the next server does not know
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

// TestProxyWithoutBackend is another way to be away: every request is
// answered, with 502. A browser would not open the events again by itself.
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

// TestRollout is what the page is kept open for.
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
	p.sees("#answers table", "6.15.0") // among the last 200 still
	p.until(`document.querySelector('.strip .v0') && document.querySelector('.strip .v1')`)
	p.sees("h1", "the next one")
	p.until(`document.querySelector('pod-greeting').style.backgroundColor === 'rgb(255, 215, 0)'`)
	front.target.Store(s)
	p.sees("h1", "greetings from podinfo v6.15.0")
}

// TestDraining server says goodbye, and the page finds the one that comes.
func TestDraining(t *testing.T) {
	t.Parallel()
	s := start(t)
	p := shown(t, s.url, desktop)
	p.mayFail()
	s.cmd.Process.Signal(syscall.SIGTERM)
	if <-s.ended; s.err != nil {
		t.Errorf("an open page makes the server end with %v", s.err)
	}
	p.sees("#connection", "no connection")
	startAt(t, s.addr, nextRelease)
	p.sees("#connection", "live")
	p.sees("#build", nextRelease)
	p.sees(".news", "version 6.99.0 began to answer")
}

// TestPing goes through the backends.
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

// TestViewersLimit leaves the page without figures, and with all else.
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

// TestAdmin turns the knobs and asks the server what came of it.
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
	p.until(`document.activeElement.matches(%s)`, random) // it keeps the focus
	p.click(random)
	p.sees("#chain .lead", "fault-injection, faults and ends in version.")

	// A route that goes with its module goes from the forms too.
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
		t.Errorf("/readyz answers %d", got)
	}
	p.click("[aria-label='Readiness']")
	p.sees("#faults", "Ready")
	if got := s.status(t, "/readyz"); got != http.StatusOK {
		t.Errorf("/readyz answers %d", got)
	}

	p.click("[aria-label='Fault injection']")
	p.sees("#faults", "every request fails with 500")
	p.sees("#answers table", "error 500")
	p.until(`document.querySelectorAll('.strip .error').length > 3`)
	p.click(".ping button")
	p.sees(".result", "500 after")
	p.until(`!document.querySelector('#live tbody tr td:nth-child(3)').textContent.match(/^(0|–)$/)`) // errors a second
	p.sees("#connection", "live")
	p.click("[aria-label='Fault injection']")
	p.sees(".news", "answers are good again")

	p.enter("#faults .add input", "teapots")
	p.enter("#faults .add textarea", "match: {path: /version}\nfault: {status: 418}")
	p.click("#faults .add button")
	p.sees("#faults tbody", "teapots")
	if got := s.status(t, "/version"); got != http.StatusTeapot {
		t.Errorf("/version answers %d", got)
	}
	p.until(`document.querySelector('#faults tbody td').textContent === '1'`)
	p.click("[aria-label='Pause all rules']")
	p.sees("#faults", "no rule hits")
	if got := s.status(t, "/version"); got != http.StatusOK {
		t.Errorf("/version answers %d", got)
	}
	p.enter("#faults .add input", "wrong")
	p.enter("#faults .add textarea", "fault: {status: 7}")
	p.click("#faults .add button")
	p.sees("#faults .refused", "status")
	p.click("[aria-label='Remove rule teapots']")
	p.sees("#faults", "No rules.")
}

// TestAdminToken wants it.
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
			t.Errorf("/version answers %d", got)
		}
	}
	p.click("[aria-label='Module access-log']")
	p.sees("#chain .refused", "token")
	p.enter("#faults input[type=password]", "sesame")
	p.click("[aria-label='Fault injection']")
	p.sees("#faults", "every request fails with 500")
}

// TestReadOnly has no switches and says how to get them.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	s := start(t, "PODINFO_RANDOM_DELAY_ENABLED=standby", `PODINFO_FAULTS={"rules": [{"name": "late", "delay": "1ms"}]}`)
	p := shown(t, s.url, desktop)
	p.sees("#chain .note", "PODINFO_UI_ADMIN=true")
	p.sees("#faults tbody", "late")
	p.until(`Number(document.querySelector('#faults tbody td').textContent) > 0`) // the page's own questions
	if n := eval[int](p, `document.querySelectorAll('[role=switch], #faults button, #faults input').length`); n != 0 {
		t.Errorf("%d switches", n)
	}
	// What others change is seen: here, over the API of upstream.
	res, err := http.Post(s.url+"/readyz/disable", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	p.sees("#faults", "Not ready")
}

// TestHidden asks for nothing while nobody looks.
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
			t.Fatal("the events are still open")
		}
	}
	before := front.total.Load()
	time.Sleep(time.Second) // ten requests, if there were any
	if n := front.total.Load() - before; n > 0 {
		t.Errorf("%d requests", n)
	}
	hide(false)
	for began := time.Now(); front.total.Load() < before+5; time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > patience {
			t.Fatal("does not go on")
		}
	}
	p.sees("#connection", "live")
}

package browser

import (
	"bytes"
	"errors"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestEveryPanel checks every panel at each path where the page may be mounted,
// and that text that looks like markup stays text.
func TestEveryPanel(t *testing.T) {
	t.Parallel()
	const message = `<img src=x onerror=alert(1)> & "hello"`
	plain := start(t, "PODINFO_UI_MESSAGE="+message)
	prefixed := start(t, "PODINFO_UI_MESSAGE="+message, "PODINFO_PREFIX=/foo/bar")
	for name, address := range map[string]string{
		"root":                  plain.url,
		"prefix":                prefixed.url + "/foo/bar",
		"prefix and slash":      prefixed.url + "/foo/bar/",
		"a stripping proxy":     newProxy(t, "/demo", plain).URL + "/demo/",
		"a proxy and a prefix":  newProxy(t, "/outer", prefixed).URL + "/outer/foo/bar",
		"a proxy that adds one": newProxy(t, "", prefixed).URL + "/foo/bar/",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := openLoaded(t, address, desktop)
			if got := p.text("h1"); got != message {
				t.Errorf("greeting %q", got)
			}
			p.waitText(".facts", release)
			p.click(".ping button")
			p.waitText(".result", "Echoed in")
			p.waitFor(`document.querySelector('#announcer').textContent.startsWith('Echoed in')`)
			p.waitFor(`document.activeElement.textContent === 'Ping'`) // the button has kept the focus

			p.waitText("#responses table", "6.15.0")
			p.waitText("#responses .lead", "0% errors")
			p.waitFor(`document.querySelectorAll('.strip [class^="v"]').length >= 2`)
			if n := eval[int](p, `document.querySelectorAll('.strip i').length`); n != 200 {
				t.Errorf("%d cells", n)
			}

			p.waitText("#live table", "api_echo") // the ping
			p.click("#live tr:nth-child(2) .pick")
			p.waitText("#live .lead", "Route ")

			if got := p.text("#chain .lead"); got != "GET /version passes through recovery, metrics, access-log, version-headers, overload, body-limit, fault-injection and ends in version." {
				t.Error(got)
			}
			p.selectOption("#chain select", "/healthz")
			p.waitText("#chain .lead", "GET /healthz passes through recovery, metrics, access-log, version-headers, overload, body-limit and ends in health.")
			if n, open := eval[int](p, `document.querySelectorAll('.path .on').length`), 6+1; n != open {
				t.Errorf("the path has %d stops, want %d", n, open)
			}
			p.click("#chain ol li:nth-child(3) summary")
			p.waitText("#chain", "PODINFO_METRICS_ENABLED")

			p.waitText("#faults", "Readiness")
			p.waitText("#try .command", address[:strings.LastIndex(address, ":")])
			p.waitText("#token", "Get a token")
			p.waitText("#console", "Connect")
			for _, path := range []string{"swagger/index.html", "api/info", "metrics"} {
				status := eval[int](p, `fetch([...document.querySelectorAll('footer a')].find((a) => a.getAttribute('href') === %s).href).then((r) => r.status)`, path)
				if status != 200 {
					t.Errorf("the link to %s returns status %d", path, status)
				}
			}
			for _, id := range []string{"responses", "live", "chain", "faults", "try", "token", "console"} {
				p.click(`nav a[href$="#` + id + `"]`)
				p.waitFor(`document.activeElement.closest('section')?.id === %s`, id)
			}
			if got := eval[string](p, `location.pathname`); !strings.HasSuffix(address+"/", got) && !strings.HasSuffix(address, got) {
				t.Errorf("the links lead to %s", got)
			}
		})
	}
}

// TestAccessible runs axe-core on the page with its fields and lists filled, in
// both themes and on a phone.
func TestAccessible(t *testing.T) {
	t.Parallel()
	s := start(t, "PODINFO_UI_ADMIN=true", "PODINFO_UI_ADMIN_TOKEN=sesame", "PODINFO_RANDOM_DELAY_ENABLED=standby",
		`PODINFO_FAULTS={"rules": [{"name": "late", "delay": "1ms"}]}`)
	for name, v := range map[string]view{"light": desktop, "dark": desktop.inDark(), "phone": phone, "dark phone": phone.inDark()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v.still = true // the contrast is not defined during transitions
			p := openLoaded(t, s.url, v)
			p.allowFailures()
			p.fill()
			p.axe()
			if wide := eval[int](p, `document.documentElement.scrollWidth - innerWidth`); wide > 0 {
				t.Errorf("%d pixels too wide", wide)
			}
		})
	}
}

// fill opens the page's details and fills its forms.
func (p *tab) fill() {
	p.click(".ping button")
	p.click("#chain ol li:first-child summary")
	p.click("#faults summary")
	p.click("#faults [aria-label='Readiness']") // without the token
	p.waitText("#faults", "token is missing or wrong")
	p.click("#try form > .row button")
	p.waitText("#try .status", "202")
	p.fillConsole()
}

// TestFewModules checks that the page says which modules are off and leaves out
// their links.
func TestFewModules(t *testing.T) {
	t.Parallel()
	p := open(t, start(t, "PODINFO_MODULES=none,http-server,ui,info").url, desktop)
	p.waitText("#connection", "live")
	p.waitText("#responses table", release)
	p.waitText("#chain .lead", "GET / passes through no middleware and ends in info.")
	p.waitText("#faults", "The fault-injection module is off")
	p.waitText("#token", "The token module is off.")
	p.waitText("#console", "The ws-echo module is off.")
	if got := strings.TrimSpace(p.text("footer p:last-child")); got != "api/info" {
		t.Errorf("links to %q", got)
	}
}

// TestGreetingIsReadable checks the contrast of the greeting for any colour
// that can be configured.
func TestGreetingIsReadable(t *testing.T) {
	t.Parallel()
	for color, text := range map[string]string{
		"#000": "255", "#fff": "0", "yellow": "0", "Navy": "255", "#777777": "0", "#34577c": "255", "tomato": "0", "rebeccapurple": "255",
		"nosuchcolor": "255", "transparent": "255", "inherit": "255", // replaced by the default colour
	} {
		t.Run(color, func(t *testing.T) {
			t.Parallel()
			p := open(t, start(t, "PODINFO_UI_COLOR="+color).url, view{width: 390, height: 844, still: true})
			p.waitText(".facts", release)
			if got, want := eval[string](p, `getComputedStyle(document.querySelector('pod-greeting')).color`), fmt.Sprintf("rgb(%s, %[1]s, %[1]s)", text); got != want {
				t.Errorf("text in %s, want %s", got, want)
			}
			ratio := eval[float64](p, `{
				const style = getComputedStyle(document.querySelector('pod-greeting'));
				const light = (c) => c.match(/[\d.]+/g).slice(0, 3).map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4)).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
				const [a, b] = [light(style.color), light(style.backgroundColor)].sort((x, y) => y - x);
				(a + 0.05) / (b + 0.05)
			}`)
			if ratio < 4.5 {
				t.Errorf("contrast %.2f", ratio)
			}
		})
	}
}

// TestLogo checks that the configured logo is loaded, and replaced if that
// fails.
func TestLogo(t *testing.T) {
	t.Parallel()
	for logo, want := range map[string]string{"": "/logo.svg", "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7": "data:image/gif", "no-such-logo.png": "/logo.svg"} {
		p := openLoaded(t, start(t, "PODINFO_UI_LOGO="+logo).url, desktop)
		p.allowFailures()
		p.waitFor(`document.querySelector('pod-greeting img').src.includes(%s) && document.querySelector('pod-greeting img').complete`, want)
	}
}

// TestTheme checks that the theme follows the system until the user selects
// one, and that the page remembers that.
func TestTheme(t *testing.T) {
	t.Parallel()
	p := openLoaded(t, start(t).url, desktop)
	dark := func() bool {
		return eval[bool](p, `getComputedStyle(document.documentElement).backgroundColor === 'rgb(15, 20, 26)'`)
	}
	if dark() {
		t.Error("the theme is dark at first")
	}
	p.setView(desktop.inDark())
	p.waitText("#theme", "Light") // a page is told at its next frame
	if !dark() {
		t.Error("the theme does not follow the system")
	}
	p.click("#theme")
	p.must(chromedp.Do(p.ctx, chromedp.Reload()))
	p.waitText("#theme", "Dark")
	if dark() {
		t.Error("the page has forgotten the selected theme")
	}
}

// TestKeyboard uses the page without a mouse.
func TestKeyboard(t *testing.T) {
	t.Parallel()
	p := openLoaded(t, start(t).url, desktop)
	p.press(kb.Tab)
	if got := eval[string](p, `document.activeElement.textContent`); got != "Skip to content" {
		t.Errorf("first is %q", got)
	}
	p.press(kb.Enter)
	p.waitFor(`location.hash === '#responses'`)

	p.waitFor(`document.querySelector('.drawing').ariaValueMax > 1`)
	eval[bool](p, `document.querySelector('.drawing').focus(), true`)
	if ring := eval[string](p, `getComputedStyle(document.activeElement).outlineStyle`); ring != "solid" && ring != "auto" {
		t.Errorf("the focus is not visible: outline style %s", ring)
	}
	p.press(kb.Home)
	p.waitFor(`document.activeElement.ariaValueNow === '0'`)
	p.press(kb.ArrowRight)
	p.waitFor(`document.activeElement.ariaValueNow === '1' && /^\d\d:\d\d:\d\d: all [\d.,]+, errors [\d.,]+$/.test(document.activeElement.ariaValueText)`)

	eval[bool](p, `document.querySelector('#chain summary').focus(), true`)
	p.press(kb.Enter)
	p.waitFor(`document.querySelector('#chain details').open`)
}

// TestSwagger gets a token in Swagger UI and has it validated after Authorize, on a
// server with a prefix and behind a proxy that adds one.
func TestSwagger(t *testing.T) {
	t.Parallel()
	for _, address := range []string{
		start(t, "PODINFO_PREFIX=/foo").url + "/foo/swagger/",
		newProxy(t, "/pod", start(t)).URL + "/pod/swagger/",
	} {
		p := open(t, address, desktop)
		p.waitFor(`document.querySelector('[data-path="/cache/{key}"]')`)
		token := eval[string](p, `fetch(new URL('../token', location), { method: 'POST', body: 'ann' }).then((r) => r.json()).then((r) => r.token)`)
		p.click(".auth-wrapper .authorize")
		p.typeInto("#auth-bearer-value", token)
		p.click(".auth-btn-wrapper .authorize")
		p.click(".auth-btn-wrapper .btn-done")
		for _, c := range []struct{ id, want string }{
			{"getTokenValidate", `"token_name": "ann"`}, {"getDelayBySeconds", `"delay": 0.05`}, {"postEcho", "content-length: 5"},
		} {
			operation := "#operations-HTTP_API-" + c.id + " "
			p.click(operation + ".opblock-summary-control")
			p.click(operation + ".try-out__btn")
			p.click(operation + ".execute")
			p.waitText(operation+".live-responses-table", c.want)
		}
	}
}

// TestScreenshots takes the screenshots of README.md, docs/page.md and others for review.
func TestScreenshots(t *testing.T) {
	if !*update {
		t.Skip("runs only with -update, because pixels differ between machines")
	}
	s := start(t, "PODINFO_UI_ADMIN=true", "PODINFO_RANDOM_DELAY_ENABLED=standby", "PODINFO_RANDOM_ERROR_ENABLED=standby",
		`PODINFO_FAULTS={"rules": [{"name": "slow-delay", "match": {"path": "/delay/*"}, "delay": {"p50": "20ms", "p99": "300ms"}}, {"name": "some-fail", "match": {"path": "/api/*", "percent": 2}, "fault": {"status": 503}}]}`)
	canary := startAt(t, freeAddr(t), nextRelease, "PODINFO_UI_ADMIN=true", "PODINFO_UI_COLOR=#b5541c",
		`PODINFO_FAULTS={"rules": [{"name": "some-fail", "match": {"path": "/api/info", "percent": 30}, "fault": {"status": 500}}]}`)
	front := newProxy(t, "", s)
	var infos atomic.Int64
	front.served = func(path string) { // about a third of the responses come from the canary
		if path == "/api/info" {
			front.target.Store([]*server{s, canary, s}[infos.Add(1)%3])
		}
	}
	p := openLoaded(t, front.URL, desktop)
	p.allowFailures()
	p.selectOption("#responses select", "10 per second")
	p.selectOption("#live select", "2 minutes")
	eval[bool](p, `(async () => {
		for (;;) {
			await Promise.all(['delay/30ms', 'version', 'api/echo', 'status/' + (Math.random() < 0.05 ? 503 : 200)].map((path) => fetch(path).catch(() => {})));
			await new Promise((done) => setTimeout(done, 20 + 60 * Math.random()));
		}
	})(), true`)
	time.Sleep(100 * time.Second) // fills most of the two minutes that the plots show
	p.click(".ping button")
	p.waitFor(`document.querySelectorAll('.strip [class]').length === 200`)
	p.click("#try form > .row button")
	p.fillConsole()
	type shot struct {
		name, panel string
		view
	}
	take := func(p *tab, shot shot) {
		shot.still = true
		p.setView(shot.view)
		eval[bool](p, `scrollTo(0, 0), document.getElementById(%s)?.scrollIntoView(), new Promise((done) => setTimeout(() => done(true), 1200))`, shot.panel)
		b, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
		p.must(err)
		p.must(writePNG(shot.name, b))
	}
	for _, x := range []shot{
		{"page-desktop-light", "", desktop}, {"page-desktop-dark", "", desktop.inDark()},
		{"page-tablet-light", "", tablet}, {"page-tablet-dark", "", tablet.inDark()},
		{"page-phone-light", "", phone}, {"page-phone-dark", "", phone.inDark()},
		{"chain-desktop-light", "chain", desktop}, {"chain-desktop-dark", "chain", desktop.inDark()}, {"chain-phone-dark", "chain", phone.inDark()},
		{"faults-desktop-dark", "faults", desktop.inDark()}, {"faults-phone-light", "faults", phone},
		{"canary-phone-dark", "responses", phone.inDark()}, {"canary-phone-light", "responses", phone},
		{"try-desktop-light", "try", desktop}, {"console-tablet-dark", "token", tablet.inDark()}, {"live-phone-light", "live", phone},
	} {
		take(p, x)
	}
	talk := openLoaded(t, front.URL+"/?view=talk", view{width: 1920, height: 1080})
	talk.allowFailures()
	talk.waitFor(`document.querySelectorAll('.strip .error').length > 2`)
	take(talk, shot{"talk-projector-light", "", view{width: 1920, height: 1080}})
	take(talk, shot{"talk-projector-dark", "", view{width: 1280, height: 720, dark: true}})
}

// writePNG writes a screenshot to docs if README.md or the page about the page
// shows it, and to dist otherwise. It compresses better than the browser.
func writePNG(name string, b []byte) error {
	dir := "../../dist/screenshots"
	for _, page := range []string{"../../README.md", "../../docs/page.md"} {
		if text, err := os.ReadFile(page); err == nil && bytes.Contains(text, []byte("screenshots/"+name+".png")) {
			dir = "../../docs/screenshots"
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	img, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(dir, name+".png"))
	if err != nil {
		return err
	}
	return errors.Join((&png.Encoder{CompressionLevel: png.BestCompression}).Encode(f, img), f.Close())
}

func (p *tab) fillConsole() {
	p.click("#token form:first-child button")
	p.waitText("#token .status", "Issued")
	p.click("#token form:nth-child(2) button")
	p.waitText("#token .status", "Valid")
	p.click("#console form button")
	p.waitText("#console .log", "connected")
	p.click("#console form button:not([type])")
	p.waitText("#console .log", "received")
}

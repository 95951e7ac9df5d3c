package browser

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// row returns the cells of the row of a version, which it waits for.
func (p *tab) row(version string) []string {
	p.Helper()
	const row = `[...document.querySelectorAll('#responses tbody tr')].find((tr) => tr.cells[0].innerText.trim() === %s)`
	p.waitFor(row, version)
	return eval[[]string](p, `[...`+row+`.cells].map((td) => td.innerText.trim())`, version)
}

// TestCanary checks that errors belong to the version that made them: its share, its
// error rate and its colour.
func TestCanary(t *testing.T) {
	t.Parallel()
	stable := start(t, "PODINFO_UI_COLOR=#2a6fc0")
	canary := startAt(t, freeAddr(t), nextRelease, "PODINFO_UI_COLOR=#c06414", `PODINFO_FAULTS={"rules": [{"name": "some-fail", "match": {"path": "/api/*", "percent": 40}, "fault": {"status": 500}}]}`)
	p := open(t, balance(t, stable, canary).URL, desktop)
	p.allowFailures()
	p.selectOption("#responses select", "10 per second")
	p.waitFor(`document.querySelectorAll('.strip .error').length > 5 && document.querySelectorAll('.strip .v').length > 40`)
	eval[bool](p, `document.querySelector('#responses .tools button').click(), true`) // pause
	eval[bool](p, `new Promise((done) => setTimeout(() => done(true), 300))`)         // for the requests in flight
	counts := eval[[]int](p, `['6.15.0', '6.99.0'].flatMap((v) => ['', '.error'].map((c) => document.querySelectorAll('.strip [data-version="' + v + '"]' + c).length))`)
	all := counts[0] + counts[2]
	if n := eval[int](p, `document.querySelectorAll('.strip [class]').length`); n != all {
		t.Errorf("%d responses have a version, %d do not", all, n-all)
	}
	percent := func(part, whole int) string {
		return eval[string](p, `import(document.querySelector('script[src]').src.replace('app.js', 'dom.js')).then(({ percent }) => percent(%s / %s))`, part, whole)
	}
	for i, version := range []string{release, nextRelease} {
		n, failed := counts[2*i], counts[2*i+1]
		row := p.row(version)
		if want := []string{fmt.Sprint(n), percent(n, all), percent(failed, n)}; strings.Join(row[2:5], " ") != strings.Join(want, " ") || !strings.HasSuffix(row[5], "s") || row[1] == "–" {
			t.Errorf("%s: %q, want %q", version, row, want)
		}
	}
	if counts[1] != 0 || counts[3] == 0 {
		t.Errorf("errors: %v", counts)
	}
	// An error has the colour of its version, and says which that is.
	p.waitFor(`document.querySelector('.strip .error').style.getPropertyValue('--c').includes('rgb(192 100 20)')`)
	p.waitFor(`document.querySelector('.strip .error').title.includes('error 500 from 6.99.0 on ')`)
	if text := p.text("#responses"); strings.Contains(text, "from –") || strings.Contains(text, "error 500\t") {
		t.Error(text)
	}
}

// TestVersionThatOnlyFails checks that its colour is known.
func TestVersionThatOnlyFails(t *testing.T) {
	t.Parallel()
	canary := startAt(t, freeAddr(t), nextRelease, "PODINFO_UI_COLOR=#c06414", `PODINFO_FAULTS={"rules": [{"name": "all-fail", "match": {"path": "/api/*"}, "fault": {"status": 503}}]}`)
	front := newProxy(t, "", start(t, "PODINFO_UI_COLOR=#2a6fc0"))
	p := openLoaded(t, front.URL, desktop)
	p.allowFailures()
	p.selectOption("#responses select", "10 per second")
	front.target.Store(canary)
	p.waitFor(`document.querySelector('.strip .error')?.style.getPropertyValue('--c').includes('rgb(192 100 20)')`)
	if row := p.row(nextRelease); row[4] != "100%" {
		t.Errorf("%q", row)
	}
}

// TestPercentiles compares the page's figures with those of a client that measures.
func TestPercentiles(t *testing.T) {
	t.Parallel()
	p := openLoaded(t, start(t).url, desktop)
	eval[bool](p, `(async () => {
		window.longest = 0;
		for (;;) {
			const began = performance.now();
			await (await fetch('delay/120ms')).text();
			window.longest = Math.max(window.longest, performance.now() - began);
		}
	})(), true`)
	const row = `[...document.querySelectorAll('#live tbody tr')].find((tr) => tr.cells[0].innerText.trim() === 'delay')`
	p.waitFor(`(() => {
		const cells = [...` + row + `?.cells ?? []].slice(4).map((td) => td.innerText.split(' '));
		window.figures = [...cells.map(([n, unit]) => (unit === 's' ? 1e3 * n : Number(n))), window.longest];
		return cells.length && window.figures.every((x) => x > 0); // a sample may have no request
	})()`)
	p.waitText("#live", "Percentiles are accurate to 1%.")
	got := eval[[]float64](p, `window.figures`)
	for i, name := range []string{"p50", "p95", "p99"} {
		if got[i] < 0.99*120 || got[i] > 1.01*got[3] {
			t.Errorf("%s shows %v ms for delays of 120 ms, of which the client saw at most %v ms", name, got[i], got[3])
		}
	}
}

// TestGRPC calls a gRPC method from the page, and checks what the page says about
// calls.
func TestGRPC(t *testing.T) {
	t.Parallel()
	s := start(t, "PODINFO_GRPC_PORT="+freePort(t), "PODINFO_UI_ADMIN=true",
		`PODINFO_FAULTS={"rules": [{"name": "no-info", "match": {"grpc": "info.InfoService/Info"}, "fault": {"grpc": "Unavailable"}}]}`)
	p := openLoaded(t, s.url, desktop)
	p.allowFailures()
	send := func() { p.click("#try form > .row button:not([type])") }
	p.selectOption("#try select", "gRPC echo.EchoService/Echo")
	p.waitText("#try .command", "grpcurl -plaintext")
	p.typeInto("#try .inputs textarea", `{"body": "hello gRPC"}`)
	send()
	p.waitText("#try .status", "OK")
	p.waitText("#try .body", `"body": "hello gRPC"`)
	p.waitText("#try .reply", "x-podinfo-version: "+release)
	p.typeInto("#try .inputs textarea", `{"nosuch": 1}`)
	send()
	p.waitText("#try .status", "the request is no echo.Message")
	p.selectOption("#try select", "gRPC info.InfoService/Info")
	send()
	p.waitText("#try .status", "Unavailable")
	p.waitText("#live tbody", "info.InfoService/Info")
	p.waitText("#live tbody", "gRPC")
	const row = `[...document.querySelectorAll('#live tbody tr')].find((tr) => tr.cells[0].innerText.includes('info.InfoService/Info'))`
	eval[bool](p, `(async () => { for (;;) { await fetch('ui/rpc', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '{"method": "/info.InfoService/Info"}' }); await new Promise((done) => setTimeout(done, 100)); } })(), true`)
	p.waitFor(row + `.cells[3].innerText === '100%' && Number(` + row + `.cells[2].innerText) > 0`)
	p.waitText("#live .lead", "100% of the faults")

	readOnly := openLoaded(t, start(t, "PODINFO_GRPC_PORT="+freePort(t)).url, desktop)
	readOnly.selectOption("#try select", "gRPC echo.EchoService/Echo")
	readOnly.waitText("#try .refused", "PODINFO_UI_ADMIN=true")
	readOnly.waitFor(`document.querySelector('#try form > .row button').disabled`)
}

// freePort returns the port of freeAddr.
func freePort(t *testing.T) string {
	_, port, _ := net.SplitHostPort(freeAddr(t))
	return port
}

// TestTalk checks the presenter's view.
func TestTalk(t *testing.T) {
	t.Parallel()
	s := start(t, "PODINFO_UI_ADMIN=true", "PODINFO_UI_MESSAGE="+strings.Repeat("a message that goes on and on ", 100))
	for name, v := range map[string]view{"projector": {width: 1920, height: 1080, still: true}, "dark": {width: 1280, height: 720, still: true, dark: true}, "phone": narrow} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := openLoaded(t, s.url+"/?view=talk", v)
			shown := eval[[]string](p, `[...document.querySelectorAll('main section')].filter((el) => el.checkVisibility()).map((el) => el.id)`)
			if strings.Join(shown, " ") != "responses live" {
				t.Errorf("sections %q", shown)
			}
			controls := eval[[]string](p, `[...document.querySelectorAll('a, button, input, select, textarea')].filter((el) => el.checkVisibility()).map((el) => el.outerHTML)`)
			if len(controls) > 0 {
				t.Errorf("controls %q", controls)
			}
			if rate := eval[string](p, `document.querySelector('#responses select').value`); rate != "5" {
				t.Errorf("%s requests a second", rate)
			}
			if wide := eval[int](p, `document.documentElement.scrollWidth - innerWidth`); wide > 0 {
				t.Errorf("%d pixels too wide", wide)
			}
			if size := eval[float64](p, `document.querySelector('#responses h2').getBoundingClientRect().height`); v.width > 1200 && size < 34 {
				t.Errorf("a heading is %v pixels high", size)
			}
			if end := eval[float64](p, `document.querySelector('#live .plots').children[1].getBoundingClientRect().bottom`); v.width > 1800 && end > float64(v.height) {
				t.Errorf("the plots end at %v pixels", end)
			}
			p.axe()
		})
	}
}

// TestLongNames checks that the figures of pods with long names are in view.
func TestLongNames(t *testing.T) {
	t.Parallel()
	front := newImpostor(t, start(t), "{}")
	for path, v := range map[string]view{"": phone, "/": {width: 320, height: 640}, "/?view=talk": {width: 1024, height: 768}} {
		p := open(t, front.URL+path, v)
		p.waitText("#connection", "live")
		for _, pod := range []string{"podinfo-canary-7d9c5b8f6d-x2k4q", "podinfo-canary-7d9c5b8f6d-9wz7m"} {
			front.respondAs(p, "6.99.0-rc.1", pod, "#c06414")
		}
		p.waitFor(`document.querySelector('#responses tbody').textContent.includes('2 pods')`)
		if hidden := eval[[]string](p, `[...document.querySelectorAll('#responses .figure')].filter((el) => {
			const { right } = el.getBoundingClientRect(), { right: edge } = el.closest('.scroll').getBoundingClientRect();
			return el.checkVisibility() && right > edge + 1;
		}).map((el) => el.innerText)`); len(hidden) > 0 {
			t.Errorf("%d×%d%s: out of view: %q", v.width, v.height, path, hidden)
		}
	}
}

// TestLongMessage checks that a long message does not push the panels away.
func TestLongMessage(t *testing.T) {
	t.Parallel()
	message := strings.TrimSpace(strings.Repeat("a message that goes on and on ", 100))
	for _, v := range []view{desktop, narrow} {
		p := openLoaded(t, start(t, "PODINFO_UI_MESSAGE="+message).url, v)
		if h := eval[float64](p, `document.querySelector('h1').getBoundingClientRect().height`); h > 150 {
			t.Errorf("the message is %v pixels high", h)
		}
		if got := eval[string](p, `document.querySelector('h1').title`); got != message {
			t.Errorf("the title is %q", got)
		}
	}
}

// TestPrint checks that a printed page has the strip with its colours, and plots
// that fit.
func TestPrint(t *testing.T) {
	t.Parallel()
	p := openLoaded(t, start(t).url, desktop.inDark())
	_, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: "print"})
	p.must(err)
	p.waitFor(`getComputedStyle(document.documentElement).backgroundColor !== 'rgb(15, 20, 26)' && document.querySelector('.strip .v').checkVisibility()`)
	if got := eval[string](p, `getComputedStyle(document.querySelector('.strip .v')).printColorAdjust`); got != "exact" {
		t.Errorf("print-color-adjust: %s", got)
	}
	if eval[bool](p, `[...document.querySelectorAll('nav, #try, #console')].some((el) => el.checkVisibility())`) {
		t.Error("controls are printed")
	}
	// Paper is narrower than the window, and nothing redraws a plot for it.
	if got := eval[string](p, `getComputedStyle(document.querySelector('.drawing svg')).maxWidth`); got != "100%" {
		t.Errorf("a printed plot may be %s wide", got)
	}
}

// TestSevenWindows opens more windows than the browser opens connections.
func TestSevenWindows(t *testing.T) {
	t.Parallel()
	s := start(t)
	first := openLoaded(t, s.url, desktop)
	for range 6 {
		ctx, cancel := chromedp.NewContext(first.ctx)
		defer cancel()
		p := &tab{T: t, ctx: ctx, hosts: map[string]bool{}}
		p.must(chromedp.Do(ctx, chromedp.Navigate(s.url)))
		p.waitText("#connection", "live")
		p.waitFor(`document.querySelector('.strip .v')`)
		p.waitFor(`document.querySelector('pod-plot path.line')?.getAttribute('d')`)
	}
}

// TestPreview checks that the page says what a rule would do before it is saved,
// and that it completes keys.
func TestPreview(t *testing.T) {
	t.Parallel()
	s := start(t, "PODINFO_UI_ADMIN=true", "PODINFO_FAULTS_ENABLED=true")
	p := openLoaded(t, s.url, desktop)
	p.allowFailures()
	keys := func() string {
		return eval[string](p, `[...document.querySelectorAll('#faults .keys button')].map((b) => b.textContent).join(' ')`)
	}
	p.typeInto("#faults .add textarea", "ma")
	p.waitFor(`document.querySelector('#faults .keys button')?.textContent === 'match'`)
	if got := keys(); got != "match" {
		t.Errorf("keys %q", got)
	}
	p.click("#faults .keys button")
	p.waitFor(`document.querySelector('#faults .add textarea').value === 'match: '`)
	p.press("{pat")
	p.waitFor(`document.querySelector('#faults .keys button')?.textContent === 'path'`)
	p.press("h: /version, percent: 25}\nfault:\n  stat")
	p.waitFor(`document.querySelector('#faults .keys button')?.textContent === 'status'`)
	p.press("us: 503")
	p.waitText("#faults .preview", "Preview: of 2000 simulated requests (GET /version)")
	p.waitFor(`/2\d(\.\d)?% would be hit: status 503 for 2\d(\.\d)?%/.test(document.querySelector('#faults .preview').textContent)`)
	p.waitText("#faults", "No rules.")
	for range 20 {
		if got := s.status(t, "/version"); got != 200 {
			t.Fatalf("a preview has an effect: %d", got)
		}
	}
	p.typeInto("#faults .add textarea", "fault: {status: 7}")
	p.waitText("#faults .preview", "status")
	p.typeInto("#faults .add textarea", `{"delay": "120ms", "ma`)
	p.waitFor(`document.querySelector('#faults .keys button')?.textContent === 'match'`)
	p.typeInto("#faults .add textarea", `{"delay": "120ms"}`)
	p.waitText("#faults .preview", "delayed by 120 ms (p50)")
	// Once the rule is saved, "Nothing is saved yet" would be wrong.
	p.typeInto("#faults .add input", "late")
	p.click("#faults .add .row button:not([type])")
	p.waitText("#faults tbody", "late")
	p.waitFor(`document.querySelector('#faults .preview').textContent === ''`)
}

// TestWords checks what the page says where there is nothing to say.
func TestWords(t *testing.T) {
	t.Parallel()
	p := openLoaded(t, start(t, `PODINFO_FAULTS={"rules": [{"name": "late", "delay": "1ms"}]}`).url, desktop)
	if got := p.text("pod-greeting"); strings.Contains(got, "backends") {
		t.Error("without backends, the page mentions backends")
	}
	p.waitText("#faults tbody .expires", "never")
	p.waitText("#responses h2", "Responses")
	p.waitText("#responses h3", "Events")
	backend := start(t)
	p = openLoaded(t, start(t, "PODINFO_BACKEND_URL="+backend.url+"/echo").url, desktop)
	p.waitText(".result", "Echo through the backends")
}

package browser

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/url"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

var update = flag.Bool("update", false, "write docs/screenshots")

// chromium is the browser that all tests share. Each test opens its tabs in a separate
// browser context.
var chromium context.Context

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "podinfo-browser")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	if err := build(dir); err != nil {
		fmt.Fprintln(os.Stderr, "podinfo does not build:", err)
		return 1
	}
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(dir+"/profile"),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))...)
	defer cancel()
	chromium, cancel = chromedp.NewContext(ctx)
	defer cancel()
	if err := chromedp.Do(chromium, chromedp.Navigate("about:blank")); err != nil {
		fmt.Fprintln(os.Stderr, "chromium does not start, which `make deps` installs:", err)
		return 1
	}
	return m.Run()
}

// patience is the timeout of each wait.
const patience = 2 * time.Minute

// A tab is an open page.
type tab struct {
	*testing.T
	ctx context.Context

	mu       sync.Mutex
	said     []string // unexpected lines on the console
	failed   []string // those of failed requests
	tolerant bool     // of failed requests
	hosts    map[string]bool
}

// A look is a screen size and theme.
type look struct {
	width, height int64
	dark, still   bool
}

var (
	desktop = look{width: 1440, height: 900}
	tablet  = look{width: 768, height: 1024}
	phone   = look{width: 390, height: 844}
)

func (l look) inDark() look { l.dark = true; return l }

// open opens a page. The test fails if the page logs to the console or sends a request
// to another host.
func open(t *testing.T, address string, l look) *tab {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := chromedp.NewContext(chromium, chromedp.WithNewBrowserContext())
	p := &tab{T: t, ctx: ctx, hosts: map[string]bool{}}
	p.must(chromedp.Listen(ctx, p.hear))
	t.Cleanup(func() {
		p.check(u.Host)
		cancel()
	})
	p.look(l)
	p.must(chromedp.Do(ctx, chromedp.Navigate(address)))
	return p
}

func (p *tab) look(l look) {
	p.Helper()
	scheme, motion := "light", "no-preference"
	if l.dark {
		scheme = "dark"
	}
	if l.still {
		motion = "reduce"
	}
	_, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: motion},
	}})
	p.must(err)
	p.must(chromedp.Do(p.ctx, chromedp.EmulateViewport(l.width, l.height)))
}

// hear records the logs and requests of the page.
func (p *tab) hear(ev any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch ev := ev.(type) {
	case *log.EventEntryAdded:
		e := ev.Entry
		line := fmt.Sprintf("%s %s: %s %s", e.Source, e.Level, e.Text, e.URL)
		if e.Source == log.EntrySourceNetwork {
			p.failed = append(p.failed, line)
		} else {
			p.said = append(p.said, line)
		}
	case *runtime.EventConsoleAPICalled:
		for _, a := range ev.Args {
			p.said = append(p.said, fmt.Sprintf("console.%s: %s %s", ev.Type, a.Value, a.Description))
		}
	case *runtime.EventExceptionThrown:
		p.said = append(p.said, fmt.Sprintf("exception: %s %+v", ev.ExceptionDetails.Text, ev.ExceptionDetails.Exception))
	case *network.EventRequestWillBeSent:
		p.asked(ev.Request.URL)
	case *network.EventWebSocketCreated:
		p.asked(ev.URL)
	}
}

func (p *tab) asked(address string) {
	if u, err := url.Parse(address); err == nil && u.Scheme != "data" && u.Scheme != "about" {
		p.hosts[u.Host] = true
	}
}

func (p *tab) check(host string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.tolerant {
		p.said = append(p.said, p.failed...)
	}
	for _, line := range p.said {
		p.Errorf("the browser logged: %s", line)
	}
	if !p.hosts[host] || len(p.hosts) != 1 {
		p.Errorf("requests to %v, want only %s", p.hosts, host)
	}
}

func (p *tab) must(err error) {
	p.Helper()
	if err != nil {
		p.Fatal(err)
	}
}

// mayFail allows requests of the page to fail, each of which the browser logs.
func (p *tab) mayFail() { p.tolerant = true }

// eval returns the value of a JavaScript expression, which may be a promise.
func eval[T any](p *tab, js string, args ...any) T {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	js = script(js, args)
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](js, chromedp.EvalAwaitPromise))
	if err != nil {
		p.Fatalf("%s: %v", js, err)
	}
	return v
}

// script replaces each %s by an argument as JSON.
func script(js string, args []any) string {
	if len(args) == 0 {
		return js
	}
	for i, a := range args {
		b, err := json.Marshal(a)
		if err != nil {
			panic(err)
		}
		args[i] = string(b)
	}
	return fmt.Sprintf(js, args...)
}

// until waits for a JavaScript expression to be true. chromedp.Poll would compile text
// in the page, which the policy of the page forbids.
func (p *tab) until(js string, args ...any) {
	p.Helper()
	js = script(js, args)
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		if eval[bool](p, "!!("+js+")") {
			return
		}
		if time.Since(began) > patience {
			p.Fatalf("never true: %s\nThe page shows: %.3000s", js, eval[string](p, "document.body.innerText"))
		}
	}
}

// sees waits until an element contains a text.
func (p *tab) sees(css, text string) {
	p.Helper()
	p.until(`[...document.querySelectorAll(%s)].some((el) => el.checkVisibility() && el.innerText.includes(%s))`, css, text)
}

func (p *tab) text(css string) string {
	p.Helper()
	p.until(`document.querySelector(%s)`, css)
	return eval[string](p, `document.querySelector(%s).innerText`, css)
}

// click clicks on an element with the mouse, after waiting until it is visible,
// enabled and does not move.
func (p *tab) click(css string) {
	p.Helper()
	for began := time.Now(); time.Since(began) < patience; {
		at := eval[[]float64](p, `(async () => {
			const el = document.querySelector(%s);
			if (!el?.checkVisibility() || el.disabled) return [];
			el.scrollIntoView({ block: 'center', behavior: 'instant' });
			const before = el.getBoundingClientRect();
			await new Promise((done) => setTimeout(done, 50));
			const { x, y, width, height } = el.getBoundingClientRect();
			const center = [x + width / 2, y + height / 2];
			return x === before.x && y === before.y && el.contains(document.elementFromPoint(...center)) ? center : [];
		})()`, css)
		if len(at) == 2 {
			p.must(chromedp.Do(p.ctx, chromedp.MouseClickXY(at[0], at[1])))
			return
		}
	}
	p.Fatalf("cannot click on %s", css)
}

// press presses keys.
func (p *tab) press(keys string) {
	p.Helper()
	p.must(chromedp.Do(p.ctx, chromedp.KeyEvent(keys)))
}

// enter waits for a field and replaces its text.
func (p *tab) enter(css, text string) {
	p.Helper()
	p.until(`(() => { const el = document.querySelector(%s); el?.focus(); el?.select(); return el; })()`, css)
	p.must(chromedp.Do(p.ctx, chromedp.KeyEvent("\b")))
	p.must(chromedp.Do(p.ctx, chromedp.SendKeys(chromedp.CSS(css), text)))
}

// choose waits for the option of a select that contains a text, and selects it.
func (p *tab) choose(css, text string) {
	p.Helper()
	p.until(`(() => {
		const el = document.querySelector(%s), option = [...(el?.options ?? [])].find((o) => o.text.includes(%s));
		if (!option) return false;
		el.value = option.value;
		for (const event of ['input', 'change']) el.dispatchEvent(new Event(event, { bubbles: true }));
		return true;
	})()`, css, text)
}

// shown opens a page and waits until all panels have data.
func shown(t *testing.T, address string, l look) *tab {
	t.Helper()
	p := open(t, address, l)
	p.sees("#connection", "live")
	p.until(`document.querySelectorAll('pod-chain li').length > 20`)
	p.until(`document.querySelector('.strip [class^="v"]')`)
	p.until(`document.querySelector('pod-plot path.line')?.getAttribute('d')`)
	return p
}

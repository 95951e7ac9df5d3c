package browser

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

var update = flag.Bool("update", false, "take the screenshots in docs/screenshots again")

// chromium is the browser that all tests share. Each test has its own tabs in
// its own browser contexts.
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
		fmt.Fprintln(os.Stderr, "chromium does not start; `make deps` installs it:", err)
		return 1
	}
	return m.Run()
}

// timeout bounds every wait for something on a page.
const timeout = 2 * time.Minute

// tab is an open page.
type tab struct {
	*testing.T
	ctx context.Context

	mu             sync.Mutex
	logged         []string        // console messages, violations and exceptions
	failed         []string        // failed requests that the browser logged
	failureAllowed bool            // whether requests may fail
	hosts          map[string]bool // that the page sent requests to
}

// view is a window's size and the user's preferences.
type view struct {
	width, height int64
	dark, still   bool
}

var (
	desktop = view{width: 1440, height: 900}
	tablet  = view{width: 768, height: 1024}
	phone   = view{width: 390, height: 844}
)

func (v view) inDark() view { v.dark = true; return v }

// open opens a page. The test fails at its end if anything was logged on the
// console or requested from another host.
func open(t *testing.T, address string, v view) *tab {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := chromedp.NewContext(chromium, chromedp.WithNewBrowserContext())
	p := &tab{T: t, ctx: ctx, hosts: map[string]bool{}}
	p.must(chromedp.Listen(ctx, p.record))
	t.Cleanup(func() {
		p.check(u.Host)
		cancel()
	})
	p.setView(v)
	p.must(chromedp.Do(ctx, chromedp.Navigate(address)))
	return p
}

func (p *tab) setView(v view) {
	p.Helper()
	scheme, motion := "light", "no-preference"
	if v.dark {
		scheme = "dark"
	}
	if v.still {
		motion = "reduce"
	}
	_, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: motion},
	}})
	p.must(err)
	p.must(chromedp.Do(p.ctx, chromedp.EmulateViewport(v.width, v.height)))
}

// record records what the page logs and which hosts it sends requests to.
func (p *tab) record(ev any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch ev := ev.(type) {
	case *log.EventEntryAdded:
		e := ev.Entry
		line := fmt.Sprintf("%s %s: %s %s", e.Source, e.Level, e.Text, e.URL)
		switch {
		case strings.Contains(e.Text, "ERR_NETWORK_CHANGED"): // something else changed the network of this machine
		case e.Source == log.EntrySourceNetwork, e.Source == log.EntrySourceWorker, // a worker whose script could not be fetched
			strings.Contains(e.Text, "Refused to apply style"): // from the error page of a server without it
			p.failed = append(p.failed, line)
		default:
			p.logged = append(p.logged, line)
		}
	case *runtime.EventConsoleAPICalled:
		for _, a := range ev.Args {
			p.logged = append(p.logged, fmt.Sprintf("console.%s: %s %s", ev.Type, a.Value, a.Description))
		}
	case *runtime.EventExceptionThrown:
		p.logged = append(p.logged, fmt.Sprintf("exception: %s %+v", ev.ExceptionDetails.Text, ev.ExceptionDetails.Exception))
	case *network.EventRequestWillBeSent:
		p.recordHost(ev.Request.URL)
	case *network.EventWebSocketCreated:
		p.recordHost(ev.URL)
	}
}

func (p *tab) recordHost(address string) {
	if u, err := url.Parse(address); err == nil && u.Scheme != "data" && u.Scheme != "about" {
		p.hosts[u.Host] = true
	}
}

// check fails the test for what was logged, and for requests to other hosts.
func (p *tab) check(host string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.failureAllowed {
		p.logged = append(p.logged, p.failed...)
	}
	for _, line := range p.logged {
		p.Errorf("the browser logged: %s", line)
	}
	if !p.hosts[host] || len(p.hosts) != 1 {
		p.Errorf("the page sent requests to %v, want only %s", p.hosts, host)
	}
}

func (p *tab) must(err error) {
	p.Helper()
	if err != nil {
		p.Fatal(err)
	}
}

// allowFailures allows the page's requests to fail. The browser logs each
// failure.
func (p *tab) allowFailures() { p.failureAllowed = true }

// eval returns the value of a JavaScript expression, which may be a promise.
func eval[T any](p *tab, js string, args ...any) T {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, timeout)
	defer cancel()
	js = script(js, args)
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](js, chromedp.EvalAwaitPromise))
	if err != nil {
		p.Fatalf("%s: %v", js, err)
	}
	return v
}

// script replaces each %s by the JSON of an argument.
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

// waitFor waits until a JavaScript expression is true. (chromedp's Poll
// compiles a string inside the page, which the page's policy forbids.)
func (p *tab) waitFor(js string, args ...any) {
	p.Helper()
	js = script(js, args)
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		if eval[bool](p, "!!("+js+")") {
			return
		}
		if time.Since(began) > timeout {
			p.Fatalf("timed out waiting for %s\nThe page shows: %.3000s", js, eval[string](p, "document.body.innerText"))
		}
	}
}

// waitText waits until an element shows a text.
func (p *tab) waitText(css, text string) {
	p.Helper()
	p.waitFor(`[...document.querySelectorAll(%s)].some((el) => el.checkVisibility() && el.innerText.includes(%s))`, css, text)
}

// text waits for an element and returns its text.
func (p *tab) text(css string) string {
	p.Helper()
	p.waitFor(`document.querySelector(%s)`, css)
	return eval[string](p, `document.querySelector(%s).innerText`, css)
}

// click clicks on an element with the mouse, once it is visible, enabled and no
// longer moving.
func (p *tab) click(css string) {
	p.Helper()
	for began := time.Now(); time.Since(began) < timeout; {
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
	p.Fatalf("%s cannot be clicked on", css)
}

// press presses keys.
func (p *tab) press(keys string) {
	p.Helper()
	p.must(chromedp.Do(p.ctx, chromedp.KeyEvent(keys)))
}

// typeInto waits for a field and replaces its content by a text.
func (p *tab) typeInto(css, text string) {
	p.Helper()
	p.waitFor(`(() => { const el = document.querySelector(%s); el?.focus(); el?.select(); return el; })()`, css)
	p.must(chromedp.Do(p.ctx, chromedp.KeyEvent("\b")))
	p.must(chromedp.Do(p.ctx, chromedp.SendKeys(chromedp.CSS(css), text)))
}

// selectOption waits for a select with an option that contains a text, and
// selects that option.
func (p *tab) selectOption(css, text string) {
	p.Helper()
	p.waitFor(`(() => {
		const el = document.querySelector(%s), option = [...(el?.options ?? [])].find((o) => o.text.includes(%s));
		if (!option) return false;
		el.value = option.value;
		for (const event of ['input', 'change']) el.dispatchEvent(new Event(event, { bubbles: true }));
		return true;
	})()`, css, text)
}

// openLoaded opens a page and waits until all panels show data.
func openLoaded(t *testing.T, address string, v view) *tab {
	t.Helper()
	p := open(t, address, v)
	p.waitText("#connection", "live")
	p.waitFor(`document.querySelectorAll('pod-chain li').length > 20`)
	p.waitFor(`document.querySelector('.strip [class^="v"]')`)
	p.waitFor(`document.querySelector('pod-plot path.line')?.getAttribute('d')`)
	return p
}

package browser

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

var narrow = view{width: 360, height: 740, still: true}

// TestNarrow checks that nothing overlaps on a small phone, and that a rule can
// be read and removed there.
func TestNarrow(t *testing.T) {
	t.Parallel()
	s := start(t, "PODINFO_UI_ADMIN=true", `PODINFO_FAULTS={"rules": [{"name": "late-with-a-name-that-goes-on-and-on-and-on", "delay": "1ms"}, {"name": "fail", "match": {"path": "/x"}, "fault": {"status": 503}}]}`)
	for _, v := range []view{narrow, phone, desktop} {
		t.Run(fmt.Sprint(v.width), func(t *testing.T) {
			t.Parallel()
			p := openLoaded(t, s.url, v)
			p.click("#faults summary")
			p.waitFor(`document.querySelector('#faults pre').checkVisibility()`)
			overlaps := eval[[]string](p, `{
				const text = (el) => { const r = document.createRange(); r.selectNodeContents(el); return r.getBoundingClientRect(); };
				const parts = [...document.querySelectorAll('section > h2, .tools > *, .tools label, .control > *, #faults tbody th, #faults tbody td')].filter((el) => el.checkVisibility());
				const boxes = parts.map((el) => [el, el.matches('h2, label, th') ? text(el) : el.getBoundingClientRect()]);
				const out = [];
				for (const [a, x] of boxes) for (const [b, y] of boxes)
					if (a !== b && !a.contains(b) && !b.contains(a) && x.right > y.left + 1 && y.right > x.left + 1 && x.bottom > y.top + 1 && y.bottom > x.top + 1)
						out.push(a.textContent.slice(0, 40) + ' / ' + b.textContent.slice(0, 40));
				out;
			}`)
			if len(overlaps) > 0 {
				t.Errorf("elements overlap: %q", overlaps)
			}
			if cut := eval[int](p, `[...document.querySelectorAll('#faults .scroll')].reduce((n, el) => n + el.scrollWidth - el.clientWidth, 0) + document.documentElement.scrollWidth - innerWidth`); cut > 0 {
				t.Errorf("%d pixels are cut off", cut)
			}
			if wide := eval[int](p, `document.querySelector('#faults pre').clientWidth`); wide < 250 {
				t.Errorf("a rule is %d pixels wide", wide)
			}
		})
	}
}

// TestRulesFollowTheFile checks that the page shows changes of the file, in the
// file's order, because the first rule that matches applies.
func TestRulesFollowTheFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "faults.yaml")
	write := func(names string) {
		text := "rules:\n"
		for _, name := range strings.Fields(names) {
			text += "- {name: " + name + ", match: {path: /nosuch}, delay: 1ms}\n"
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a b c")
	p := openLoaded(t, start(t, "PODINFO_FAULTS_ENABLED=true", "PODINFO_FAULTS_FILE="+file).url, desktop)
	for _, names := range []string{"a b c", "b a c", "a x c", "c b a d"} {
		write(names)
		p.waitFor(`[...document.querySelectorAll('#faults tbody th')].map((th) => th.innerText).join(' ') === %s`, names)
	}
}

// TestPercentilesAreBounds checks that a percentile outside the histogram's
// buckets is shown as a bound.
func TestPercentilesAreBounds(t *testing.T) {
	t.Parallel()
	p := openLoaded(t, start(t).url, desktop)
	p.allowFailures()
	p.waitText("#live .lead", "a histogram that covers 5 ms to 10 s")
	p.waitText("#live tbody", "≤ 5 ms")
	p.waitText("#live .key", "≤ 5 ms")
	p.waitFor(`[...document.querySelectorAll('.bands text')].some((el) => el.textContent === '≤ 5 ms')`)
	p.waitFor(`/p50 at most 5 ms/.test(document.querySelector('[aria-label=Latency]').ariaValueText)`)
	p.waitFor(`[...document.querySelectorAll('#live td')].some((td) => td.querySelector('[aria-hidden]')?.textContent === '≤ 5 ms' && td.querySelector('.unseen').textContent === 'at most 5 ms')`)
	eval[bool](p, `fetch('delay/10500ms'), true`)
	p.waitFor(`[...document.querySelectorAll('.bands text')].some((el) => el.textContent === '> 10 s')`)
}

// impostor responds to api/info with a body that the test chooses, and forwards
// all other requests.
type impostor struct {
	*proxy
	body atomic.Pointer[string]
}

func newImpostor(t *testing.T, s *server, body string) *impostor {
	i := &impostor{proxy: newProxy(t, "", s)}
	i.body.Store(&body)
	forward := i.Config.Handler
	i.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/info" {
			fmt.Fprint(w, *i.body.Load())
			return
		}
		forward.ServeHTTP(w, r)
	})
	return i
}

// respondAs responds as a pod of a version until the page shows that pod, and
// returns the CSS class of its colour.
func (i *impostor) respondAs(p *tab, version, pod string) string {
	p.Helper()
	body := fmt.Sprintf(`{"version": %q, "hostname": %q, "color": "#34577c", "message": "hello"}`, version, pod)
	i.body.Store(&body)
	p.waitFor(`[...document.querySelectorAll('.strip i')].some((el) => el.title.includes(%s))`, " "+version+" "+pod+",")
	return eval[string](p, `[...document.querySelectorAll('.strip i')].findLast((el) => el.title.includes(%s)).className`, " "+version+" "+pod+",")
}

// TestColours checks that each pod has its own colour while it is among the
// latest responses.
func TestColours(t *testing.T) {
	t.Parallel()
	front := newImpostor(t, start(t), "{}")
	p := open(t, front.URL, desktop)
	p.waitText("#connection", "live")
	p.selectOption("#responses select", "10 per second")
	for i, c := range []struct{ version, pod, class string }{
		{"1.0", "a", "v0 p0"}, {"1.0", "b", "v0 p1"}, {"1.0", "c", "v0 p2"}, {"1.0", "d", "v0 p3"}, {"1.0", "e", "v0 p4"}, {"1.0", "f", "v0 p5"},
		{"2.0", "g", "v1 p0"}, {"2.0", "h", "v1 p1"}, {"3.0", "i", "v2 p0"}, {"1.0", "a", "v0 p0"},
	} {
		if got := front.respondAs(p, c.version, c.pod); got != c.class {
			t.Errorf("%d: %s of %s is %s, want %s", i, c.pod, c.version, got, c.class)
		}
	}
	// The colours of pods that are no longer shown are free.
	p.waitFor(`document.querySelectorAll('.strip [class="v0 p0"]').length === 200`)
	for _, c := range []struct{ version, pod, class string }{{"1.0", "z", "v0 p1"}, {"9.0", "y", "v1 p0"}} {
		if got := front.respondAs(p, c.version, c.pod); got != c.class {
			t.Errorf("%s of %s is %s, want %s", c.pod, c.version, got, c.class)
		}
	}
}

// TestShades checks that every shade contrasts with the panel and that all
// differ.
func TestShades(t *testing.T) {
	t.Parallel()
	for name, v := range map[string]view{"light": desktop, "dark": desktop.inDark()} {
		p := openLoaded(t, start(t).url, v)
		bad := eval[[]string](p, `{
			const canvas = Object.assign(document.createElement('canvas'), { width: 1, height: 1 }).getContext('2d', { willReadFrequently: true });
			const rgb = (color) => { canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3); };
			const light = (c) => c.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4)).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
			const panel = light(rgb(getComputedStyle(document.querySelector('.panel')).backgroundColor));
			const cell = document.querySelector('.strip').lastElementChild;
			const seen = new Map(), out = [];
			for (let v = 0; v < 8; v++) for (let p = 0; p < 8; p++) {
				cell.className = 'v' + v + ' p' + p;
				const style = getComputedStyle(cell), color = rgb(style.backgroundColor);
				const [a, b] = [light(color), panel].sort((x, y) => y - x);
				if ((a + 0.05) / (b + 0.05) < 3) out.push(cell.className + ' has a contrast of ' + (a + 0.05) / (b + 0.05));
				const all = color + style.backgroundImage;
				if (seen.has(all)) out.push(cell.className + ' looks like ' + seen.get(all));
				seen.set(all, cell.className);
			}
			out;
		}`)
		if len(bad) > 0 {
			t.Errorf("%s: %q", name, bad)
		}
	}
}

// TestImpostor checks that bodies that are not podinfo's count as errors.
func TestImpostor(t *testing.T) {
	t.Parallel()
	front := newImpostor(t, start(t), "{}")
	p := open(t, front.URL, desktop)
	p.waitText("#connection", "live")
	p.selectOption("#responses select", "10 per second")
	front.respondAs(p, "1.0", "a")
	p.waitText("h1", "hello")
	for _, body := range []string{`{}`, `null`, `[1]`, `{"version": 1, "hostname": "a"}`, `{"version": "1.0"}`, `nonsense`} {
		front.respondAs(p, "1.0", "a")
		front.body.Store(&body)
		p.waitFor(`document.querySelector('#responses .lead').textContent.includes('Latest: not from podinfo (200)')`)
		if got := p.text("h1"); got != "hello" {
			t.Errorf("%s: the greeting is %q", body, got)
		}
		good := `{"version": "1.0", "hostname": "a", "message": "hello", "color": "#34577c"}`
		front.body.Store(&good)
		p.waitFor(`document.querySelector('#responses .lead').textContent.includes('Latest: 1.0')`)
	}
}

// TestRefusedRequests checks that requests that a guard refuses do not count as
// errors.
func TestRefusedRequests(t *testing.T) {
	t.Parallel()
	p := open(t, start(t, "PODINFO_JWT_ENABLED=true", "PODINFO_JWT_SECRET="+strings.Repeat("s", 32), "PODINFO_JWT_PATHS=/api/*").url, desktop)
	p.allowFailures()
	p.waitText("#responses .lead", "0% errors, 100% refused. Latest: refused (401)")
	p.waitText("#responses table", "refused (401)")
}

// TestGuardsNeedAToken checks that the page switches guards only with an admin
// token.
func TestGuardsNeedAToken(t *testing.T) {
	t.Parallel()
	const guard, other = `[aria-label="Module body-limit"]`, `[aria-label="Module access-log"]`
	p := openLoaded(t, start(t, "PODINFO_UI_ADMIN=true").url, desktop)
	p.waitText("#chain .note", "PODINFO_UI_ADMIN_TOKEN")
	if !eval[bool](p, `!document.querySelector(%s) && !!document.querySelector(%s)`, guard, other) {
		t.Error("without a token, a guard can be switched or access-log cannot")
	}
	p = openLoaded(t, start(t, "PODINFO_UI_ADMIN=true", "PODINFO_UI_ADMIN_TOKEN=sesame", "PODINFO_CROSS_ORIGIN_ENABLED=true").url, desktop)
	if !eval[bool](p, `!document.querySelector('#chain .note') && !!document.querySelector('[aria-label="Module cross-origin"]')`) {
		t.Error("with a token, a guard cannot be switched")
	}
}

// TestCurl checks that the curl command sends the same request as the page,
// including bodies that curl could interpret as options.
func TestCurl(t *testing.T) {
	t.Parallel()
	p := openLoaded(t, start(t).url, desktop)
	curl := func() string {
		out, err := exec.Command("sh", "-c", strings.Replace(p.text("#try .command"), "curl ", "curl -s ", 1)).Output()
		if err != nil {
			t.Fatal(err, p.text("#try .command"))
		}
		return string(out)
	}
	p.selectOption("#try select", "any /api/echo –")
	p.typeInto("#try .inputs textarea", "@/etc/hostname")
	if got := curl(); !strings.HasSuffix(got, "@/etc/hostname") {
		t.Errorf("curl printed %s", got)
	}
	p.selectOption("#try select", "GET / –")
	p.click("#try form > .row button:not([type])")
	p.waitText("#try .body", `"version": "6.15.0"`)
	if got := curl(); !strings.Contains(p.text("#try .command"), "Accept: application/json") || !strings.Contains(got, `"version": "6.15.0"`) {
		t.Errorf("curl printed %s", got)
	}
}

// TestMoment checks that a time on another day is shown with its date.
func TestMoment(t *testing.T) {
	t.Parallel()
	p := openLoaded(t, start(t).url, desktop)
	got := eval[[]string](p, `import(document.querySelector('script').src.replace('load.js', 'dom.js')).then(({ moment }) => [moment(Date.now()), moment('2031-02-03T12:00:00')])`)
	if strings.Contains(got[0], ",") || got[1] != "3 Feb 2031, 12:00:00" {
		t.Error(got)
	}
}

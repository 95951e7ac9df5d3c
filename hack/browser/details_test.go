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

var narrow = look{width: 360, height: 740, still: true}

// TestNarrow: on a small phone no elements overlap, and a rule can be read and
// removed.
func TestNarrow(t *testing.T) {
	t.Parallel()
	s := start(t, "PODINFO_UI_ADMIN=true", `PODINFO_FAULTS={"rules": [{"name": "late-with-a-name-that-goes-on-and-on-and-on", "delay": "1ms"}, {"name": "fail", "match": {"path": "/x"}, "fault": {"status": 503}}]}`)
	for _, l := range []look{narrow, phone, desktop} {
		t.Run(fmt.Sprint(l.width), func(t *testing.T) {
			t.Parallel()
			p := shown(t, s.url, l)
			p.click("#faults summary")
			p.until(`document.querySelector('#faults pre').checkVisibility()`)
			over := eval[[]string](p, `{
				const text = (el) => { const r = document.createRange(); r.selectNodeContents(el); return r.getBoundingClientRect(); };
				const parts = [...document.querySelectorAll('section > h2, .tools > *, .tools label, .control > *, #faults tbody th, #faults tbody td')].filter((el) => el.checkVisibility());
				const boxes = parts.map((el) => [el, el.matches('h2, label, th') ? text(el) : el.getBoundingClientRect()]);
				const out = [];
				for (const [a, x] of boxes) for (const [b, y] of boxes)
					if (a !== b && !a.contains(b) && !b.contains(a) && x.right > y.left + 1 && y.right > x.left + 1 && x.bottom > y.top + 1 && y.bottom > x.top + 1)
						out.push(a.textContent.slice(0, 40) + ' / ' + b.textContent.slice(0, 40));
				out;
			}`)
			if len(over) > 0 {
				t.Errorf("overlapping: %q", over)
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

// TestRulesFollowTheFile: the page shows the rules in the order of the file, which
// decides which rule wins.
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
	p := shown(t, start(t, "PODINFO_FAULTS_ENABLED=true", "PODINFO_FAULTS_FILE="+file).url, desktop)
	for _, names := range []string{"a b c", "b a c", "a x c", "c b a d"} {
		write(names)
		p.until(`[...document.querySelectorAll('#faults tbody th')].map((th) => th.innerText).join(' ') === %s`, names)
	}
}

// TestPercentilesAreBounds: the page shows a bound if the buckets are too coarse.
func TestPercentilesAreBounds(t *testing.T) {
	t.Parallel()
	p := shown(t, start(t).url, desktop)
	p.mayFail()
	p.sees("#live .lead", "which tell apart what takes 5 ms to 10 s")
	p.sees("#live tbody", "≤ 5 ms")
	p.sees("#live .key", "≤ 5 ms")
	p.until(`[...document.querySelectorAll('.bands text')].some((el) => el.textContent === '≤ 5 ms')`)
	p.until(`/p50 at most 5 ms/.test(document.querySelector('[aria-label=Latency]').ariaValueText)`)
	p.until(`[...document.querySelectorAll('#live td')].some((td) => td.querySelector('[aria-hidden]')?.textContent === '≤ 5 ms' && td.querySelector('.unseen').textContent === 'at most 5 ms')`)
	eval[bool](p, `fetch('delay/10500ms'), true`)
	p.until(`[...document.querySelectorAll('.bands text')].some((el) => el.textContent === '> 10 s')`)
}

// An impostor returns the text of the test for api/info, and forwards all other
// requests.
type impostor struct {
	*proxy
	says atomic.Pointer[string]
}

func newImpostor(t *testing.T, s *server, says string) *impostor {
	i := &impostor{proxy: newProxy(t, "", s)}
	i.says.Store(&says)
	forward := i.Config.Handler
	i.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/info" {
			fmt.Fprint(w, *i.says.Load())
			return
		}
		forward.ServeHTTP(w, r)
	})
	return i
}

// say responds as a pod of a version until the page shows it, and returns the class
// of its colour.
func (i *impostor) say(p *tab, version, pod string) string {
	p.Helper()
	says := fmt.Sprintf(`{"version": %q, "hostname": %q, "color": "#34577c", "message": "hello"}`, version, pod)
	i.says.Store(&says)
	p.until(`[...document.querySelectorAll('.strip i')].some((el) => el.title.includes(%s))`, " "+version+" "+pod+",")
	return eval[string](p, `[...document.querySelectorAll('.strip i')].findLast((el) => el.title.includes(%s)).className`, " "+version+" "+pod+",")
}

// TestColours: each pod has its own colour while it is among the last responses.
func TestColours(t *testing.T) {
	t.Parallel()
	front := newImpostor(t, start(t), "{}")
	p := open(t, front.URL, desktop)
	p.sees("#connection", "live")
	p.choose("#answers select", "10 a second")
	for i, c := range []struct{ version, pod, look string }{
		{"1.0", "a", "v0 p0"}, {"1.0", "b", "v0 p1"}, {"1.0", "c", "v0 p2"}, {"1.0", "d", "v0 p3"}, {"1.0", "e", "v0 p4"}, {"1.0", "f", "v0 p5"},
		{"2.0", "g", "v1 p0"}, {"2.0", "h", "v1 p1"}, {"3.0", "i", "v2 p0"}, {"1.0", "a", "v0 p0"},
	} {
		if got := front.say(p, c.version, c.pod); got != c.look {
			t.Errorf("%d: %s of %s is %s, want %s", i, c.pod, c.version, got, c.look)
		}
	}
	// Colours of forgotten pods are used again.
	p.until(`document.querySelectorAll('.strip [class="v0 p0"]').length === 200`)
	for _, c := range []struct{ version, pod, look string }{{"1.0", "z", "v0 p1"}, {"9.0", "y", "v1 p0"}} {
		if got := front.say(p, c.version, c.pod); got != c.look {
			t.Errorf("%s of %s is %s, want %s", c.pod, c.version, got, c.look)
		}
	}
}

// TestShades: the colours stand out from the panel and from each other.
func TestShades(t *testing.T) {
	t.Parallel()
	for name, l := range map[string]look{"light": desktop, "dark": desktop.inDark()} {
		p := shown(t, start(t).url, l)
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

// TestImpostor returns valid JSON that is not podinfo's.
func TestImpostor(t *testing.T) {
	t.Parallel()
	front := newImpostor(t, start(t), "{}")
	p := open(t, front.URL, desktop)
	p.sees("#connection", "live")
	p.choose("#answers select", "10 a second")
	front.say(p, "1.0", "a")
	p.sees("h1", "hello")
	for _, says := range []string{`{}`, `null`, `[1]`, `{"version": 1, "hostname": "a"}`, `{"version": "1.0"}`, `nonsense`} {
		front.say(p, "1.0", "a")
		front.says.Store(&says)
		p.until(`document.querySelector('#answers .lead').textContent.includes('Latest: not podinfo, 200')`)
		if got := p.text("h1"); got != "hello" {
			t.Errorf("%s: greets with %q", says, got)
		}
		good := `{"version": "1.0", "hostname": "a", "message": "hello", "color": "#34577c"}`
		front.says.Store(&good)
		p.until(`document.querySelector('#answers .lead').textContent.includes('Latest: 1.0')`)
	}
}

// TestGuardedAnswers: a 401 from the jwt guard is not counted as an error.
func TestGuardedAnswers(t *testing.T) {
	t.Parallel()
	p := open(t, start(t, "PODINFO_JWT_ENABLED=true", "PODINFO_JWT_SECRET="+strings.Repeat("s", 32), "PODINFO_JWT_PATHS=/api/*").url, desktop)
	p.mayFail()
	p.sees("#answers .lead", "0 % errors, 100 % refused. Latest: refused (401)")
	p.sees("#answers table", "refused (401)")
}

// TestGuardsNeedAToken: guards can be switched only if an admin token is set.
func TestGuardsNeedAToken(t *testing.T) {
	t.Parallel()
	const guard, other = `[aria-label="Module body-limit"]`, `[aria-label="Module access-log"]`
	p := shown(t, start(t, "PODINFO_UI_ADMIN=true").url, desktop)
	p.sees("#chain .note", "PODINFO_UI_ADMIN_TOKEN")
	if !eval[bool](p, `!document.querySelector(%s) && !!document.querySelector(%s)`, guard, other) {
		t.Error("a guard can be switched without a token, or nothing can")
	}
	p = shown(t, start(t, "PODINFO_UI_ADMIN=true", "PODINFO_UI_ADMIN_TOKEN=sesame", "PODINFO_CROSS_ORIGIN_ENABLED=true").url, desktop)
	if !eval[bool](p, `!document.querySelector('#chain .note') && !!document.querySelector('[aria-label="Module cross-origin"]')`) {
		t.Error("with a token, a guard cannot be switched")
	}
}

// TestCurl: the curl command of the page does the same as the page, even with
// characters that curl or the shell would interpret.
func TestCurl(t *testing.T) {
	t.Parallel()
	p := shown(t, start(t).url, desktop)
	curl := func() string {
		out, err := exec.Command("sh", "-c", strings.Replace(p.text("#try .command"), "curl ", "curl -s ", 1)).Output()
		if err != nil {
			t.Fatal(err, p.text("#try .command"))
		}
		return string(out)
	}
	p.choose("#try select", "any /api/echo –")
	p.enter("#try .inputs textarea", "@/etc/hostname")
	if got := curl(); !strings.HasSuffix(got, "@/etc/hostname") {
		t.Errorf("curl says %s", got)
	}
	p.choose("#try select", "GET / –")
	p.click("#try form > .row button:not([type])")
	p.sees("#try .body", `"version": "6.15.0"`)
	if got := curl(); !strings.Contains(p.text("#try .command"), "Accept: application/json") || !strings.Contains(got, `"version": "6.15.0"`) {
		t.Errorf("curl says %s", got)
	}
}

// TestMoment: a time on another day includes the date.
func TestMoment(t *testing.T) {
	t.Parallel()
	p := shown(t, start(t).url, desktop)
	got := eval[[]string](p, `import(document.querySelector('script').src.replace('load.js', 'dom.js')).then(({ moment }) => [moment(Date.now()), moment('2031-02-03T12:00:00')])`)
	if strings.Contains(got[0], ",") || got[1] != "3 Feb 2031, 12:00:00" {
		t.Error(got)
	}
}

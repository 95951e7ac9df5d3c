package browser

import (
	"fmt"
	"maps"
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
// returns the CSS class of its cell and its version's colour.
func (i *impostor) respondAs(p *tab, version, pod, color string) (class, shown string) {
	p.Helper()
	body := fmt.Sprintf(`{"version": %q, "hostname": %q, "color": %q, "message": "hello"}`, version, pod, color)
	i.body.Store(&body)
	p.waitFor(`[...document.querySelectorAll('.strip i')].some((el) => el.title.includes(%s))`, " "+version+" "+pod+",")
	const cell = `[...document.querySelectorAll('.strip i')].findLast((el) => el.title.includes(%s))`
	return eval[string](p, cell+`.className`, " "+version+" "+pod+","), i.color(p, version)
}

// color returns the colour of a version.
func (i *impostor) color(p *tab, version string) string {
	return eval[string](p, `document.querySelector('.strip [data-version="' + %s + '"]').style.getPropertyValue('--c')`, version)
}

// TestShadesOfPods checks that each pod has its own shade while it is among the
// latest responses.
func TestShadesOfPods(t *testing.T) {
	t.Parallel()
	front := newImpostor(t, start(t), "{}")
	p := open(t, front.URL, desktop)
	p.waitText("#connection", "live")
	p.selectOption("#responses select", "10 per second")
	for i, c := range []struct{ version, pod, class string }{
		{"1.0", "a", "v p0"}, {"1.0", "b", "v p1"}, {"1.0", "c", "v p2"}, {"2.0", "g", "v p0"}, {"2.0", "h", "v p1"}, {"1.0", "a", "v p0"},
	} {
		if got, _ := front.respondAs(p, c.version, c.pod, "teal"); got != c.class {
			t.Errorf("%d: %s of %s is %s, want %s", i, c.pod, c.version, got, c.class)
		}
	}
	// The shades of pods that are no longer shown are free.
	p.waitFor(`document.querySelectorAll('.strip [title*=" 1.0 a,"]').length === 200`)
	if got, _ := front.respondAs(p, "1.0", "z", "teal"); got != "v p1" {
		t.Errorf("z is %s", got)
	}
}

// TestColours checks that versions have the colours that they are configured with,
// in whatever order they respond, and that equal colours are told apart.
func TestColours(t *testing.T) {
	t.Parallel()
	versions := []struct{ version, color string }{{"1.0", "#c06414"}, {"2.0", "#2a6fc0"}, {"3.0", "#2a6fc0"}, {"10.0", "#2a6fc0"}, {"4.0", "gold"}}
	colorsOf := func(order ...int) map[string]string {
		front := newImpostor(t, start(t, "PODINFO_UI_COLOR=#c06414"), "{}")
		p := open(t, front.URL, desktop)
		p.waitText("#connection", "live")
		p.selectOption("#responses select", "10 per second")
		for _, i := range order {
			front.respondAs(p, versions[i].version, "a", versions[i].color)
		}
		out := map[string]string{}
		for _, v := range versions {
			out[v.version] = front.color(p, v.version)
		}
		return out
	}
	up, down := colorsOf(0, 1, 2, 3, 4), colorsOf(4, 3, 2, 1, 0)
	if !maps.Equal(up, down) {
		t.Errorf("%v in one order, %v in the other", up, down)
	}
	if !strings.HasPrefix(up["1.0"], "light-dark(rgb(192 100 20)") || !strings.HasPrefix(up["2.0"], "light-dark(rgb(42 111 192)") {
		t.Errorf("not the configured colours: %v", up)
	}
	seen := map[string]bool{}
	for _, c := range up {
		seen[c] = true
	}
	if len(seen) != len(versions) {
		t.Errorf("colours are equal: %v", up)
	}
}

// TestContrast checks that every colour contrasts with the panel in every shade,
// that versions with the same colour differ, and that no hue that was chosen for them
// looks like an error.
func TestContrast(t *testing.T) {
	t.Parallel()
	for name, v := range map[string]view{"light": desktop, "dark": desktop.inDark()} {
		p := openLoaded(t, start(t).url, v)
		bad := eval[[]string](p, `(async () => {
			const { colorsOf } = await import(document.querySelector('script[src]').src.replace('app.js', 'colors.js'));
			const canvas = Object.assign(document.createElement('canvas'), { width: 1, height: 1 }).getContext('2d', { willReadFrequently: true });
			const rgb = (color) => { canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3); };
			const light = (c) => c.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4)).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
			const panel = light(rgb(getComputedStyle(document.querySelector('.panel')).backgroundColor));
			const cell = document.querySelector('.strip').lastElementChild;
			const out = [];
			const lab = (c) => {
				const el = document.body.appendChild(document.createElement('span'));
				el.style.color = 'oklab(from ' + c + ' l a b)';
				const parts = getComputedStyle(el).color.match(/-?[\d.]+(e-?\d+)?/g).map(Number);
				el.remove();
				return parts;
			};
			const red = lab('var(--bad)');
			for (const color of ['#34577c', 'black', 'white', 'gold', 'grey', 'red', 'navy', 'lime', 'nosuchcolor']) {
				const colors = colorsOf(new Map(Array.from({ length: 6 }, (_, i) => ['1.' + i, color])));
				const seen = new Map();
				for (const { color: c } of [...colors.values()].slice(1)) {
					const far = Math.hypot(...lab(c).map((x, i) => x - red[i]));
					if (far < 0.095) out.push(color + ' becomes ' + c + ', which is ' + far + ' from the colour of errors');
				}
				for (const [version, { color: c, mix }] of colors) for (let p = 0; p < 8; p++) {
					cell.className = 'v p' + p;
					cell.style.setProperty('--c', c);
					cell.style.setProperty('--mix', mix);
					const style = getComputedStyle(cell), own = rgb(style.backgroundColor);
					const [a, b] = [light(own), panel].sort((x, y) => y - x);
					if ((a + 0.05) / (b + 0.05) < 2.95) out.push(color + ' ' + version + ' p' + p + ' has a contrast of ' + (a + 0.05) / (b + 0.05));
					const all = own + style.backgroundImage;
					if (seen.has(all)) out.push(color + ' ' + version + ' p' + p + ' looks like ' + seen.get(all));
					seen.set(all, version + ' p' + p);
				}
			}
			return out;
		})()`)
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
	front.respondAs(p, "1.0", "a", "#34577c")
	p.waitText("h1", "hello")
	for _, body := range []string{`{}`, `null`, `[1]`, `{"version": 1, "hostname": "a"}`, `{"version": "1.0"}`, `nonsense`} {
		front.respondAs(p, "1.0", "a", "#34577c")
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
	p.waitText("#responses .lead", "0% errors, 100% refused. Latest: refused (401) from 6.15.0")
	if row := p.row(release); row[4] != "0%" {
		t.Errorf("%q", row)
	}
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
	got := eval[[]string](p, `import(document.querySelector('script[src]').src.replace('app.js', 'dom.js')).then(({ moment }) => [moment(Date.now()), moment('2031-02-03T12:00:00')])`)
	if strings.Contains(got[0], ",") || got[1] != "3 Feb 2031, 12:00:00" {
		t.Error(got)
	}
}

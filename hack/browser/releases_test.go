package browser

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// balancer gives each request to the next of its servers.
type balancer struct {
	*httptest.Server
	pages, others atomic.Int64 // turns; each has its own, so that pages are of all servers
	foreign       atomic.Int64 // requests for assets that were answered with 404
}

func balance(t *testing.T, servers ...*server) *balancer {
	t.Helper()
	b := new(balancer)
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			turn := &b.others
			if r.In.URL.Path == "/" {
				turn = &b.pages
			}
			u, err := url.Parse(servers[int(turn.Add(1))%len(servers)].url)
			if err != nil {
				panic(err)
			}
			r.SetURL(u)
			r.Out.Host = r.In.Host
		},
		ModifyResponse: func(res *http.Response) error {
			if strings.Contains(res.Request.URL.Path, "/ui/assets/") && res.StatusCode == http.StatusNotFound {
				b.foreign.Add(1)
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, fmt.Sprint("no backend: ", err), http.StatusBadGateway)
		},
	}
	b.Server = httptest.NewServer(forward)
	t.Cleanup(func() { b.CloseClientConnections(); b.Close() })
	return b
}

// whole waits until a page shows all panels, with its style.
func (p *tab) whole() {
	p.Helper()
	p.sees("#connection", "live")
	p.until(`document.querySelectorAll('pod-chain li').length > 20`)
	p.until(`document.querySelector('pod-plot path.line')`)
	if !eval[bool](p, `getComputedStyle(document.querySelector('.panel')).borderTopStyle === 'solid' && [...document.images].every((i) => i.naturalWidth)`) {
		p.Error("no style, or no logo")
	}
}

// TestTwoReleases answer one request each, as while a canary is looked at. A
// page consists of one of them.
func TestTwoReleases(t *testing.T) {
	t.Parallel()
	old, next := start(t), startAt(t, freeAddr(t), nextRelease)
	front := balance(t, old, next)
	styles := map[string]int{}
	for range 8 {
		p := open(t, front.URL, desktop)
		p.mayFail()
		p.whole()
		styles[eval[string](p, `getComputedStyle(document.documentElement).getPropertyValue('--release')`)]++
		p.must(chromedp.Do(p.ctx, chromedp.Navigate("about:blank")))
	}
	if styles[""] != 4 || styles["next"] != 4 || front.foreign.Load() == 0 {
		t.Errorf("the pages' releases are %v, %d times another one was asked for a file", styles, front.foreign.Load())
	}
}

// TestReleaseEnds while its page is loaded: another one answers all that the
// page asks for.
func TestReleaseEnds(t *testing.T) {
	t.Parallel()
	old, next := start(t), startAt(t, freeAddr(t), nextRelease)
	front := newProxy(t, "", old)
	front.served = func(path string) {
		if path == "/" {
			front.target.Store(next)
		}
	}
	p := open(t, front.URL, desktop)
	p.mayFail()
	p.whole()
	p.sees("#build", nextRelease)
}

// TestServerDiesWhileLoading leaves a page that says so.
func TestServerDiesWhileLoading(t *testing.T) {
	t.Parallel()
	for name, last := range map[string]string{"before the loader": "/", "behind the loader": "/load.js"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			front := newProxy(t, "", s)
			front.served = func(path string) {
				if strings.HasSuffix(path, last) {
					s.stop()
				}
			}
			p := open(t, front.URL, phone)
			p.mayFail()
			p.sees("#banner", "could not be loaded")
			p.sees("h1", "greetings from podinfo v"+release)
			p.mu.Lock()
			defer p.mu.Unlock()
			p.said = slices.DeleteFunc(p.said, func(line string) bool { return strings.Contains(line, "MIME type") }) // of the proxy's error
		})
	}
}

// TestSlowServer takes its time for each file, and the page waits.
func TestSlowServer(t *testing.T) {
	t.Parallel()
	front := newProxy(t, "", start(t))
	forward := front.Config.Handler
	front.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/ui/assets/") {
			time.Sleep(1500 * time.Millisecond)
		}
		forward.ServeHTTP(w, r)
	})
	p := open(t, front.URL, desktop)
	p.until(`document.querySelector('h1')?.checkVisibility() && document.getElementById('banner').hidden`) // what there is, until then
	p.whole()
}

// TestServerHangs is no better than one that died.
func TestServerHangs(t *testing.T) {
	t.Parallel()
	s := start(t)
	p := shown(t, s.url, desktop)
	p.mayFail()
	s.cmd.Process.Signal(syscall.SIGSTOP)
	p.sees("#connection", "no connection")
	p.sees("#banner", "does not answer")
	s.cmd.Process.Signal(syscall.SIGCONT)
	p.sees("#connection", "live")
	p.until(`document.getElementById('banner').hidden`)
}

// TestReplicas of one release have one page, which says whose figures it shows
// and where a change was made.
func TestReplicas(t *testing.T) {
	t.Parallel()
	vars := []string{"PODINFO_UI_ADMIN=true", "PODINFO_RANDOM_DELAY_ENABLED=standby"}
	pods := []*server{startPod(t, "pod-a", release, vars...), startPod(t, "pod-b", release, vars...)}
	front := newProxy(t, "", pods[0])
	p := shown(t, front.URL, desktop)
	names := []string{pods[0].hostname(t), pods[1].hostname(t)}
	for _, css := range []string{"#live .lead", "#chain .tools", "#faults .lead"} {
		p.sees(css, "pod "+names[0]+" (6.15.0)")
	}
	p.sees("#faults .control", "Ready")

	// From here the events are of one pod, and all else is of the other.
	front.target.Store(pods[1])
	p.click("[aria-label='Readiness']")
	p.sees("#faults .refused", "Changed on pod "+names[1]+" (6.15.0")
	p.click("[aria-label='Module random-delay']")
	p.sees("#chain .refused", "Changed on pod "+names[1]+" (6.15.0")
	for i, want := range []int{http.StatusOK, http.StatusServiceUnavailable} {
		if got := pods[i].status(t, "/readyz"); got != want {
			t.Errorf("%s: /readyz answers %d", names[i], got)
		}
	}
	if got := p.text("#faults .control"); !strings.Contains(got, "Ready") || strings.Contains(got, "Not ready") {
		t.Errorf("the state of one pod is drawn as that of the other: %s", got)
	}
	p.sees("#chain li:has([aria-label='Module random-delay'])", "standby")

	// When that pod leaves, the other one takes its place.
	p.mayFail()
	pods[0].stop()
	for _, css := range []string{"#live .lead", "#chain .tools", "#faults .lead"} {
		p.sees(css, "pod "+names[1]+" (6.15.0)")
	}
	p.sees("#faults .control", "Not ready")
	p.sees("#chain li:has([aria-label='Module random-delay'])", "on")
	p.click("[aria-label='Readiness']")
	p.until(`!document.querySelector('#faults .control').textContent.includes('Not ready')`)
}

// TestBalancedReplicas are asked until the panels show one of them.
func TestBalancedReplicas(t *testing.T) {
	t.Parallel()
	front := balance(t, startPod(t, "pod-a", release), startPod(t, "pod-b", release), startPod(t, "pod-c", release))
	p := shown(t, front.URL, desktop)
	const whose = `document.querySelector(%s).innerText.match(/pod \S+ /)[0]`
	p.until(fmt.Sprintf(whose+` === `+whose, "'#live .lead'", "'#chain .tools'"))
}

// TestTwoReleasesWithoutCache is for who watches with the browser's tools open.
func TestTwoReleasesWithoutCache(t *testing.T) {
	t.Parallel()
	front := balance(t, start(t), startAt(t, freeAddr(t), nextRelease))
	p := open(t, front.URL, desktop)
	p.mayFail()
	_, err := chromedp.Call(p.ctx, network.SetCacheDisabled, network.SetCacheDisabledParams{CacheDisabled: true})
	p.must(err)
	p.must(chromedp.Do(p.ctx, chromedp.Navigate(front.URL)))
	p.whole()
}

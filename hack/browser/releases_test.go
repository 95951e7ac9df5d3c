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

// A balancer sends requests to its servers in turn.
type balancer struct {
	*httptest.Server
	pages, others atomic.Int64 // counters, separate so that each server gets pages
	foreign       atomic.Int64 // requests for assets that returned 404
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

// whole waits until a page shows all panels, with their style.
func (p *tab) whole() {
	p.Helper()
	p.sees("#connection", "live")
	p.until(`document.querySelectorAll('pod-chain li').length > 20`)
	p.until(`document.querySelector('pod-plot path.line')`)
	if !eval[bool](p, `getComputedStyle(document.querySelector('.panel')).borderTopStyle === 'solid' && [...document.images].every((i) => i.naturalWidth)`) {
		p.Error("the style or the logo is missing")
	}
}

// TestTwoReleases: two releases serve requests in turn, as with a canary. A page uses
// the assets of only one of them.
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
		t.Errorf("releases of the pages: %v; requests for files of the other release: %d", styles, front.foreign.Load())
	}
}

// TestReleaseEnds: while a page loads, another release takes over and serves the other
// requests of the page.
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

// TestServerDiesWhileLoading: the page reports that it could not load.
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
			p.said = slices.DeleteFunc(p.said, func(line string) bool { return strings.Contains(line, "MIME type") }) // caused by the error of the proxy
		})
	}
}

// TestSlowServer: each file takes a while, and the page waits.
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
	p.until(`document.querySelector('h1')?.checkVisibility() && document.getElementById('banner').hidden`) // shown before that
	p.whole()
}

// TestServerHangs: a server that hangs looks like one that died.
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

// TestReplicas: behind a balancer, the page names the replica whose figures it shows
// and the one that a change was made on.
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

	// From here, one pod sends the events and the other serves all other requests.
	front.target.Store(pods[1])
	p.click("[aria-label='Readiness']")
	p.sees("#faults .refused", "Changed on pod "+names[1]+" (6.15.0")
	p.click("[aria-label='Module random-delay']")
	p.sees("#chain .refused", "Changed on pod "+names[1]+" (6.15.0")
	for i, want := range []int{http.StatusOK, http.StatusServiceUnavailable} {
		if got := pods[i].status(t, "/readyz"); got != want {
			t.Errorf("%s: /readyz returns %d", names[i], got)
		}
	}
	if got := p.text("#faults .control"); !strings.Contains(got, "Ready") || strings.Contains(got, "Not ready") {
		t.Errorf("the state of one pod is shown for the other: %s", got)
	}
	p.sees("#chain li:has([aria-label='Module random-delay'])", "standby")

	// When that pod stops, the page shows the other one.
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

// TestBalancedReplicas: the page repeats its requests until all panels show the same
// replica.
func TestBalancedReplicas(t *testing.T) {
	t.Parallel()
	front := balance(t, startPod(t, "pod-a", release), startPod(t, "pod-b", release), startPod(t, "pod-c", release))
	p := shown(t, front.URL, desktop)
	const whose = `document.querySelector(%s).innerText.match(/pod \S+ /)[0]`
	p.until(fmt.Sprintf(whose+` === `+whose, "'#live .lead'", "'#chain .tools'"))
}

// TestTwoReleasesWithoutCache loads a page of two releases without the browser's cache,
// as the developer tools can.
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

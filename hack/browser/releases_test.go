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

// balancer forwards requests to its servers in turn.
type balancer struct {
	*httptest.Server
	pages, others atomic.Int64 // counted separately, so that each server serves pages
	foreign       atomic.Int64 // requests for assets that got 404
}

func balance(t *testing.T, servers ...*server) *balancer {
	t.Helper()
	b := new(balancer)
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			count := &b.others
			if r.In.URL.Path == "/" {
				count = &b.pages
			}
			u, err := url.Parse(servers[int(count.Add(1))%len(servers)].url)
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

// waitLoaded waits until a page shows all panels and checks its style and
// images.
func (p *tab) waitLoaded() {
	p.Helper()
	p.waitText("#connection", "live")
	p.waitFor(`document.querySelectorAll('pod-chain li').length > 20`)
	p.waitFor(`document.querySelector('pod-plot path.line')`)
	if !eval[bool](p, `getComputedStyle(document.querySelector('.panel')).borderTopStyle === 'solid' && [...document.images].every((i) => i.naturalWidth)`) {
		p.Error("the style or an image is missing")
	}
}

// TestTwoReleases opens pages while two releases respond in turn, as with a
// canary. Each page must consist of the files of one release.
func TestTwoReleases(t *testing.T) {
	t.Parallel()
	old, next := start(t), startAt(t, freeAddr(t), nextRelease)
	front := balance(t, old, next)
	styles := map[string]int{}
	for range 8 {
		p := open(t, front.URL, desktop)
		p.allowFailures()
		p.waitLoaded()
		styles[eval[string](p, `getComputedStyle(document.documentElement).getPropertyValue('--release')`)]++
		p.must(chromedp.Do(p.ctx, chromedp.Navigate("about:blank")))
	}
	if styles[""] != 4 || styles["next"] != 4 || front.foreign.Load() == 0 {
		t.Errorf("releases of the pages: %v; requests for files of another release: %d", styles, front.foreign.Load())
	}
}

// TestReleaseEnds replaces the release right after it has served the page, so
// that another one receives all further requests.
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
	p.allowFailures()
	p.waitLoaded()
	p.waitText("#build", nextRelease)
}

// TestServerDiesWhileLoading checks that a page that cannot be loaded says so.
func TestServerDiesWhileLoading(t *testing.T) {
	t.Parallel()
	for name, last := range map[string]string{"before the files": "/", "after the style": "/style.css"} {
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
			p.allowFailures()
			p.waitText("#banner", "could not be loaded")
			p.waitText("h1", "greetings from podinfo v"+release)
			p.mu.Lock()
			defer p.mu.Unlock()
			p.logged = slices.DeleteFunc(p.logged, func(line string) bool { return strings.Contains(line, "MIME type") }) // the type of the proxy's error
		})
	}
}

// TestSlowServer checks that the page waits for slow files.
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
	p.waitFor(`document.querySelector('h1')?.checkVisibility() && document.getElementById('banner').hidden`) // the unstyled page, until the files arrive
	p.waitLoaded()
}

// TestServerHangs checks that the page treats a server that hangs like a dead
// one.
func TestServerHangs(t *testing.T) {
	t.Parallel()
	s := start(t)
	p := openLoaded(t, s.url, desktop)
	p.allowFailures()
	s.cmd.Process.Signal(syscall.SIGSTOP)
	p.waitText("#connection", "no connection")
	p.waitText("#banner", "is not responding")
	s.cmd.Process.Signal(syscall.SIGCONT)
	p.waitText("#connection", "live")
	p.waitFor(`document.getElementById('banner').hidden`)
}

// TestReplicas checks that the page says which of several replicas it shows, and
// which one a change has reached.
func TestReplicas(t *testing.T) {
	t.Parallel()
	vars := []string{"PODINFO_UI_ADMIN=true", "PODINFO_RANDOM_DELAY_ENABLED=standby"}
	pods := []*server{startPod(t, "pod-a", release, vars...), startPod(t, "pod-b", release, vars...)}
	front := newProxy(t, "", pods[0])
	p := openLoaded(t, front.URL, desktop)
	names := []string{pods[0].hostname(t), pods[1].hostname(t)}
	for _, css := range []string{"#live .lead", "#chain .tools", "#faults .lead"} {
		p.waitText(css, "pod "+names[0]+" (6.15.0)")
	}
	p.waitText("#faults .control", "Ready")

	// From here the events come from one pod and all other responses from the
	// other.
	front.target.Store(pods[1])
	p.click("[aria-label='Readiness']")
	p.waitText("#faults .refused", "Changed on pod "+names[1]+" (6.15.0")
	p.click("[aria-label='Module random-delay']")
	p.waitText("#chain .refused", "Changed on pod "+names[1]+" (6.15.0")
	for i, want := range []int{http.StatusOK, http.StatusServiceUnavailable} {
		if got := pods[i].status(t, "/readyz"); got != want {
			t.Errorf("%s: status of /readyz: %d", names[i], got)
		}
	}
	if got := p.text("#faults .control"); !strings.Contains(got, "Ready") || strings.Contains(got, "Not ready") {
		t.Errorf("the page shows the state of the wrong pod: %s", got)
	}
	p.waitText("#chain li:has([aria-label='Module random-delay'])", "standby")

	// When that pod is gone, the page shows the other one.
	p.allowFailures()
	pods[0].stop()
	for _, css := range []string{"#live .lead", "#chain .tools", "#faults .lead"} {
		p.waitText(css, "pod "+names[1]+" (6.15.0)")
	}
	p.waitText("#faults .control", "Not ready")
	p.waitText("#chain li:has([aria-label='Module random-delay'])", "on")
	p.click("[aria-label='Readiness']")
	p.waitFor(`!document.querySelector('#faults .control').textContent.includes('Not ready')`)
}

// TestBalancedReplicas checks that all panels show the same one of several
// replicas.
func TestBalancedReplicas(t *testing.T) {
	t.Parallel()
	front := balance(t, startPod(t, "pod-a", release), startPod(t, "pod-b", release), startPod(t, "pod-c", release))
	p := openLoaded(t, front.URL, desktop)
	const pod = `document.querySelector(%s).innerText.match(/pod \S+ /)[0]`
	p.waitFor(fmt.Sprintf(pod+` === `+pod, "'#live .lead'", "'#chain .tools'"))
}

// TestTwoReleasesWithoutCache checks that the page also loads when the
// developer tools disable the cache.
func TestTwoReleasesWithoutCache(t *testing.T) {
	t.Parallel()
	front := balance(t, start(t), startAt(t, freeAddr(t), nextRelease))
	p := open(t, front.URL, desktop)
	p.allowFailures()
	_, err := chromedp.Call(p.ctx, network.SetCacheDisabled, network.SetCacheDisabledParams{CacheDisabled: true})
	p.must(err)
	p.must(chromedp.Do(p.ctx, chromedp.Navigate(front.URL)))
	p.waitLoaded()
}

package browser

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// axe-core finds violations of the Web Content Accessibility Guidelines. Only
// the tests use it.
const (
	axeVersion   = "4.14.1"
	axeIntegrity = "sha512-FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="
)

// axeScript returns the source of axe-core, which it downloads with npm once and
// stores in the user's cache.
var axeScript = sync.OnceValues(func() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "podinfo-test")
	file := filepath.Join(dir, "axe-core-"+axeVersion+".tgz")
	if err := verify(file); err != nil {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", err
		}
		cmd := exec.Command("npm", "pack", "--silent", "--pack-destination", dir, "axe-core@"+axeVersion)
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("npm cannot download axe-core (`make deps` installs npm): %w %s", err, out)
		}
		if err := verify(file); err != nil {
			return "", err
		}
	}
	return unpack(file, "package/axe.min.js")
})

func verify(file string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	sum := sha512.Sum512(b)
	if got := "sha512-" + base64.StdEncoding.EncodeToString(sum[:]); got != axeIntegrity {
		return fmt.Errorf("%s: wrong checksum %s, want %s", file, got, axeIntegrity)
	}
	return nil
}

func unpack(archive, name string) (string, error) {
	f, err := os.Open(archive)
	if err != nil {
		return "", err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return "", err
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return "", fmt.Errorf("%s: %w", name, fs.ErrNotExist)
		}
		if err != nil {
			return "", err
		}
		if h.Name == name {
			b, err := io.ReadAll(r)
			return string(b), err
		}
	}
}

// axe fails the test for each violation of WCAG 2.2 AA and of axe-core's best
// practices.
func (p *tab) axe() {
	p.Helper()
	code, err := axeScript()
	p.must(err)
	// The page's policy does not apply to scripts that the developer tools run.
	eval[bool](p, code+"; true")
	var result []struct {
		ID, Help string
		Nodes    []struct {
			HTML           string `json:"html"`
			FailureSummary string `json:"failureSummary"`
		}
	}
	text := eval[string](p, `axe.run(document, {resultTypes: ['violations'], runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']}).then((r) => JSON.stringify(r.violations))`)
	p.must(json.Unmarshal([]byte(text), &result))
	for _, v := range result {
		var where []string
		for _, n := range v.Nodes {
			where = append(where, n.HTML+"\n    "+strings.ReplaceAll(n.FailureSummary, "\n", "\n    "))
		}
		p.Errorf("%s: %s\n  %s", v.ID, v.Help, strings.Join(where[:min(5, len(where))], "\n  "))
	}
}

// TestViolationsAreRecorded checks that a page that violates its policy or logs
// something fails its test.
func TestViolationsAreRecorded(t *testing.T) {
	t.Parallel()
	p := openLoaded(t, start(t).url, desktop)
	eval[bool](p, `document.body.setAttribute('style', 'color: red'), console.warn('a warning'), fetch('https://example.invalid/').catch(() => true)`)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, want := range []string{"style-src", "a warning", "connect-src"} {
		if !strings.Contains(strings.Join(p.logged, "\n"), want) {
			t.Errorf("not recorded: %s in %q", want, p.logged)
		}
	}
	p.logged = nil
}

// TestAxeFindsViolations checks that axe can fail.
func TestAxeFindsViolations(t *testing.T) {
	t.Parallel()
	p := openLoaded(t, start(t).url, desktop)
	code, err := axeScript()
	p.must(err)
	eval[bool](p, code+"; true")
	if n := eval[int](p, `document.getElementById('theme').replaceChildren(), document.getElementById('theme').ariaLabel = '', axe.run(document).then((r) => r.violations.length)`); n == 0 {
		t.Error("axe accepts a button without a name")
	}
}

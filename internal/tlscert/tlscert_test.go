package tlscert_test

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/internal/tlscert"
)

func TestRotation(t *testing.T) {
	dir := t.TempDir()
	registrytest.WriteCert(t, dir, "first")
	synctest.Test(t, func(t *testing.T) {
		var reported []error
		p, err := tlscert.Load(dir, func(err error) { reported = append(reported, err) })
		if err != nil {
			t.Fatal(err)
		}
		serial := func() string {
			time.Sleep(tlscert.CheckEvery)
			c, err := p.GetCertificate(nil)
			if err != nil {
				t.Fatal(err)
			}
			return c.Leaf.Subject.CommonName
		}
		if got := serial(); got != "first" {
			t.Errorf("got %q", got)
		}
		registrytest.WriteCert(t, dir, "second certificate")
		if got := serial(); got != "second certificate" {
			t.Errorf("after rotation: %q", got)
		}
		if err := os.WriteFile(filepath.Join(dir, "tls.crt"), []byte("garbage"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := serial(); got != "second certificate" || len(reported) == 0 {
			t.Errorf("broken replacement: %q, reported %v", got, reported)
		}
		registrytest.WriteCert(t, dir, "the third")
		if got := serial(); got != "the third" {
			t.Errorf("after repair: %q", got)
		}
	})
}

func TestLoadRefuses(t *testing.T) {
	if _, err := tlscert.Load(t.TempDir(), nil); err == nil {
		t.Error("an empty directory was accepted")
	}
}

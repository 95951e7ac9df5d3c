package tlscert_test

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/internal/reload"
	"github.com/seed-4591fe7d/podinfo/internal/tlscert"
)

func TestRotation(t *testing.T) {
	dir, clients := t.TempDir(), t.TempDir()
	registrytest.WriteCert(t, dir, "first")
	registrytest.WriteCert(t, clients, "client one")
	synctest.Test(t, func(t *testing.T) {
		var reported []error
		conf, err := tlscert.Config(dir, filepath.Join(clients, "tls.crt"), func(err error) { reported = append(reported, err) }, "h2")
		if err != nil {
			t.Fatal(err)
		}
		now := func() (*tls.Config, string) {
			t.Helper()
			time.Sleep(reload.CheckEvery)
			c, err := conf.GetConfigForClient(nil)
			if err != nil {
				t.Fatal(err)
			}
			cert, err := c.GetCertificate(nil)
			if err != nil {
				t.Fatal(err)
			}
			return c, cert.Leaf.Subject.CommonName
		}
		first, name := now()
		if name != "first" || first.ClientAuth != tls.RequireAndVerifyClientCert || !first.ClientCAs.Equal(conf.ClientCAs) || first.NextProtos[0] != "h2" || first.MinVersion != tls.VersionTLS12 {
			t.Errorf("%q %+v", name, first)
		}
		registrytest.WriteCert(t, dir, "second certificate")
		if c, name := now(); name != "second certificate" || c != first {
			t.Errorf("after rotation: %q", name)
		}
		pool := registrytest.WriteCert(t, clients, "client two, of another length")
		second, _ := now()
		if !second.ClientCAs.Equal(pool) || first.ClientCAs.Equal(pool) {
			t.Error("the authorities were not reloaded, or the old ones changed")
		}
		for _, file := range []string{filepath.Join(dir, "tls.crt"), filepath.Join(clients, "tls.crt")} {
			if err := os.WriteFile(file, []byte("garbage"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for range 3 {
			if c, name := now(); c != second || name != "second certificate" {
				t.Errorf("broken replacement: %q", name)
			}
		}
		if len(reported) != 2 {
			t.Errorf("reported %v, want each file once", reported)
		}
		registrytest.WriteCert(t, dir, "the third")
		registrytest.WriteCert(t, clients, "client three")
		if c, name := now(); name != "the third" || c == second {
			t.Errorf("after repair: %q", name)
		}
	})
}

func TestRefuses(t *testing.T) {
	dir := t.TempDir()
	registrytest.WriteCert(t, dir, "server")
	for _, c := range []struct{ dir, ca, want string }{
		{t.TempDir(), "", "tls.crt: no such file"},
		{dir, filepath.Join(dir, "absent"), "absent: no such file"},
		{dir, filepath.Join(dir, "tls.key"), "tls.key contains no PEM certificate"},
	} {
		if _, err := tlscert.Config(c.dir, c.ca, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}

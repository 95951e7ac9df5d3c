package httpserver_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/seed-4591fe7d/podinfo/endpoints/health"
	"github.com/seed-4591fe7d/podinfo/endpoints/httpserver"
	"github.com/seed-4591fe7d/podinfo/internal/registrytest"
	"github.com/seed-4591fe7d/podinfo/internal/reload"
	"github.com/seed-4591fe7d/podinfo/registry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A client has the certificate in a directory, "" for none.
func client(t *testing.T, conf *tls.Config, dir string, http2 bool) *http.Client {
	t.Helper()
	conf = conf.Clone()
	if dir != "" {
		cert, err := tls.LoadX509KeyPair(filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"))
		if err != nil {
			t.Fatal(err)
		}
		// Send this certificate whatever the server asks for.
		conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
	}
	transport := &http.Transport{TLSClientConfig: conf, ForceAttemptHTTP2: http2, DisableKeepAlives: !http2}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func TestClientCertificates(t *testing.T) {
	dir, clients, others := t.TempDir(), t.TempDir(), t.TempDir()
	pool := registrytest.WriteCert(t, dir, "server")
	registrytest.WriteCert(t, clients, "client")
	registrytest.WriteCert(t, others, "someone else")
	plain, secure := registrytest.FreePort(t), registrytest.FreePort(t)
	_, log := registrytest.New(t, map[string]string{
		"PODINFO_HOST": "127.0.0.1", "PODINFO_PORT": fmt.Sprint(plain), "PODINFO_SECURE_PORT": fmt.Sprint(secure),
		"PODINFO_CERT_PATH": dir, "PODINFO_CLIENT_CA": filepath.Join(clients, "tls.crt"),
	}, new(health.Module), new(httpserver.Module))
	url := fmt.Sprintf("https://localhost:%d/healthz", secure)
	get := func(c *http.Client) error {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := c.Do(req)
		if err != nil {
			return err
		}
		res.Body.Close()
		if res.StatusCode != 200 {
			t.Errorf("status %d", res.StatusCode)
		}
		if want := c.Transport.(*http.Transport).ForceAttemptHTTP2; (res.ProtoMajor == 2) != want {
			t.Errorf("protocol %s, want HTTP/2: %v", res.Proto, want)
		}
		return nil
	}
	trusting := &tls.Config{RootCAs: pool}
	for _, http2 := range []bool{false, true} {
		for _, c := range []struct {
			what string
			conf *tls.Config
			dir  string
			ok   bool
		}{
			{"a certificate of the authority", trusting, clients, true},
			{"TLS 1.2", &tls.Config{RootCAs: pool, MaxVersion: tls.VersionTLS12}, clients, true},
			{"no certificate, as the kubelet's probes", trusting, "", false},
			{"no certificate, TLS 1.2", &tls.Config{RootCAs: pool, MaxVersion: tls.VersionTLS12}, "", false},
			{"a certificate of another authority", trusting, others, false},
			{"the server's own certificate", trusting, dir, false},
		} {
			if err := get(client(t, c.conf, c.dir, http2)); (err == nil) != c.ok {
				t.Errorf("%s, HTTP/2 %v: %v", c.what, http2, err)
			}
		}
	}
	res, err := client(t, trusting, "", false).Get(fmt.Sprintf("http://127.0.0.1:%d/healthz", plain)) // probes go here
	if err != nil || res.StatusCode != 200 {
		t.Fatalf("HTTP port: %v %v", res, err)
	}
	res.Body.Close()

	// A session begun under the old authority is not resumed under the new one.
	resuming := client(t, &tls.Config{RootCAs: pool, ClientSessionCache: tls.NewLRUClientSessionCache(8)}, clients, false)
	if err := get(resuming); err != nil {
		t.Fatal(err)
	}
	before := client(t, trusting, others, false)
	registrytest.WriteCert(t, clients, "another authority, of another length")
	deadline := time.Now().Add(20 * reload.CheckEvery)
	for get(client(t, trusting, clients, false)) != nil { // the new authority is trusted within a second
		if time.Now().After(deadline) {
			t.Fatalf("the authorities are not reloaded: %s", log)
		}
	}
	if err := get(resuming); err == nil {
		t.Error("a session of a client of the old authority was resumed")
	}
	if err := get(before); err == nil {
		t.Error("a stranger is let in")
	}
}

func TestRefusesToStart(t *testing.T) {
	dir := t.TempDir()
	registrytest.WriteCert(t, dir, "server")
	for _, c := range []struct{ env, want string }{
		{"PODINFO_CLIENT_CA=" + dir + "/tls.crt", `tls.crt": want PODINFO_SECURE_PORT as well`},
		{"PODINFO_SECURE_PORT=%d PODINFO_CERT_PATH=" + dir + " PODINFO_CLIENT_CA=" + dir + "/absent", "absent: no such file"},
		{"PODINFO_SECURE_PORT=%d PODINFO_CERT_PATH=" + dir + " PODINFO_CLIENT_CA=" + dir + "/tls.key", "tls.key contains no PEM certificate"},
		{"PODINFO_SECURE_PORT=%d PODINFO_CERT_PATH=" + t.TempDir(), "tls.crt: no such file"},
	} {
		vars := registrytest.Vars("PODINFO_HOST=127.0.0.1 PODINFO_PORT=0 " + strings.ReplaceAll(c.env, "%d", fmt.Sprint(registrytest.FreePort(t))))
		app, err := registry.New([]registry.Module{new(httpserver.Module)}, registry.Env(vars))
		if err == nil {
			err = app.Start(t.Context())
			if stop := app.Stop(t.Context()); stop != nil {
				t.Error(stop)
			}
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.env, err, c.want)
		}
	}
}

package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/crane"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"helm.sh/helm/v3/pkg/chart/loader"
	helm "helm.sh/helm/v3/pkg/registry"
)

const root = "../../.."

// loopback starts a registry and returns its address.
func loopback(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// TestChart pulls the pushed chart with Helm's client.
func TestChart(t *testing.T) {
	chart, err := loader.Load(root + "/charts/podinfo")
	if err != nil {
		t.Fatal(err)
	}
	a := artifact{dir: root + "/charts/podinfo", to: loopback(t) + "/seed/charts", version: chart.Metadata.Version, created: time.Unix(1, 0)}
	digest, err := a.push("chart")
	if err != nil {
		t.Fatal(err)
	}
	client, err := helm.NewClient(helm.ClientOptPlainHTTP(), helm.ClientOptWriter(io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	pulled, err := client.Pull(a.to + "/podinfo:" + a.version)
	if err != nil {
		t.Fatal(err)
	}
	got, err := loader.LoadArchive(bytes.NewReader(pulled.Chart.Data))
	if err != nil {
		t.Fatal(err)
	}
	if pulled.Manifest.Digest != digest || len(got.Templates) != len(chart.Templates) || len(got.Templates) == 0 {
		t.Errorf("digest %s, %d templates; want %s, %d", pulled.Manifest.Digest, len(got.Templates), digest, len(chart.Templates))
	}
	a.version = "1.2.3"
	if _, err := a.push("chart"); err == nil || !strings.Contains(err.Error(), "not 1.2.3") {
		t.Errorf("pushed as another version: %v", err)
	}
}

// TestKustomization checks the manifest that Flux reads, and that the archive has
// the files of the directory.
func TestKustomization(t *testing.T) {
	a := artifact{dir: root + "/kustomize", to: loopback(t) + "/seed/manifests/podinfo", version: "9.8.7", created: time.Unix(1, 0).UTC(),
		source: "https://example.com/podinfo", commit: "abc", latest: true}
	digest, err := a.push("kustomization")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := a.push("kustomization"); err != nil || again != digest {
		t.Errorf("pushed again: %s, %v; want %s", again, err, digest)
	}
	for _, tag := range []string{"9.8.7", "latest"} {
		if got, err := crane.Digest(a.to + ":" + tag); err != nil || got != digest {
			t.Errorf("%s: %s, %v; want %s", tag, got, err, digest)
		}
	}
	image, err := crane.Pull(a.to + ":9.8.7")
	if err != nil {
		t.Fatal(err)
	}
	text, err := image.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	var manifest v1.Manifest
	if err := json.Unmarshal(text, &manifest); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"org.opencontainers.image.created":  "1970-01-01T00:00:01Z",
		"org.opencontainers.image.source":   "https://example.com/podinfo",
		"org.opencontainers.image.revision": "9.8.7@sha1:abc",
	}
	if diff := cmp.Diff(want, manifest.Annotations); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
	if manifest.Config.MediaType != fluxConfig || len(manifest.Layers) != 1 || manifest.Layers[0].MediaType != fluxContent {
		t.Fatalf("not what Flux reads: %s", text)
	}
	layer, err := crane.PullLayer(a.to + "@" + manifest.Layers[0].Digest.String())
	if err != nil {
		t.Fatal(err)
	}
	body, err := layer.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	files := unpack(t, body)
	for _, name := range []string{"base/deployment.yaml", "overlays/production/kustomization.yaml", "components/monitoring/kustomization.yaml"} {
		want, err := os.ReadFile(a.dir + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if files[name] != string(want) {
			t.Errorf("%s differs in the artifact", name)
		}
	}
}

func unpack(t *testing.T, body io.Reader) map[string]string {
	t.Helper()
	zip, err := gzip.NewReader(body)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for pack := tar.NewReader(zip); ; {
		header, err := pack.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(pack)
		if err != nil {
			t.Fatal(err)
		}
		files[header.Name] = string(text)
	}
}

package main

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// checkout copies the current source to a new folder.
func checkout(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	out, err := exec.Command("git", "-C", "../..", "ls-files", "-co", "--exclude-standard", "-z", "go.mod", "go.sum", "*.go", "cmd", "endpoints", "internal", "middleware", "registry").Output()
	if err != nil {
		t.Fatal(err)
	}
	for path := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		body, err := os.ReadFile(filepath.Join("../..", path))
		if errors.Is(err, os.ErrNotExist) || strings.HasPrefix(path, "hack/") {
			continue
		}
		to := filepath.Join(dir, path)
		if err := errors.Join(err, os.MkdirAll(filepath.Dir(to), 0o755)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, body, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestDockerignore: the builder of the Dockerfile gets every folder that the
// program is compiled from.
func TestDockerignore(t *testing.T) {
	ignore, err := os.ReadFile("../../.dockerignore")
	if err != nil {
		t.Fatal(err)
	}
	const module = "github.com/seed-4591fe7d/podinfo"
	out, err := exec.Command("go", "-C", "../..", "list", "-deps", "-tags=podinfo", "./cmd/podcli").Output()
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for pkg := range strings.FieldsSeq(string(out)) {
		path, ok := strings.CutPrefix(pkg, module+"/")
		if !ok {
			continue
		}
		found++
		folder, _, _ := strings.Cut(path, "/")
		if !strings.Contains(string(ignore), "\n!"+folder+"\n") {
			t.Errorf("%s is not in the build context: add !%s to .dockerignore", pkg, folder)
		}
	}
	if found < 10 {
		t.Errorf("found only %d packages", found)
	}
}

func buildFrom(dir string, only ...v1.Platform) (*image, error) {
	b := build{source: dir, only: only, version: "6.15.0-test", revision: "0123456789abcdef0123456789abcdef01234567", created: time.Unix(1700000000, 0).UTC()}
	return b.image()
}

// built builds one image for all tests.
var built = sync.OnceValues(func() (*image, error) { return buildFrom("../..") })

func the(t *testing.T) *image {
	t.Helper()
	i, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// TestReproducible builds the same image from two folders at different times.
func TestReproducible(t *testing.T) {
	one := checkout(t)
	two := filepath.Join(t.TempDir(), "some", "where", "else")
	if err := os.CopyFS(two, os.DirFS(one)); err != nil {
		t.Fatal(err)
	}
	a, err := buildFrom(one)
	if err != nil {
		t.Fatal(err)
	}
	b, err := buildFrom(two)
	if err != nil {
		t.Fatal(err)
	}
	if a.digest != b.digest {
		t.Errorf("%s and %s", a.digest, b.digest)
	}
	texts := []string{}
	for _, i := range []*image{a, b} {
		path := filepath.Join(t.TempDir(), "sbom.json")
		if err := i.writeSBOM(path); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	if diff := cmp.Diff(texts[0], texts[1]); diff != "" {
		t.Error("bills of materials differ:", diff)
	}
}

func TestConfig(t *testing.T) {
	for _, p := range the(t).platforms {
		c, err := p.image.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		want := v1.Config{User: "100:101", WorkingDir: "/home/app", Cmd: []string{"./podinfo"},
			Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, Labels: c.Config.Labels}
		if diff := cmp.Diff(want, c.Config); diff != "" {
			t.Error(p.platform, diff)
		}
		if got := (v1.Platform{OS: c.OS, Architecture: c.Architecture, Variant: c.Variant}); !got.Equals(p.platform) {
			t.Errorf("%v has the platform %v in its config", p.platform, got)
		}
		labels := maps.Clone(c.Config.Labels)
		for key, want := range map[string]string{
			"created": "2023-11-14T22:13:20Z", "revision": "0123456789abcdef0123456789abcdef01234567",
			"version": "6.15.0-test", "licenses": "Apache-2.0", "source": "https://github.com/seed-4591fe7d/podinfo",
		} {
			if got := labels["org.opencontainers.image."+key]; got != want {
				t.Errorf("label %s is %q", key, got)
			}
		}
	}
}

// limit is the maximum size of all files in bytes, as docs/kubernetes.md states it. Go's
// linker keeps all methods of all types if the program looks up a method by a name
// that is not a constant, as text/template and reflect's Method do. That would add
// 9 MB and break the limit.
const limit int64 = 25_000_000

// TestFiles checks the files of the image, their owners and their modes.
func TestFiles(t *testing.T) {
	for _, p := range the(t).platforms {
		body := mutate.Extract(p.image)
		defer body.Close()
		files := map[string]string{}
		var unpacked int64
		for r := tar.NewReader(body); ; {
			h, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			unpacked += h.Size
			files["/"+strings.TrimSuffix(h.Name, "/")] = strings.Join([]string{h.FileInfo().Mode().String(), owner(h)}, " ")
			if !h.ModTime.Equal(time.Unix(1700000000, 0)) {
				t.Errorf("%s has the time %s", h.Name, h.ModTime)
			}
		}
		if diff := cmp.Diff(map[string]string{
			"/data":                              "drwxr-xr-x app",
			"/etc":                               "drwxr-xr-x root",
			"/etc/group":                         "-rw-r--r-- root",
			"/etc/passwd":                        "-rw-r--r-- root",
			"/etc/ssl":                           "drwxr-xr-x root",
			"/etc/ssl/certs":                     "drwxr-xr-x root",
			"/etc/ssl/certs/ca-certificates.crt": "-rw-r--r-- root",
			"/home":                              "drwxr-xr-x root",
			"/home/app":                          "drwxr-xr-x root",
			"/home/app/podinfo":                  "-rwxr-xr-x root",
			"/tmp":                               "dtrwxrwxrwx app",
			"/usr":                               "drwxr-xr-x root",
			"/usr/local":                         "drwxr-xr-x root",
			"/usr/local/bin":                     "drwxr-xr-x root",
			"/usr/local/bin/podcli":              "Lrwxrwxrwx root",
		}, files); diff != "" {
			t.Error(p.platform, diff)
		}
		if unpacked != p.unpacked {
			t.Errorf("%s: %d bytes unpacked, but the image says %d", p.platform, unpacked, p.unpacked)
		}
		if unpacked > limit {
			t.Errorf("%s: %d bytes unpacked, more than %d", p.platform, unpacked, limit)
		}
		t.Logf("%s: %.1f MB unpacked", p.platform, float64(unpacked)/1e6)
	}
}

// TestNames runs the program of this machine under both of its names.
func TestNames(t *testing.T) {
	for _, p := range the(t).platforms {
		if p.platform.Architecture != runtime.GOARCH {
			continue
		}
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "podinfo"), p.program, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("podinfo", filepath.Join(dir, "podcli")); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct{ name, arg, want string }{
			{"podinfo", "--version", "6.15.0-test"},
			{"podcli", "--version", "6.15.0-test"},
			{"podinfo", "modules", "random-delay"},
			{"podcli", "check", "podcli check COMMAND"},
		} {
			out, err := exec.Command(filepath.Join(dir, c.name), c.arg).Output()
			if err != nil || !strings.Contains(string(out), c.want) {
				t.Errorf("%s %s prints %q, %v, without %q", c.name, c.arg, out, err, c.want)
			}
		}
	}
}

// TestLayers reads each layer with tar, which is stricter than Go's reader.
func TestLayers(t *testing.T) {
	for _, p := range the(t).platforms {
		layers, err := p.image.Layers()
		if err != nil {
			t.Fatal(err)
		}
		for i, layer := range layers {
			body, err := layer.Uncompressed()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("tar", "-tf", "-")
			cmd.Stdin = body
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s, layer %d: %v\n%s", p.platform, i, err, out)
			}
			body.Close()
		}
	}
}

func TestReadme(t *testing.T) {
	text, err := os.ReadFile("../../docs/kubernetes.md")
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("under %d MB unpacked", limit/1_000_000); !strings.Contains(string(text), want) {
		t.Errorf("docs/kubernetes.md does not contain %q", want)
	}
}

func owner(h *tar.Header) string {
	switch {
	case h.Uid == 0 && h.Gid == 0:
		return "root"
	case h.Uid == uid && h.Gid == gid:
		return "app"
	}
	return "someone else"
}

// TestLayoutAndPush: the written layout and the pushed image are complete and equal.
func TestLayoutAndPush(t *testing.T) {
	i := the(t)
	dir := filepath.Join(t.TempDir(), "image")
	for range 2 { // the second time over an existing layout
		if err := i.writeLayout(dir); err != nil {
			t.Fatal(err)
		}
	}
	top, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(top); err != nil {
		t.Error(err)
	}
	manifest, err := top.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(manifest.Manifests) != 1 || manifest.Manifests[0].Digest != i.digest {
		t.Errorf("the layout contains %v, not %s", manifest.Manifests, i.digest)
	}

	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	ref := strings.TrimPrefix(server.URL, "http://") + "/some/podinfo:6.15.0"
	if err := i.push(ref); err != nil {
		t.Fatal(err)
	}
	at, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	pushed, err := remote.Index(at)
	if err != nil {
		t.Fatal(err)
	}
	if digest, err := pushed.Digest(); err != nil || digest != i.digest {
		t.Errorf("pushed %s, %v; built %s", digest, err, i.digest)
	}
}

// TestArchive: the archive has the image of this machine under the name that the
// manifests use, so that a cluster that loads it pulls nothing.
func TestArchive(t *testing.T) {
	i := the(t)
	file := filepath.Join(t.TempDir(), "podinfo.tar")
	if err := i.writeArchive(file); err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag(repository + ":" + i.version)
	if err != nil {
		t.Fatal(err)
	}
	img, err := tarball.ImageFromPath(file, &tag)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(img); err != nil {
		t.Error(err)
	}
	config, err := img.ConfigFile()
	if err != nil || config.Architecture != runtime.GOARCH {
		t.Errorf("%v, %v", config, err)
	}
	for _, file := range []string{"kustomize/base/deployment.yaml", "kustomize/components/fault-proxy/kustomization.yaml"} {
		text, err := os.ReadFile(filepath.Join("../..", file))
		if err != nil || !strings.Contains(string(text), "image: "+repository+":") {
			t.Errorf("%s does not run an image of %s: %v", file, repository, err)
		}
	}
}

func TestLayoutSparesOtherFolders(t *testing.T) {
	dir := t.TempDir()
	mine := filepath.Join(dir, "mine")
	if err := os.WriteFile(mine, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := the(t).writeLayout(dir); err == nil {
		t.Error("writeLayout replaced a folder that is not a layout")
	}
	if _, err := os.Stat(mine); err != nil {
		t.Error(err)
	}
}

// TestSBOM: the bill of materials names the linked modules, and its relationships
// refer to existing packages.
func TestSBOM(t *testing.T) {
	doc, err := the(t).sbom()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	ids := map[string]bool{"DOCUMENT": true}
	for _, p := range doc.Packages {
		names = append(names, p.PackageName)
		ids[string(p.PackageSPDXIdentifier)] = true
		if p.PackageVersion == "" || p.PackageVersion == "unknown" {
			t.Errorf("%s has no version", p.PackageName)
		}
	}
	for _, want := range []string{"podinfo", "podinfo-linux-amd64", "podinfo-linux-arm-v7", "podinfo-linux-arm64", "podinfo-arm64", "stdlib",
		"golang.org/x/crypto/x509roots/fallback", "github.com/julienschmidt/httprouter", "google.golang.org/grpc"} {
		if !slices.Contains(names, want) {
			t.Errorf("the bill of materials lacks %s", want)
		}
	}
	for _, r := range doc.Relationships {
		if !ids[string(r.RefA.ElementRefID)] || !ids[string(r.RefB.ElementRefID)] {
			t.Errorf("%s %s %s", r.RefA.ElementRefID, r.Relationship, r.RefB.ElementRefID)
		}
	}
	if len(ids) != len(doc.Packages)+1 {
		t.Errorf("%d packages, %d identifiers", len(doc.Packages), len(ids)-1)
	}
}

func TestDefaults(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	b := build{source: "../.."}
	if err := b.defaults(); err != nil {
		t.Fatal(err)
	}
	if !b.created.Equal(time.Unix(1700000000, 0)) || len(b.revision) < 40 || !strings.HasPrefix(b.version, "6.") {
		t.Errorf("%+v", b)
	}
	t.Setenv("SOURCE_DATE_EPOCH", "yesterday")
	b = build{source: "../.."}
	if err := b.defaults(); err == nil {
		t.Error("no error for a SOURCE_DATE_EPOCH that is not a number")
	}
}

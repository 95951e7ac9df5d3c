package kustomize_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-4591fe7d/podinfo/hack/packaging/kustomize"
	"github.com/seed-4591fe7d/podinfo/hack/packaging/packagingtest"
)

const (
	remote  = "github.com/seed-4591fe7d/podinfo/kustomize/components/fault-proxy"
	noPorts = "apiVersion: v1\nkind: Service\nmetadata:\n  name: elsewhere\nspec:\n  type: ExternalName\n  externalName: example.com\n"
	skipped = "apiVersion: v1\nkind: Service\nmetadata:\n  name: elsewhere\n  annotations:\n    fault-proxy: skip\nspec:\n  type: ExternalName\n  externalName: example.com\n"
)

// recipe writes the files of docs/break-a-dependency.md and a dependency, nginx with
// more objects, and returns the folder of the overlay.
func recipe(t *testing.T, more string) string {
	t.Helper()
	dir := t.TempDir()
	files := map[string]string{
		"payments/kustomization.yaml": "resources: [nginx.yaml, more.yaml]\n",
		"payments/nginx.yaml":         packagingtest.Read(t, root+"/overlays/fault-proxy-nginx/nginx.yaml"),
		"payments/more.yaml":          more,
	}
	page := strings.ReplaceAll(packagingtest.Read(t, packagingtest.Root+"/docs/break-a-dependency.md"), "\n   ", "\n")
	for block := range strings.SplitSeq(page, "```yaml\n") {
		text, _, _ := strings.Cut(block, "\n```")
		if name, _, ok := strings.Cut(strings.TrimPrefix(text, "# "), "\n"); ok && strings.HasSuffix(name, ".yaml") {
			files["overlay/"+name] = text
		}
	}
	component, err := filepath.Abs(root + "/components/fault-proxy")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(dir, "component"), os.DirFS(component)); err != nil { // kustomize refuses absolute paths
		t.Fatal(err)
	}
	overlay := files["overlay/kustomization.yaml"]
	before, after, ok := strings.Cut(overlay, remote)
	if !ok {
		t.Fatalf("no component in %q", overlay)
	}
	files["overlay/kustomization.yaml"] = before + "../component" + after[strings.IndexByte(after, ']'):]
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "overlay")
}

// TestRecipe builds the overlay of docs/break-a-dependency.md as it stands there, but
// for the address of the component.
func TestRecipe(t *testing.T) {
	manifest := render(t, recipe(t, skipped))
	check(t, "recipe", manifest)
	for _, want := range []string{"targetPort: fault-proxy", "target: http://localhost:8080", "name: fault-proxy\n", "fault-proxy: skip"} {
		if !strings.Contains(manifest, want) {
			t.Errorf("no %q in\n%s", want, manifest)
		}
	}
	if text := scenario(t, manifest); !strings.Contains(text, "slow-payments") {
		t.Error(text)
	}
	if _, err := kustomize.Render(recipe(t, noPorts)); err == nil {
		t.Error("a Service without ports and annotation: the page says that it does not build")
	}
}

package podinfotest_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The test in the documentation of the package compiles as it is pasted.
func TestPackageDoc(t *testing.T) {
	b, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, code, ok := strings.Cut(string(b), "//\tpackage shop_test\n")
	code, _, end := strings.Cut(code, "\n//\t}\n//\n")
	if !ok || !end {
		t.Fatal("doc.go has no whole test")
	}
	code = "package shop_test\n" + strings.ReplaceAll(strings.ReplaceAll("\n"+code, "\n//\t", "\n"), "\n//", "\n") + "\n}\n"
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	pasted, overlay := filepath.Join(dir, "pasted_test.go"), filepath.Join(dir, "overlay.json")
	files, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(here, "testdata", "pasted_test.go"): pasted}})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{pasted: []byte(code), overlay: files} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("go", "vet", "-overlay", overlay, "./testdata").CombinedOutput(); err != nil {
		t.Errorf("%v: %s\n%s", err, out, code)
	}
}

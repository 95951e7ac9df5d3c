package browser

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

const assets = "../../endpoints/ui/assets"

// TestAssetsAreSmall checks that the page's files have at most 60 kB,
// compressed.
func TestAssetsAreSmall(t *testing.T) {
	const limit = 60_000
	files, err := filepath.Glob(assets + "/*")
	if err != nil || len(files) < 10 {
		t.Fatal(files, err)
	}
	total := 0
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var z bytes.Buffer
		w, _ := gzip.NewWriterLevel(&z, gzip.BestCompression)
		w.Write(b)
		w.Close()
		total += z.Len()
	}
	if total > limit {
		t.Errorf("%d bytes, want at most %d", total, limit)
	}
}

// TestAssetsAreStrict checks that the page never turns data into markup or
// code, and needs no exception from its policy.
func TestAssetsAreStrict(t *testing.T) {
	never := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|setAttribute\('style'|\sstyle="|\son[a-z]+="|https?://[^w]`)
	files, err := filepath.Glob(assets + "/*")
	if err != nil || len(files) < 10 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if found := never.Find(b); found != nil {
			t.Errorf("%s: %s", filepath.Base(f), found)
		}
	}
}

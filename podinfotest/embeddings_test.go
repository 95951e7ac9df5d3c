package podinfotest_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the table of doc.go")

// TestEmbeddings holds the table of doc.go to the programs in testdata.
func TestEmbeddings(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	programs := []struct{ name, row string }{
		{"middleware", "registry and one middleware"},
		{"http", "modules that speak HTTP alone, served"},
		{"embedded", "podinfo.New: all modules, as a handler"},
		{"whole", "podinfo.Main: the program"},
	}
	build := []string{"build", "-ldflags=-s -w", "-o", bin + "/"}
	for _, p := range programs {
		build = append(build, "./testdata/"+p.name)
	}
	if out, err := exec.Command("go", build...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for i, p := range programs {
		row := regexp.MustCompile(`(?m)^//\t` + regexp.QuoteMeta(p.row) + ` +(\d+) +([\d.]+)$`).FindSubmatch(doc)
		if row == nil {
			t.Errorf("doc.go has no row %q", p.row)
			continue
		}
		packages, _ := strconv.Atoi(string(row[1])) // both are digits
		mb, _ := strconv.ParseFloat(string(row[2]), 64)
		out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", "./testdata/"+p.name).Output()
		if err != nil {
			t.Fatal(err)
		}
		deps := strings.Fields(string(out))
		for _, dep := range deps {
			for _, heavy := range []string{"google.golang.org/grpc", "go.opentelemetry.io/", "github.com/redis/", "google.golang.org/protobuf"} {
				if i < 2 && strings.HasPrefix(dep, heavy) {
					t.Errorf("%s: links %s", p.row, dep)
				}
			}
		}
		info, err := os.Stat(filepath.Join(bin, p.name))
		if err != nil {
			t.Fatal(err)
		}
		size := float64(info.Size()) / 1e6
		if *update {
			fresh := fmt.Sprintf("//\t%-38s  %7d  %5.1f", p.row, len(deps), size)
			doc = bytes.Replace(doc, row[0], []byte(fresh), 1)
			continue
		}
		here := runtime.GOOS == "linux" && runtime.GOARCH == "amd64"
		if len(deps) != packages || here && (size < mb*0.9 || size > mb*1.1) {
			t.Errorf("%s: %d packages and %.1f MB, doc.go says %d and %.1f: run `go test -run Embeddings ./podinfotest -update`", p.row, len(deps), size, packages, mb)
		}
	}
	if *update {
		if err := os.WriteFile("doc.go", doc, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

package podinfotest_test

import (
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// heavy are the dependencies that a program links only with the modules that
// need them.
var heavy = []string{"google.golang.org/grpc", "google.golang.org/protobuf", "go.opentelemetry.io", "github.com/redis/go-redis"}

// TestEmbeddings checks what doc.go says about the programs in testdata: the
// size of each, and that the small ones link nothing heavy.
func TestEmbeddings(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	programs := []struct {
		name, row string
		light     bool
	}{
		{"middleware", "registry and one middleware", true},
		{"http", "modules that speak only HTTP, served", true},
		{"embedded", "podinfo.New: all modules, as a handler", false},
		{"whole", "podinfo.Main: the program", false},
		{"test", "a test with this package", false},
		{"slim", "a test, -tags podinfo_slim", false},
	}
	bin := t.TempDir()
	build := []string{"build", "-ldflags=-s -w", "-o", bin + "/"}
	for _, p := range programs[:4] {
		build = append(build, "./testdata/"+p.name)
	}
	commands := [][]string{build}
	for _, c := range [][2]string{{"test", ""}, {"slim", "podinfo_slim"}} {
		commands = append(commands, []string{"test", "-c", "-tags=" + c[1], "-ldflags=-s -w", "-o", bin + "/" + c[0], "./testdata/slim"})
	}
	for _, args := range commands {
		if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	for _, p := range programs {
		if p.light {
			if linked := links(t, "./testdata/"+p.name)["main"]; len(linked) > 0 {
				t.Errorf("%s: links %v", p.row, linked)
			}
		}
		row := regexp.MustCompile(`(?m)^//\t` + regexp.QuoteMeta(p.row) + ` +(\d+)$`).FindSubmatch(doc)
		if row == nil {
			t.Errorf("doc.go has no row %q", p.row)
			continue
		}
		limit, _ := strconv.Atoi(string(row[1])) // digits
		info, err := os.Stat(filepath.Join(bin, p.name))
		if err != nil {
			t.Fatal(err)
		}
		mb := int(info.Size() / 1e6)
		if runtime.GOOS == "linux" && runtime.GOARCH == "amd64" && (mb >= limit || mb < limit/2) {
			t.Errorf("%s: %d MB, doc.go says less than %d: find out why, or change doc.go", p.row, mb, limit)
		}
	}
}

// TestSlim runs the tests of testdata/slim, which check what the build tag
// podinfo_slim leaves out.
func TestSlim(t *testing.T) {
	for _, tags := range []string{"", "podinfo_slim"} {
		if out, err := exec.Command("go", "test", "-tags="+tags, "./testdata/slim").CombinedOutput(); err != nil {
			t.Errorf("-tags %q: %v\n%s", tags, err, out)
		}
	}
	linked := links(t, "-tags=podinfo_slim", "./testdata/slim")["slim"]
	if diff := cmp.Diff([]string{"google.golang.org/grpc", "google.golang.org/protobuf"}, linked); diff != "" {
		t.Errorf("with -tags podinfo_slim: %s", diff)
	}
}

// TestHeavyModules checks the list of modules in doc.go that link gRPC,
// OpenTelemetry or Redis.
func TestHeavyModules(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(strings.ReplaceAll(string(doc), "//", "")), " ")
	var grpc []string
	for name, linked := range links(t, "../endpoints/...", "../middleware/...") {
		if strings.HasSuffix(name, "pb") || name == "grpctest" {
			continue
		}
		if slices.Contains(linked, "google.golang.org/grpc") {
			grpc = append(grpc, name)
		}
		if slices.Contains(linked, "go.opentelemetry.io") != (name == "tracing") || slices.Contains(linked, "github.com/redis/go-redis") != (name == "cache") {
			t.Errorf("%s links %v: correct the test and doc.go", name, linked)
		}
	}
	slices.Sort(grpc)
	if want := "These modules link gRPC: " + strings.Join(grpc, ", ") + "."; !strings.Contains(text, want) {
		t.Errorf("doc.go lacks %q", want)
	}
}

// links returns the heavy dependencies of packages, by the last element of
// their import paths, or "main" for a program.
func links(t *testing.T, patterns ...string) map[string][]string {
	t.Helper()
	format := `{{if eq .Name "main"}}main{{else}}{{.ImportPath}}{{end}} {{join .Deps " "}}`
	out, err := exec.Command("go", append([]string{"list", "-f", format}, patterns...)...).Output()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		name := path.Base(fields[0])
		all[name] = nil
		for _, h := range heavy {
			if slices.ContainsFunc(fields[1:], func(dep string) bool { return strings.HasPrefix(dep, h) }) {
				all[name] = append(all[name], h)
			}
		}
	}
	if len(all) == 0 {
		t.Fatalf("no packages match %q", patterns)
	}
	return all
}

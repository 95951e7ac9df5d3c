package podinfo_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/seed-4591fe7d/podinfo"
	"github.com/seed-4591fe7d/podinfo/registry"
)

const root = "github.com/seed-4591fe7d/podinfo"

// everything returns all stock modules, including those that open ports.
func everything() []registry.Module { return slices.Concat(podinfo.Modules(), podinfo.Listeners()) }

// TestImportsRunOneWay checks the layers: cmd and examples import podinfo, podinfo
// imports the modules, modules import the registry and internal packages but not each
// other, and the registry imports no module.
func TestImportsRunOneWay(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	floor := func(pkg string) int {
		switch dir, _, _ := strings.Cut(strings.TrimPrefix(pkg, root+"/"), "/"); {
		case pkg == root:
			return 2
		case dir == "registry" || dir == "internal":
			return 0
		case dir == "middleware" || dir == "endpoints":
			return 1
		default:
			return 3
		}
	}
	module := func(pkg string) string {
		parts := strings.Split(strings.TrimPrefix(pkg, root+"/"), "/")
		return strings.Join(parts[:min(2, len(parts))], "/")
	}
	for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		for _, imp := range p.Imports {
			if !strings.HasPrefix(imp, root) {
				continue
			}
			up := floor(imp) > floor(p.ImportPath)
			sideways := floor(imp) == 1 && floor(p.ImportPath) == 1 && module(imp) != module(p.ImportPath)
			if up || sideways {
				t.Errorf("%s imports %s", p.ImportPath, imp)
			}
		}
	}
}

// TestNamesAgree: the folder of a module follows from its name and phase, as in
// random-delay and middleware/randomdelay, and its Doc is a sentence.
func TestNamesAgree(t *testing.T) {
	seen := map[string]bool{}
	for _, m := range everything() {
		i, typ := m.Info(), reflect.TypeOf(m).Elem()
		want := strings.ReplaceAll(i.Name, "-", "")
		if want == "panic" { // a package of that name would hide the built-in function
			want = "crash"
		}
		if dir := path.Base(typ.PkgPath()); dir != want || typ.Name() != "Module" {
			t.Errorf("module %s is %s.%s", i.Name, typ.PkgPath(), typ.Name())
		}
		if _, _, found := strings.Cut(typ.PkgPath(), map[bool]string{true: "/middleware/", false: "/endpoints/"}[i.Phase != 0]); !found {
			t.Errorf("module %s with phase %q is in %s", i.Name, i.Phase, typ.PkgPath())
		}
		if !strings.HasSuffix(i.Doc, ".") || seen[i.Name] {
			t.Errorf("module %s: %q", i.Name, i.Doc)
		}
		seen[i.Name] = true
	}
}

func TestSettingsAreDocumented(t *testing.T) {
	for _, s := range registry.Settings(everything()) {
		if s.Doc == "" || s.Accepts == "" || strings.HasSuffix(s.Doc, ".") {
			t.Errorf("%s: doc %q, accepts %q", s.Key, s.Doc, s.Accepts)
		}
	}
	bySame := map[string]string{}
	for _, m := range everything() {
		for _, s := range registry.Settings([]registry.Module{m}) {
			text := s.Default + "|" + s.Doc + "|" + s.Accepts
			if other, ok := bySame[s.Key]; ok && other != text {
				t.Errorf("two modules declare %s differently: %q and %q", s.Key, other, text)
			}
			bySame[s.Key] = text
		}
	}
}

func TestSwaggerGolden(t *testing.T) {
	app := start(t, nil)
	for _, name := range []string{"swagger.json", "openapi.json"} {
		compare(t, "testdata/"+name, get(app, "/"+name).Body.Bytes())
	}
}

// compare compares got with a golden file, or writes the file with -update.
func compare(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != string(got) {
		t.Errorf("%s is out of date: run `go test . -update` and review the change", file)
	}
}

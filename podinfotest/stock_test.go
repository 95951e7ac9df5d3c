package podinfotest_test

import (
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/seed-4591fe7d/podinfo"
	"github.com/seed-4591fe7d/podinfo/endpoints/grpcserver"
	. "github.com/seed-4591fe7d/podinfo/podinfotest"
)

// grep returns the submatches of re in the files that match a glob, by file.
func grep(t *testing.T, glob, re string) map[string][][]string {
	t.Helper()
	files, err := filepath.Glob(glob)
	if err != nil || len(files) == 0 {
		t.Fatal(glob, err)
	}
	out := map[string][][]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if found := regexp.MustCompile(re).FindAllStringSubmatch(string(text), -1); found != nil {
			out[file] = found
		}
	}
	return out
}

// Each package that declares a Module is in a list of podinfo.go.
func TestEveryModuleIsListed(t *testing.T) {
	listed := map[string]bool{}
	for _, m := range slices.Concat(podinfo.Modules(), podinfo.Listeners()) {
		listed[reflect.TypeOf(m).Elem().PkgPath()] = true
	}
	for _, glob := range []string{"../middleware/*/*.go", "../endpoints/*/*.go"} {
		for file := range grep(t, glob, `(?m)^type Module struct`) {
			folder := strings.TrimPrefix(filepath.Dir(file), "../")
			if !listed["github.com/seed-4591fe7d/podinfo/"+folder] {
				t.Errorf("%s declares a module that podinfo does not have: add new(%s.Module) to Modules in podinfo.go", folder, filepath.Base(folder))
			}
		}
	}
}

// Each service of a .proto file is served by a module.
func TestEveryServiceIsServed(t *testing.T) {
	srv := StartInMemory(t)
	served := slices.Collect(maps.Keys(srv.App.Get("grpc-server").(*grpcserver.Module).ListRPCs()))
	for file, found := range grep(t, "../endpoints/*/*/*.proto", `(?ms)^package ([\w.]+);.*?^service (\w+)`) {
		service := found[0][1] + "." + found[0][2]
		if !slices.ContainsFunc(served, func(rpc string) bool { return strings.HasPrefix(rpc, "/"+service+"/") }) {
			t.Errorf("%s declares %s, which no module serves: register it in the method RegisterGRPC of the module", strings.TrimPrefix(file, "../"), service)
		}
	}
}

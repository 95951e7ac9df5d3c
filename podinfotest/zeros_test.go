package podinfotest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seed-4591fe7d/podinfo"
)

// The comment of each stock setting for which a zero in a literal means the
// default says so, and how to say zero.
func TestZerosAreDocumented(t *testing.T) {
	ports := map[string]string{"PODINFO_GRPC_PORT": "9999", "PODINFO_PORT_METRICS": "9797"}
	for _, m := range slices.Concat(podinfo.Modules(), podinfo.Listeners()) {
		c := &checker{t: t, module: m, name: m.Info().Name, vars: ports}
		for _, a := range c.ambiguous() {
			text := strings.Join(strings.Fields(comment(t, a)), " ")
			if !strings.Contains(text, "zero in a literal means the default") || !strings.Contains(text, a.key+"="+a.zero) {
				t.Errorf("%v.%s: want a comment such as \"A zero in a literal means the default. Set %s=%s to say zero.\"", a.owner, a.field.Name, a.key, a.zero)
			}
		}
	}
}

// comment returns the comment of a stock module's field.
func comment(t *testing.T, a ambiguous) (text string) {
	t.Helper()
	files, err := filepath.Glob("../" + strings.TrimPrefix(a.owner.PkgPath(), "github.com/seed-4591fe7d/podinfo/") + "/*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(a.owner, err)
	}
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok || spec.Name.Name != a.owner.Name() {
				return true
			}
			for _, f := range spec.Type.(*ast.StructType).Fields.List {
				if slices.ContainsFunc(f.Names, func(n *ast.Ident) bool { return n.Name == a.field.Name }) {
					text += f.Doc.Text() + f.Comment.Text()
				}
			}
			return false
		})
	}
	return text
}

package podinfo_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/seed-4591fe7d/podinfo"
	"github.com/seed-4591fe7d/podinfo/registry"
	"github.com/seed-4591fe7d/podinfo/registry/capability"
)

// TestCapabilitiesPage writes docs/capabilities.md from the package: what each
// capability is, which stock modules have it and which ask for it.
func TestCapabilitiesPage(t *testing.T) {
	declared := declarations(t)
	var page strings.Builder
	page.WriteString(`# Capabilities

A capability is an interface through which one module uses another. All of them are in the package ` + "`registry/capability`" + `. A module provides one by having its method; it
imports nothing for that. ` + "`docs/module-recipes.md`" + ` shows how. This page is generated from the code (` + "`go test -run TestCapabilitiesPage -update .`" + `).

| capability | method | what it is | modules that have it | packages that ask for it |
|---|---|---|---|---|
`)
	for _, c := range capability.All() {
		name := c.Interface().Name()
		if _, ok := declared[name]; !ok {
			t.Errorf("%s is not declared in registry/capability", name)
		}
		has := providers(c.Interface())
		asks := askers(t, c.Plural)
		if len(has) == 0 || len(asks) == 0 {
			t.Errorf("%s: %v have it and %v ask for it: remove a capability that nobody needs", name, has, asks)
		}
		fmt.Fprintf(&page, "| `%s` | `%s` | %s | %s | %s |\n", name, c.Interface().Method(0).Name, declared[name], strings.Join(has, ", "), strings.Join(asks, ", "))
		delete(declared, name)
	}
	source, err := os.ReadFile("registry/capability/capability.go")
	if err != nil {
		t.Fatal(err)
	}
	if made := strings.Count(string(source), "registry.NewCapability["); made != len(capability.All()) {
		t.Errorf("capability.All lists %d of %d capabilities: add the others", len(capability.All()), made)
	}
	compare(t, "docs/capabilities.md", []byte(page.String()))
}

// declarations returns the first sentence of the doc comment of each
// interface of the package.
func declarations(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "registry/capability/capability.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, d := range file.Decls {
		gen, ok := d.(*ast.GenDecl)
		if !ok || gen.Tok != token.TYPE {
			continue
		}
		spec := gen.Specs[0].(*ast.TypeSpec)
		if _, ok := spec.Type.(*ast.InterfaceType); ok && gen.Doc != nil {
			sentence, _, _ := strings.Cut(strings.ReplaceAll(gen.Doc.Text(), "\n", " ")+" ", ". ")
			out[spec.Name.Name] = strings.TrimSpace(sentence) + "."
		}
	}
	return out
}

// providers returns the stock modules with a capability.
func providers(t reflect.Type) (out []string) {
	for _, m := range everything() {
		if reflect.TypeOf(m).Implements(t) {
			out = append(out, m.Info().Name)
		}
	}
	return out
}

// askers returns the packages whose code names a capability in the plural.
func askers(t *testing.T, plural string) (out []string) {
	t.Helper()
	for _, pattern := range []string{"middleware/*/*.go", "endpoints/*/*.go", "registry/fault/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if dir := filepath.Dir(f); !strings.HasSuffix(f, "_test.go") && strings.Contains(string(b), "capability."+plural) && !slices.Contains(out, dir) {
				out = append(out, dir)
			}
		}
	}
	return out
}

// Modules with a method of each capability's name and another signature. None of
// the listed modules asks for some of them.
type (
	badMetrics struct{ extra }
	badAdmin   struct{ extra }
	badTokens  struct{ extra }
	badRPCs    struct{ extra }
	badGRPC    struct{ extra }
	extra      struct{}
)

func (extra) Info() registry.Info          { return registry.Info{Name: "extra"} }
func (badMetrics) MetricsPageHandler() int { return 0 }
func (badAdmin) AdminRoutes() int          { return 0 }
func (badTokens) IssuedTokens() int        { return 0 }
func (badRPCs) ListRPCs() int              { return 0 }
func (badGRPC) RegisterGRPC()              {}

func TestEveryCapabilityIsChecked(t *testing.T) {
	for method, m := range map[string]registry.Module{
		"MetricsPageHandler": badMetrics{}, "AdminRoutes": badAdmin{}, "IssuedTokens": badTokens{}, "ListRPCs": badRPCs{}, "RegisterGRPC": badGRPC{},
	} {
		if _, err := podinfo.New(registry.With(m)); err == nil || !strings.Contains(err.Error(), "module extra: method "+method) {
			t.Errorf("%s: %v", method, err)
		}
	}
}

package podinfo_test

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// public are the packages that other modules may import, as docs/go.md lists
// them.
var public = []string{
	".", "registry", "registry/rpc", "registry/fault", "registry/fault/scenario", "registry/reply", "registry/record", "registry/budget",
	"registry/capability", "registry/setting", "podinfotest", "middleware/*", "endpoints/*",
}

// notPublic are packages outside internal/ that are no API.
var notPublic = []string{"endpoints/grpcserver/grpctest"}

// TestAPI compares the exported identifiers of the public packages with
// testdata/api.txt, so that a review sees when they change. "go test -run TestAPI
// -update ." writes the file. It omits the generated *pb packages, whose API is
// their .proto files.
func TestAPI(t *testing.T) {
	packages := parsePackages(sources(t))
	var lines []string
	for dir, p := range packages {
		isPublic := slices.ContainsFunc(public, func(pattern string) bool { ok, _ := path.Match(pattern, dir); return ok })
		switch {
		case isPublic:
			for _, line := range p.api() {
				lines = append(lines, "pkg "+p.name+", "+line)
			}
		case p.pkg.Name() != "main" && !slices.Contains(strings.Split(dir, "/"), "internal") && !slices.Contains(notPublic, dir):
			t.Errorf("package %s is neither public nor below internal/: move it, or add it to public and to docs/go.md", dir)
		}
	}
	slices.Sort(lines)
	for _, pattern := range public {
		found := slices.ContainsFunc(lines, func(line string) bool {
			ok, _ := path.Match("pkg "+name(pattern), line[:strings.Index(line, ",")])
			return ok
		})
		if !found {
			t.Errorf("no exported identifiers in %s", pattern)
		}
	}
	compare(t, "testdata/api.txt", []byte(strings.Join(lines, "\n")+"\n"))

	doc, err := os.ReadFile("docs/go.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, pattern := range public {
		if !strings.Contains(string(doc), "`"+name(pattern)+"`") {
			t.Errorf("docs/go.md does not list %s as public", name(pattern))
		}
	}
}

// TestAPILines checks the lines of a small package that embeds types of another
// one.
func TestAPILines(t *testing.T) {
	const code = `package p

import (
	"context"
	short "` + root + `/internal/q"
	"time"
)

const (
	_ Level = iota
	Low
	high
	Top
)
const Text, Wait = "a\n", 2 * time.Second

var Err = short.New()
var Deadline, other time.Time

type Level int
type Alias = []short.Hidden
type Func func(ctx context.Context, a, b int) (n int, err error)
type Pair[K comparable, V any] struct{ Key K; Value V }
type Deep struct {
	*short.Hidden ` + "`" + `env:"X"` + "`" + `
	mid
	Open map[string]chan<- *short.Hidden
	F    struct{ A, b int }
	secret int
}
type mid struct{ Twice, Up int }
type low interface{ Low() }
type Mixed interface { low; B(string, ...int) []byte; a() }

func (d *Deep) Set(x int) {}
func (Deep) private()     {}
func (m mid) Method() <-chan Level { return nil }
func (p Pair[K, V]) Swap() Pair[V, K] { panic(0) }
func Map[T any, U interface{ ~int | string }](f func(T) U, in ...T) []U { return nil }
func hidden() {}
`
	const hidden = `package q

type Hidden struct{ Twice, Low int; Up string }
func (*Hidden) Promoted() error { return nil }
func (*Hidden) Set(string)      {}
`
	packages := map[string][]*source{}
	for dir, text := range map[string]string{"p": code, "internal/q": hidden} {
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, dir+".go", text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		packages[dir] = []*source{{fset, file}}
	}
	got := parsePackages(packages)["p"].api()
	slices.Sort(got)
	want := []string{
		"const Low Level = 1",
		`const Text = "a\n"`,
		"const Top Level = 3",
		"const Wait = 2 * time.Second",
		"func Map[T any, U interface{embedded ~int | string}](func(T) U, ...T) []U",
		"method (*Deep) Promoted() error",
		"method (*Deep) Set(int)",
		"method (Deep) Method() <-chan Level",
		"method (Pair) Swap() Pair[V, K]",
		"type Alias = []q.Hidden",
		"type Deep struct",
		"type Deep struct, F struct{A int; b int}",
		"type Deep struct, Low int",
		"type Deep struct, Open map[string]chan<- *q.Hidden",
		"type Deep struct, embedded *q.Hidden",
		"type Func func(context.Context, int, int) (int, error)",
		"type Level int",
		"type Mixed interface",
		"type Mixed interface, B(string, ...int) []byte",
		"type Mixed interface, a()",
		"type Mixed interface, embedded low",
		"type Pair struct, Key K",
		"type Pair struct, Value V",
		"type Pair[K comparable, V any] struct",
		"var Deadline time.Time",
		"var Err",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// name returns the import path of a folder without that of the module.
func name(dir string) string {
	if dir == "." {
		return path.Base(root)
	}
	return dir
}

// A parsedPackage lists the API of a package from its syntax, as tools/api in
// the Go distribution writes it. Types of other packages are not loaded, which
// would need the compiled code of all dependencies.
type parsedPackage struct {
	name  string
	pkg   *types.Package
	info  *types.Info
	files []*ast.File
	decls map[string]typeDecl
	all   map[string]*parsedPackage // of the module, by folder
}

type typeDecl struct {
	in      *parsedPackage
	file    *ast.File
	spec    *ast.TypeSpec
	methods []methodDecl
}

type methodDecl struct {
	file *ast.File
	*ast.FuncDecl
}

func parsePackages(packages map[string][]*source) map[string]*parsedPackage {
	all := map[string]*parsedPackage{}
	for dir, files := range packages {
		p := &parsedPackage{name: name(dir), info: &types.Info{Defs: map[*ast.Ident]types.Object{}}, decls: map[string]typeDecl{}, all: all}
		for _, f := range files {
			p.files = append(p.files, f.file)
		}
		config := types.Config{Importer: stubs{}, FakeImportC: true, IgnoreFuncBodies: true, Error: func(error) {}}
		p.pkg, _ = config.Check(dir, files[0].fset, p.files, p.info)
		for _, file := range p.files {
			for _, d := range file.Decls {
				if d, ok := d.(*ast.GenDecl); ok && d.Tok == token.TYPE {
					for _, spec := range d.Specs {
						spec := spec.(*ast.TypeSpec)
						p.decls[spec.Name.Name] = typeDecl{in: p, file: file, spec: spec, methods: p.decls[spec.Name.Name].methods}
					}
				}
				if f, ok := d.(*ast.FuncDecl); ok && f.Recv != nil {
					receiver := typeName(f.Recv.List[0].Type)
					decl := p.decls[receiver]
					decl.methods = append(decl.methods, methodDecl{file, f})
					p.decls[receiver] = decl
				}
			}
		}
		all[dir] = p
	}
	return all
}

// typeName returns the name of a receiver's type, without pointer and type
// parameters.
func typeName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return typeName(e.X)
	case *ast.IndexExpr:
		return typeName(e.X)
	case *ast.IndexListExpr:
		return typeName(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}

// api returns one line per exported identifier, field and method.
func (p *parsedPackage) api() (lines []string) {
	for _, file := range p.files {
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil && d.Name.IsExported() {
					lines = append(lines, "func "+d.Name.Name+typeParams(file, d.Type.TypeParams)+signature(file, d.Type))
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if spec, ok := spec.(*ast.ValueSpec); ok {
						for _, id := range spec.Names {
							if id.IsExported() {
								lines = append(lines, p.value(file, d.Tok, spec, id))
							}
						}
					}
				}
			}
		}
	}
	for name, decl := range p.decls {
		if ast.IsExported(name) && decl.spec != nil {
			lines = append(lines, decl.api()...)
		}
	}
	return lines
}

// value describes a constant with its value, or a variable with its type, as
// far as they do not depend on other packages.
func (p *parsedPackage) value(file *ast.File, tok token.Token, spec *ast.ValueSpec, id *ast.Ident) string {
	line := tok.String() + " " + id.Name
	obj := p.info.Defs[id]
	switch {
	case spec.Type != nil:
		line += " " + typeString(file, spec.Type)
	case obj != nil && obj.Type() != nil:
		if text := types.TypeString(obj.Type(), types.RelativeTo(p.pkg)); !strings.Contains(text, "invalid") && !strings.HasPrefix(text, "untyped") {
			line += " " + text
		}
	}
	if c, ok := obj.(*types.Const); ok {
		i := slices.Index(spec.Names, id)
		switch {
		case c.Val().Kind() != constant.Unknown:
			line += " = " + c.Val().ExactString()
		case i < len(spec.Values):
			line += " = " + types.ExprString(spec.Values[i])
		}
	}
	return line
}

// api returns the lines of a type: itself, and its exported fields and methods,
// including those of embedded types of this module.
func (d typeDecl) api() []string {
	head := "type " + d.spec.Name.Name + typeParams(d.file, d.spec.TypeParams)
	var lines []string
	switch typ := d.spec.Type.(type) {
	case *ast.StructType:
		lines = append(lines, head+" struct")
	case *ast.InterfaceType:
		lines = append(lines, head+" interface")
		for _, m := range interfaceMethods(d.file, typ) {
			lines = append(lines, head+" interface, "+m)
		}
	default:
		equals := ""
		if d.spec.Assign.IsValid() {
			equals = "= "
		}
		lines = append(lines, head+" "+equals+typeString(d.file, typ))
	}
	return append(lines, members(d)...)
}

// members returns the lines of the exported fields and methods of a struct or
// another named type. Of a name at several depths the shallowest counts, and of
// a name twice at one depth none, as in Go.
func members(outer typeDecl) (lines []string) {
	head := outer.spec.Name.Name
	taken := map[string]bool{}
	for level := []typeDecl{outer}; len(level) > 0; {
		found := map[string][]string{}
		var next []typeDecl
		for _, d := range level {
			for _, m := range d.methods {
				pointer := ""
				if _, ok := m.Recv.List[0].Type.(*ast.StarExpr); ok {
					pointer = "*"
				}
				found[m.Name.Name] = append(found[m.Name.Name], fmt.Sprintf("method (%s%s) %s%s", pointer, head, m.Name.Name, signature(m.file, m.Type)))
			}
			typ, ok := d.spec.Type.(*ast.StructType)
			if !ok {
				continue
			}
			for _, f := range typ.Fields.List {
				for _, id := range f.Names {
					found[id.Name] = append(found[id.Name], fmt.Sprintf("type %s struct, %s %s", head, id.Name, typeString(d.file, f.Type)))
				}
				if len(f.Names) > 0 {
					continue
				}
				text := typeString(d.file, f.Type)
				id := text[strings.LastIndexAny(text, ".*")+1:]
				found[id] = append(found[id], fmt.Sprintf("type %s struct, embedded %s", head, text))
				if embedded, ok := d.in.resolve(d.file, f.Type); ok {
					next = append(next, embedded)
				}
			}
		}
		for id, at := range found {
			if !taken[id] && len(at) == 1 && ast.IsExported(id) {
				lines = append(lines, at[0])
			}
		}
		for id := range found {
			taken[id] = true
		}
		level = next
	}
	return lines
}

// resolve finds the declaration of a type of this module.
func (p *parsedPackage) resolve(file *ast.File, e ast.Expr) (typeDecl, bool) {
	switch e := e.(type) {
	case *ast.StarExpr:
		return p.resolve(file, e.X)
	case *ast.IndexExpr:
		return p.resolve(file, e.X)
	case *ast.Ident:
		d, ok := p.decls[e.Name]
		return d, ok && d.spec != nil
	case *ast.SelectorExpr:
		dir, ok := strings.CutPrefix(importPath(file, e.X.(*ast.Ident).Name), root+"/")
		if other := p.all[dir]; ok && other != nil {
			d, ok := other.decls[e.Sel.Name]
			return d, ok && d.spec != nil
		}
	}
	return typeDecl{}, false
}

func importPath(file *ast.File, name string) string {
	for _, spec := range file.Imports {
		p := strings.Trim(spec.Path.Value, `"`)
		if spec.Name != nil && spec.Name.Name == name || spec.Name == nil && stubName(p) == name {
			return p
		}
	}
	return ""
}

// signature returns parameter and result types, without names.
func signature(file *ast.File, f *ast.FuncType) string {
	types := func(list *ast.FieldList) (out []string) {
		if list == nil {
			return nil
		}
		for _, f := range list.List {
			for range max(1, len(f.Names)) {
				out = append(out, typeString(file, f.Type))
			}
		}
		return out
	}
	text := "(" + strings.Join(types(f.Params), ", ") + ")"
	switch results := types(f.Results); len(results) {
	case 0:
		return text
	case 1:
		return text + " " + results[0]
	default:
		return text + " (" + strings.Join(results, ", ") + ")"
	}
}

func typeParams(file *ast.File, list *ast.FieldList) string {
	if list == nil {
		return ""
	}
	var params []string
	for _, f := range list.List {
		for _, id := range f.Names {
			params = append(params, id.Name+" "+typeString(file, f.Type))
		}
	}
	return "[" + strings.Join(params, ", ") + "]"
}

// interfaceMethods returns the methods and embedded types, sorted.
func interfaceMethods(file *ast.File, i *ast.InterfaceType) (out []string) {
	for _, f := range i.Methods.List {
		if typ, ok := f.Type.(*ast.FuncType); ok && len(f.Names) > 0 {
			out = append(out, f.Names[0].Name+signature(file, typ))
		} else {
			out = append(out, "embedded "+typeString(file, f.Type))
		}
	}
	slices.Sort(out)
	return out
}

// typeString returns a type on one line, without the names of parameters, the
// tags of fields and the local names of imports.
func typeString(file *ast.File, e ast.Expr) string {
	of := func(e ast.Expr) string { return typeString(file, e) }
	switch e := e.(type) {
	case *ast.SelectorExpr:
		if id, ok := e.X.(*ast.Ident); ok {
			if p := importPath(file, id.Name); p != "" {
				return stubName(p) + "." + e.Sel.Name
			}
		}
	case *ast.StarExpr:
		return "*" + of(e.X)
	case *ast.ParenExpr:
		return of(e.X)
	case *ast.Ellipsis:
		return "..." + of(e.Elt)
	case *ast.ArrayType:
		if e.Len == nil {
			return "[]" + of(e.Elt)
		}
		return "[" + of(e.Len) + "]" + of(e.Elt)
	case *ast.MapType:
		return "map[" + of(e.Key) + "]" + of(e.Value)
	case *ast.ChanType:
		switch e.Dir {
		case ast.SEND:
			return "chan<- " + of(e.Value)
		case ast.RECV:
			return "<-chan " + of(e.Value)
		}
		return "chan " + of(e.Value)
	case *ast.FuncType:
		return "func" + signature(file, e)
	case *ast.InterfaceType:
		return "interface{" + strings.Join(interfaceMethods(file, e), "; ") + "}"
	case *ast.StructType:
		var fields []string
		for _, f := range e.Fields.List {
			for _, id := range f.Names {
				fields = append(fields, id.Name+" "+of(f.Type))
			}
			if len(f.Names) == 0 {
				fields = append(fields, of(f.Type))
			}
		}
		return "struct{" + strings.Join(fields, "; ") + "}"
	case *ast.IndexExpr:
		return of(e.X) + "[" + of(e.Index) + "]"
	case *ast.IndexListExpr:
		var args []string
		for _, arg := range e.Indices {
			args = append(args, of(arg))
		}
		return of(e.X) + "[" + strings.Join(args, ", ") + "]"
	}
	return types.ExprString(e)
}

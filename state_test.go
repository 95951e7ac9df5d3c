package podinfo_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestNoProcessWideState looks for state that two Apps in one process would
// share, and for code outside Main that reads or ends the process.
func TestNoProcessWideState(t *testing.T) {
	packages := sources(t)
	used := map[string]bool{}
	for dir, files := range packages {
		for _, found := range processWideState(t, files) {
			if exception := exceptionFor(dir, found); exception != "" {
				used[exception] = true
			} else {
				t.Errorf("%s: %s", found.pos, found.what)
			}
		}
	}
	for _, exception := range exceptions {
		if !used[exception] {
			t.Errorf("nothing needs the exception %q any more: remove it", exception)
		}
	}
	for _, m := range everything() {
		dir := strings.TrimPrefix(reflect.TypeOf(m).Elem().PkgPath(), root+"/")
		if len(packages[dir]) == 0 {
			t.Errorf("the source of module %s in %s was not checked", m.Info().Name, dir)
		}
	}
}

// exceptions are the allowed findings: "FOLDER FINDING", or "FOLDER:FUNCTION
// FINDING" for one function only. A * at the end stands for the rest of a finding.
var exceptions = []string{
	".:Main use of os.*",
	".:Main use of os/signal.*",
	".:Main use of runtime.GOMAXPROCS",
	".:Main use of runtime/debug.SetMemoryLimit",
	"cmd/podcli use of os.*",
	"internal/liblog use of go.opentelemetry.io/otel.Set*", // called by Main
	"internal/liblog use of google.golang.org/grpc/grpclog.SetLoggerV2",
	"internal/liblog use of github.com/redis/go-redis/v9.SetLogger",
	"internal/liblog use of log.Set*",
	"cmd/podcli use of os/signal.*",
	"registry variable owned of type sync.Map",                // instances that belong to an App, which other Apps cannot see
	"podinfotest variable servers of type sync/atomic.Uint64", // numbers the servers in memory, whose names must differ
	"middleware/tracing variable pool of type sync.Pool",      // scratch space
	"registry/record variable responses of type sync.Pool",    // writers that no request uses
	"registry/record variable flushers of type sync.Pool",
	"registry/record variable hijackers of type sync.Pool",
}

func exceptionFor(dir string, f finding) string {
	for _, exception := range exceptions {
		start, open := strings.CutSuffix(exception, "*")
		for _, got := range []string{dir + " " + f.what, dir + ":" + f.in + " " + f.what} {
			if got == exception || open && strings.HasPrefix(got, start) {
				return exception
			}
		}
	}
	return ""
}

// TestProcessWideStateIsFound plants each kind of process-wide state in a small
// package.
func TestProcessWideStateIsFound(t *testing.T) {
	for code, want := range map[string]string{
		"func init() {}":                                                                   "function init",
		"import \"os\"\nfunc f() { os.Exit(1) }":                                           "use of os.Exit",
		"import \"os\"\nvar f = os.Environ":                                                "use of os.Environ",
		"import sys \"os\"\nfunc f() { _ = sys.Args }":                                     "use of os.Args",
		"import \"net/http\"\nfunc f() { http.HandleFunc(\"/\", nil) }":                    "use of net/http.HandleFunc",
		"import \"net/http\"\nfunc f() { _ = http.DefaultClient }":                         "use of net/http.DefaultClient",
		"import _ \"net/http/pprof\"":                                                      "import of net/http/pprof for its effect",
		"import \"log\"\nfunc f() { log.Printf(\"\") }":                                    "use of log.Printf",
		"import \"log/slog\"\nfunc f() { slog.Info(\"\") }":                                "use of log/slog.Info",
		"import \"github.com/sirupsen/logrus\"\nfunc f() { logrus.Info() }":                "use of github.com/sirupsen/logrus.Info",
		"import \"github.com/VictoriaMetrics/metrics\"\nvar n = metrics.NewCounter(\"n\")": "use of github.com/VictoriaMetrics/metrics.NewCounter",
		"import \"go.opentelemetry.io/otel\"\nfunc f() { otel.SetTracerProvider(nil) }":    "use of go.opentelemetry.io/otel.SetTracerProvider",
		"import \"go.opentelemetry.io/otel\"\nvar tracer = otel.Tracer(\"\")":              "use of go.opentelemetry.io/otel.Tracer",
		"import \"sync\"\nvar mu sync.Mutex":                                               "variable mu of type sync.Mutex",
		"import \"sync\"\nvar m = &sync.Map{}":                                             "variable m of type sync.Map",
		"import \"sync/atomic\"\nvar p = new(atomic.Pointer[int])":                         "variable p of type sync/atomic.Pointer",
		"var c = make(chan int)":                                                           "variable c of type chan",
		"var n int\nfunc f() { n++ }":                                                      "change of the variable n",
		"var n int\nfunc f() { n = 1 }":                                                    "change of the variable n",
		"var m = map[int]int{}\nfunc f() { m[1] = 1 }":                                     "change of the variable m",
		"var m = map[int]int{}\nfunc f() { delete(m, 1) }":                                 "change of the variable m",
		"var s struct{ a []int }\nfunc f() { s.a = append(s.a, 1) }":                       "change of the variable s",
		"var n int\nfunc g(*int) {}\nfunc f() { g(&n) }":                                   "change of the variable n",
		"import \"example.com/other\"\nfunc f() { other.Limit = 1 }":                       "change of example.com/other.Limit",

		"var n = 1\nfunc f() int { n := n; n++; return n }":                  "",
		"import \"sync\"\ntype t struct{ mu sync.Mutex }":                    "",
		"import \"sync\"\nvar f = sync.OnceValue(func() int { return 1 })":   "",
		"import \"os\"\nfunc f() { _, _ = os.ReadFile(\"\") }":               "",
		"type t struct{}\nfunc (t) init() {}":                                "",
		"import \"log\"\nfunc f(log interface{ Printf() }) { log.Printf() }": "",
	} {
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, "planted.go", "package planted\n"+code, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(code, err)
		}
		got := ""
		for _, f := range processWideState(t, []*source{{fset, file}}) {
			got = f.what
		}
		if got != want {
			t.Errorf("%s\ngot %q, want %q", code, got, want)
		}
	}
}

// sources parses the packages of the module by folder, without tests and
// generated code. It needs neither git nor the go command, so that it also
// checks an unpacked archive.
func sources(t *testing.T) map[string][]*source {
	t.Helper()
	packages := map[string][]*source{}
	fset := token.NewFileSet()
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case !d.IsDir():
			if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") || strings.HasSuffix(name, ".pb.go") {
				return nil
			}
			file, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution|parser.ParseComments)
			dir := filepath.ToSlash(filepath.Dir(name))
			packages[dir] = append(packages[dir], &source{fset, file})
			return err
		case name == ".":
			return nil
		case name == "hack" || name == "examples" || d.Name() == "testdata" || strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		}
		if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil {
			return fs.SkipDir // another module
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return packages
}

type source struct {
	fset *token.FileSet
	file *ast.File
}

type finding struct {
	pos  token.Position
	in   string // function, "" at package level
	what string
}

// global are the functions and variables of other packages that act on the
// process, by import path.
var global = map[string]*regexp.Regexp{
	"expvar":                             regexp.MustCompile(`^(Publish|New\w+)$`),
	"flag":                               regexp.MustCompile(`^(CommandLine|Parse|Args?|Set|Var|\w+Var|Bool|Duration|Float64|Func|Int|Int64|String|Uint|Uint64)$`),
	"github.com/VictoriaMetrics/metrics": regexp.MustCompile(`^(ExposeMetadata|GetDefaultSet|(GetOrCreate|New)(Counter|FloatCounter|Gauge|Histogram|PrometheusHistogram|Summary)\w*|Register\w+|Unregister\w+|WritePrometheus|InitPush\w*|Push\w*)$`),
	"github.com/prometheus/client_golang/prometheus": regexp.MustCompile(`^(Default\w+|MustRegister|Register|Unregister)$`),
	"github.com/sirupsen/logrus":                     regexp.MustCompile(`^(StandardLogger|AddHook|Set\w+|GetLevel|IsLevelEnabled|With\w+|(Trace|Debug|Print|Info|Warn|Warning|Error|Fatal|Panic)(f|ln|Fn)?|Exit|(Register|Defer)ExitHandler)$`),
	"github.com/redis/go-redis/v9":                   regexp.MustCompile(`^SetLogger$`),
	"github.com/spf13/pflag":                         regexp.MustCompile(`^(CommandLine|Parse|Args?|Set)$`),
	"go.opentelemetry.io/otel":                       regexp.MustCompile(`^(Set\w+|Get\w+|Tracer|Meter|Handle)$`),
	"go.opentelemetry.io/otel/log/global":            regexp.MustCompile(`.`),
	"google.golang.org/grpc/encoding":                regexp.MustCompile(`^Register\w*$`),
	"google.golang.org/grpc/grpclog":                 regexp.MustCompile(`.`),
	"google.golang.org/grpc/resolver":                regexp.MustCompile(`^(Register|SetDefaultScheme)$`),
	"log":                                            regexp.MustCompile(`^(Default|Set\w+|(Print|Fatal|Panic)(f|ln)?|Output)$`),
	"log/slog":                                       regexp.MustCompile(`^(Default|SetDefault|SetLogLoggerLevel|With|(Debug|Info|Warn|Error|Log|LogAttrs)(Context)?)$`),
	"mime":                                           regexp.MustCompile(`^AddExtensionType$`),
	"net/http":                                       regexp.MustCompile(`^(Default(ServeMux|Client|Transport)|Handle|HandleFunc|Get|Head|Post|PostForm)$`),
	"os":                                             regexp.MustCompile(`^(Exit|Args|(Get|Lookup|Set|Unset|Clear|Expand)[Ee]nv|Environ|Chdir)$`),
	"os/signal":                                      regexp.MustCompile(`.`),
	"runtime":                                        regexp.MustCompile(`^(GOMAXPROCS|Set\w+)$`),
	"runtime/debug":                                  regexp.MustCompile(`^Set\w+$`),
}

// imports that act on the process by being imported.
var hooks = []string{"net/http/pprof", "expvar"}

// processWideState returns the init functions, the uses of process-wide state
// of other packages, and the variables at package level that change.
func processWideState(t *testing.T, files []*source) (found []finding) {
	t.Helper()
	var (
		parsed []*ast.File
		fset   = files[0].fset
		info   = &types.Info{Uses: map[*ast.Ident]types.Object{}, Defs: map[*ast.Ident]types.Object{}}
		in     string
		report = func(n ast.Node, format string, args ...any) {
			found = append(found, finding{fset.Position(n.Pos()), in, fmt.Sprintf(format, args...)})
		}
	)
	for _, f := range files {
		parsed = append(parsed, f.file)
	}
	// The imported packages are empty: this is only to resolve names to the
	// declarations in this package and to import paths.
	config := types.Config{Importer: stubs{}, FakeImportC: true, Error: func(err error) {
		if e := new(types.Error); errors.As(err, e) && strings.HasPrefix(e.Msg, "undefined: ") && !strings.Contains(e.Msg, ".") {
			t.Errorf("%s: cannot resolve %s", fset.Position(e.Pos), strings.TrimPrefix(e.Msg, "undefined: "))
		}
	}}
	pkg, _ := config.Check("p", fset, parsed, info)
	imported := func(e ast.Expr) string {
		if id, ok := e.(*ast.Ident); ok {
			if name, ok := info.Uses[id].(*types.PkgName); ok {
				return name.Imported().Path()
			}
		}
		return ""
	}
	for _, file := range parsed {
		in = ""
		for _, spec := range file.Imports {
			if p := strings.Trim(spec.Path.Value, `"`); slices.Contains(hooks, p) && spec.Name != nil && spec.Name.Name == "_" {
				report(spec, "import of %s for its effect", p)
			}
		}
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				report(f, "function init")
			}
			if d, ok := decl.(*ast.GenDecl); ok && d.Tok == token.VAR {
				for _, spec := range d.Specs {
					spec := spec.(*ast.ValueSpec)
					for i, name := range spec.Names {
						if kind := mutable(spec, i, imported); kind != "" {
							report(name, "variable %s of type %s", name.Name, kind)
						}
					}
				}
			}
		}
		// changed reports an expression that is written to, if it is a variable
		// at package level, in this package or another one, or a part of it.
		changed := func(e ast.Expr) {
			for {
				switch x := e.(type) {
				case *ast.IndexExpr:
					e = x.X
				case *ast.StarExpr:
					e = x.X
				case *ast.ParenExpr:
					e = x.X
				case *ast.SliceExpr:
					e = x.X
				case *ast.SelectorExpr:
					if p := imported(x.X); p != "" {
						report(x, "change of %s.%s", p, x.Sel.Name)
						return
					}
					e = x.X
				case *ast.Ident:
					if v, ok := info.Uses[x].(*types.Var); ok && v.Parent() == pkg.Scope() {
						report(x, "change of the variable %s", x.Name)
					}
					return
				default:
					return
				}
			}
		}
		inspect := func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				if p := imported(n.X); global[p] != nil && global[p].MatchString(n.Sel.Name) {
					report(n, "use of %s.%s", p, n.Sel.Name)
				}
			case *ast.AssignStmt:
				if n.Tok != token.DEFINE {
					for _, e := range n.Lhs {
						changed(e)
					}
				}
			case *ast.IncDecStmt:
				changed(n.X)
			case *ast.RangeStmt:
				if n.Tok == token.ASSIGN {
					changed(n.Key)
					changed(n.Value)
				}
			case *ast.UnaryExpr:
				if n.Op == token.AND {
					changed(n.X)
				}
			case *ast.CallExpr:
				if f, ok := n.Fun.(*ast.Ident); ok && slices.Contains([]string{"delete", "clear", "copy"}, f.Name) && len(n.Args) > 0 {
					if _, ok := info.Uses[f].(*types.Builtin); ok {
						changed(n.Args[0])
					}
				}
			}
			return true
		}
		for _, decl := range file.Decls {
			in = ""
			if f, ok := decl.(*ast.FuncDecl); ok {
				in = f.Name.Name
			}
			ast.Inspect(decl, inspect)
		}
	}
	return found
}

// mutable returns the type of a variable whose methods or operations change it,
// or "".
func mutable(spec *ast.ValueSpec, i int, imported func(ast.Expr) string) string {
	typ := spec.Type
	if typ == nil && i < len(spec.Values) {
		switch v := spec.Values[i].(type) {
		case *ast.CompositeLit:
			typ = v.Type
		case *ast.UnaryExpr:
			if lit, ok := v.X.(*ast.CompositeLit); ok && v.Op == token.AND {
				typ = lit.Type
			}
		case *ast.CallExpr:
			if f, ok := v.Fun.(*ast.Ident); ok && (f.Name == "make" || f.Name == "new") && len(v.Args) > 0 {
				typ = v.Args[0]
			}
		}
	}
	for {
		switch x := typ.(type) {
		case *ast.StarExpr:
			typ = x.X
		case *ast.IndexExpr:
			typ = x.X
		case *ast.ChanType:
			return "chan"
		case *ast.SelectorExpr:
			if p := imported(x.X); p == "sync" || p == "sync/atomic" {
				return p + "." + x.Sel.Name
			}
			return ""
		default:
			return ""
		}
	}
}

// stubs imports every package as an empty one of the usual name.
type stubs struct{}

func (stubs) Import(p string) (*types.Package, error) {
	if p == "unsafe" {
		return types.Unsafe, nil
	}
	pkg := types.NewPackage(p, stubName(p))
	pkg.MarkComplete()
	return pkg, nil
}

var majorVersion = regexp.MustCompile(`^v\d+$`)

// stubName returns the name that a package most likely has by its import path.
func stubName(p string) string {
	base := path.Base(p)
	if majorVersion.MatchString(base) {
		base = path.Base(path.Dir(p))
	}
	base, _, _ = strings.Cut(base, ".")
	return strings.TrimSuffix(strings.TrimPrefix(base, "go-"), "-go")
}

package main

import (
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the code of docs/module-recipes.md")

const page = "../../docs/module-recipes.md"

// block is a block of code and the comment that names its source: a file, or a
// function of a file.
var block = regexp.MustCompile("(?s)<!-- (\\S+\\.go)(?:: (\\w+))? -->\n```go\n(.*?)```\n")

// The code of docs/module-recipes.md is the code of this folder.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	fresh := block.ReplaceAllStringFunc(string(text), func(b string) string {
		m := block.FindStringSubmatch(b)
		shown[m[1]] = true
		code, err := os.ReadFile(m[1])
		if err != nil {
			t.Fatal(err)
		}
		if m[2] != "" {
			code = regexp.MustCompile(`(?ms)^(//[^\n]*\n)*func ` + m[2] + `\(.*?^}\n`).Find(code)
		}
		if len(code) == 0 {
			t.Fatalf("%s has no function %s", m[1], m[2])
		}
		return strings.Replace(b, m[3]+"```\n", string(code)+"```\n", 1)
	})
	for _, file := range []string{"deadline/deadline.go", "compress/compress.go", "caching/caching.go", "tea/tea.go", "hello/hello.go", "hello/grpc.go"} {
		if !shown[file] {
			t.Errorf("%s does not show %s", page, file)
		}
	}
	if fresh == string(text) {
		return
	}
	if !*update {
		t.Fatalf("%s is out of date: run `go test -run TestDocs -update .` in examples/thirdparty", page)
	}
	if err := os.WriteFile(page, []byte(fresh), 0o644); err != nil {
		t.Fatal(err)
	}
}

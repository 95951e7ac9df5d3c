// Command check checks rendered manifests of podinfo, from files or from
// standard input. It exits with code 1 if it finds an error.
//
//	helm template podinfo charts/podinfo | go -C hack/packaging run ./manifests/check
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/seed-4591fe7d/podinfo/hack/packaging/manifests"
)

func main() {
	versions := flag.String("kubernetes", strings.Join(manifests.Versions, ","), "comma-separated `versions` of Kubernetes to check against")
	program := flag.String("podinfo", "", "podinfo `program` that validates settings (default: built from -root)")
	root := flag.String("root", "../..", "`directory` of the repository")
	flag.Parse()
	if err := run(strings.Split(*versions, ","), *program, *root, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(versions []string, program, root string, files []string) error {
	if program == "" {
		dir, err := os.MkdirTemp("", "podinfo")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		program = filepath.Join(dir, "podinfo")
		if err := manifests.Build(root, program); err != nil {
			return err
		}
	}
	checker, err := manifests.New(program)
	if err != nil {
		return err
	}
	if len(files) == 0 {
		files = []string{"-"}
	}
	for _, file := range files {
		manifest, err := read(file)
		if err != nil {
			return err
		}
		for _, version := range versions {
			if err := checker.Check(version, manifest); err != nil {
				return fmt.Errorf("%s, Kubernetes %s: %w", file, version, err)
			}
		}
	}
	return nil
}

func read(file string) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(os.Stdin)
	}
	return os.ReadFile(file)
}

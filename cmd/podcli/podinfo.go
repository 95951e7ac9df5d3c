//go:build podinfo

package main

import (
	"os"
	"path/filepath"

	podinfoserver "github.com/seed-4591fe7d/podinfo"
)

// With the tag podinfo, one program is podinfo and podcli: it is podcli if its name is
// podcli. The image has it, because the two have most packages in common.
func main() {
	if filepath.Base(os.Args[0]) == "podcli" {
		runPodcli()
		return
	}
	podinfoserver.Main()
}

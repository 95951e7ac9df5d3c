//go:build podinfo

package main

import (
	"os"
	"path/filepath"

	podinfoserver "github.com/seed-4591fe7d/podinfo"
)

// runPodinfo runs podinfo unless the program's name is podcli. With the tag podinfo, one
// program is both. The image has it, because the two have most packages in common.
func runPodinfo() bool {
	if filepath.Base(os.Args[0]) == "podcli" {
		return false
	}
	podinfoserver.Main()
	return true
}

package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"
)

// plugin is the program that reaches pods through the API server of Kubernetes. It is
// apart because its libraries would make each start of podcli slower.
const plugin = "kubectl-podinfo"

// addSelector adds the flag that makes the plugin run the command.
func addSelector(f *pflag.FlagSet) {
	f.StringP("selector", "l", "", "`labels` of pods in Kubernetes: all of them at the same time, by the program "+plugin+" (its help: "+plugin+" fault --help)")
}

// selects reports whether the arguments have the flag --selector, which f has. The
// plugin has other flags, so they cannot be parsed here.
func selects(f *pflag.FlagSet, args []string) bool {
	if f.Lookup("selector") == nil {
		return false
	}
	for _, arg := range args {
		switch {
		case arg == "--":
			return false
		case arg == "--selector" || strings.HasPrefix(arg, "--selector=") || strings.HasPrefix(arg, "-l"):
			return true
		}
	}
	return false
}

// runPlugin runs the command in the plugin, with the same arguments. It returns only
// if there is an error, except on Windows.
func (c *command) runPlugin(args []string) error {
	path, err := findPlugin()
	if err != nil {
		return c.usagef("--selector needs the program %s, which is neither in PATH nor beside podcli: install it from the same release", plugin)
	}
	words := strings.Fields(c.path)[1:] // without podcli
	return execute(path, append(append([]string{path}, words...), args...))
}

// findPlugin returns the path of the plugin.
func findPlugin() (string, error) {
	path, err := exec.LookPath(plugin)
	if err == nil || !errors.Is(err, exec.ErrNotFound) {
		return path, err
	}
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	return exec.LookPath(filepath.Join(filepath.Dir(self), plugin))
}

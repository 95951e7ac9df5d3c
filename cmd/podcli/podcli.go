//go:build !podinfo

package main

// runPodinfo does nothing: this program is podcli alone.
func runPodinfo() bool { return false }

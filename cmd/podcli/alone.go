//go:build !podinfo

package main

func main() { runPodcli() }

// Command podinfo serves every stock module.
package main

import "github.com/seed-4591fe7d/podinfo"

func main() { podinfo.Main() }

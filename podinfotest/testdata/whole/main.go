// Command whole is the complete program.
package main

import "github.com/seed-4591fe7d/podinfo"

func main() { podinfo.Main() }

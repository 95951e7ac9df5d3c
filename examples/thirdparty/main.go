// Command thirdparty is podinfo with two modules of someone else's.
package main

import (
	"example.com/thirdparty/hello"
	"example.com/thirdparty/tea"
	"github.com/seed-4591fe7d/podinfo"
)

func main() {
	podinfo.Main(new(hello.Module), new(tea.Module))
}

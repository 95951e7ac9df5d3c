// Command thirdparty is podinfo with modules of another repository.
package main

import (
	"example.com/thirdparty/caching"
	"example.com/thirdparty/compress"
	"example.com/thirdparty/deadline"
	"example.com/thirdparty/hello"
	"example.com/thirdparty/tea"
	"github.com/seed-4591fe7d/podinfo"
)

func main() {
	podinfo.Main(new(hello.Module), new(tea.Module), new(compress.Module), new(deadline.Module), new(caching.Module))
}

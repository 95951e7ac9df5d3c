package podinfotest

import (
	"errors"
	"regexp"
	"runtime"
)

var inBubble = regexp.MustCompile(`^goroutine \d+ \[[^\]]*, synctest bubble (\d+)`)

// bubble returns the number of the testing/synctest bubble that the caller is in,
// "" for none. It reads the stack trace because the package has no function for
// it: synctest.Wait would block, and other misuse of a bubble ends the process.
func bubble() string {
	head := make([]byte, 128)
	if m := inBubble.FindSubmatch(head[:runtime.Stack(head, false)]); m != nil {
		return string(m[1])
	}
	return ""
}

// errBubble is returned where the runtime would end the process or hang.
var errBubble = errors.New("not in the testing/synctest bubble of the server: start the server inside the bubble that uses it")

package podinfotest

import (
	"errors"
	"regexp"
	"runtime"
)

var inBubble = regexp.MustCompile(`^goroutine \d+ \[[^\]]*, synctest bubble (\d+)`)

// bubble names the bubble of testing/synctest that the caller is in, "" for
// none. There is no other way to ask: synctest.Wait would wait, and all else
// that knows ends the process.
func bubble() string {
	head := make([]byte, 128)
	if m := inBubble.FindSubmatch(head[:runtime.Stack(head, false)]); m != nil {
		return string(m[1])
	}
	return ""
}

// errBubble is the error of what would end the process, or hang.
var errBubble = errors.New("not in the bubble of testing/synctest that the server was started in: start it inside the bubble")

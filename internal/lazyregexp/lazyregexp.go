// Package lazyregexp compiles regular expressions on first use. Compiled when a package
// is initialized, they would make each start of podinfo and podcli slower.
package lazyregexp

import (
	"regexp"
	"sync"
)

// New returns a function that compiles the expression on its first call and returns the
// same result on each later call. It panics if the expression is invalid. It is safe for
// concurrent use.
func New(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}

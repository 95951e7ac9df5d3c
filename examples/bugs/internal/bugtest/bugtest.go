// Package bugtest runs a test with a client that has a bug, and with the mended one.
package bugtest

import (
	"fmt"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

// Run runs a test twice, each time in a testing/synctest bubble. With the mended client
// it must pass. With the buggy one it must fail, with a message of which the first line
// is want, in which … is any text. README.md must have the same message.
func Run[Client any](t *testing.T, test func(testing.TB, Client), buggy, mended Client, want string) {
	t.Helper()
	t.Run("buggy", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			failures := listen(t, func(tb testing.TB) { test(tb, buggy) })
			line := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(want), "…", ".+") + "(\n|$)")
			if len(failures) == 0 || !line.MatchString(failures[0]) {
				t.Errorf("the buggy client: %q, want a failure like %q", failures, want)
			}
			for _, f := range failures {
				t.Logf("the buggy client: %s", f)
			}
		})
	})
	t.Run("mended", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { test(t, mended) })
	})
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(readme), "`"+want+"`") {
		t.Errorf("README.md of examples/bugs lacks the message %q", want)
	}
}

// recorder is a testing.TB that collects failures, and leaves the test around it as it
// is.
type recorder struct {
	testing.TB
	mu       sync.Mutex
	failures []string
	cleanups []func()
}

// listen runs f as a test of its own, and returns the failures.
func listen(t testing.TB, f func(testing.TB)) []string {
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() { // because Fatal ends the goroutine
		defer close(done)
		defer r.end()
		f(r)
	}()
	<-done
	return r.failures
}

// end calls the cleanups in reverse order, as at the end of a test.
func (r *recorder) end() {
	for _, f := range slices.Backward(r.cleanups) {
		f()
	}
}

func (r *recorder) fail(s string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, s)
}

func (r *recorder) Helper()                   {}
func (r *recorder) Log(...any)                {}
func (r *recorder) Logf(string, ...any)       {}
func (r *recorder) Cleanup(f func())          { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Error(args ...any)         { r.fail(fmt.Sprint(args...)) }
func (r *recorder) Errorf(f string, a ...any) { r.fail(fmt.Sprintf(f, a...)) }
func (r *recorder) Fatal(args ...any)         { r.fail(fmt.Sprint(args...)); runtime.Goexit() }
func (r *recorder) Fatalf(f string, a ...any) { r.fail(fmt.Sprintf(f, a...)); runtime.Goexit() }

package main

import (
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

// redrawInterval is the time between two updates of a progress line.
const redrawInterval = 100 * time.Millisecond

// isTerminal reports whether f is a terminal that can redraw a line.
func isTerminal(f *os.File) bool {
	return term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
}

// width returns the width of the terminal in columns.
func width(f *os.File) int {
	if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
		return w
	}
	return 80
}

// progress shows a progress line on a terminal until stop is called, which erases
// the line. It calls text with the number of columns for each update. It does
// nothing when f is not a terminal.
func progress(f *os.File, text func(columns int) string) (stop func()) {
	if !isTerminal(f) {
		return func() {}
	}
	done := make(chan struct{})
	var drawing sync.WaitGroup
	drawing.Go(func() {
		tick := time.NewTicker(redrawInterval)
		defer tick.Stop()
		for {
			columns := width(f) - 1
			fmt.Fprintf(f, "\r\x1b[K%s", firstRunes(text(columns), columns))
			select {
			case <-tick.C:
			case <-done:
				fmt.Fprint(f, "\r\x1b[K")
				return
			}
		}
	})
	return sync.OnceFunc(func() { close(done); drawing.Wait() })
}

// firstRunes returns at most the first n runes of s.
func firstRunes(s string, n int) string {
	r := []rune(s)
	return string(r[:min(len(r), max(n, 0))])
}

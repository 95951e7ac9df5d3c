package main

import (
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

// redrawEvery is how often a progress line changes.
const redrawEvery = 100 * time.Millisecond

// isTerminal says whether f is a terminal that can redraw a line.
func isTerminal(f *os.File) bool {
	return term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
}

// width is that of the terminal, in columns.
func width(f *os.File) int {
	if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
		return w
	}
	return 80
}

// progress draws a line on a terminal again and again until stop is called,
// which wipes it. Anywhere else it does nothing. text is given the columns
// there are.
func progress(f *os.File, text func(columns int) string) (stop func()) {
	if !isTerminal(f) {
		return func() {}
	}
	done := make(chan struct{})
	var drawing sync.WaitGroup
	drawing.Go(func() {
		tick := time.NewTicker(redrawEvery)
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

// firstRunes cuts s, so that it does not wrap.
func firstRunes(s string, n int) string {
	r := []rune(s)
	return string(r[:min(len(r), max(n, 0))])
}

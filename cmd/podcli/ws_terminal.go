package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"github.com/gobwas/ws"
	"golang.org/x/term"
)

// terminal is a console that people use. Its line editor keeps the last
// hundred lines.
type terminal struct {
	editor *term.Terminal
	before *term.State
	colour bool
}

func newTerminal() (*terminal, error) {
	before, err := term.MakeRaw(int(os.Stdin.Fd()))
	if err != nil {
		return nil, err
	}
	screen := struct {
		io.Reader
		io.Writer
	}{os.Stdin, os.Stdout}
	return &terminal{term.NewTerminal(screen, "> "), before, os.Getenv("NO_COLOR") == ""}, nil
}

// restore leaves the terminal as it was found.
func (t *terminal) restore() {
	fmt.Fprint(os.Stdout, "\r\x1b[K")
	term.Restore(int(os.Stdin.Fd()), t.before)
}

func (t *terminal) readLine() (string, error) {
	t.resize()
	return t.editor.ReadLine()
}

// show prints a message above the line that is being typed.
func (t *terminal) show(op ws.OpCode, data []byte) {
	t.resize()
	text := "< " + printable(body(op, data))
	if t.colour {
		text = string(t.editor.Escape.Green) + text + string(t.editor.Escape.Reset)
	}
	fmt.Fprintln(t.editor, text)
}

// resize follows the window.
func (t *terminal) resize() {
	if w, h, err := term.GetSize(int(os.Stdout.Fd())); err == nil && w > 0 {
		t.editor.SetSize(w, h)
	}
}

// printable keeps another's text from steering the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return '\uFFFD'
		}
		return r
	}, s)
}

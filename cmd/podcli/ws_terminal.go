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

// terminal is a console on a terminal. Its line editor remembers the last hundred
// lines.
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

// restore resets the terminal to its state before newTerminal.
func (t *terminal) restore() {
	fmt.Fprint(os.Stdout, "\r\x1b[K")
	term.Restore(int(os.Stdin.Fd()), t.before)
}

func (t *terminal) readLine() (string, error) {
	t.resize()
	return t.editor.ReadLine()
}

// show prints a message above the line that the user is editing.
func (t *terminal) show(op ws.OpCode, data []byte) {
	t.resize()
	text := "< " + printable(body(op, data))
	if t.colour {
		text = string(t.editor.Escape.Green) + text + string(t.editor.Escape.Reset)
	}
	fmt.Fprintln(t.editor, text)
}

// resize adapts the editor to the size of the window.
func (t *terminal) resize() {
	if w, h, err := term.GetSize(int(os.Stdout.Fd())); err == nil && w > 0 {
		t.editor.SetSize(w, h)
	}
}

// printable replaces control characters, with which a message could control the
// terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return '\uFFFD'
		}
		return r
	}, s)
}

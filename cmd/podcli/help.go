package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
)

func helpCommand(all *command) *command {
	c := newCommand("help", "[COMMAND]...", "Print what a command does and takes.")
	c.examples = []string{"podcli help check http"}
	c.do = func(_ context.Context, words []string) error {
		about := all
		for _, w := range words {
			next := about.find(w)
			if next == nil {
				return c.errorf("no command %q in %s", w, about.path)
			}
			about = next
		}
		return about.help(os.Stdout)
	}
	return c
}

func (c *command) help(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", c.doc)
	if c.more != "" {
		fmt.Fprintf(&b, "\n%s\n", c.more)
	}
	usage := c.path
	if c.args != "" {
		usage += " " + c.args
	}
	if c.flags.HasFlags() {
		usage += " [flags]"
	}
	fmt.Fprintf(&b, "\nUsage:\n  %s\n", usage)
	for i, e := range c.examples {
		if i == 0 {
			b.WriteString("\nExamples:\n")
		}
		fmt.Fprintf(&b, "  %s\n", e)
	}
	for i, s := range c.subs() {
		if i == 0 {
			b.WriteString("\nCommands:\n")
		}
		if !s.hidden {
			fmt.Fprintf(&b, "  %-12s%s\n", s.word, s.doc)
		}
	}
	if c.flags.HasFlags() {
		fmt.Fprintf(&b, "\nFlags:\n%s", c.flags.FlagUsages())
	}
	if c.below != nil {
		fmt.Fprintf(&b, "\n%s COMMAND --help tells more.\n", c.path)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

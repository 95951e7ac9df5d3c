package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
)

func helpCommand(all *command) *command {
	c := newCommand("help", "[COMMAND]...", "Print the help of a command.")
	c.examples = []string{"podcli help check http"}
	c.do = func(_ context.Context, words []string) error {
		topic := all
		for _, w := range words {
			next := topic.find(w)
			if next == nil {
				return c.usagef("unknown command %q in %s", w, topic.path)
			}
			topic = next
		}
		return topic.help(os.Stdout)
	}
	return c
}

// help prints the command's help text.
func (c *command) help(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", c.doc)
	if c.details != "" {
		fmt.Fprintf(&b, "\n%s\n", c.details)
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
			fmt.Fprintf(&b, "  %-12s%s\n", s.name, s.doc)
		}
	}
	if c.flags.HasFlags() {
		fmt.Fprintf(&b, "\nFlags:\n%s", c.flags.FlagUsages())
	}
	if c.makeSubs != nil {
		fmt.Fprintf(&b, "\nRun \"%s COMMAND --help\" for the help of a command.\n", c.path)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

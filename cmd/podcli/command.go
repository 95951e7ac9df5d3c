package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"
)

// command is a group of commands, or one that does something.
type command struct {
	word, path string // "http", "podcli check http"
	args       string // what it takes, such as "ADDR"; "" is nothing, and a "..." any number
	doc        string
	more       string // further paragraphs of the help text
	examples   []string
	hidden     bool
	rawArgs    bool              // flags are not its own: it gets them all as arguments
	below      func() []*command // of a group: makes sub when it is asked for
	sub        []*command
	flags      *pflag.FlagSet
	do         func(ctx context.Context, args []string) error
}

func newCommand(word, args, doc string) *command {
	f := pflag.NewFlagSet(word, pflag.ContinueOnError)
	f.SortFlags = false
	f.Usage = func() {}
	f.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "insecure-skip-verify" { // another name for it, which Go users try first
			name = "insecure"
		}
		return pflag.NormalizedName(name)
	})
	return &command{word: word, args: args, doc: doc, flags: f}
}

// group is a command with others below it, which are made when they are needed:
// a probe does not wait for those that it does not use.
func group(word, doc string, below func() []*command) *command {
	c := newCommand(word, "COMMAND", doc)
	c.path, c.below = word, below
	return c
}

// subs are the commands below a group.
func (c *command) subs() []*command {
	if c.sub == nil && c.below != nil {
		c.sub = c.below()
		for _, s := range c.sub {
			s.path = c.path + " " + s.word
		}
	}
	return c.sub
}

// errorf is the error of a command line that is not accepted.
func (c *command) errorf(format string, args ...any) error {
	return fmt.Errorf(c.path+": "+format, args...)
}

// run finds the command that args name, and runs it.
func (c *command) run(ctx context.Context, args []string) error {
	if c.below != nil {
		at := c.firstWord(args)
		if at < 0 {
			return c.runGroup(args)
		}
		s := c.find(args[at])
		if s == nil {
			return c.errorf("unknown command %q: want %s", args[at], strings.Join(c.words(), ", "))
		}
		return s.run(ctx, append(append([]string{}, args[:at]...), args[at+1:]...))
	}
	if !c.rawArgs {
		switch err := c.flags.Parse(args); {
		case errors.Is(err, pflag.ErrHelp):
			return c.help(os.Stdout)
		case err != nil:
			return c.errorf("%w", err)
		}
		args = c.flags.Args()
	}
	if err := c.takes(args); err != nil {
		return err
	}
	return c.do(ctx, args)
}

// runGroup is a group without the name of a command: it prints what there is.
func (c *command) runGroup(args []string) error {
	if err := c.flags.Parse(args); err != nil && !errors.Is(err, pflag.ErrHelp) {
		return c.errorf("%w", err)
	}
	return c.help(os.Stdout)
}

func (c *command) takes(args []string) error {
	switch {
	case strings.HasSuffix(c.args, "..."):
		return nil
	case c.args == "" && len(args) > 0:
		return c.errorf("takes no arguments, got %q", args[0])
	case c.args != "" && len(args) != 1:
		return c.errorf("want one %s, got %d; for example: %s", c.args, len(args), c.examples[0])
	}
	return nil
}

// firstWord is the index of the first of args that is neither a flag nor a
// flag's value, or -1.
func (c *command) firstWord(args []string) int {
	for i := 0; i < len(args) && args[i] != "--"; i++ {
		switch {
		case !strings.HasPrefix(args[i], "-") || args[i] == "-":
			return i
		case c.takesValue(args[i]):
			i++
		}
	}
	return -1
}

// takesValue says whether a flag, of any command below, has its value in the
// next argument.
func (c *command) takesValue(arg string) bool {
	var f *pflag.Flag
	if name, long := strings.CutPrefix(arg, "--"); long {
		f = c.flags.Lookup(name)
	} else if len(arg) == 2 {
		f = c.flags.ShorthandLookup(arg[1:])
	}
	if f != nil {
		return f.NoOptDefVal == ""
	}
	for _, s := range c.subs() {
		if s.takesValue(arg) {
			return true
		}
	}
	return false
}

func (c *command) find(word string) *command {
	for _, s := range c.subs() {
		if s.word == word {
			return s
		}
	}
	return nil
}

func (c *command) words() (names []string) {
	for _, s := range c.subs() {
		if !s.hidden {
			names = append(names, s.word)
		}
	}
	return names
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"
)

// command is either a group of commands or a command with an action.
type command struct {
	name, path string // "http", "podcli check http"
	args       string // the arguments, such as "ADDR"; "" means none, and a trailing "..." any number
	doc        string
	details    string // further paragraphs of the help text
	examples   []string
	hidden     bool
	rawArgs    bool              // do not parse flags: pass all arguments on
	makeSubs   func() []*command // of a group: creates subs on first use
	cachedSubs []*command
	flags      *pflag.FlagSet
	do         func(ctx context.Context, args []string) error
}

func newCommand(name, args, doc string) *command {
	f := pflag.NewFlagSet(name, pflag.ContinueOnError)
	f.SortFlags = false
	f.Usage = func() {}
	f.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "insecure-skip-verify" { // an alias, which Go users try first
			name = "insecure"
		}
		return pflag.NormalizedName(name)
	})
	return &command{name: name, args: args, doc: doc, flags: f}
}

// group returns a command with subcommands. They are created on first use, so
// that a probe starts without creating those that it does not use.
func group(name, doc string, makeSubs func() []*command) *command {
	c := newCommand(name, "COMMAND", doc)
	c.path, c.makeSubs = name, makeSubs
	return c
}

// subs returns the subcommands of a group.
func (c *command) subs() []*command {
	if c.cachedSubs == nil && c.makeSubs != nil {
		c.cachedSubs = c.makeSubs()
		for _, s := range c.cachedSubs {
			s.path = c.path + " " + s.name
		}
	}
	return c.cachedSubs
}

// errorf returns an error with the command's path in front.
func (c *command) errorf(format string, args ...any) error {
	return fmt.Errorf(c.path+": "+format, args...)
}

// usagef is errorf for a mistake in the command line.
func (c *command) usagef(format string, args ...any) error {
	return usage(c.errorf(format, args...))
}

// run runs the command that args name.
func (c *command) run(ctx context.Context, args []string) error {
	if c.makeSubs != nil {
		at := c.firstWord(args)
		if at < 0 {
			return c.runGroup(args)
		}
		s := c.find(args[at])
		if s == nil {
			return c.usagef("unknown command %q: want one of %s", args[at], strings.Join(c.subNames(), ", "))
		}
		return s.run(ctx, append(append([]string{}, args[:at]...), args[at+1:]...))
	}
	if selects(c.flags, args) {
		return c.runPlugin(args)
	}
	if !c.rawArgs {
		switch err := c.flags.Parse(args); {
		case errors.Is(err, pflag.ErrHelp):
			return c.help(os.Stdout)
		case err != nil:
			return c.usagef("%w", err)
		}
		args = c.flags.Args()
	}
	if err := c.checkArgs(args); err != nil {
		return err
	}
	return c.do(ctx, args)
}

// runGroup runs a group without a subcommand: it prints the group's help.
func (c *command) runGroup(args []string) error {
	if err := c.flags.Parse(args); err != nil && !errors.Is(err, pflag.ErrHelp) {
		return c.usagef("%w", err)
	}
	if v, err := c.flags.GetBool("version"); err == nil && v {
		fmt.Println(release)
		return nil
	}
	return c.help(os.Stdout)
}

// checkArgs returns an error when the number of arguments is wrong.
func (c *command) checkArgs(args []string) error {
	switch {
	case strings.HasSuffix(c.args, "..."):
		return nil
	case c.args == "" && len(args) > 0:
		return c.usagef("takes no arguments, got %q", args[0])
	case c.args != "" && len(args) != 1:
		return c.usagef("takes one %s, got %d arguments; example: %s", c.args, len(args), c.examples[0])
	}
	return nil
}

// firstWord returns the index of the first argument that is neither a flag nor a
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

// takesValue reports whether the value of a flag, of this command or of any below
// it, is the next argument.
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

// find returns the subcommand with the given name, or nil.
func (c *command) find(name string) *command {
	for _, s := range c.subs() {
		if s.name == name {
			return s
		}
	}
	return nil
}

// subNames returns the names of the subcommands that are not hidden.
func (c *command) subNames() (names []string) {
	for _, s := range c.subs() {
		if !s.hidden {
			names = append(names, s.name)
		}
	}
	return names
}

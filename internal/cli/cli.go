// Package cli is the command line of a program made of modules.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/sirupsen/logrus"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/seed-4591fe7d/podinfo/internal/jsonlog"
	"github.com/seed-4591fe7d/podinfo/internal/suggest"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// Exit codes of Run.
const (
	ExitOK       = 0 // served and stopped, or printed what was asked for
	ExitFailed   = 1 // could not start, failed while serving, or cut requests when stopping
	ExitSettings = 2 // the command line, the environment or the config file is not accepted
)

// Program is a binary.
type Program struct {
	Name    string
	Modules []registry.Module
	Given   []registry.Module // beside or in place of Modules, and on unless a variable says otherwise
	Build   registry.Build
	Args    []string // without the program's name
	Env     []string // as os.Environ gives it
	Stdout  io.Writer
	Stderr  io.Writer
	Exit    func(code int) // ends the process

	out *jsonlog.Writer
}

// command is what the first word of the command line may be.
type command struct {
	name, doc string
	run       func(*Program, context.Context, *registry.App) error
}

func commands() []command {
	return []command{
		{"serve", "serve until SIGTERM or SIGINT (the default)", (*Program).serve},
		{"modules", "print the modules, their state and their place in the chain", (*Program).modules},
		{"settings", "print every setting with its value, source and meaning", (*Program).settings},
		{"version", "print the version", (*Program).version},
		{"help", "print this text", (*Program).help},
	}
}

// usageError is one the caller can mend: it ends with ExitSettings.
type usageError struct{ error }

// Run runs the command the arguments ask for and returns the exit code.
func (p *Program) Run(ctx context.Context) int {
	p.out = jsonlog.NewWriter(p.Stderr)
	defer p.out.Flush()
	err := p.dispatch(ctx)
	if err == nil {
		return ExitOK
	}
	p.out.Flush()
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintf(p.Stderr, "%s: %s\n", p.Name, line)
	}
	if _, ok := errors.AsType[usageError](err); ok {
		return ExitSettings
	}
	return ExitFailed
}

// Abort ends the process now, with what was logged written.
func (p *Program) Abort(code int) {
	if p.out != nil {
		p.out.Flush()
	}
	p.Exit(code)
}

func (p *Program) dispatch(ctx context.Context) error {
	declared := registry.Settings(p.all())
	flags, vars := flagSet(declared)
	switch err := flags.Parse(p.Args); {
	case errors.Is(err, pflag.ErrHelp):
		return p.help(ctx, nil)
	case err != nil:
		return usageError{p.flagError(err, flags)}
	}
	if v, _ := flags.GetBool("version"); v {
		return p.version(ctx, nil)
	}
	cmd, err := pick(flags.Args())
	if err != nil {
		return usageError{err}
	}
	if cmd.name == "help" || cmd.name == "version" {
		return cmd.run(p, ctx, nil)
	}
	app, err := p.app(vars, cmd.name == "serve")
	if err != nil {
		return usageError{err}
	}
	return cmd.run(p, ctx, app)
}

func pick(words []string) (command, error) {
	if len(words) == 0 {
		return commands()[0], nil
	}
	var names []string
	for _, c := range commands() {
		names = append(names, c.name)
		if c.name == words[0] && len(words) == 1 {
			return c, nil
		}
	}
	if slices.Contains(names, words[0]) {
		return command{}, fmt.Errorf("%s takes no arguments, got %q", words[0], words[1])
	}
	return command{}, fmt.Errorf("unknown command %q: want %s%s", words[0], strings.Join(names, ", "), suggest.Word(words[0], names))
}

// app assembles the modules from flags, environment and config file.
func (p *Program) app(flags map[string]string, log bool) (*registry.App, error) {
	env := map[string]string{}
	for _, kv := range p.Env {
		k, v, _ := strings.Cut(kv, "=")
		env[k] = v
	}
	file, err := readConfig(flags, env)
	if err != nil {
		return nil, err
	}
	logger := logrus.New()
	logger.SetFormatter(jsonlog.Formatter{})
	logger.SetOutput(p.out)
	if !log {
		logger.SetOutput(io.Discard)
	}
	return registry.New(p.Modules, registry.With(p.Given...), registry.File(file), registry.Env(env), registry.Flags(flags), registry.Environ(p.Env),
		registry.Logger(logger), registry.Version(p.Build), registry.Exit(p.Abort))
}

// all returns the modules of the program for a listing of their settings.
func (p *Program) all() []registry.Module { return slices.Concat(p.Modules, p.Given) }

func (p *Program) serve(ctx context.Context, app *registry.App) error {
	app.Log().WithFields(logrus.Fields{"version": p.Build.Version, "revision": p.Build.Revision, "seed": app.Seed()}).
		Info("Starting " + p.Name)
	return app.Run(ctx)
}

func (p *Program) version(context.Context, *registry.App) error {
	fmt.Fprintln(p.Stdout, p.Build.Version)
	return nil
}

func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// flagSet declares a flag for every setting. Parsing one sets its variable in
// vars, so that flags and variables have one meaning.
func flagSet(declared []registry.Setting) (flags *pflag.FlagSet, vars map[string]string) {
	flags, vars = pflag.NewFlagSet("", pflag.ContinueOnError), map[string]string{}
	flags.Usage = func() {}
	flags.SortFlags = false
	flags.BoolP("version", "v", false, "print the version")
	for _, s := range declared {
		set := func(v string) error { vars[s.Key] = v; return nil }
		switch {
		case s.Bool():
			flags.BoolFunc(s.Flag(), s.Doc, set)
		case s.List():
			flags.Func(s.Flag(), s.Doc, func(v string) error {
				if before, again := vars[s.Key]; again {
					v = before + "," + v
				}
				return set(v)
			})
		default:
			flags.Func(s.Flag(), s.Doc, set)
		}
	}
	return flags, vars
}

// flagError adds to an unknown flag what may have been meant.
func (p *Program) flagError(err error, flags *pflag.FlagSet) error {
	unknown, ok := errors.AsType[*pflag.NotExistError](err)
	if !ok {
		return err
	}
	var names []string
	flags.VisitAll(func(f *pflag.Flag) { names = append(names, "--"+f.Name) })
	return fmt.Errorf("%w%s", err, suggest.Word("--"+unknown.GetSpecifiedName(), names))
}

// lookup is the value of a variable before there is an App to ask.
func lookup(key string, layers ...map[string]string) string {
	for _, l := range layers {
		if v := l[key]; v != "" {
			return v
		}
	}
	return ""
}

func keys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }

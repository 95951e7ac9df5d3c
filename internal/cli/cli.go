// Package cli runs a program made of modules from its command line.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/sirupsen/logrus"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/seed-4591fe7d/podinfo/internal/jsonlog"
	"github.com/seed-4591fe7d/podinfo/internal/redact"
	"github.com/seed-4591fe7d/podinfo/internal/suggest"
	"github.com/seed-4591fe7d/podinfo/registry"
)

// Exit codes of Run.
const (
	ExitOK       = 0 // the server stopped cleanly, or the command printed its result
	ExitFailed   = 1 // the server failed to start, failed while serving, or cut requests when stopping
	ExitSettings = 2 // the command line, the environment or the config file is invalid
)

// Program is a binary: its modules and its surroundings.
type Program struct {
	Name    string
	Modules []registry.Module
	Given   []registry.Module // added to Modules, or replacing those of the same name; on unless a variable turns them off
	Options []registry.Option
	Build   registry.Build
	Args    []string // without the program's name
	Env     []string // in the form of os.Environ
	Stdout  io.Writer
	Stderr  io.Writer
	Exit    func(code int)     // terminates the process
	Runtime []registry.Setting // of the Go runtime, for the command settings

	// Logger, if set, is called with the logger of serve before the App is
	// assembled.
	Logger func(*logrus.Logger)

	out      *jsonlog.Writer
	defaults map[string]string // of the command, below the config file
	words    []string          // the arguments that are not flags
	json     bool              // print JSON
}

// command is a subcommand, the first argument that is not a flag.
type command struct {
	name, args, doc string
	details         string // of the help text
	json            bool   // accepts -o json
	many            bool   // takes any number of arguments
	run             func(*Program, context.Context, *registry.App) error
}

// commands lists the subcommands. The first one is the default.
func commands() []command {
	return []command{
		{"serve", "", "serve until SIGTERM or SIGINT (default)", "", false, false, (*Program).serve},
		{"proxy", "URL|NAME=ADDRESS…", "break a service that exists: serve it through the rules of a scenario", proxyHelp, false, true, (*Program).serve},
		{"modules", "", "print the modules with their state and position in the chain", modulesHelp, true, false, (*Program).modules},
		{"settings", "", "print every setting with its value, source and meaning", settingsHelp, true, false, (*Program).settings},
		{"routes", "", "print every route with its module and the middleware before it", "", true, false, (*Program).routes},
		{"check", "", "validate all settings and exit", checkHelp, false, false, (*Program).check},
		{"completion", "bash|zsh|fish", "print a shell script that completes commands and flags", completionHelp, false, false, (*Program).completion},
		{"version", "", "print the version", "", true, false, (*Program).version},
		{"help", "[COMMAND]", "print the help of a command", "", false, false, (*Program).help},
	}
}

// usageError is a mistake in the command line or the settings. Run returns
// ExitSettings for it.
type usageError struct{ error }

// Run runs the command that Args name, serve by default, and returns its exit
// code. It prints an error to Stderr, one line for each mistake.
func (p *Program) Run(ctx context.Context) int {
	p.out = jsonlog.NewWriter(p.Stderr)
	defer p.out.Flush()
	err := p.dispatch(ctx)
	if err == nil {
		return ExitOK
	}
	p.out.Flush()
	if errors.Is(err, errLogged) {
		return ExitFailed
	}
	text, code := err.Error(), ExitSettings // the errors of settings are redacted
	if _, ok := errors.AsType[usageError](err); !ok {
		text, code = redact.Text(text), ExitFailed
	}
	for line := range strings.SplitSeq(text, "\n") {
		fmt.Fprintf(p.Stderr, "%s: %s\n", p.Name, line)
	}
	return code
}

// Abort flushes the log and terminates the process immediately.
func (p *Program) Abort(code int) {
	if p.out != nil {
		p.out.Flush()
	}
	p.Exit(code)
}

func (p *Program) dispatch(ctx context.Context) error {
	if len(p.Args) > 0 && p.Args[0] == completeCommand {
		return p.complete(p.Args[1:])
	}
	declared := registry.Settings(p.allModules())
	flags, vars := newFlagSet(declared)
	if err := flags.Parse(p.Args); err != nil {
		return usageError{p.flagError(err, flags)}
	}
	p.words = flags.Args()
	if v, _ := flags.GetBool("help"); v {
		return p.help(ctx, nil)
	}
	if v, _ := flags.GetBool("version"); v {
		p.words = []string{"version"}
	}
	cmd, err := findCommand(p.words)
	if err == nil {
		err = p.setFormat(cmd, flags)
	}
	if err != nil {
		return usageError{err}
	}
	switch cmd.name {
	case "help", "version", "completion":
		return cmd.run(p, ctx, nil)
	}
	if cmd.name == "proxy" {
		if err := p.proxyProfile(vars); err != nil {
			return usageError{err}
		}
	}
	app, err := p.newApp(vars, cmd.name == "serve" || cmd.name == "proxy")
	if err != nil {
		return usageError{err}
	}
	return cmd.run(p, ctx, app)
}

// setFormat reads the flag --output.
func (p *Program) setFormat(cmd command, flags *pflag.FlagSet) error {
	format, _ := flags.GetString("output")
	p.json = format == "json"
	switch {
	case format != "text" && format != "json":
		return fmt.Errorf("--output=%q: want text or json", format)
	case p.json && !cmd.json:
		return fmt.Errorf("--output=json has no effect on %s: use it with modules, settings, routes or version", cmd.name)
	}
	return nil
}

// findCommand returns the command that args name, the first one if they are
// empty.
func findCommand(args []string) (command, error) {
	if len(args) == 0 {
		return commands()[0], nil
	}
	var names []string
	for _, c := range commands() {
		names = append(names, c.name)
		if c.name != args[0] {
			continue
		}
		switch {
		case c.args == "" && len(args) > 1:
			return command{}, fmt.Errorf("unexpected argument %q: %s takes none", redact.Text(args[1]), c.name)
		case c.args != "" && !c.many && len(args) > 2:
			return command{}, fmt.Errorf("unexpected argument %q: %s takes one", redact.Text(args[2]), c.name)
		}
		return c, nil
	}
	return command{}, fmt.Errorf("unknown command %q%s: use %s", redact.Text(args[0]), suggest.Word(args[0], names), orList(names))
}

// newApp assembles the modules, configured from flags, environment and config
// file. Without log, the App discards what it logs.
func (p *Program) newApp(flags map[string]string, log bool) (*registry.App, error) {
	env := map[string]string{}
	for _, kv := range p.Env {
		k, v, _ := strings.Cut(kv, "=")
		env[k] = v
	}
	file, err := readConfig(flags, env)
	if err != nil {
		return nil, err
	}
	if lookup(registry.EnvPrefix+"LOG_OUTPUT", flags, env, file) == "stdout" {
		p.out.SetOutput(p.Stdout)
	}
	logger := logrus.New()
	logger.SetFormatter(jsonlog.Formatter{GCP: lookup(registry.EnvPrefix+"LOG_FIELDS", flags, env, file) == "gcp"})
	logger.SetOutput(p.out)
	switch {
	case !log:
		logger.SetOutput(io.Discard)
	case p.Logger != nil:
		p.Logger(logger)
	}
	return registry.New(p.Modules, slices.Concat(p.Options, []registry.Option{
		registry.With(p.Given...), registry.Defaults(p.defaults), registry.File(file), registry.Env(env), registry.Flags(flags), registry.Environ(p.Env),
		registry.Logger(logger), registry.Version(p.Build), registry.Exit(p.Abort),
	})...)
}

// allModules returns Modules and Given, for [registry.Settings].
func (p *Program) allModules() []registry.Module { return slices.Concat(p.Modules, p.Given) }

// serve runs the App. A file of the command line must exist: it is not a mounted one
// that may come later, as that of a variable is.
func (p *Program) serve(ctx context.Context, app *registry.App) error {
	if errs := missingFiles(app, modulesOn(app), registry.FromFlag); errs != nil {
		return usageError{errors.Join(errs...)}
	}
	app.Log().WithFields(logrus.Fields{"version": p.Build.Version, "revision": p.Build.Revision, "seed": app.Seed()}).
		Info("Starting " + p.Name)
	err := app.Run(ctx)
	if err == nil {
		return nil
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		app.Log().WithField("error", line).Error(p.Name + " failed")
	}
	return errLogged
}

// errLogged is the error of a command that has logged why it failed.
var errLogged = errors.New("logged")

func (p *Program) version(context.Context, *registry.App) error {
	if p.json {
		return p.writeJSON(map[string]string{"version": p.Build.Version, "revision": p.Build.Revision})
	}
	_, err := fmt.Fprintln(p.Stdout, p.Build.Version)
	return err
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// newFlagSet declares a flag for every setting. Parsing a flag stores its value
// in vars under the name of its variable, so that flags and variables share one
// parser.
func newFlagSet(declared []registry.Setting) (flags *pflag.FlagSet, vars map[string]string) {
	flags, vars = pflag.NewFlagSet("", pflag.ContinueOnError), map[string]string{}
	flags.Usage = func() {}
	flags.SortFlags = false
	flags.BoolP("help", "h", false, "print the help of a command")
	flags.BoolP("version", "v", false, "print the version")
	flags.StringP("output", "o", "text", "format of the result: text or json")
	for _, s := range declared {
		set := func(v string) error { vars[s.Key] = v; return nil }
		switch {
		case s.Bool():
			flags.BoolFunc(s.Flag(), s.Doc, set)
		case s.List():
			flags.Func(s.Flag(), s.Doc, func(v string) error {
				if before, repeated := vars[s.Key]; repeated {
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

// flagError adds a suggestion to the error for an unknown flag.
func (p *Program) flagError(err error, flags *pflag.FlagSet) error {
	unknown, ok := errors.AsType[*pflag.NotExistError](err)
	if !ok {
		return errors.New(redact.Text(err.Error()))
	}
	if flag, _, assigned := strings.Cut(unknown.Error(), "="); assigned { // -jwt-secret=…: the error quotes the value
		return fmt.Errorf("%s: flags have two dashes", flag)
	}
	var names []string
	flags.VisitAll(func(f *pflag.Flag) { names = append(names, "--"+f.Name) })
	return fmt.Errorf("%w%s", err, suggest.Word("--"+unknown.GetSpecifiedName(), names))
}

// lookup returns the first value of a variable in layers that is not empty. It
// serves the settings that are needed before there is an App.
func lookup(key string, layers ...map[string]string) string {
	for _, l := range layers {
		if v := strings.TrimSpace(l[key]); v != "" {
			return v
		}
	}
	return ""
}

// orList joins words as in "a, b or c".
func orList(words []string) string {
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

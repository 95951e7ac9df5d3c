package cli

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/seed-4591fe7d/podinfo/registry"
)

// Paragraphs of the commands' help.
const (
	modulesHelp = `The modules are listed in the order in which a request passes them. DECIDED BY
is the variable that turned the module on or off, "default", or "code". PLACE is
its position in the chain.

Turn modules on and off with, strongest first:

  PODINFO_<NAME>_ENABLED=true, false or standby   (--<name>-enabled=true)
  PODINFO_MODULES=-panic,random-error             (--modules=-panic,random-error)
  the variable under TURNED ON BY
  settings that only make sense while the module is on, such as PODINFO_JWT_PATHS`

	settingsHelp = `Secrets are redacted. SOURCE is where the value was given: a flag, the
environment, the config file, code, or nowhere ("default").`

	checkHelp = `check reads the flags, the environment and the config file as serve does. It
prints one line for everything that is wrong, also for settings that are unknown
or have no effect and for fault rules that will not do what they say, of which
serve only warns, and exits with code 2. Otherwise it prints one line and exits
with code 0. It opens no port and no connection.`

	completionHelp = `Examples:
  podinfo completion bash > /etc/bash_completion.d/podinfo
  source <(podinfo completion zsh)
  podinfo completion fish | source`
)

// help prints the help of the command that the words name, or of the program.
func (p *Program) help(context.Context, *registry.App) error {
	words := p.words
	if len(words) > 0 && words[0] == "help" {
		words = words[1:]
	}
	if len(words) == 0 {
		return p.helpAll()
	}
	cmd, err := findCommand(words[:1])
	if err != nil {
		return usageError{err}
	}
	if cmd.name == "serve" {
		return p.helpAll()
	}
	w := p.Stdout
	fmt.Fprintf(w, "Usage: %s\n\n%s.\n", strings.TrimSpace(p.Name+" "+cmd.name+" "+cmd.args)+" [flags]", strings.ToUpper(cmd.doc[:1])+cmd.doc[1:])
	if cmd.details != "" {
		fmt.Fprintf(w, "\n%s\n", cmd.details)
	}
	fmt.Fprintln(w, "\nFlags:")
	fmt.Fprintln(w, "  -h, --help                print this help")
	if cmd.json {
		fmt.Fprintln(w, "  -o, --output text|json    format of the result")
	}
	_, err = fmt.Fprintf(w, "\nThe flags of all settings apply too: %s help\n", p.Name)
	return err
}

func (p *Program) helpAll() error {
	w := p.Stdout
	fmt.Fprintf(w, "Usage: %s [command] [flags]\n\nCommands:\n", p.Name)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range commands() {
		fmt.Fprintf(tw, "  %s\t%s\n", strings.TrimSpace(c.name+" "+c.args), c.doc)
	}
	tw.Flush()
	fmt.Fprintf(w, "\nEvery flag is also an environment variable (--random-delay-max is %sRANDOM_DELAY_MAX)\nand a key of the config file (random-delay-max). A flag takes precedence over a\nvariable, and a variable over the config file.\n", registry.EnvPrefix)
	fmt.Fprintln(w, "\nFlags:")
	tw = tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(tw, "  -h, --help\tprint this help, or the help of a command\n  -v, --version\tprint the version\n")
	fmt.Fprintf(tw, "  -o, --output text|json\tformat of the result of modules, settings, routes and version\n")
	fmt.Fprintf(tw, "  --<module>-enabled true|false|standby\tturn a module on or off, or have it ready on standby; %q lists the modules\n", p.Name+" modules")
	module := ""
	for _, s := range registry.Settings(p.allModules()) {
		if isEnabled(s) {
			continue // one line above stands for all
		}
		if s.Module != module {
			module = s.Module
			fmt.Fprintf(tw, "\n%s:\n", module)
		}
		fmt.Fprintf(tw, "  --%s%s\t%s%s\n", s.Flag(), argument(s), s.Doc, defaultOf(s))
	}
	return tw.Flush()
}

// isEnabled reports whether the setting is the one that every module has.
func isEnabled(s registry.Setting) bool {
	return s.Takes == "true|false|standby"
}

// argument returns the placeholder of the flag's argument, such as " PORT", or
// "" when the flag needs none.
func argument(s registry.Setting) string {
	if s.Bool() {
		return ""
	}
	return " " + s.Takes
}

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// completionScripts are the completion scripts by shell. They call podcli for the
// completions, so that they do not change when the commands do.
var completionScripts = map[string]string{
	"bash": `_podcli() {
  local IFS=$'\n'
  COMPREPLY=($(compgen -W "$(podcli __complete "${COMP_WORDS[@]:1:COMP_CWORD-1}")" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _podcli podcli
`,
	"zsh": `#compdef podcli
_podcli() { compadd -- ${(f)"$(podcli __complete "${(@)words[2,CURRENT-1]}")"} }
compdef _podcli podcli
`,
	"fish": `complete -c podcli -f -a '(podcli __complete (commandline -opc)[2..])'
`,
}

func completionCommand() *command {
	c := newCommand("completion", "bash|zsh|fish", "Print a shell script that completes podcli's commands and flags.")
	c.examples = []string{
		"podcli completion bash > /etc/bash_completion.d/podcli",
		"source <(podcli completion zsh)",
		"podcli completion fish | source",
	}
	c.do = func(_ context.Context, args []string) error {
		script, ok := completionScripts[args[0]]
		if !ok {
			return c.usagef("unknown shell %q: want bash, zsh or fish", args[0])
		}
		fmt.Print(script)
		return nil
	}
	return c
}

// completeCommand returns the command that prints the completions of the words
// typed so far, one per line.
func completeCommand(all *command) *command {
	c := newCommand("__complete", "WORD...", "Print completions.")
	c.hidden, c.rawArgs = true, true
	c.do = func(_ context.Context, words []string) error {
		last := all
		for _, w := range words {
			if next := last.find(w); next != nil {
				last = next
			}
		}
		fmt.Println(strings.Join(last.completions(), "\n"))
		return nil
	}
	return c
}

// completions returns what may follow the command: its subcommands, its fixed
// arguments or its flags.
func (c *command) completions() []string {
	if c.makeSubs != nil {
		return c.subNames()
	}
	if strings.Contains(c.args, "|") {
		return strings.Split(c.args, "|")
	}
	var flags []string
	c.flags.VisitAll(func(f *pflag.Flag) { flags = append(flags, "--"+f.Name) })
	return slices.Concat(flags, []string{"--help"})
}

package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/seed-4591fe7d/podinfo/registry"
)

// completeCommand is the hidden command that the scripts call with the words
// typed so far. It prints the completions, one per line.
const completeCommand = "__complete"

// completionScripts are the completion scripts by shell. NAME is the program.
var completionScripts = map[string]string{
	"bash": `_NAME() {
  local IFS=$'\n'
  COMPREPLY=($(compgen -W "$(NAME __complete "${COMP_WORDS[@]:1:COMP_CWORD-1}")" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _NAME NAME
`,
	"zsh": `#compdef NAME
_NAME() { compadd -- ${(f)"$(NAME __complete "${(@)words[2,CURRENT-1]}")"} }
compdef _NAME NAME
`,
	"fish": `complete -c NAME -f -a '(NAME __complete (commandline -opc)[2..])'
`,
}

func (p *Program) completion(context.Context, *registry.App) error {
	if len(p.words) < 2 {
		return usageError{fmt.Errorf("completion takes a shell: bash, zsh or fish")}
	}
	script, ok := completionScripts[p.words[1]]
	if !ok {
		return usageError{fmt.Errorf("unknown shell %q: want bash, zsh or fish", p.words[1])}
	}
	_, err := fmt.Fprint(p.Stdout, strings.ReplaceAll(script, "NAME", p.Name))
	return err
}

// complete prints what may follow the words: the values of a flag, or commands
// and flags.
func (p *Program) complete(words []string) error {
	var out, names []string
	for _, c := range commands() {
		names = append(names, c.name)
	}
	last := ""
	if len(words) > 0 {
		last = words[len(words)-1]
	}
	named := slices.ContainsFunc(words, func(w string) bool { return slices.Contains(names, w) })
	settings := registry.Settings(p.allModules())
	i := slices.IndexFunc(settings, func(s registry.Setting) bool { return "--"+s.Flag() == last })
	switch {
	case last == "completion":
		out = []string{"bash", "zsh", "fish"}
	case last == "help":
		out = names
	case last == "-o" || last == "--output":
		out = []string{"text", "json"}
	case i >= 0 && !settings[i].Bool():
		if strings.Contains(settings[i].Takes, "|") {
			out = strings.Split(settings[i].Takes, "|")
		}
	default:
		if !named {
			out = names
		}
		out = append(out, "--help", "--version", "--output")
		for _, s := range settings {
			out = append(out, "--"+s.Flag())
		}
	}
	if len(out) == 0 {
		return nil
	}
	_, err := fmt.Fprintln(p.Stdout, strings.Join(out, "\n"))
	return err
}

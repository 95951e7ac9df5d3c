package cli

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/seed-4591fe7d/podinfo/registry"
)

// writeTable writes rows under a header. On a terminal the columns are aligned
// and the header is bold; elsewhere tabs separate the columns.
func writeTable(w io.Writer, header []string, rows [][]string) {
	if !isTerminal(w) {
		for _, row := range append([][]string{header}, rows...) {
			fmt.Fprintln(w, strings.Join(row, "\t"))
		}
		return
	}
	var text strings.Builder
	tw := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{header}, rows...) {
		fmt.Fprintln(tw, strings.Join(row, "\t"))
	}
	tw.Flush()
	head, body, _ := strings.Cut(text.String(), "\n")
	fmt.Fprintf(w, "\x1b[1m%s\x1b[0m\n%s", head, body)
}

func (p *Program) modules(_ context.Context, app *registry.App) error {
	var rows [][]string
	passed := 0
	for _, s := range app.Assembly().InChain() {
		position := "-"
		if s.Info.Phase.String() != "" && s.State == registry.On {
			passed++
			position = strconv.Itoa(passed)
		}
		rows = append(rows, []string{s.Info.Name, s.State.String(), s.Why, position, dash(s.Info.Phase.String()), enablingVariable(s.Info), s.Info.Doc})
	}
	writeTable(p.Stdout, []string{"MODULE", "STATE", "DECIDED BY", "PLACE", "PHASE", "TURNED ON BY", "DOES"}, rows)
	return nil
}

// enablingVariable returns the shortest variable that turns the module on.
func enablingVariable(i registry.Info) string {
	if i.EnableVar != "" {
		return registry.EnvPrefix + i.EnableVar
	}
	return i.EnabledKey()
}

func (p *Program) settings(_ context.Context, app *registry.App) error {
	var rows [][]string
	for _, s := range app.Settings() {
		rows = append(rows, []string{s.Key, dash(s.Shown()), string(s.Source), dash(s.Module), s.Doc})
	}
	writeTable(p.Stdout, []string{"SETTING", "VALUE", "SOURCE", "MODULE", "MEANING"}, rows)
	return nil
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func (p *Program) help(context.Context, *registry.App) error {
	w := p.Stdout
	fmt.Fprintf(w, "Usage: %s [command] [flags]\n\nCommands:\n", p.Name)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range commands() {
		fmt.Fprintf(tw, "  %s\t%s\n", c.name, c.doc)
	}
	tw.Flush()
	fmt.Fprintf(w, "\nEvery flag is also an environment variable (--random-delay-max is %sRANDOM_DELAY_MAX)\nand a key of the config file (random-delay-max). A flag takes precedence over a\nvariable, and a variable over the config file.\n", registry.EnvPrefix)
	fmt.Fprintln(w, "\nFlags:")
	tw = tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(tw, "  -h, --help\tprint this help\n  -v, --version\tprint the version\n")
	module := ""
	for _, s := range registry.Settings(p.allModules()) {
		if s.Module != module {
			module = s.Module
			fmt.Fprintf(tw, "\n%s:\n", module)
		}
		fmt.Fprintf(tw, "  --%s%s\t%s%s\n", s.Flag(), argument(s), s.Doc, defaultOf(s))
	}
	return tw.Flush()
}

// argument returns the placeholder of the flag's argument, such as " PORT", or
// "" when the flag takes none.
func argument(s registry.Setting) string {
	if s.Bool() {
		return ""
	}
	return " " + strings.ToUpper(s.Flag()[strings.LastIndex(s.Flag(), "-")+1:])
}

// defaultOf returns the note on the flag's default, or "" when there is nothing
// to say.
func defaultOf(s registry.Setting) string {
	if s.Default == "" || s.Default == "false" || s.Secret {
		return ""
	}
	return " (default " + s.Default + ")"
}

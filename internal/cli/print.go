package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/seed-4591fe7d/podinfo/registry"
)

// writeTable writes rows in aligned columns under a header, which is bold on a
// terminal.
func writeTable(w io.Writer, header []string, rows [][]string) error {
	var text strings.Builder
	tw := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{header}, rows...) {
		for i, cell := range row {
			row[i] = oneLine.Replace(cell)
		}
		fmt.Fprintln(tw, strings.Join(row, "\t"))
	}
	tw.Flush()
	head, body, _ := strings.Cut(text.String(), "\n")
	if isTerminal(w) {
		head = "\x1b[1m" + head + "\x1b[0m"
	}
	_, err := fmt.Fprintf(w, "%s\n%s", head, body)
	return err
}

// oneLine replaces what would break a row.
var oneLine = strings.NewReplacer("\n", `\n`, "\r", `\r`, "\t", `\t`, "\v", " ", "\f", " ")

// writeJSON prints v.
func (p *Program) writeJSON(v any) error {
	e := json.NewEncoder(p.Stdout)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// moduleRow is a module in the output.
type moduleRow struct {
	Name      string `json:"name"`
	State     string `json:"state"`
	DecidedBy string `json:"decided_by"`
	Place     int    `json:"place,omitempty"` // in the chain, from 1
	Phase     string `json:"phase,omitempty"`
	EnabledBy string `json:"turned_on_by"`
	Does      string `json:"does"`
}

func (p *Program) modules(_ context.Context, app *registry.App) error {
	var list []moduleRow
	passed := 0
	for _, s := range app.Assembly().InChain() {
		row := moduleRow{s.Info.Name, s.State.String(), s.Why, 0, s.Info.Phase.String(), enablingVariable(s.Info), s.Info.Doc}
		if row.Phase != "" && s.State == registry.On {
			passed++
			row.Place = passed
		}
		list = append(list, row)
	}
	if p.json {
		return p.writeJSON(list)
	}
	var rows [][]string
	for _, m := range list {
		place := "-"
		if m.Place > 0 {
			place = strconv.Itoa(m.Place)
		}
		rows = append(rows, []string{m.Name, m.State, m.DecidedBy, place, dash(m.Phase), m.EnabledBy, m.Does})
	}
	return writeTable(p.Stdout, []string{"MODULE", "STATE", "DECIDED BY", "PLACE", "PHASE", "TURNED ON BY", "DOES"}, rows)
}

// enablingVariable returns the shortest variable that turns the module on.
func enablingVariable(i registry.Info) string {
	if i.EnableVar != "" {
		return registry.EnvPrefix + i.EnableVar
	}
	return i.EnabledKey()
}

// settingRow is a setting in the output.
type settingRow struct {
	Name    string `json:"name"`
	Flag    string `json:"flag,omitempty"`
	Value   string `json:"value"` // secrets are redacted
	Source  string `json:"source"`
	Default string `json:"default"`
	Module  string `json:"module,omitempty"`
	Accepts string `json:"accepts"`
	Meaning string `json:"meaning"`
}

func (p *Program) settings(_ context.Context, app *registry.App) error {
	var list []settingRow
	var rows [][]string
	for _, s := range slices.Concat(app.Settings(), p.Runtime) {
		flag := ""
		if strings.HasPrefix(s.Key, registry.EnvPrefix) {
			flag = "--" + s.Flag()
		}
		list = append(list, settingRow{s.Key, flag, s.Shown(), string(s.Source), s.Default, s.Module, s.Accepts, s.Doc})
		rows = append(rows, []string{s.Key, dash(s.Shown()), string(s.Source), dash(s.Module), s.Doc})
	}
	if p.json {
		return p.writeJSON(list)
	}
	return writeTable(p.Stdout, []string{"SETTING", "VALUE", "SOURCE", "MODULE", "MEANING"}, rows)
}

// routeRow is a route in the output.
type routeRow struct {
	Method string   `json:"method"` // "any" for all methods
	Path   string   `json:"path"`
	Module string   `json:"module"`
	Chain  []string `json:"chain"` // the middleware, outermost first
	Does   string   `json:"does,omitempty"`
}

func (p *Program) routes(_ context.Context, app *registry.App) error {
	var list []routeRow
	var rows [][]string
	for _, m := range app.Mounted() {
		r := routeRow{cmp.Or(m.Method, "any"), m.Pattern, m.Module, append([]string{}, m.Chain...), m.Summary}
		list = append(list, r)
		rows = append(rows, []string{r.Method, r.Path, r.Module, dash(strings.Join(r.Chain, " ")), dash(r.Does)})
	}
	if p.json {
		return p.writeJSON(list)
	}
	return writeTable(p.Stdout, []string{"METHOD", "PATH", "MODULE", "CHAIN", "DOES"}, rows)
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// defaultOf returns the note on the flag's default, or "" when there is nothing
// to say.
func defaultOf(s registry.Setting) string {
	if s.Default == "" || s.Default == "false" || s.Secret {
		return ""
	}
	return " (default " + s.Default + ")"
}

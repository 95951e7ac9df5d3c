package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/seed-4591fe7d/podinfo/cmd/internal/faultclient"
)

// maxCell is the longest text in a cell of the table, in characters.
const maxCell = 48

func faultList() *command {
	c := newCommand("list", "", "List the rules of a server and their counters.")
	c.details = "SEEN counts the requests that a rule matched, HITS those that it delayed or\nbroke."
	c.examples = []string{"podcli fault list --server localhost:9797 --token-file token"}
	api := addFaultAPI(c.flags)
	out := addOutput(c.flags, "o")
	return api.command(c, func(ctx context.Context, _ []string) error {
		rules, err := api.Call(ctx, "GET", "", "", nil)
		if err != nil {
			return err
		}
		if out.json {
			return printJSON(rules)
		}
		return printRules(os.Stdout, rules, time.Now())
	})
}

// printRules prints the rules as a table.
func printRules(out io.Writer, r *faultclient.Rules, now time.Time) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if len(r.Rules) > 0 {
		fmt.Fprintln(w, "NAME\tMATCH\tACTION\tWHEN\tSEEN\tHITS\tEXPIRES")
	}
	for _, s := range r.Rules {
		match, action, when := summary(s.Rule)
		expires := "never"
		if s.Expires != nil {
			expires = "in " + s.Expires.Sub(now).Round(time.Second).String()
		}
		if s.Ended {
			expires = "ended"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d\t%s\n", oneLine(s.Name), cell(match, "all"), cell(action, ""), cell(when, "always"), s.Seen, s.Hits, expires)
	}
	fmt.Fprintln(w, strings.Join(stateOf(r), ", "))
	return w.Flush()
}

// stateOf returns the state of all rules together.
func stateOf(r *faultclient.Rules) []string {
	out := []string{faultclient.Plural(len(r.Rules), "rule")}
	if r.Paused {
		out = append(out, "paused")
	}
	if r.Held > 0 {
		out = append(out, faultclient.Plural(r.Held, "request")+" delayed")
	}
	if r.Seed != nil {
		out = append(out, fmt.Sprintf("seed %d", *r.Seed))
	}
	return append(out, "etag "+oneLine(r.ETag))
}

// summary returns the parts of a rule in YAML's short form. The rule may come from a
// server of another version.
func summary(rule []byte) (match, action, when string) {
	var doc yaml.Node
	if err := yaml.Unmarshal(rule, &doc); err != nil || len(doc.Content) == 0 {
		return "", string(rule), ""
	}
	rest := &yaml.Node{Kind: yaml.MappingNode}
	for pair := range slices.Chunk(doc.Content[0].Content, 2) {
		switch pair[0].Value {
		case "name", "ttl":
		case "match":
			match = flow(pair[1])
		case "when":
			when = flow(pair[1])
		default:
			rest.Content = append(rest.Content, pair...)
		}
	}
	return match, flow(rest), when
}

// flow returns a map as one line, without the outer braces.
func flow(n *yaml.Node) string {
	plain(n)
	b, err := yaml.Marshal(n)
	if err != nil {
		return err.Error()
	}
	text := oneLine(string(b))
	return strings.TrimSuffix(strings.TrimPrefix(text, "{"), "}")
}

// plain removes quotes that YAML does not need.
func plain(n *yaml.Node) {
	n.Style = 0
	if n.Kind != yaml.ScalarNode {
		n.Style = yaml.FlowStyle
	}
	for _, x := range n.Content {
		plain(x)
	}
}

// cell shortens text to fit a cell of the table. It returns empty for an empty text.
func cell(text, empty string) string {
	if short := firstRunes(text, maxCell); short != text {
		return short + "..."
	}
	return cmp.Or(text, empty)
}

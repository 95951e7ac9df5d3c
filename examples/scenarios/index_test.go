package scenarios_test

import (
	"fmt"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// head is the first lines of a scenario: for editors, and two lines on what it
// proves. A rule or the seed follows.
var head = regexp.MustCompile(`^# yaml-language-server: \$schema=schema\.json\n# ([^\n]+[.?])\n# ([^\n]+[.?])\n[a-z]`)

const introduction = `# Scenarios

Each file is a scenario of [fault rules](../../docs/faults.md), modelled on a kind of incident that services have had, or on something that clients
must handle. Its first two lines say what it proves. A test runs each scenario and compares what clients see over real connections.

` + "```sh" + `
podcli fault check examples/scenarios/*.yaml
podcli fault simulate examples/scenarios/queueing.yaml
` + "```" + `

Paths such as ` + "`/payments`" + ` are those of a service behind [podinfo proxy](../../docs/proxy.md), and rules with ` + "`tcp`" + ` are for its TCP
proxies. Change them to match your service. [docs/faults.md](../../docs/faults.md#change-rules-while-podinfo-runs) says how to load a scenario.

| Scenario | What it proves | Kinds | Report |
|---|---|---|---|
`

// TestIndex holds the heads of the scenarios and the index that is made of them.
func TestIndex(t *testing.T) {
	var out strings.Builder
	out.WriteString(introduction)
	for _, name := range names(t) {
		b, err := os.ReadFile(name + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		lines := head.FindSubmatch(b)
		if lines == nil {
			t.Errorf("%s.yaml: want the line for editors, then exactly two lines of comment that end with a full stop", name)
			continue
		}
		fmt.Fprintf(&out, "| [%s](%s.yaml) | %s %s | %s | %s |\n", name, name, lines[1], lines[2], strings.Join(kindsOf(parse(t, name+".yaml")), ", "), sourceOf(b))
	}
	golden(t, "README.md", []byte(out.String()))
}

func parse(t *testing.T, file string) *scenario.Scenario {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s, err := scenario.Parse(file, b)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// source is the last line of a scenario that follows a published report.
var source = regexp.MustCompile(`\n# See (https://\S+)\n$`)

// sourceOf returns a link to the report that a scenario follows, "" for none.
func sourceOf(scenario []byte) string {
	if m := source.FindSubmatch(scenario); m != nil {
		u, err := url.Parse(string(m[1]))
		if err == nil {
			return fmt.Sprintf("[%s](%s)", u.Host, u)
		}
	}
	return ""
}

// kindsOf returns what the rules do, in their order.
func kindsOf(s *scenario.Scenario) (out []string) {
	add := func(name string) {
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	for _, rule := range s.Rules {
		if rule.Limit != nil {
			add("`limit`")
		}
		for _, r := range append([]*scenario.Rule{rule}, rule.Alternatives()...) {
			if r.Delay != nil {
				add("`delay`")
			}
			if r.Fault == nil {
				continue
			}
			for _, k := range r.Fault.Kinds() {
				name := "`" + k.Name + "`"
				if rule.At == scenario.AfterHandler {
					name += " after"
				}
				add(name)
			}
		}
	}
	return out
}

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"text/tabwriter"

	"golang.org/x/term"

	"github.com/seed-4591fe7d/podinfo/cmd/internal/faultclient"
)

// row is a pod in the JSON output.
type row struct {
	Pod   string             `json:"pod"`
	State string             `json:"state"`
	Error string             `json:"error,omitempty"`
	Rules *faultclient.Rules `json:"rules,omitempty"`
}

// report is the result of a command.
type report struct {
	fleet   *fleet
	state   string // that all pods should have
	summary string // with the two numbers, such as "%d of %d follow"
	suffix  string
}

// text returns the summary.
func (r *report) text() string {
	n, of := r.fleet.count(r.state)
	return fmt.Sprintf(r.summary, n, of) + r.suffix
}

// print prints the report, and returns errFailed if a pod has another state.
func (r *report) print() error {
	if r.fleet.flags.output == "json" {
		if err := r.json(); err != nil {
			return err
		}
	} else {
		os.Stdout.Write(r.table())
	}
	for _, line := range r.fleet.complaints() {
		r.fleet.tell(line)
	}
	if n, of := r.fleet.count(r.state); n < of {
		return errFailed
	}
	return nil
}

// json prints the report as one line.
func (r *report) json() error {
	rows := []row{}
	for _, m := range r.fleet.sorted() {
		one := row{Pod: m.name(), State: m.state, Rules: m.rules}
		if m.err != nil {
			one.Error = m.err.Error()
		}
		rows = append(rows, one)
	}
	n, of := r.fleet.count(r.state)
	e := json.NewEncoder(os.Stdout)
	e.SetEscapeHTML(false)
	return e.Encode(map[string]any{"ok": n == of, "count": n, "of": of, "summary": r.text(), "pods": rows})
}

// table returns a table of the pods and the summary.
func (r *report) table() []byte {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "POD\tSTATE\tRULES\tSEEN\tHITS\tDELAYED")
	var seen, hits uint64
	held := 0
	for _, m := range r.fleet.sorted() {
		fmt.Fprintf(w, "%s\t%s", m.name(), m.state)
		if m.rules == nil {
			fmt.Fprintln(w, "\t-\t-\t-\t-")
			continue
		}
		var podSeen, podHits uint64
		over := 0
		for _, rule := range m.rules.Rules {
			podSeen += rule.Seen
			podHits += rule.Hits
			if rule.Ended {
				over++
			}
		}
		number := fmt.Sprint(len(m.rules.Rules))
		if over > 0 {
			number += fmt.Sprintf(", %d ended", over)
		}
		fmt.Fprintf(w, "\t%s\t%d\t%d\t%d\n", number, podSeen, podHits, m.rules.Held)
		seen, hits, held = seen+podSeen, hits+podHits, held+m.rules.Held
	}
	fmt.Fprintf(w, "(all)\t\t\t%d\t%d\t%d\n", seen, hits, held)
	w.Flush()
	fmt.Fprintln(&b, r.text())
	return b.Bytes()
}

// states identifies the pods and their states, without their counts.
func (r *report) states() (out string) {
	for _, m := range r.fleet.sorted() {
		out += m.name() + " " + m.state + "\n"
	}
	return out
}

// screen shows a report again and again.
type screen struct {
	terminal bool
	last     string // states that were printed
}

func newScreen() *screen {
	return &screen{terminal: term.IsTerminal(int(os.Stdout.Fd())) && os.Getenv("TERM") != "dumb"}
}

// show redraws the table on a terminal. Elsewhere it prints the table when the state
// of a pod has changed, and JSON each time.
func (s *screen) show(r *report) {
	switch states := r.states(); {
	case r.fleet.flags.output != "json" && s.terminal:
		text := append([]byte("\x1b[H\x1b[J"), r.table()...)
		for _, line := range r.fleet.complaints() {
			text = append(text, line+"\n"...)
		}
		os.Stdout.Write(text)
	case r.fleet.flags.output == "json" || states != s.last:
		r.print()
		s.last = states
	}
}

package main

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"unicode"

	"github.com/spf13/pflag"
)

// output is the flag that chooses how results are printed.
type output struct{ json bool }

// addOutput adds --output, with a short name unless it is "".
func addOutput(f *pflag.FlagSet, short string) *output {
	o := new(output)
	f.VarP(o, "output", short, "text, or json on the standard output")
	return o
}

func (o *output) String() string {
	if o.json {
		return "json"
	}
	return "text"
}

func (o *output) Type() string { return "format" }

func (o *output) Set(s string) error {
	if s != "text" && s != "json" {
		return errors.New("want text or json")
	}
	o.json = s == "json"
	return nil
}

// printJSON writes one line.
func printJSON(v any) error {
	e := json.NewEncoder(os.Stdout)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// oneLine makes text from elsewhere fit to print: no control characters, which
// could break the line or steer a terminal.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.TrimSpace(s))
}

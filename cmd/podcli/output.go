package main

import (
	"encoding/json"
	"errors"
	"os"

	"github.com/spf13/pflag"

	"github.com/seed-4591fe7d/podinfo/cmd/internal/faultclient"
)

// output is the flag for the format of the results.
type output struct{ json bool }

// addOutput adds the flag --output. short is its short name, or "" for none.
func addOutput(f *pflag.FlagSet, short string) *output {
	o := new(output)
	f.VarP(o, "output", short, "format of the result: text, or json on standard output")
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

// printJSON prints v as one line of JSON.
func printJSON(v any) error {
	e := json.NewEncoder(os.Stdout)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// oneLine replaces control characters in text from other sources, which could
// break the line or control the terminal.
func oneLine(s string) string { return faultclient.OneLine(s) }

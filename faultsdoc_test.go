package podinfo_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// schema is a part of a JSON Schema.
type schema struct {
	Type        any
	Description string
	Properties  map[string]*schema
	Items       *schema
	AnyOf       []*schema
	Enum        []string
	Minimum     *float64
	Maximum     *float64
	Format      string
	Required    []string
	Examples    []any
	Default     any
	Values      json.RawMessage `json:"additionalProperties"`
}

// faultKeys returns the tables of all keys of a scenario, one for each map. A map
// that occurs in several places is shown once.
func faultKeys() string {
	var root schema
	if err := json.Unmarshal(scenario.Schema(), &root); err != nil {
		panic(err)
	}
	var b strings.Builder
	shown := map[string]string{} // title by keys
	var show func(title string, s *schema)
	show = func(title string, s *schema) {
		keys := slices.Sorted(maps.Keys(s.Properties))
		id := strings.Join(keys, " ")
		if first, ok := shown[id]; ok {
			fmt.Fprintf(&b, "\n### `%s`\n\nAs `%s`.\n", title, first)
			return
		}
		shown[id] = title
		fmt.Fprintf(&b, "\n### `%s`\n\n| Key | Type | Default | Example | Meaning |\n|---|---|---|---|---|\n", cmp.Or(title, "the scenario"))
		type below struct {
			title string
			*schema
		}
		var rest []below
		for _, key := range keys {
			p := s.Properties[key]
			text := p.Description
			if slices.Contains(s.Required, key) {
				text += " (required)"
			}
			example := ""
			if len(p.Examples) > 0 {
				example = yamlText(p.Examples[0])
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", key, typeOf(p), yamlText(p.Default), example, strings.ReplaceAll(text, "|", "\\|"))
			if inner := objectIn(p); inner != nil {
				rest = append(rest, below{strings.TrimPrefix(title+"."+key, "."), inner})
			}
		}
		for _, r := range rest {
			show(r.title, r.schema)
		}
	}
	show("", &root)
	return b.String()
}

// yamlText returns a value as a scenario would contain it, "" for none.
func yamlText(v any) string {
	if v == nil || v == false {
		return ""
	}
	b, err := yaml.Marshal(v)
	if err != nil {
		panic(err) // impossible: it was read from JSON
	}
	var n yaml.Node
	if err := yaml.Unmarshal(b, &n); err != nil {
		panic(err) // impossible: it was written
	}
	n.Content[0].Style = yaml.FlowStyle
	if b, err = yaml.Marshal(&n); err != nil {
		panic(err) // as above
	}
	return "`" + strings.TrimSpace(string(b)) + "`"
}

// objectIn returns the map with fixed keys that s is or contains, nil for none.
func objectIn(s *schema) *schema {
	switch {
	case s == nil:
		return nil
	case len(s.Properties) > 0:
		return s
	}
	for _, alternative := range s.AnyOf {
		if inner := objectIn(alternative); inner != nil {
			return inner
		}
	}
	return objectIn(s.Items)
}

// typeOf names the values that s accepts.
func typeOf(s *schema) string {
	switch {
	case len(s.AnyOf) > 0:
		var names []string
		for _, alternative := range s.AnyOf {
			names = append(names, typeOf(alternative))
		}
		return strings.Join(names, " or ")
	case len(s.Enum) > 0:
		return "`" + strings.Join(s.Enum, "`, `") + "`"
	case s.Items != nil:
		return "list of " + typeOf(s.Items)
	case len(s.Properties) > 0:
		return "map"
	case s.Format != "":
		return "time (RFC 3339)"
	}
	name := fmt.Sprint(s.Type)
	switch {
	case strings.Contains(name, "string"):
		name = "text"
	case name == "object":
		name = "map"
	}
	plain := func(x *float64) string { return strconv.FormatFloat(*x, 'f', -1, 64) }
	switch {
	case s.Minimum != nil && s.Maximum != nil && *s.Maximum > *s.Minimum:
		return fmt.Sprintf("%s from %s to %s", name, plain(s.Minimum), plain(s.Maximum))
	case s.Minimum != nil && s.Maximum != nil:
		return "duration"
	case s.Minimum != nil:
		return fmt.Sprintf("%s of at least %s", name, plain(s.Minimum))
	}
	return name
}

// faultKinds returns the table of what each kind of fault does in each scope.
func faultKinds() string {
	scopes := []scenario.Scope{scenario.HTTPRequests, scenario.WebSockets, scenario.GRPCCalls, scenario.TCPConnections, scenario.Connections, scenario.Handshakes, scenario.Readiness}
	var b strings.Builder
	b.WriteString("| Kind | What it does | Example | `at: after` |\n|---|---|---|---|\n")
	for _, k := range scenario.Kinds() {
		var does []string
		for _, s := range scopes {
			if text := k.Does(s); text != "" {
				does = append(does, fmt.Sprintf("**%s**: %s", s, text))
			}
		}
		after := "yes"
		switch {
		case !k.After:
			after = "no: " + k.NotAfter()
		case k.Does(scenario.WebSockets) != "":
			after = "yes, except on a WebSocket, which is open until its handler returns"
		}
		fmt.Fprintf(&b, "| `%s` | %s | `%s: %s` | %s |\n", k.Name, strings.Join(does, "; "), k.Name, k.Example, after)
	}
	return b.String()
}

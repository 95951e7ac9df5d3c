package faultclient

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode"
)

// Rules is the response of the API: the rules and their counters.
type Rules struct {
	ETag   string  `json:"etag"` // without its quotes
	Paused bool    `json:"paused"`
	Held   int     `json:"held"`
	Seed   *uint64 `json:"seed,omitempty"`
	Rules  []State `json:"rules"`

	Warnings []string `json:"warnings,omitempty"` // of the change
}

// State is a rule with its counters. The rule is kept as JSON, because the server
// may have another version.
type State struct {
	Rule    json.RawMessage `json:"rule"`
	Seen    uint64          `json:"seen"`
	Hits    uint64          `json:"hits"`
	Keys    int             `json:"keys,omitempty"`
	Expires *time.Time      `json:"expires,omitempty"`
	Ended   bool            `json:"ended,omitempty"`

	Name string `json:"-"`
}

// RulePath returns the path of a rule for Client.Call.
func RulePath(name string) string { return "/rules/" + url.PathEscape(name) }

// Names returns the names of the rules in their order.
func (r *Rules) Names() []string {
	out := make([]string, len(r.Rules))
	for i, s := range r.Rules {
		out[i] = s.Name
	}
	return out
}

// Change is the difference between two sets of rules.
type Change struct {
	ETag    string   `json:"etag"`
	Added   []string `json:"added"`
	Changed []string `json:"changed"`
	Removed []string `json:"removed"`
	Kept    []string `json:"kept"`
}

// Compare returns the difference between two sets of rules.
func Compare(before, after *Rules) *Change {
	c := &Change{ETag: after.ETag, Added: []string{}, Changed: []string{}, Removed: []string{}, Kept: []string{}}
	old := map[string][]byte{}
	for _, s := range before.Rules {
		old[s.Name] = s.Rule
	}
	for _, s := range after.Rules {
		rule, was := old[s.Name]
		delete(old, s.Name)
		switch {
		case !was:
			c.Added = append(c.Added, s.Name)
		case bytes.Equal(rule, s.Rule):
			c.Kept = append(c.Kept, s.Name)
		default:
			c.Changed = append(c.Changed, s.Name)
		}
	}
	for _, s := range before.Rules {
		if _, gone := old[s.Name]; gone {
			c.Removed = append(c.Removed, s.Name)
		}
	}
	return c
}

// Plural returns "1 rule", "2 rules" and so on.
func Plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// OneLine replaces control characters in text from other sources, which could break
// the line or control the terminal.
func OneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.TrimSpace(s))
}

package ui

import (
	"encoding/json"
	"fmt"
	"html"
	"strings"

	"github.com/seed-4591fe7d/podinfo/internal/lazyregexp"
)

// A vue.html written for upstream contains the actions of a Go template: {{
// .Title }}, {{ .Logo }} and {{ .Prefix }}, with or without spaces and trim
// markers. fillTemplate replaces these, drops comments and rejects everything
// else that Go's templates would read as an action. Other double braces belong
// to the page's scripts.
var (
	commentPattern = lazyregexp.New(`(?s)\{\{(- )?/\*.*?\*/( -)?\}\}`)
	valuePattern   = lazyregexp.New(`(\s*\{\{- |\{\{)\s*\.(Title|Logo|Prefix)\s*( -\}\}\s*|\}\})`)
	actionPattern  = lazyregexp.New("\\{\\{(- )?\\s*([.$\"`(0-9]|(if|else|end|range|with|define|template|block|break|continue|print|printf|println|html|js|urlquery|len|index|slice|call|and|or|not|eq|ne|lt|le|gt|ge)\\b)[^\n]*")
)

// fillTemplate returns the text of a custom page with values for its actions.
func fillTemplate(text string, values map[string]string) (string, error) {
	text = commentPattern().ReplaceAllString(text, "")
	rest := valuePattern().ReplaceAllString(text, "")
	if unsupported := actionPattern().FindString(rest); unsupported != "" {
		return "", fmt.Errorf("vue.html: unsupported template action %.60q: use only {{ .Title }}, {{ .Logo }} and {{ .Prefix }}", unsupported)
	}
	var out strings.Builder
	end := 0
	for _, at := range valuePattern().FindAllStringSubmatchIndex(text, -1) {
		out.WriteString(text[end:at[0]])
		out.WriteString(escape(values[text[at[4]:at[5]]], text[:at[0]]))
		end = at[1]
	}
	out.WriteString(text[end:])
	return out.String(), nil
}

// escape returns a value for insertion after the text before, escaped as
// html/template does: in a script it is a JavaScript string, quoted unless it
// is inserted into a string literal; elsewhere it is HTML text.
func escape(value, before string) string {
	script, ok := openScript(before)
	if !ok {
		return html.EscapeString(value)
	}
	literal, err := json.Marshal(value)
	if err != nil {
		panic(err) // every string can be encoded
	}
	if !inString(script) {
		return string(literal)
	}
	return strings.NewReplacer("'", `\u0027`, "`", `\u0060`, "$", `\u0024`).Replace(string(literal[1 : len(literal)-1]))
}

var scriptTag = lazyregexp.New(`(?is)</?script\b[^>]*>`)

// openScript returns the script that text ends in, up to that point. ok is false
// when text does not end in a script.
func openScript(text string) (script string, ok bool) {
	tags := scriptTag().FindAllStringIndex(text, -1)
	if len(tags) == 0 {
		return "", false
	}
	last := tags[len(tags)-1]
	if strings.HasPrefix(text[last[0]:], "</") {
		return "", false
	}
	return text[last[1]:], true
}

// inString reports whether script ends within a string literal.
func inString(script string) bool {
	var quote byte // 0 outside a literal
	for i := 0; i < len(script); i++ {
		c, rest := script[i], script[i:]
		switch {
		case quote != 0 && c == '\\':
			i++
		case quote != 0 && (c == quote || c == '\n' && quote != '`'):
			quote = 0
		case quote != 0:
		case strings.HasPrefix(rest, "//"):
			i = endOf(script, i, "\n")
		case strings.HasPrefix(rest, "/*"):
			i = endOf(script, i, "*/")
		case c == '"', c == '\'', c == '`':
			quote = c
		}
	}
	return quote != 0
}

// endOf returns the index of the last byte of end's first occurrence from i on,
// or len(s).
func endOf(s string, i int, end string) int {
	if at := strings.Index(s[i:], end); at >= 0 {
		return i + at + len(end) - 1
	}
	return len(s)
}

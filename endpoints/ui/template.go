package ui

import (
	"encoding/json"
	"fmt"
	"html"
	"regexp"
	"strings"
)

// In upstream's page an action is Go's: {{ .Title }}, {{ .Logo }} and
// {{ .Prefix }}, with or without the spaces and the dashes that trim what is
// around them. A comment is dropped. Anything else that Go's templates would
// take for an action is refused; what they would not is a script's own.
var (
	comment = regexp.MustCompile(`(?s)\{\{(- )?/\*.*?\*/( -)?\}\}`)
	value   = regexp.MustCompile(`(\s*\{\{- |\{\{)\s*\.(Title|Logo|Prefix)\s*( -\}\}\s*|\}\})`)
	action  = regexp.MustCompile("\\{\\{(- )?\\s*([.$\"`(0-9]|(if|else|end|range|with|define|template|block|break|continue|print|printf|println|html|js|urlquery|len|index|slice|call|and|or|not|eq|ne|lt|le|gt|ge)\\b)[^\n]*")
)

// fill puts values into a page that replaces this module's.
func fill(text string, values map[string]string) (string, error) {
	text = comment.ReplaceAllString(text, "")
	if bad := action.FindStringIndex(value.ReplaceAllString(text, "")); bad != nil {
		return "", fmt.Errorf("vue.html has %.60q: want {{ .Title }}, {{ .Logo }} and {{ .Prefix }} only", value.ReplaceAllString(text, "")[bad[0]:bad[1]])
	}
	var out strings.Builder
	end := 0
	for _, at := range value.FindAllStringSubmatchIndex(text, -1) {
		out.WriteString(text[end:at[0]])
		out.WriteString(escape(values[text[at[4]:at[5]]], text[:at[0]]))
		end = at[1]
	}
	out.WriteString(text[end:])
	return out.String(), nil
}

// escape writes a value for the place behind before, the way upstream's
// templates do: in a script it is a string of JavaScript, with the quotes when
// there are none around it; elsewhere it is text of HTML.
func escape(value, before string) string {
	script := inScript(before)
	if script == nil {
		return html.EscapeString(value)
	}
	literal, err := json.Marshal(value)
	if err != nil {
		panic(err) // a string is JSON
	}
	if !quoted(*script) {
		return string(literal)
	}
	return strings.NewReplacer("'", `\u0027`, "`", `\u0060`, "$", `\u0024`).Replace(string(literal[1 : len(literal)-1]))
}

var scriptTag = regexp.MustCompile(`(?is)</?script\b[^>]*>`)

// inScript is the part of the script that text ends in, nil when it ends
// elsewhere.
func inScript(text string) *string {
	tags := scriptTag.FindAllStringIndex(text, -1)
	if len(tags) == 0 {
		return nil
	}
	last := tags[len(tags)-1]
	if strings.HasPrefix(text[last[0]:], "</") {
		return nil
	}
	script := text[last[1]:]
	return &script
}

// quoted reports whether script ends within a string.
func quoted(script string) bool {
	var quote byte // 0 outside
	for i := 0; i < len(script); i++ {
		c, rest := script[i], script[i:]
		switch {
		case quote != 0 && c == '\\':
			i++
		case quote != 0 && (c == quote || c == '\n' && quote != '`'):
			quote = 0
		case quote != 0:
		case strings.HasPrefix(rest, "//"):
			i = skip(script, i, "\n")
		case strings.HasPrefix(rest, "/*"):
			i = skip(script, i, "*/")
		case c == '"', c == '\'', c == '`':
			quote = c
		}
	}
	return quote != 0
}

// skip is the place of the last byte of end, from i on.
func skip(s string, i int, end string) int {
	if at := strings.Index(s[i:], end); at >= 0 {
		return i + at + len(end) - 1
	}
	return len(s)
}

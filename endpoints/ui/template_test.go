package ui

import (
	"strings"
	"testing"
)

func TestFillTemplate(t *testing.T) {
	values := map[string]string{"Title": "host", "Logo": `/l"'<&>.png`, "Prefix": "/p"}
	for text, want := range map[string]string{
		"":                                                  "",
		"{{.Title}}|{{ .Title }}|{{	.Title	}}":              "host|host|host",
		"a {{- .Title -}} b":                                "ahostb",
		"a {{.Title -}} b {{- .Title}}":                     "a hostbhost",
		"x{{/* .Nope {{ */}}y{{- /* z */ -}}":               "xy",
		`<img src="{{.Logo}}">`:                             `<img src="/l&#34;&#39;&lt;&amp;&gt;.png">`,
		"<script>p = {{ .Prefix }};":                        `<script>p = "/p";`,
		"<script>p = '{{.Prefix}}/x'":                       `<script>p = '/p/x'`,
		"<SCRIPT type=module>p=[`{{.Prefix}}`, {{.Title}}]": "<SCRIPT type=module>p=[`/p`, \"host\"]",
		`<script>l = {{.Logo}}`:                             `<script>l = "/l\"'\u003c\u0026\u003e.png"`,
		`<script>l = "{{.Logo}}"`:                           `<script>l = "/l\"\u0027\u003c\u0026\u003e.png"`,
		"<script>// don't\nl = {{.Title}}":                  "<script>// don't\nl = \"host\"",
		"<script>/* don't */ l = {{.Title}}":                "<script>/* don't */ l = \"host\"",
		`<script>a = 'it\'s'; l = {{.Title}}`:               `<script>a = 'it\'s'; l = "host"`,
		"<script>x</script><p>{{.Logo}}</p>":                "<script>x</script><p>/l&#34;&#39;&lt;&amp;&gt;.png</p>",
		// The actions of Vue and of scripts stay.
		"[[ message ]] ${ x } {{ message }} {{ends}} {{}} {{ {a: 1} }}": "[[ message ]] ${ x } {{ message }} {{ends}} {{}} {{ {a: 1} }}",
	} {
		if got, err := fillTemplate(text, values); got != want || err != nil {
			t.Errorf("%s: %q %v, want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"{{.Nope}}", "{{ . }}", "{{ .Titles }}", "{{ .Title.X }}", "{{ .Title | html }}", "{{if .Logo}}x{{end}}", "{{- with .Logo}}", "{{ end }}",
		`{{"x"}}`, "{{`x`}}", "{{ $x := .Logo }}", "{{ printf .Logo }}", "{{ template `x` }}", "{{ (index .Logo 1) }}", "a\n{{\n.Nope }}"} {
		if got, err := fillTemplate(text, values); err == nil || strings.Contains(err.Error(), "\n") || got != "" {
			t.Errorf("%s: %q %v", text, got, err)
		}
	}
}

// TestFillTemplateIsSafe checks that a value cannot end the string literal that
// it is inserted into.
func TestFillTemplateIsSafe(t *testing.T) {
	values := map[string]string{"Title": "\\\"'`${x}</script>\n\u2028"}
	for _, quote := range []string{`"`, "'", "`"} {
		got, err := fillTemplate("<script>"+quote+"{{.Title}}"+quote, values)
		if err != nil {
			t.Fatal(err)
		}
		inner := strings.TrimSuffix(strings.TrimPrefix(got, "<script>"+quote), quote)
		if strings.ContainsAny(strings.ReplaceAll(strings.ReplaceAll(inner, `\\`, ""), `\"`, ""), "\"'`$<\n\u2028") {
			t.Error(got)
		}
	}
}

// FuzzFillTemplate checks that fillTemplate terminates for any page and inserts
// the values.
func FuzzFillTemplate(f *testing.F) {
	for _, text := range []string{"{{.Title}}", "<script>'{{- .Prefix -}}", "{{/*", "<script>\"\\", "<script>/*", "<script>//"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := fillTemplate(text+"{{ .Title }}", map[string]string{"Title": "tItLe"})
		if err == nil && !strings.Contains(got, "tItLe") && !strings.Contains(text, "{{") {
			t.Errorf("%q: %q", text, got)
		}
	})
}

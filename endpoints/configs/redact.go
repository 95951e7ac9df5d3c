package configs

import (
	"errors"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/seed-4591fe7d/podinfo/registry"
)

// redact returns podinfo's config file with its secrets redacted, and otherwise
// byte for byte. A file that is not read as settings is redacted as a whole.
func redact(file string, settings []registry.Setting) string {
	r := redactor{settings: map[string]registry.Setting{}}
	for _, s := range settings {
		r.settings[s.Flag()] = s
	}
	var doc yaml.Node
	d := yaml.NewDecoder(strings.NewReader(file))
	err := d.Decode(&doc)
	if errors.Is(err, io.EOF) && !r.tells(file) { // nothing but comments
		return file
	}
	if second := d.Decode(new(yaml.Node)); err != nil || !errors.Is(second, io.EOF) || doc.Content[0].Kind != yaml.MappingNode {
		return registry.Redacted
	}
	entries := doc.Content[0].Content
	for i := 0; i+1 < len(entries); i += 2 {
		s, known := r.settings[flagOf(entries[i].Value)]
		s.Secret = s.Secret || !known // perhaps a secret whose name is misspelled
		r.value(entries[i+1], s)
	}
	r.comments(&doc)
	if !r.changed {
		return file
	}
	var out strings.Builder
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	if err := errors.Join(e.Encode(&doc), e.Close()); err != nil {
		return registry.Redacted
	}
	return out.String()
}

// flagOf returns the name of the flag that a key means, however it is spelled.
func flagOf(key string) string {
	flag := strings.ReplaceAll(strings.ToLower(key), "_", "-")
	return strings.TrimPrefix(flag, "podinfo-")
}

// redactor redacts the nodes of a file.
type redactor struct {
	settings map[string]registry.Setting // by flag
	changed  bool
}

// value redacts the value of a setting.
func (r *redactor) value(n *yaml.Node, s registry.Setting) {
	if n.Kind == yaml.AliasNode && n.Alias.Kind == yaml.ScalarNode {
		*n = yaml.Node{Kind: yaml.ScalarNode, Style: n.Alias.Style, Tag: n.Alias.Tag, Value: n.Alias.Value}
		r.changed = true
	}
	if n.Anchor != "" { // the aliases are replaced
		n.Anchor, r.changed = "", true
	}
	switch {
	case n.Kind == yaml.ScalarNode:
		if s.Value = n.Value; s.Shown() != n.Value {
			n.Value, n.Tag, r.changed = s.Shown(), "", true
		}
	case n.Kind == yaml.SequenceNode && !s.Secret:
		for _, x := range n.Content {
			r.value(x, s)
		}
	default:
		*n = yaml.Node{Kind: yaml.ScalarNode, Value: registry.Redacted}
		r.changed = true
	}
}

// comments removes the comments below n that name a secret, as does a setting
// that was commented out.
func (r *redactor) comments(n *yaml.Node) {
	for _, c := range []*string{&n.HeadComment, &n.LineComment, &n.FootComment} {
		if r.tells(*c) {
			*c, r.changed = "", true
		}
	}
	for _, child := range n.Content {
		r.comments(child)
	}
}

func (r *redactor) tells(comment string) bool {
	if (registry.Setting{Value: comment}).Shown() != comment {
		return true
	}
	text := strings.ReplaceAll(strings.ToLower(comment), "_", "-")
	for flag, s := range r.settings {
		if s.Secret && strings.Contains(text, flag) {
			return true
		}
	}
	return false
}

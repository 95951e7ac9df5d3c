package podinfotest

import (
	"fmt"
	"text/template/parse"
)

// namesWildcards returns an error if the template names a wildcard that the script's
// path does not have. Names that only a request decides are found then.
func (r *canned) namesWildcards(path pattern) error {
	if r == nil || r.template == nil {
		return nil
	}
	for _, name := range pathNames(r.template.Root) {
		if _, _, err := path.wildcard(name); err != nil {
			return fmt.Errorf("ReplyTemplate: %w", err)
		}
	}
	return nil
}

// pathNames returns the names that a template passes to the function path.
func pathNames(n parse.Node) (out []string) {
	var below []parse.Node
	switch n := n.(type) {
	case *parse.ListNode:
		if n != nil {
			below = n.Nodes
		}
	case *parse.ActionNode:
		below = []parse.Node{n.Pipe}
	case *parse.IfNode:
		below = []parse.Node{n.Pipe, n.List, n.ElseList}
	case *parse.RangeNode:
		below = []parse.Node{n.Pipe, n.List, n.ElseList}
	case *parse.WithNode:
		below = []parse.Node{n.Pipe, n.List, n.ElseList}
	case *parse.PipeNode:
		for _, c := range n.Cmds {
			below = append(below, c)
		}
	case *parse.CommandNode:
		below = n.Args
		if f, ok := n.Args[0].(*parse.IdentifierNode); ok && f.Ident == "path" && len(n.Args) == 2 {
			if name, ok := n.Args[1].(*parse.StringNode); ok {
				out = append(out, name.Text)
			}
		}
	}
	for _, b := range below {
		out = append(out, pathNames(b)...)
	}
	return out
}

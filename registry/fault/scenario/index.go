package scenario

import (
	"strings"

	"github.com/seed-4591fe7d/podinfo/internal/glob"
)

// index finds the rules that a request could match. Each rule is stored once:
// under its path, or the part of it before a wildcard, and there under a header,
// query value or host that must have a given value.
type index struct {
	exact  map[string]*bucket
	prefix map[string]*bucket // by paths that end with a slash
	rest   bucket             // rules without a path
	depth  int                // slashes of the longest prefix
}

type bucket struct {
	rules  []int32 // ascending
	fields []field
}

type field struct {
	source source
	name   condition
	values map[string][]int32
}

// source is where the value of a field comes from.
type source int

const (
	byHeader source = iota
	byQuery
	byHost
)

func (x *index) add(l *live, at int32, path glob.Pattern, given bool) {
	b := &x.rest
	fixed := path.Prefix()
	switch prefix := fixed[:strings.LastIndexByte(fixed, '/')+1]; {
	case !given:
	case path.Literal():
		b = bucketOf(&x.exact, fixed)
	case prefix != "":
		x.depth = max(x.depth, strings.Count(prefix, "/"))
		b = bucketOf(&x.prefix, prefix)
	}
	from, name, value, ok := l.distinct()
	if !ok {
		b.rules = append(b.rules, at)
		return
	}
	for i := range b.fields {
		if f := &b.fields[i]; f.source == from && f.name.canonical == name.canonical {
			f.values[value] = append(f.values[value], at)
			return
		}
	}
	b.fields = append(b.fields, field{from, name, map[string][]int32{value: {at}}})
}

func bucketOf(m *map[string]*bucket, key string) *bucket {
	if *m == nil {
		*m = map[string]*bucket{}
	}
	if (*m)[key] == nil {
		(*m)[key] = new(bucket)
	}
	return (*m)[key]
}

// distinct returns a value that the rule compares without wildcards.
func (l *live) distinct() (source, condition, string, bool) {
	for _, c := range l.headers {
		if c.Literal() && c.String() != "" {
			return byHeader, c, c.String(), true
		}
	}
	for _, c := range l.query {
		if c.Literal() && c.String() != "" {
			return byQuery, c, c.String(), true
		}
	}
	if l.Match.Host != "" && l.host.Literal() {
		return byHost, condition{}, l.host.String(), true
	}
	return 0, condition{}, "", false
}

// find appends lists of candidates, each ascending.
func (x *index) find(req *Request, path string, out [][]int32) [][]int32 {
	out = x.rest.find(req, out)
	if b := x.exact[path]; b != nil {
		out = b.find(req, out)
	}
	for i, depth := 0, 0; i < len(path) && depth < x.depth; i++ {
		if path[i] != '/' {
			continue
		}
		depth++
		if b := x.prefix[path[:i+1]]; b != nil {
			out = b.find(req, out)
		}
	}
	return out
}

func (b *bucket) find(req *Request, out [][]int32) [][]int32 {
	if len(b.rules) > 0 {
		out = append(out, b.rules)
	}
	for i := range b.fields {
		f := &b.fields[i]
		switch f.source {
		case byHeader:
			out = f.find(req.Header(f.name.name(req)), out)
		case byQuery:
			if req.RPC == "" {
				out = f.find(req.Query(f.name.canonical), out)
			}
		case byHost:
			if list := f.values[strings.ToLower(req.Host)]; list != nil {
				out = append(out, list)
			}
		}
	}
	return out
}

func (f *field) find(values []string, out [][]int32) [][]int32 {
	for _, v := range values {
		if list := f.values[v]; list != nil {
			out = append(out, list)
		}
	}
	return out
}

// nextIndex returns the smallest number in the lists above last, or -1. It
// removes from the lists what is not above last.
func nextIndex(lists [][]int32, last int32) int32 {
	best := int32(-1)
	for i := range lists {
		for len(lists[i]) > 0 && lists[i][0] <= last {
			lists[i] = lists[i][1:]
		}
		if len(lists[i]) > 0 && (best < 0 || lists[i][0] < best) {
			best = lists[i][0]
		}
	}
	return best
}

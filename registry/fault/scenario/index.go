package scenario

import (
	"cmp"
	"slices"
	"strings"

	"github.com/seed-4591fe7d/podinfo/internal/glob"
)

// index finds the rules that a request could match. It is a tree: each level
// tests one condition, so a request visits only rules whose conditions so far it
// meets. Rules may be found twice, and some that do not match are found too.
type index struct {
	root    node
	bodies  bool // it also divides by what is in the body of the request
	replies bool // it also divides by the headers of the response
}

// smallNode is the number of rules that a node does not divide.
const smallNode = 4

// node holds rules that have met conditions in common.
type node struct {
	rules  []int32         // with no condition left, ascending
	few    []int32         // not divided by further conditions, ascending
	rest   [][]test        // the further conditions of few
	dims   []*dim          // nil while the rules are few
	byKey  map[dimKey]*dim // dims, until finish
	lone   []*dim          // of dims: those to look up one by one
	header nameIndex       // of the others
	query  nameIndex
}

// nameIndex finds dimensions by the name of a header or query parameter.
type nameIndex map[string][]*dim

// manyNames is the number of names from which on it is faster to go through the
// names of the request.
const manyNames = 8

// dim divides rules by one value of requests.
type dim struct {
	test   test // its source and name
	absent *node
	exact  map[string]*node
	shapes map[string]int // index in globs, by pattern
	globs  []*node
	texts  []glob.Pattern
	set    *glob.Set
}

// source is where a value of a request comes from.
type source int

const (
	byPath source = iota // or the method of a call
	byHeader
	byQuery
	byCookie
	byHost
	byMethod
	byClaim
	byJSON
	byBody
	byReply // a header of the response
)

// test is a condition for the index.
type test struct {
	condition
	methods []string // for byMethod
}

// tests returns the conditions of a rule in the order in which the index tests
// them: those for one exact value first, and last claims, as tokens may have to be
// verified, and bodies, which have to be read.
func (l *live) tests(calls, bodies, replies bool) (out []test) {
	path := condition{Pattern: l.path, source: byPath}
	given := l.Match.Path != ""
	if calls {
		path.Pattern, given = l.rpc, l.Match.GRPC != "" && l.Match.GRPC != "*"
	}
	if given {
		out = append(out, test{condition: path})
	}
	for _, c := range slices.Concat(l.headers, l.query, l.more) {
		if bodies || !c.source.inBody() {
			out = append(out, test{condition: c})
		}
	}
	if replies {
		for _, c := range l.reply {
			out = append(out, test{condition: c})
		}
	}
	if l.Match.Host != "" {
		out = append(out, test{condition: condition{Pattern: l.host, source: byHost}})
	}
	if len(l.Match.Methods) > 0 {
		out = append(out, test{condition: condition{source: byMethod}, methods: l.Match.Methods})
	}
	switch l.per.source {
	case byHeader, byQuery, byCookie:
		if l.perSource != "" && l.per.canonical != "" {
			out = append(out, test{condition: l.per})
		}
	}
	slices.SortStableFunc(out, func(a, b test) int {
		wild := func(t test) int {
			switch {
			case t.source.inBody():
				return 3
			case t.source == byClaim:
				return 2
			case t.Literal() && t.String() != "":
				return 0
			}
			return 1
		}
		return cmp.Or(cmp.Compare(wild(a), wild(b)), cmp.Compare(a.source, b.source), cmp.Compare(a.canonical, b.canonical))
	})
	return out
}

// add adds a rule. The numbers of rules must ascend.
func (x *index) add(l *live, at int32, calls bool) {
	x.root.add(at, l.tests(calls, x.bodies, x.replies))
}

func (n *node) add(at int32, tests []test) {
	switch {
	case len(tests) == 0:
		n.rules = append(n.rules, at)
	case n.dims == nil && len(n.few) < smallNode:
		n.few, n.rest = append(n.few, at), append(n.rest, tests)
	default:
		for i, tests := range n.rest {
			n.divide(n.few[i], tests)
		}
		n.few, n.rest = nil, nil
		n.divide(at, tests)
	}
}

// divide adds a rule below the dimension of its first condition.
func (n *node) divide(at int32, tests []test) {
	t, rest := tests[0], tests[1:]
	d := n.byKey[t.key()]
	if d == nil {
		d = &dim{test: t, exact: map[string]*node{}, shapes: map[string]int{}}
		if n.byKey == nil {
			n.byKey = map[dimKey]*dim{}
		}
		n.byKey[t.key()] = d
		n.dims = append(n.dims, d)
	}
	switch {
	case t.source == byMethod:
		for _, method := range t.methods {
			d.at(method).add(at, rest)
		}
	case t.Literal() && t.String() == "" && t.source.named():
		if d.absent == nil {
			d.absent = new(node)
		}
		d.absent.add(at, rest)
	case t.Literal():
		d.at(t.String()).add(at, rest)
	default:
		shape := cmp.Or(t.Shape(), t.String()) // a regular expression has no shape
		i, ok := d.shapes[shape]
		if !ok {
			i = len(d.globs)
			d.shapes[shape] = i
			d.globs, d.texts = append(d.globs, new(node)), append(d.texts, t.Pattern)
		}
		d.globs[i].add(at, rest)
	}
}

// dimKey tells the dimensions of a node apart.
type dimKey struct {
	source     source
	name       string
	unverified bool
}

func (t *test) key() dimKey { return dimKey{t.source, t.canonical, t.unverified} }

// named reports whether a request may have no value.
func (s source) named() bool { return s != byPath && s != byHost && s != byMethod }

// inBody reports whether the body of the request has to be read.
func (s source) inBody() bool { return s == byJSON || s == byBody }

func (d *dim) at(value string) *node {
	if d.exact[value] == nil {
		d.exact[value] = new(node)
	}
	return d.exact[value]
}

// finish prepares the index for find, after the last rule was added.
func (x *index) finish() { x.root.finish() }

func (n *node) finish() {
	n.rest, n.byKey, n.lone = nil, nil, n.dims
	var headers, queries []*dim
	for _, d := range n.dims {
		d.finish()
		if d.absent == nil && d.test.source == byHeader {
			headers = append(headers, d)
		} else if d.absent == nil && d.test.source == byQuery {
			queries = append(queries, d)
		}
	}
	move := func(dims []*dim, name func(*condition) []string) nameIndex {
		if len(dims) < manyNames {
			return nil
		}
		n.lone = slices.DeleteFunc(slices.Clone(n.lone), func(d *dim) bool { return d.absent == nil && d.test.source == dims[0].test.source })
		byName := nameIndex{}
		for _, d := range dims {
			for _, name := range name(&d.test.condition) {
				byName[name] = append(byName[name], d)
			}
		}
		return byName
	}
	n.header = move(headers, func(c *condition) []string {
		if c.lower == c.canonical {
			return []string{c.lower}
		}
		return []string{c.lower, c.canonical}
	})
	n.query = move(queries, func(c *condition) []string { return []string{c.canonical} })
}

func (d *dim) finish() {
	d.shapes = nil
	if d.absent != nil {
		d.absent.finish()
	}
	for _, n := range d.exact {
		n.finish()
	}
	for _, n := range d.globs {
		n.finish()
	}
	if len(d.globs) > 0 {
		d.set = glob.NewSet(d.texts)
	}
}

// find appends lists of candidates, each ascending.
func (x *index) find(req *Request, out [][]int32) [][]int32 {
	var l lists
	x.root.find(req, &l)
	return append(append(out, l.room[:l.n]...), l.more...)
}

// lists are the lists that a search found. They are in an array, as a slice that
// recursive functions return would be allocated.
type lists struct {
	room [8][]int32
	n    int
	more [][]int32
}

func (l *lists) add(list []int32) {
	switch {
	case len(list) == 0:
	case l.n < len(l.room):
		l.room[l.n] = list
		l.n++
	default:
		l.more = append(l.more, list)
	}
}

func (n *node) find(req *Request, l *lists) {
	l.add(n.rules)
	l.add(n.few)
	for _, d := range n.lone {
		d.find(req, l)
	}
	if n.header != nil {
		n.header.find(req, l, false)
	}
	if n.query != nil && req.RPC == "" {
		n.query.find(req, l, true)
	}
}

// find looks up the dimensions whose names a request has.
func (x nameIndex) find(req *Request, l *lists, query bool) {
	if all, ok := req.Values.(Names); ok {
		for name := range all.Names(query) {
			for _, d := range x[name] {
				d.find(req, l)
			}
		}
		return
	}
	for name, dims := range x {
		for _, d := range dims {
			if query || name == d.test.name(req) {
				d.find(req, l)
			}
		}
	}
}

func (d *dim) find(req *Request, l *lists) {
	switch d.test.source {
	case byPath:
		d.one(cmp.Or(req.RPC, req.Path), req, l)
		return
	case byHost:
		d.one(strings.ToLower(req.Host), req, l)
		return
	case byMethod:
		d.one(req.Method, req, l)
		return
	}
	var room [4]string
	values := d.test.values(req, room[:0])
	if d.absent != nil && first(values) == "" {
		d.absent.find(req, l)
	}
	for _, v := range values {
		d.one(v, req, l)
	}
}

// one finds the rules for one value.
func (d *dim) one(value string, req *Request, l *lists) {
	if n := d.exact[value]; n != nil {
		n.find(req, l)
	}
	if d.set == nil {
		return
	}
	var room [8]int32
	for _, i := range d.set.Matches(value, room[:0]) {
		d.globs[i].find(req, l)
	}
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

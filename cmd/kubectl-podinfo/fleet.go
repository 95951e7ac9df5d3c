package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/seed-4591fe7d/podinfo/cmd/internal/faultclient"
)

// atOnce is the number of pods that are talked to at the same time.
const atOnce = 64

// fleet is the selected pods. Its methods are not safe for concurrent use.
type fleet struct {
	flags   *flags
	cluster *cluster
	members map[types.UID]*member
	errs    io.Writer
	told    map[string]bool // lines that were printed
}

// openFleet connects to the API server and finds the selected pods.
func openFleet(ctx context.Context, f *flags, errs io.Writer) (*fleet, error) {
	c, err := connect(f)
	if err != nil {
		return nil, usageError{err}
	}
	if f.tokenSecret != "" {
		if f.token, err = c.secret(ctx, f.tokenSecret); err != nil {
			return nil, usageError{err}
		}
	}
	fl := &fleet{flags: f, cluster: c, members: map[types.UID]*member{}, errs: errs, told: map[string]bool{}}
	if err := fl.find(ctx); err != nil {
		return nil, err
	}
	if len(fl.staying()) == 0 { // those that are being deleted do not count
		return nil, fmt.Errorf("no pods match %s in namespace %s", f.selector, c.namespace)
	}
	return fl, nil
}

// find lists the pods.
func (f *fleet) find(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, f.flags.timeout)
	defer cancel()
	pods, err := f.cluster.pods(ctx)
	if err != nil {
		return err
	}
	return f.update(pods)
}

// update makes the members those of pods.
func (f *fleet) update(pods []*v1.Pod) error {
	before := f.members
	f.members = map[types.UID]*member{}
	for _, p := range pods {
		if ended(p) {
			continue
		}
		m := before[p.UID]
		if m == nil {
			var err error
			if m, err = f.newMember(p); err != nil {
				return err
			}
		}
		delete(before, p.UID)
		m.pod = p
		f.members[p.UID] = m
	}
	for _, gone := range before {
		gone.tunnel.close()
	}
	return nil
}

// close closes the connections to the API server.
func (f *fleet) close() {
	for _, m := range f.members {
		m.tunnel.close()
	}
}

// sorted returns the members by name, those that are being deleted last.
func (f *fleet) sorted() []*member {
	var out []*member
	for _, m := range f.members {
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b *member) int {
		last := func(m *member) int { return map[bool]int{true: 1}[m.leaving()] }
		return cmp.Or(cmp.Compare(last(a), last(b)), cmp.Compare(a.name(), b.name()))
	})
	return out
}

// staying returns the members that are not being deleted, by name.
func (f *fleet) staying() []*member {
	return slices.DeleteFunc(f.sorted(), (*member).leaving)
}

// each calls do for all members at the same time.
func each(members []*member, do func(*member)) {
	var all sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for _, m := range members {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			do(m)
		})
	}
	all.Wait()
}

// readable reads the rules of all members and returns those that responded.
func (f *fleet) readable(ctx context.Context, members []*member) (out []*member) {
	ok := make([]bool, len(members))
	index := map[*member]int{}
	for i, m := range members {
		index[m] = i
	}
	each(members, func(m *member) { ok[index[m]] = m.get(ctx) })
	for i, m := range members {
		if ok[i] {
			out = append(out, m)
		}
	}
	return out
}

// apply sends the rules to all pods that have not got them: first it reads the rules
// of all, so that the changes themselves are close together. It returns the time
// between the first request and the last response.
func (f *fleet) apply(ctx context.Context, path string, body []byte) time.Duration {
	var anew []*member
	for _, m := range f.readable(ctx, f.staying()) {
		if m.sent != running(m.pod) || m.etag == "" {
			anew = append(anew, m)
		} else {
			m.judge()
		}
	}
	f.markLeaving()
	began := time.Now()
	each(anew, func(m *member) { m.put(ctx, path, body) })
	took := time.Since(began)
	f.warn()
	return took
}

// markLeaving marks the pods that are being deleted. They get no rules.
func (f *fleet) markLeaving() {
	for _, m := range f.sorted() {
		if m.leaving() {
			m.set(terminating, nil)
		}
	}
}

// compare compares the rules of all pods with each other: those that most pods have
// are the ones that the others should have.
func (f *fleet) compare(ctx context.Context) {
	f.markLeaving()
	read := f.readable(ctx, f.staying())
	votes := map[string]int{}
	var most string
	for _, m := range read {
		if votes[m.content()]++; votes[m.content()] > votes[most] {
			most = m.content()
		}
	}
	for _, m := range read {
		m.etag = m.rules.ETag
		if m.content() != most {
			m.etag = ""
		}
		m.judge()
		if m.state == otherRules {
			m.err = fmt.Errorf("%s has other rules than most pods", m.name())
		}
	}
}

// count returns how many of the pods that are not being deleted have a state.
func (f *fleet) count(state string) (n, of int) {
	for _, m := range f.staying() {
		if of++; m.state == state {
			n++
		}
	}
	return n, of
}

// complaints returns a line for each pod that is not as it should be.
func (f *fleet) complaints() (lines []string) {
	for _, m := range f.sorted() {
		if m.err != nil {
			lines = append(lines, faultclient.OneLine(m.err.Error()))
		}
	}
	return lines
}

// warn prints what the pod's server says about the rules, once for all pods.
func (f *fleet) warn() {
	for _, m := range f.sorted() {
		if m.rules == nil {
			continue
		}
		for _, w := range m.rules.Warnings {
			f.tell("warning: " + w)
		}
	}
}

// tell prints a line on standard error, once.
func (f *fleet) tell(line string) {
	if line = faultclient.OneLine(line); !f.told[line] {
		fmt.Fprintln(f.errs, line)
	}
	f.told[line] = true
}

// errFailed makes the program exit with code 1 after the failure was printed.
var errFailed = errors.New("failed")

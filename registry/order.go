package registry

import (
	"fmt"
	"slices"
	"strings"
)

// order puts the modules in the order a request meets them: middleware by
// phase, within a phase in list order as changed by Before and After, then the
// endpoints, then the listeners.
func (a *App) order() error {
	a.chain = slices.Clone(a.entries)
	slices.SortStableFunc(a.chain, func(x, y *entry) int { return rank(x) - rank(y) })
	var wishes []placement
	for _, e := range a.chain {
		for _, w := range []placement{{e, e.info.Before, true}, {e, e.info.After, false}} {
			peer := a.entry(w.peer)
			switch {
			case peer == nil: // not listed
				continue
			case peer == e:
				return fmt.Errorf("module %s names itself in Before or After: remove it", e.info.Name)
			case peer.info.Phase != e.info.Phase:
				return fmt.Errorf("module %s cannot be placed %s: %s is in phase %q and %s in phase %q", e.info.Name, w, peer.info.Name, peer.info.Phase, e.info.Name, e.info.Phase)
			}
			wishes = append(wishes, w)
		}
	}
	// Each pass moves the modules that stand on the wrong side. Most wishes are
	// granted in a pass or two, and nothing else moves. What does not settle is
	// sorted.
	for range len(wishes) + 1 {
		settled := true
		for _, w := range wishes {
			settled = a.grant(w) && settled
		}
		if settled {
			return nil
		}
	}
	return a.sort(wishes)
}

// sort puts the chain in an order that grants all wishes: again and again, the
// first module that nothing left has to precede.
func (a *App) sort(wishes []placement) error {
	before := map[*entry][]*entry{} // the modules that precede one
	for _, w := range wishes {
		first, second := w.entry, a.entry(w.peer)
		if !w.before {
			first, second = second, first
		}
		before[second] = append(before[second], first)
	}
	left, sorted := slices.Clone(a.chain), []*entry{}
	for len(left) > 0 {
		i := slices.IndexFunc(left, func(e *entry) bool {
			return e.info.Phase == left[0].info.Phase && !slices.ContainsFunc(before[e], func(p *entry) bool { return slices.Contains(left, p) })
		})
		if i < 0 {
			return fmt.Errorf("the Before and After of these modules contradict each other: %s", cycle(left[0], before, left))
		}
		sorted, left = append(sorted, left[i]), slices.Delete(left, i, i+1)
	}
	a.chain = sorted
	return nil
}

// cycle returns the names of modules that precede each other.
func cycle(e *entry, before map[*entry][]*entry, left []*entry) string {
	var path []string
	for {
		if i := slices.Index(path, e.info.Name); i >= 0 {
			return strings.Join(path[i:], ", ")
		}
		path = append(path, e.info.Name)
		next := slices.IndexFunc(before[e], func(p *entry) bool { return slices.Contains(left, p) })
		if next < 0 { // e is only in the way of the cycle's phase: look from another one
			return strings.Join(path, ", ")
		}
		e = before[e][next]
	}
}

// placement is what Before or After of a module says.
type placement struct {
	entry  *entry
	peer   string
	before bool
}

func (p placement) String() string {
	if p.before {
		return "before " + p.peer
	}
	return "after " + p.peer
}

// grant moves a module next to its peer and returns false, unless it stands on
// the right side already.
func (a *App) grant(p placement) bool {
	from := slices.Index(a.chain, p.entry)
	to := slices.IndexFunc(a.chain, func(e *entry) bool { return e.info.Name == p.peer })
	if p.before == (from < to) {
		return true
	}
	// Before: from is behind to, which stays where it is. After: the peer moves
	// up by one when the module leaves its place, so that to is behind it.
	a.chain = slices.Insert(slices.Delete(a.chain, from, from+1), to, p.entry)
	return false
}

func rank(e *entry) int {
	switch {
	case e.listens():
		return int(Fault) + 2
	case e.info.Phase == 0:
		return int(Fault) + 1
	}
	return int(e.info.Phase)
}

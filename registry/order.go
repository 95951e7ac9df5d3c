package registry

import (
	"fmt"
	"slices"
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
			case peer == nil: // nothing to stand beside
				continue
			case peer == e:
				return fmt.Errorf("module %s cannot be placed %s: that is itself", e.info.Name, w)
			case peer.info.Phase != e.info.Phase:
				return fmt.Errorf("module %s cannot be placed %s: %s is in phase %q and %s in phase %q", e.info.Name, w, peer.info.Name, peer.info.Phase, e.info.Name, e.info.Phase)
			}
			wishes = append(wishes, w)
		}
	}
	// Each pass moves the modules that stand on the wrong side. A chain of
	// wishes needs as many passes as it has modules; a cycle never settles.
	for range len(wishes) + 1 {
		settled := true
		for _, w := range wishes {
			settled = a.grant(w) && settled
		}
		if settled {
			return nil
		}
	}
	return fmt.Errorf("module %s cannot be placed %s: the Before and After of modules contradict each other", wishes[0].entry.info.Name, wishes[0])
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

package faults

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/seed-4591fe7d/podinfo/internal/watch"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// watch reads the file and watches its directory. The file may appear later.
func (m *Module) watch() error {
	follow, err := watch.Directory(filepath.Dir(m.File))
	if err != nil {
		return fmt.Errorf("PODINFO_FAULTS_FILE: cannot watch its directory: %w", err)
	}
	m.load() // after the watch began, so no change is missed
	m.host.Go(func(ctx context.Context) { follow(ctx, m.load, m.missed) })
	return nil
}

func (m *Module) missed(err error) {
	m.host.Log.WithError(err).Warn("fault scenario may be out of date")
}

// load applies the file's scenario if it changed. An invalid one leaves the
// current rules in place.
func (m *Module) load() {
	s, changed, err := m.read()
	switch {
	case err != nil:
		for line := range strings.SplitSeq(err.Error(), "\n") {
			m.host.Log.WithField("file", m.File).WithField("error", line).Error(m.problem(err) + "; keeping the current rules")
		}
		m.counts.loaded(false)
		m.fileOK.Store(false) // last: the log and the counter are complete when the gauge changes
	case changed:
		m.apply(s)
		m.fileOK.Store(true)
		m.counts.loaded(true)
		m.host.Log.WithField("file", m.File).WithField("rules", len(s.Rules)).Info("fault scenario loaded")
	}
}

// problem returns what is wrong with the file.
func (m *Module) problem(err error) string {
	switch {
	case !errors.Is(err, fs.ErrNotExist):
		return "invalid fault scenario"
	case m.found:
		return "the fault scenario's file is gone"
	}
	return "the fault scenario's file does not exist yet"
}

// read returns the file's scenario, and whether the file changed since the last
// read.
func (m *Module) read() (*scenario.Scenario, bool, error) {
	b, err := watch.ReadFile(m.File, scenario.MaxBytes)
	seen := string(b)
	if err != nil {
		seen = err.Error()
	}
	if m.seen != nil && *m.seen == seen {
		return nil, false, nil
	}
	m.seen = &seen
	if err != nil {
		return nil, true, err
	}
	m.found = true
	s, err := scenario.Parse(filepath.Base(m.File), b)
	return s, true, err
}

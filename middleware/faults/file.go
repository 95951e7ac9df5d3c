package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/seed-4591fe7d/podinfo/internal/watch"
	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// watch reads the file and follows its directory. The file may come later, and
// a bad one leaves the rules as they are.
func (m *Module) watch() error {
	follow, err := watch.Directory(filepath.Dir(m.File))
	if err != nil {
		return fmt.Errorf("PODINFO_FAULTS_FILE: its directory cannot be watched: %w", err)
	}
	m.load() // now: no change can come between
	m.host.Go(func(ctx context.Context) { follow(ctx, m.load, m.missed) })
	return nil
}

func (m *Module) missed(err error) {
	m.host.Log.WithError(err).Warn("a change of the scenario may have been missed")
}

// load takes the file's rules, all or none.
func (m *Module) load() {
	s, changed, err := m.read()
	switch {
	case err != nil:
		for line := range strings.SplitSeq(err.Error(), "\n") {
			m.host.Log.WithField("file", m.File).Errorf("the scenario is bad, the rules stay as they were: %s", line)
		}
		m.counts.loaded(false)
		m.fileOK.Store(false) // last: who sees it finds the rest
	case changed:
		m.apply(s)
		m.fileOK.Store(true)
		m.counts.loaded(true)
		m.host.Log.WithField("file", m.File).WithField("rules", len(s.Rules)).Info("scenario loaded")
	}
}

// read is the file's scenario, and whether the file changed since it was read
// last.
func (m *Module) read() (*scenario.Scenario, bool, error) {
	b, err := readFile(m.File)
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
	s, err := scenario.Parse(filepath.Base(m.File), b)
	return s, true, err
}

// readFile reads a regular file, or what a link to one points to.
func readFile(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() { // opening it could wait for ever
		return nil, errors.New("not a regular file")
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, scenario.MaxBytes+1))
}

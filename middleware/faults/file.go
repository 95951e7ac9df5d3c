package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/seed-4591fe7d/podinfo/registry/fault/scenario"
)

// settled is how long the directory must be quiet before the file is read: one
// that is edited is seldom written in one step.
const settled = 50 * time.Millisecond

// dataLink is what the kubelet swaps to replace a mounted ConfigMap in one
// step.
const dataLink = "..data"

// watch reads the file and follows its directory. The file may come later, and
// a bad one leaves the rules as they are.
func (m *Module) watch() error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	if err := w.Add(filepath.Dir(m.File)); err != nil {
		w.Close()
		return fmt.Errorf("PODINFO_FAULTS_FILE: its directory cannot be watched: %w", err)
	}
	m.load() // after Add: no change can come between
	m.host.Go(func(ctx context.Context) {
		defer w.Close()
		m.follow(ctx, w.Events, w.Errors)
	})
	return nil
}

func (m *Module) follow(ctx context.Context, events <-chan fsnotify.Event, errs <-chan error) {
	var quiet <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case e, ok := <-events:
			if !ok {
				m.host.Log.Error("the scenario lost its watch, its rules stay")
				return
			}
			if filepath.Base(e.Name) == dataLink && e.Has(fsnotify.Create) {
				m.load()
			}
			quiet = time.After(settled)
		case err := <-errs: // too many changes at once, some were lost
			if err != nil {
				m.host.Log.WithError(err).Warn("a change of the scenario may have been missed")
				quiet = time.After(settled)
			}
		case <-quiet:
			m.load()
		}
	}
}

// load takes the file's rules, all or none.
func (m *Module) load() {
	s, changed, err := m.read()
	switch {
	case err != nil:
		m.fileOK.Store(false)
		m.counts.loaded(false)
		for line := range strings.SplitSeq(err.Error(), "\n") {
			m.host.Log.WithField("file", m.File).Errorf("the scenario is bad, the rules stay as they were: %s", line)
		}
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

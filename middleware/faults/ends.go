package faults

import "time"

// logEnds logs the rules that have ended since the last call.
func (m *Module) logEnds() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closing.Err() == nil {
		m.logEndsLocked()
	}
}

// logEndsLocked is logEnds for callers that hold m.mu. It is called again when the
// next rule ends.
func (m *Module) logEndsLocked() {
	if m.ends != nil {
		m.ends.Stop()
	}
	ended := map[string]bool{}
	var next *time.Time
	for _, s := range m.engine.Rules() {
		name := s.Rule.Name
		switch {
		case s.Ended:
			ended[name] = true
			if !m.ended[name] {
				m.host.Log.WithField("rule", name).WithField("seen", s.Seen).WithField("hits", s.Hits).Info("fault rule has ended")
			}
		case s.Expires != nil && (next == nil || s.Expires.Before(*next)):
			next = s.Expires
		}
	}
	m.ended = ended
	if next != nil {
		m.ends = time.AfterFunc(time.Until(*next), m.logEnds)
	}
}

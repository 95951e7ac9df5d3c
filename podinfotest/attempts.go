package podinfotest

import (
	"slices"
	"time"
)

// Attempts returns the requests and calls of all paths, and the connections that a
// script made fail, in the order in which they began. The outcome of such a connection
// is one of:
//
//	refused              Refuse
//	down                 Down
//	no answer            Blackhole, Silent, a partition
//	backlog full         FullBacklog, if the client did not wait for its end
//	no such host         NoSuchHost
//	resolver failed      ResolverFailure
//	resolver silent      ResolverTimeout
//	expired, not-yet-valid, wrong-host, self-signed, unknown-authority
//	                     a certificate that the client did not accept
//	handshake slow, handshake stalled, handshake broken
//	                     SlowHandshake, if the client left; StallHandshake; BreakHandshake
//	no client certificate
//	                     AskForCertificate, if the client had none that is valid
//	dead connection      Stale, if the client sent another request on the connection
func (s *Server) Attempts() Requests {
	out := s.record.filter(everything, true)
	slices.SortStableFunc(out, func(x, y Request) int { return x.At.Compare(y.At) })
	return out
}

// connecting records an attempt to connect that the script breaks.
func (m *recorder) connecting(outcome, rule string) *Request {
	r := &Request{Failed: outcome, At: time.Now(), exact: m.exact}
	if rule != "" {
		r.Rules = []string{rule}
	}
	m.change(func() { m.all = append(m.all, r) })
	return r
}

// failed records the end of an attempt to connect.
func (m *recorder) failed(r *Request) {
	m.change(func() {
		r.finish()
		r.Done = true
	})
}

// forget removes an attempt to connect that succeeded after all.
func (m *recorder) forget(r *Request) {
	m.change(func() { m.all = slices.DeleteFunc(m.all, func(x *Request) bool { return x == r }) })
}

// open numbers a connection.
func (m *recorder) open(w *wire, p planned) {
	addr := w.RemoteAddr().String()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.opened++
	m.numbers[addr] = m.opened
	m.wires[addr] = &opened{wire: w, plan: p}
	number := m.opened
	w.late = func() {
		r := m.connecting(outcomeDead, "")
		m.change(func() { r.Conn = number })
		m.failed(r)
	}
	w.gone = func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if o := m.wires[addr]; o != nil && o.wire == w {
			delete(m.wires, addr)
		}
	}
}

// opened is an open connection.
type opened struct {
	*wire
	plan   planned
	failed *Request // its handshake, as long as no request has arrived
}

// wireOf returns the open connection from a client's address, nil for none.
func (m *recorder) wireOf(remote string) *opened {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.wires[remote]
}

// allWires returns the open connections.
func (m *recorder) allWires() (out []*wire) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, o := range m.wires {
		out = append(out, o.wire)
	}
	return out
}

// arrivedLocked notes that a request has arrived on a connection, whose handshake has
// then succeeded. The caller must hold m.mu.
func (m *recorder) arrivedLocked(remote string) {
	if o := m.wires[remote]; o != nil && o.failed != nil {
		m.all = slices.DeleteFunc(m.all, func(x *Request) bool { return x == o.failed })
		o.failed = nil
	}
}

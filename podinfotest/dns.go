package podinfotest

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// Resolver returns a resolver for a [net.Dialer]. It knows the names below the domains
// test, example, example.com and localhost (RFC 6761), all with the server's address,
// and fails as [Server.ScriptConnections] says. What is asked about one name within
// 100 ms is one lookup, because Go asks for IPv4 and IPv6, and repeats what failed.
func (s *Server) Resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := connect(&net.TCPAddr{IP: clientIP, Port: firstPort}, &net.TCPAddr{IP: serverIP, Port: 53})
		go s.answer(server)
		return client, nil
	}}
}

// answer responds to the queries on a connection, each after its length (RFC 1035,
// 4.2.2).
func (s *Server) answer(c net.Conn) {
	defer c.Close()
	for {
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		query := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(c, query); err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(query) != nil || len(m.Questions) != 1 {
			return
		}
		silent := s.resolve(&m)
		if silent {
			io.Copy(io.Discard, c) // until the client leaves
			return
		}
		reply, err := m.Pack()
		if err != nil {
			return
		}
		if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...)); err != nil {
			return
		}
	}
}

// resolve turns a query into its reply. silent means that no reply is to be sent.
func (s *Server) resolve(m *dnsmessage.Message) (silent bool) {
	q := m.Questions[0]
	m.Response, m.RecursionAvailable = true, true
	m.Additionals = nil
	switch {
	case !reserved(q.Name.String()):
		m.RCode = dnsmessage.RCodeNameError
		return false
	}
	if p := s.lookup(q.Name.String()); p.link != nil {
		switch p.link.outcome {
		case outcomeNoHost:
			m.RCode = dnsmessage.RCodeNameError
		case outcomeBadDNS:
			m.RCode = dnsmessage.RCodeServerFailure
		default:
			return true
		}
		return false
	}
	if q.Type != dnsmessage.TypeA {
		return false // there are only addresses of IPv4
	}
	ip := s.entrances[web].Addr().(*net.TCPAddr).IP.To4()
	m.Answers = []dnsmessage.Resource{{
		Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
		Body:   &dnsmessage.AResource{A: [4]byte(ip)},
	}}
	return false
}

// oneLookup is the time within which queries for a name belong to one lookup.
const oneLookup = 100 * time.Millisecond

// asked is a lookup.
type asked struct {
	planned
	at time.Time
}

// lookup returns the step of a lookup of a name.
func (s *Server) lookup(name string) planned {
	l := s.links
	l.mu.Lock()
	last, again := l.asked[name]
	if again = again && time.Since(last.at) < oneLookup; !again {
		last = asked{l.takeLocked(true), time.Now()}
		if l.asked == nil {
			l.asked = map[string]asked{}
		}
		l.asked[name] = last
	}
	l.mu.Unlock()
	if last.link != nil && !again {
		s.record.failed(s.record.connecting(last.link.outcome, last.rule))
	}
	return last.planned
}

// reserved reports whether a name is below a domain for tests.
func reserved(name string) bool {
	name = "." + strings.ToLower(strings.TrimSuffix(name, "."))
	for _, domain := range []string{".test", ".example", ".example.com", ".localhost"} {
		if strings.HasSuffix(name, domain) {
			return true
		}
	}
	return false
}

// Package rpcstatus encodes the status of a gRPC call with error details. It does
// not import gRPC or protobuf, so that an HTTP-only program can send one.
package rpcstatus

import (
	"encoding/binary"
	"maps"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// Encode returns the message google.rpc.Status with the details, the elements of
// each sorted by key (google/rpc/status.proto, google/rpc/error_details.proto). It
// returns nil when there are none, or when a text is not UTF-8.
func Encode(code rpc.Code, message string, d *rpc.Details) []byte {
	if d == nil {
		return nil
	}
	var m encoder
	m.details(d)
	if len(m.out) == 0 || m.invalid {
		return nil
	}
	var s encoder
	s.number(1, int64(code))
	s.text(2, message)
	if s.invalid {
		return nil
	}
	return append(s.out, m.out...)
}

// encoder appends fields of a message.
type encoder struct {
	out     []byte
	invalid bool // a text is not UTF-8
}

func (e *encoder) number(field uint64, n int64) {
	if n != 0 {
		e.out = binary.AppendUvarint(binary.AppendUvarint(e.out, field<<3), uint64(n))
	}
}

func (e *encoder) text(field uint64, s string) {
	e.invalid = e.invalid || !utf8.ValidString(s)
	if s != "" {
		e.bytes(field, []byte(s))
	}
}

// bytes appends a field with a length (wire type 2).
func (e *encoder) bytes(field uint64, b []byte) {
	e.out = binary.AppendUvarint(binary.AppendUvarint(e.out, field<<3|2), uint64(len(b)))
	e.out = append(e.out, b...)
}

// message appends a message, whose fields the function appends.
func (e *encoder) message(field uint64, fields func(*encoder)) {
	var inner encoder
	fields(&inner)
	e.invalid = e.invalid || inner.invalid
	e.bytes(field, inner.out)
}

// pairs appends a message for each entry of a map, with the key as its first field
// and the value as its second.
func (e *encoder) pairs(field uint64, entries map[string]string) {
	for _, k := range slices.Sorted(maps.Keys(entries)) {
		e.message(field, func(m *encoder) {
			m.text(1, k)
			m.text(2, entries[k])
		})
	}
}

// any appends one of the details as a google.protobuf.Any.
func (e *encoder) any(name string, fields func(*encoder)) {
	const details = 3
	e.message(details, func(m *encoder) {
		m.text(1, "type.googleapis.com/google.rpc."+name)
		m.message(2, fields)
	})
}

func (e *encoder) details(d *rpc.Details) {
	if w := d.RetryDelay; w != nil {
		e.any("RetryInfo", func(m *encoder) {
			m.message(1, func(m *encoder) {
				m.number(1, int64(*w/time.Second))
				m.number(2, int64(*w%time.Second))
			})
		})
	}
	if i := d.Info; i != nil {
		e.any("ErrorInfo", func(m *encoder) {
			m.text(1, i.Reason)
			m.text(2, i.Domain)
			m.pairs(3, i.Metadata)
		})
	}
	if len(d.Fields) > 0 {
		e.any("BadRequest", func(m *encoder) { m.pairs(1, d.Fields) })
	}
	if len(d.Quotas) > 0 {
		e.any("QuotaFailure", func(m *encoder) { m.pairs(1, d.Quotas) })
	}
	if len(d.Help) > 0 {
		e.any("Help", func(m *encoder) { m.pairs(1, d.Help) })
	}
	for _, locale := range slices.Sorted(maps.Keys(d.Messages)) {
		e.any("LocalizedMessage", func(m *encoder) {
			m.text(1, locale)
			m.text(2, d.Messages[locale])
		})
	}
	if d.Debug != "" {
		e.any("DebugInfo", func(m *encoder) { m.text(2, d.Debug) })
	}
}

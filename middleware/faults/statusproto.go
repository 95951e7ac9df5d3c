package faults

import (
	"encoding/base64"
	"encoding/binary"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/seed-4591fe7d/podinfo/registry/rpc"
)

// statusDetails returns the header grpc-status-details-bin of a call to another
// service: a google.rpc.Status with the details, "" without details. The messages of
// google/rpc/error_details.proto are encoded here, because modules that only serve HTTP
// must not link protobuf.
func statusDetails(code rpc.Code, text string, d rpc.Details) string {
	if reflect.ValueOf(d).IsZero() {
		return ""
	}
	s := message(nil).number(1, uint64(code)).text(2, text)
	add := func(name string, m message) {
		s = s.embed(3, message(nil).text(1, "type.googleapis.com/google.rpc."+name).embed(2, m))
	}
	if d.RetryDelay != nil {
		delay := message(nil).number(1, uint64(*d.RetryDelay/time.Second)).number(2, uint64(*d.RetryDelay%time.Second))
		add("RetryInfo", message(nil).embed(1, delay))
	}
	if i := d.Info; i != nil {
		add("ErrorInfo", message(nil).text(1, i.Reason).text(2, i.Domain).pairs(3, i.Metadata))
	}
	if len(d.Fields) > 0 {
		add("BadRequest", message(nil).pairs(1, d.Fields))
	}
	if len(d.Quotas) > 0 {
		add("QuotaFailure", message(nil).pairs(1, d.Quotas))
	}
	if len(d.Help) > 0 {
		add("Help", message(nil).pairs(1, d.Help))
	}
	for _, locale := range slices.Sorted(maps.Keys(d.Messages)) {
		add("LocalizedMessage", message(nil).text(1, locale).text(2, d.Messages[locale]))
	}
	if d.Debug != "" {
		add("DebugInfo", message(nil).text(2, d.Debug))
	}
	return base64.RawStdEncoding.EncodeToString(s)
}

// message is an encoded message of protocol buffers
// (https://protobuf.dev/programming-guides/encoding/).
type message []byte

func (m message) number(field int, n uint64) message {
	return binary.AppendUvarint(binary.AppendUvarint(m, uint64(field)<<3), n)
}

func (m message) text(field int, s string) message { return m.embed(field, message(s)) }

func (m message) embed(field int, inner message) message {
	const lengthDelimited = 2
	m = binary.AppendUvarint(m, uint64(field)<<3|lengthDelimited)
	return append(binary.AppendUvarint(m, uint64(len(inner))), inner...)
}

// pairs appends a message for each pair, sorted by key, with the key as field 1 and
// the value as field 2.
func (m message) pairs(field int, values map[string]string) message {
	for _, key := range slices.Sorted(maps.Keys(values)) {
		m = m.embed(field, message(nil).text(1, key).text(2, values[key]))
	}
	return m
}

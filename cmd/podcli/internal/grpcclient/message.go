package grpcclient

import (
	"encoding/binary"
	"errors"
)

// Wire types of protobuf (https://protobuf.dev/programming-guides/encoding/).
const (
	varint  = 0
	fixed64 = 1
	sized   = 2
	fixed32 = 5
)

var errMessage = errors.New("not a protobuf message")

// AppendString appends a string field to an encoded message. It omits an empty
// string, as proto3 does.
func AppendString(message []byte, field int, s string) []byte {
	if s == "" {
		return message
	}
	message = binary.AppendUvarint(message, uint64(field)<<3|sized)
	message = binary.AppendUvarint(message, uint64(len(s)))
	return append(message, s...)
}

// Varint returns the value of an integer or enum field in an encoded message: the
// last one when there are several, 0 if the field is absent.
func Varint(message []byte, field int) (value uint64, err error) {
	for len(message) > 0 {
		key, n := binary.Uvarint(message)
		if n <= 0 {
			return 0, errMessage
		}
		message = message[n:]
		size := uint64(0)
		switch key & 7 {
		case varint:
			v, n := binary.Uvarint(message)
			if n <= 0 {
				return 0, errMessage
			}
			if key>>3 == uint64(field) {
				value = v
			}
			size = uint64(n)
		case fixed64:
			size = 8
		case sized:
			length, n := binary.Uvarint(message)
			if n <= 0 || length > uint64(len(message)) {
				return 0, errMessage
			}
			size = uint64(n) + length
		case fixed32:
			size = 4
		default:
			return 0, errMessage
		}
		if size > uint64(len(message)) {
			return 0, errMessage
		}
		message = message[size:]
	}
	return value, nil
}

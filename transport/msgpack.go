package transport

import (
	"encoding/binary"
	"errors"
	"math"
)

// The few forms of msgpack that requests and failures are made of. Writers use the shortest form, except that
// integers have one, byte or nine bytes; readers take every unsigned form.

func appendUint(b []byte, v uint64) []byte {
	if v < 0x80 {
		return append(b, byte(v))
	}
	return binary.BigEndian.AppendUint64(append(b, 0xcf), v)
}

func appendArray(b []byte, n int) []byte {
	if n < 16 {
		return append(b, 0x90|byte(n))
	}
	return binary.BigEndian.AppendUint32(append(b, 0xdd), uint32(n))
}

func appendMap(b []byte, n int) []byte {
	if n < 16 {
		return append(b, 0x80|byte(n))
	}
	return binary.BigEndian.AppendUint32(append(b, 0xdf), uint32(n))
}

func appendString(b []byte, s string) []byte {
	switch n := len(s); {
	case n < 32:
		b = append(b, 0xa0|byte(n))
	case n <= math.MaxUint8:
		b = append(b, 0xd9, byte(n))
	default:
		b = binary.BigEndian.AppendUint32(append(b, 0xdb), uint32(n))
	}
	return append(b, s...)
}

func appendBytes(b, v []byte) []byte {
	if n := len(v); n <= math.MaxUint8 {
		b = append(b, 0xc4, byte(n))
	} else {
		b = binary.BigEndian.AppendUint32(append(b, 0xc6), uint32(n))
	}
	return append(b, v...)
}

var errMsgpack = errors.New("malformed msgpack")

// A decoder takes values from the front of b. After its first error all values are zero.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail() { d.b, d.err = nil, errMsgpack }

// take returns the next n bytes, nil if there are fewer.
func (d *decoder) take(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.fail()
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

// number returns the next n bytes, at most 8, as a big-endian number.
func (d *decoder) number(n uint64) (v uint64) {
	for _, c := range d.take(n) {
		v = v<<8 | uint64(c)
	}
	return v
}

func (d *decoder) uint() uint64 {
	c := d.number(1)
	switch {
	case c < 0x80:
		return c
	case 0xcc <= c && c <= 0xcf:
		return d.number(1 << (c - 0xcc))
	}
	d.fail()
	return 0
}

// length returns the length of a string, byte string, array or map: short & fix if it has its short form, else read
// from the 1, 2 or 4 bytes that follow the form byte first, first+1, first+2. Arrays and maps have no one-byte form.
func (d *decoder) length(fix, mask, first byte, forms uint64) uint64 {
	c := byte(d.number(1))
	switch {
	case d.err != nil:
	case mask != 0 && c&^mask == fix:
		return uint64(c & mask)
	case first <= c && uint64(c-first) < forms:
		return d.number(4 >> (forms - 1 - uint64(c-first)))
	default:
		d.fail()
	}
	return 0
}

func (d *decoder) array() uint64  { return d.length(0x90, 0x0f, 0xdc, 2) }
func (d *decoder) pairs() uint64  { return d.length(0x80, 0x0f, 0xde, 2) }
func (d *decoder) text() []byte   { return d.take(d.length(0xa0, 0x1f, 0xd9, 3)) }
func (d *decoder) bytes() []byte  { return d.take(d.length(0, 0, 0xc4, 3)) }
func (d *decoder) string() string { return string(d.text()) }

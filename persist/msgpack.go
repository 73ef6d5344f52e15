package persist

import (
	"encoding/binary"

	"github.com/highlander-go/highlander/internal/msgpack"
)

// The few forms of msgpack that the record's envelope is made of, in their shortest encoding. https://github.com/msgpack/msgpack/blob/master/spec.md

var (
	errTruncated = msgpack.ErrTruncated
	errMalformed = msgpack.ErrMalformed
)

func appendString(b []byte, s string) []byte {
	switch n := len(s); {
	case n < 32:
		b = append(b, 0xa0|byte(n))
	case n < 1<<8:
		b = append(b, 0xd9, byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0xda), uint16(n))
	default:
		b = binary.BigEndian.AppendUint32(append(b, 0xdb), uint32(n))
	}
	return append(b, s...)
}

func appendUint(b []byte, v uint64) []byte {
	switch {
	case v < 1<<7:
		return append(b, byte(v))
	case v < 1<<8:
		return append(b, 0xcc, byte(v))
	case v < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, 0xcd), uint16(v))
	case v < 1<<32:
		return binary.BigEndian.AppendUint32(append(b, 0xce), uint32(v))
	default:
		return binary.BigEndian.AppendUint64(append(b, 0xcf), v)
	}
}

func appendBin16(b []byte, v [16]byte) []byte {
	return append(append(b, 0xc4, 16), v[:]...)
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 0xc3)
	}
	return append(b, 0xc2)
}

// A reader takes values off the front of b. The first failure stays in err, and everything after it is zero.
type reader struct {
	b   []byte
	err error
}

func (r *reader) take(n int) []byte {
	if r.err == nil && (n < 0 || n > len(r.b)) { // below zero: four bytes of length where int has 32 bits
		r.err = errTruncated
	}
	if r.err != nil {
		return nil
	}
	taken := r.b[:n]
	r.b = r.b[n:]
	return taken
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

// bigEndian takes an unsigned number of n bytes that must be at least least: a smaller one has a shorter form.
func (r *reader) bigEndian(n int, least uint64) (v uint64) {
	for _, c := range r.take(n) {
		v = v<<8 | uint64(c)
	}
	if r.err == nil && v < least {
		r.err = errMalformed
	}
	return v
}

func (r *reader) uint() uint64 {
	switch c := r.byte(); {
	case c < 1<<7:
		return uint64(c)
	case c == 0xcc:
		return r.bigEndian(1, 1<<7)
	case c == 0xcd:
		return r.bigEndian(2, 1<<8)
	case c == 0xce:
		return r.bigEndian(4, 1<<16)
	case c == 0xcf:
		return r.bigEndian(8, 1<<32)
	}
	r.fail(errMalformed)
	return 0
}

func (r *reader) string() []byte {
	switch c := r.byte(); {
	case c&0xe0 == 0xa0:
		return r.take(int(c & 0x1f))
	case c == 0xd9:
		return r.take(int(r.bigEndian(1, 32)))
	case c == 0xda:
		return r.take(int(r.bigEndian(2, 1<<8)))
	case c == 0xdb:
		return r.take(int(r.bigEndian(4, 1<<16)))
	}
	r.fail(errMalformed)
	return nil
}

func (r *reader) bin16() (v [16]byte) {
	if r.byte() != 0xc4 || r.byte() != 16 {
		r.fail(errMalformed)
	}
	copy(v[:], r.take(16))
	return v
}

func (r *reader) bool() bool {
	c := r.byte()
	if c != 0xc2 && c != 0xc3 {
		r.fail(errMalformed)
	}
	return c == 0xc3
}

// value takes one value, whatever it is.
func (r *reader) value() []byte {
	if r.err != nil {
		return nil
	}
	n, err := msgpack.Size(r.b)
	if err != nil {
		r.fail(err)
		return nil
	}
	return r.take(n)
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

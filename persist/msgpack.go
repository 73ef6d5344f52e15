package persist

import (
	"encoding/binary"
	"errors"
)

// The few forms of msgpack that the record's envelope is made of, in their shortest encoding, and the
// length of any value. https://github.com/msgpack/msgpack/blob/master/spec.md

var (
	errTruncated = errors.New("it is truncated")
	errMalformed = errors.New("it is malformed")
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

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// valueLen is the length of the msgpack value at the front of b, whatever it is. It does not recurse: the
// depth of what is read from a store is not ours to trust.
func valueLen(b []byte) (int, error) {
	at := 0
	for open := uint64(1); open > 0; open-- { // values yet to be passed
		if uint64(len(b)-at) < open { // each has a byte at least
			return 0, errTruncated
		}
		f := forms[b[at]]
		if f.invalid {
			return 0, errMalformed
		}
		at++
		if len(b)-at < int(f.size) {
			return 0, errTruncated
		}
		var n uint64
		for _, c := range b[at : at+int(f.size)] {
			n = n<<8 | uint64(c)
		}
		at += int(f.size)
		open += (n + uint64(f.length)) * uint64(f.values)
		skip := n*uint64(f.bytes) + uint64(f.extra)
		if uint64(len(b)-at) < skip {
			return 0, errTruncated
		}
		at += int(skip)
	}
	return at, nil
}

// A form is what a value's first byte says of the rest: size bytes that hold a number n, then n*bytes+extra
// bytes, then (n+length)*values values.
type form struct {
	size, bytes, extra, length, values uint8
	invalid                            bool
}

var forms = func() (f [256]form) {
	for c := range 256 {
		switch {
		case c>>4 == 0x8:
			f[c] = form{length: uint8(c & 15), values: 2}
		case c>>4 == 0x9:
			f[c] = form{length: uint8(c & 15), values: 1}
		case c>>5 == 0x5:
			f[c] = form{extra: uint8(c & 31)}
		}
	}
	f[0xc1] = form{invalid: true} // never used, says the specification
	for i, size := range []uint8{1, 2, 4} {
		f[0xc4+i] = form{size: size, bytes: 1}           // bin
		f[0xc7+i] = form{size: size, bytes: 1, extra: 1} // ext, with its type
		f[0xd9+i] = form{size: size, bytes: 1}           // str
	}
	for i := range 5 {
		f[0xd4+i] = form{extra: 1 + 1<<i} // fixext, with its type
	}
	for i := range 4 {
		f[0xcc+i] = form{extra: 1 << i} // uint
		f[0xd0+i] = form{extra: 1 << i} // int
	}
	f[0xca], f[0xcb] = form{extra: 4}, form{extra: 8} // float
	for i, size := range []uint8{2, 4} {
		f[0xdc+i] = form{size: size, values: 1} // array
		f[0xde+i] = form{size: size, values: 2} // map
	}
	return f
}()

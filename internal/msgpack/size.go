// Package msgpack tells where a msgpack value ends, whatever it is, and how many values are inside. https://github.com/msgpack/msgpack/blob/master/spec.md
package msgpack

import "errors"

// Why the bytes do not begin with a value.
var (
	ErrTruncated = errors.New("it is truncated")
	ErrMalformed = errors.New("it is malformed")
)

// Size is the length of the msgpack value at the front of b, whatever it is. It does not recurse: the
// depth of what comes from elsewhere is not ours to trust. The error is ErrTruncated or ErrMalformed.
func Size(b []byte) (int, error) {
	at := 0
	for open := uint64(1); open > 0; open-- { // values yet to be passed
		if uint64(len(b)-at) < open { // each has a byte at least
			return 0, ErrTruncated
		}
		size, values, err := Head(b[at:])
		if err != nil {
			return 0, err
		}
		at, open = at+size, open+values
	}
	return at, nil
}

// Head is the length of the value at the front of b without the values inside it, and how many those are: two for each entry of a map.
// The error is ErrTruncated or ErrMalformed.
func Head(b []byte) (size int, values uint64, err error) {
	if len(b) == 0 {
		return 0, 0, ErrTruncated
	}
	f := forms[b[0]]
	if f.invalid {
		return 0, 0, ErrMalformed
	}
	size = 1 + int(f.size)
	if len(b) < size {
		return 0, 0, ErrTruncated
	}
	var n uint64
	for _, c := range b[1:size] {
		n = n<<8 | uint64(c)
	}
	skip := n*uint64(f.bytes) + uint64(f.extra)
	if uint64(len(b)-size) < skip {
		return 0, 0, ErrTruncated
	}
	return size + int(skip), (n + uint64(f.length)) * uint64(f.values), nil
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

package codec

import (
	"encoding"
	"errors"
	"fmt"
	"time"

	"github.com/tinylib/msgp/msgp"
)

var errNaN = errors.New("a NaN cannot be the key of a map: it would never be found")

// ReadBool reads a bool.
func ReadBool[T ~bool](r *Reader, v *T) {
	x, rest, err := msgp.ReadBoolBytes(r.rest)
	if err != nil {
		r.refuse("a bool", err)
		rest = nil
	}
	*v, r.rest = T(x), rest
}

// ReadInt reads an integer, in any form of one. One that does not fit into a T is an error.
func ReadInt[T signed](r *Reader, v *T) {
	x, rest, err := msgp.ReadInt64Bytes(r.rest)
	if err != nil || int64(T(x)) != x {
		refuseNumber[T](r, x, err)
		x, rest = 0, nil
	}
	*v, r.rest = T(x), rest
}

// ReadUint reads an integer, in any form of one. One that does not fit into a T is an error.
func ReadUint[T unsigned](r *Reader, v *T) {
	x, rest, err := msgp.ReadUint64Bytes(r.rest)
	if err != nil || uint64(T(x)) != x {
		refuseNumber[T](r, x, err)
		x, rest = 0, nil
	}
	*v, r.rest = T(x), rest
}

func refuseNumber[T any](r *Reader, x any, err error) {
	var wanted T
	if err != nil {
		r.refuse(fmt.Sprintf("%T", wanted), err)
	} else {
		r.Fail(fmt.Errorf("wanted %T, found %d", wanted, x))
	}
}

// ReadFloat32 reads a float of 32 bits, or an integer.
func ReadFloat32[T ~float32](r *Reader, v *T) {
	x, rest, err := msgp.ReadFloat32Bytes(r.rest)
	if err != nil {
		var i int64
		i, rest = r.integer("a float32", err)
		x = float32(i)
	}
	*v, r.rest = T(x), rest
}

// ReadFloat64 reads a float, of 32 bits too, or an integer.
func ReadFloat64[T ~float64](r *Reader, v *T) {
	x, rest, err := msgp.ReadFloat64Bytes(r.rest)
	if err != nil {
		var i int64
		i, rest = r.integer("a float64", err)
		x = float64(i)
	}
	*v, r.rest = T(x), rest
}

// integer reads an integer where a float was wanted, over which err was returned.
func (r *Reader) integer(wanted string, err error) (int64, []byte) {
	x, rest, notInteger := msgp.ReadInt64Bytes(r.rest)
	if notInteger != nil {
		r.refuse(wanted, err)
		return 0, nil
	}
	return x, rest
}

// ReadString reads a string, or binary data as one.
func ReadString[T ~string](r *Reader, v *T) { *v = T(r.bytes("a string")) }

// ReadBytes reads binary data, or a string as that, or nil.
func ReadBytes[T ~[]byte](r *Reader, v *T) {
	*v = nil
	if r.readNil() {
		return
	}
	if b := r.bytes("binary data"); b != nil {
		*v = make(T, len(b))
		copy(*v, b)
	}
}

// bytes reads a string or binary data, without a copy.
func (r *Reader) bytes(wanted string) []byte {
	read := msgp.ReadStringZC
	if len(r.rest) > 0 && r.rest[0]-0xc4 < 3 {
		read = msgp.ReadBytesZC
	}
	b, rest, err := read(r.rest)
	if err != nil {
		r.refuse(wanted, err)
		return nil
	}
	r.rest = rest
	return b[:len(b):len(b)]
}

// ReadTime reads a time, in UTC.
func ReadTime(r *Reader, v *time.Time) {
	x, rest, err := msgp.ReadTimeUTCBytes(r.rest)
	if err != nil {
		r.refuse("a time", err)
		x, rest = time.Time{}, nil
	}
	*v, r.rest = x, rest
}

// ReadSlice reads a slice of what elem reads, or nil.
func ReadSlice[S ~[]T, T any](r *Reader, s *S, elem func(*Reader, *T)) {
	*s = nil
	if r.readNil() {
		return
	}
	n, ok := r.array("a slice")
	if !ok {
		return
	}
	r.owed += n
	a := make(S, n)
	for i := range a {
		if r.err != nil {
			return
		}
		r.owed--
		elem(r, &a[i])
	}
	*s = a
}

// ReadArray reads into a, which is the whole of a Go array, as many values. Another number of them is an error.
func ReadArray[T any](r *Reader, a []T, elem func(*Reader, *T)) {
	n, ok := r.array("an array")
	if ok && n != len(a) {
		r.Fail(fmt.Errorf("wanted an array of %d, found one of %d", len(a), n))
	}
	r.owed += n
	for i := range a {
		if r.err != nil {
			return
		}
		r.owed--
		elem(r, &a[i])
	}
}

// ReadByteArray reads binary data, or a string as that, into a, which is the whole of a Go array. Another length is an error.
func ReadByteArray(r *Reader, a []byte) {
	b := r.bytes("binary data")
	if r.err == nil && len(b) != len(a) {
		r.Fail(fmt.Errorf("wanted binary data of %d bytes, found %d", len(a), len(b)))
		return
	}
	copy(a, b)
}

// ReadMap reads a map, or nil. Of the entries of one key the last is taken.
func ReadMap[M ~map[K]V, K comparable, V any](r *Reader, m *M, key func(*Reader, *K), value func(*Reader, *V)) {
	*m = nil
	if r.readNil() {
		return
	}
	n, ok := r.entries("a map")
	if !ok {
		return
	}
	r.owed += 2 * n
	a := make(M, n)
	var e, zero struct {
		k K
		v V
	}
	for range n {
		e = zero
		r.owed--
		key(r, &e.k)
		if e.k != e.k {
			r.Fail(errNaN)
		}
		r.owed--
		value(r, &e.v)
		if r.err != nil {
			return
		}
		a[e.k] = e.v
	}
	*m = a
}

// ReadPointer reads what p is to point to, newly allocated, or nil.
func ReadPointer[T any](r *Reader, p **T, value func(*Reader, *T)) {
	*p = nil
	if r.readNil() || r.err != nil {
		return
	}
	v := new(T)
	value(r, v)
	*p = v
}

// ReadBinary has v's UnmarshalBinary read binary data, or a string as that. It is not called for nil.
func ReadBinary(r *Reader, v encoding.BinaryUnmarshaler) {
	readMarshaled(r, v, "binary data", "UnmarshalBinary", v.UnmarshalBinary)
}

// ReadText has v's UnmarshalText read a string, or binary data as one. It is not called for nil.
func ReadText(r *Reader, v encoding.TextUnmarshaler) {
	readMarshaled(r, v, "a string", "UnmarshalText", v.UnmarshalText)
}

// readMarshaled takes nil for what it would not be otherwise, a value, since reflecting codecs write that for marshalers that return no bytes.
func readMarshaled(r *Reader, v any, wanted, method string, unmarshal func([]byte) error) {
	if r.readNil() {
		return
	}
	b := r.bytes(wanted)
	if r.err != nil {
		return
	}
	if err := unmarshal(b); err != nil {
		r.Fail(fmt.Errorf("%s of %T: %w", method, v, err))
	}
}

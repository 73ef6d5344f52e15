package codec

import (
	"cmp"
	"encoding"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/tinylib/msgp/msgp"
)

type signed interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64
}

type unsigned interface {
	~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~uintptr
}

// AppendNil appends nil: a value that is not there.
func AppendNil(b []byte) []byte { return msgp.AppendNil(b) }

// AppendBool appends v.
func AppendBool[T ~bool](b []byte, v T) []byte { return msgp.AppendBool(b, bool(v)) }

// AppendInt appends v in the shortest form, which is 1 to 9 bytes.
func AppendInt[T signed](b []byte, v T) []byte {
	if v >= 0 {
		return msgp.AppendUint64(b, uint64(v))
	}
	return msgp.AppendInt64(b, int64(v))
}

// AppendUint appends v in the shortest form, which is 1 to 9 bytes.
func AppendUint[T unsigned](b []byte, v T) []byte { return msgp.AppendUint64(b, uint64(v)) }

// AppendFloat32 appends v in 5 bytes.
func AppendFloat32[T ~float32](b []byte, v T) []byte { return msgp.AppendFloat32(b, float32(v)) }

// AppendFloat64 appends v in 9 bytes.
func AppendFloat64[T ~float64](b []byte, v T) []byte { return msgp.AppendFloat64(b, float64(v)) }

// AppendString appends v, whatever bytes it holds.
func AppendString[T ~string](b []byte, v T) []byte {
	checkLen(len(v))
	return msgp.AppendString(b, string(v))
}

// AppendBytes appends v as binary data, or nil.
func AppendBytes[T ~[]byte](b []byte, v T) []byte {
	if v == nil {
		return msgp.AppendNil(b)
	}
	checkLen(len(v))
	return msgp.AppendBytes(b, v)
}

// AppendTime appends v with its nanoseconds, without its location, in 6 to 15 bytes.
func AppendTime(b []byte, v time.Time) []byte { return msgp.AppendTimeExt(b, v) }

// AppendArray begins a struct or an array of n values, which are to be appended next.
func AppendArray(b []byte, n int) []byte {
	checkLen(n)
	return msgp.AppendArrayHeader(b, uint32(n))
}

// AppendSlice appends the elements of s by elem, or nil.
func AppendSlice[S ~[]T, T any](b []byte, s S, elem func([]byte, T) []byte) []byte {
	if s == nil {
		return msgp.AppendNil(b)
	}
	b = AppendArray(b, len(s))
	for _, v := range s {
		b = elem(b, v)
	}
	return b
}

// AppendMap appends the entries of m in the order of their keys, or nil. A NaN cannot be a key.
func AppendMap[M ~map[K]V, K cmp.Ordered, V any](b []byte, m M, key func([]byte, K) []byte, value func([]byte, V) []byte) []byte {
	if m == nil {
		return msgp.AppendNil(b)
	}
	var few [16]K // a map of a few entries costs no allocation
	keys := few[:0]
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	checkLen(len(keys))
	b = msgp.AppendMapHeader(b, uint32(len(keys)))
	for _, k := range keys {
		if k != k {
			panic(failure{errNaN})
		}
		b = value(key(b, k), m[k])
	}
	return b
}

// AppendPointer appends what p points to by value, or nil.
func AppendPointer[T any](b []byte, p *T, value func([]byte, T) []byte) []byte {
	if p == nil {
		return msgp.AppendNil(b)
	}
	return value(b, *p)
}

// AppendBinary appends what v's MarshalBinary returns, as binary data.
func AppendBinary[T encoding.BinaryMarshaler](b []byte, v T) []byte {
	data, err := v.MarshalBinary()
	if err != nil {
		panic(failure{fmt.Errorf("MarshalBinary of %T: %w", v, err)})
	}
	checkLen(len(data))
	return msgp.AppendBytes(b, data)
}

// AppendText appends what v's MarshalText returns, as a string.
func AppendText[T encoding.TextMarshaler](b []byte, v T) []byte {
	text, err := v.MarshalText()
	if err != nil {
		panic(failure{fmt.Errorf("MarshalText of %T: %w", v, err)})
	}
	checkLen(len(text))
	return msgp.AppendStringFromBytes(b, text)
}

// checkLen sees to it that msgpack can say n, the length of something: msgp would cut it off.
func checkLen(n int) {
	if uint64(n) > math.MaxUint32 {
		panic(failure{fmt.Errorf("a length of %d is more than msgpack can say", n)})
	}
}

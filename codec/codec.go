// Package codec is what generated codecs are made of: functions that append values to bytes, read them back and copy them, without reflection.
//
// The encoding is msgpack. A struct is the array of its fields by position, so that fields can be added at the end and retired in between:
// what is missing or nil reads as the default, and what a program does not know is skipped. A nil slice, map, pointer or []byte is nil.
// A time is the timestamp extension; it is read back in UTC. Equal values have equal bytes.
//
// [Encode] and [Decode] are the ways in; the Append and Read functions are called between them. [Carry] keeps what other versions of a
// program have stored at positions that this one does not know.
package codec

import (
	"errors"
	"sync"
)

// maxDepth is how many values of recursive types may hold one another.
const maxDepth = 1000

// A failure is what Append and Clone functions panic with, as they have no error result. Encode returns it.
type failure struct{ error }

func (f failure) Unwrap() error { return f.error }

// Encode appends to dst what f appends for v. It fails if a marshaler of a value in v does, if v is more than 1,000 levels deep or if
// something in it is longer than msgpack can say (4 GiB); dst is returned as it was then.
func Encode[T any](dst []byte, v T, f func([]byte, T) []byte) (b []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			failed, ours := p.(failure)
			if !ours {
				panic(p)
			}
			b, err = dst, failed.error
		}
	}()
	return f(dst, v), nil
}

// readers holds those that no Decode uses: the calls through function values would move each one to the heap.
var readers = sync.Pool{New: func() any { return new(Reader) }}

// Decode sets v to what read makes of src, which must be one value and nothing else. Bytes of any kind are an error at worst; v may be half
// set then. Nothing in v shares memory with src, provided that the unmarshalers in it copy what they keep, as they must.
func Decode[T any](src []byte, v *T, read func(*Reader, *T)) error {
	r := readers.Get().(*Reader)
	*r = Reader{rest: src, size: len(src)}
	read(r, v)
	r.end()
	err := r.err
	*r = Reader{}
	readers.Put(r)
	return err
}

// Deeper returns depth+1, for the append and clone functions of types that can hold themselves. Beyond 1,000 levels it panics, which Encode
// turns into its error; a clone that panics so is of a value that contains itself, or could never be stored.
func Deeper(depth int) int {
	if depth >= maxDepth {
		panic(failure{errTooDeep})
	}
	return depth + 1
}

var errTooDeep = errors.New("the value is too deep, or it contains itself: at most 1,000 levels can be stored")

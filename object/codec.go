package object

import (
	"github.com/highlander-go/highlander/codec"
	"github.com/highlander-go/highlander/internal/reflectcodec"
)

// A Codec copies, encodes and decodes values of one type: a state, a method's arguments or its results. objgen generates codecs out
// of the functions of package codec. The functions are called concurrently.
//
// The zero Codec is that of values without content: what it writes is an empty array, and it reads nothing.
type Codec[T any] struct {
	// Append appends v as one msgpack value. It fails with codec.Fail.
	Append func(b []byte, v T) []byte

	// Read sets v, a zero T or a default, from the next value.
	Read func(r *codec.Reader, v *T)

	// Clone returns a copy that shares nothing mutable with v. Nil: assigning a T copies it.
	Clone func(v T) T

	// Shape says where other versions of the program may have added to an encoded T: what this program does not know there is
	// carried through its own writes. Nil: it is not. Only states are carried.
	Shape func() codec.Shape
}

// emptyArray is the encoding of a value without content. Another version of the program may have given it content.
const emptyArray = 0x90

func (c *Codec[T]) append(b []byte, v T) []byte {
	if c.Append == nil {
		return append(b, emptyArray)
	}
	return c.Append(b, v)
}

func (c *Codec[T]) read(r *codec.Reader, v *T) {
	if c.Read == nil {
		r.Skip()
		return
	}
	c.Read(r, v)
}

// encode appends v to dst.
func (c *Codec[T]) encode(dst []byte, v *T) ([]byte, error) {
	if c.Append == nil {
		return append(dst, emptyArray), nil
	}
	return codec.Encode(dst, *v, c.Append)
}

// decode sets v, a zero T or a default, from what encode wrote, and keeps no part of src.
func (c *Codec[T]) decode(src []byte, v *T) error {
	if c.Read == nil {
		return nil
	}
	return codec.Decode(src, v, c.Read)
}

// copy returns a copy of v that shares nothing mutable with it.
func (c *Codec[T]) copy(v T) T {
	if c.Clone == nil {
		return v
	}
	return c.Clone(v)
}

// reflected returns the codec of a T that brings none of its own.
func reflected[T any]() Codec[T] {
	if _, none := any(*new(T)).(None); none {
		return Codec[T]{}
	}
	c := Codec[T]{Append: reflectcodec.Append[T], Read: reflectcodec.Read[T]}
	if !reflectcodec.Flat[T]() {
		c.Clone = reflectcodec.Clone[T]
	}
	return c
}

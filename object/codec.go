package object

import "github.com/highlander-go/highlander/internal/reflectcodec"

// A Codec copies, encodes and decodes values of one type: a state, a method's argument or its result. Its
// methods are called concurrently. The default is made by reflection: see [Type].
type Codec[T any] interface {
	// Append appends v as one msgpack value.
	Append(dst []byte, v *T) ([]byte, error)
	// Decode sets v, a zero T or a default, from what Append wrote, and keeps no part of src.
	Decode(src []byte, v *T) error
	// Clone returns a copy that shares nothing mutable with v.
	Clone(v *T) T
}

// values copies, encodes and decodes the arguments or the results of a method.
type values[T any] struct {
	Codec[T]
	flat bool // assigning a T copies it
}

func valuesOf[T any]() values[T] {
	c := reflectcodec.New[T]()
	return values[T]{c, c.Flat()}
}

// copy returns a copy of v that shares nothing mutable with it.
func (c values[T]) copy(v T) T {
	if c.flat {
		return v
	}
	return cloneOf(c.Codec, v)
}

// cloneOf is a function of its own so that only values which must be cloned are moved to the heap.
func cloneOf[T any](c Codec[T], v T) T { return c.Clone(&v) }

package codec

import (
	"encoding"
	"fmt"
)

// CloneSlice returns a slice of copies that elem makes of the elements of s, or nil.
func CloneSlice[S ~[]T, T any](s S, elem func(T) T) S {
	if s == nil {
		return nil
	}
	c := make(S, len(s))
	for i, v := range s {
		c[i] = elem(v)
	}
	return c
}

// CloneMap returns a map of copies that value makes of the values of m, or nil.
func CloneMap[M ~map[K]V, K comparable, V any](m M, value func(V) V) M {
	if m == nil {
		return nil
	}
	c := make(M, len(m))
	for k, v := range m {
		c[k] = value(v)
	}
	return c
}

// ClonePointer returns a pointer to the copy that value makes of what p points to, or nil.
func ClonePointer[T any](p *T, value func(T) T) *T {
	if p == nil {
		return nil
	}
	c := value(*p)
	return &c
}

// CloneFlat is ClonePointer for types whose assignment is a copy.
func CloneFlat[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}

// CloneBinary returns what UnmarshalBinary makes of what MarshalBinary makes of v: for types that can be copied in no other way. It panics
// if either fails: such a value could not be stored either.
func CloneBinary[T any, P interface {
	*T
	encoding.BinaryMarshaler
	encoding.BinaryUnmarshaler
}](v T) (c T) {
	data, err := P(&v).MarshalBinary()
	if err == nil {
		err = P(&c).UnmarshalBinary(data)
	}
	if err != nil {
		panic(failure{fmt.Errorf("copying a %T by its MarshalBinary and UnmarshalBinary: %w", v, err)})
	}
	return c
}

// CloneText is CloneBinary by MarshalText and UnmarshalText.
func CloneText[T any, P interface {
	*T
	encoding.TextMarshaler
	encoding.TextUnmarshaler
}](v T) (c T) {
	text, err := P(&v).MarshalText()
	if err == nil {
		err = P(&c).UnmarshalText(text)
	}
	if err != nil {
		panic(failure{fmt.Errorf("copying a %T by its MarshalText and UnmarshalText: %w", v, err)})
	}
	return c
}

package codec

import (
	"fmt"

	"github.com/tinylib/msgp/msgp"
)

// A Shape says where in an encoded value other versions of the program may have added positions: in structs. It is given as a function, which
// for types that can hold themselves names itself.
type Shape struct {
	form   form
	fields []func() Shape // of a struct, by position
	elem   func() Shape   // of the elements of a slice, of the values of a map
}

type form int

const (
	leaf form = iota
	unknown
	structure
	slice
	mapping
)

// Leaf is the shape of a value with no struct inside.
func Leaf() Shape { return Shape{} }

// Unknown is the shape of a position of a struct that this program writes as nil: it is retired, and carried for those who know it.
func Unknown() Shape { return Shape{form: unknown} }

// StructOf is the shape of a struct, and of a pointer to one, with the shapes of its positions. It serves for arrays of structs too.
func StructOf(fields ...func() Shape) Shape { return Shape{form: structure, fields: fields} }

// SliceOf returns the shape of a slice with the shape of its elements.
func SliceOf(elem func() Shape) func() Shape {
	return func() Shape { return Shape{form: slice, elem: elem} }
}

// MapOf returns the shape of a map with the shape of its values.
func MapOf(value func() Shape) func() Shape {
	return func() Shape { return Shape{form: mapping, elem: value} }
}

// field is the shape of a struct's position i.
func (s *Shape) field(i int) Shape {
	if i < len(s.fields) {
		return s.fields[i]()
	}
	return Unknown()
}

// Carry appends to dst the value next, which this program has encoded, completed with what base, the value before, has at positions of structs
// that shape does not know. What next has there itself, from another version that has sent it, stays. It fails if base or next are not of that
// shape, or are nested more than 4,000 deep in it; dst is returned as it was then.
//
// A struct in next is completed from the one in the same place in base: at the same position, under the same key of a map. An element of a
// slice has no place of its own, so
//   - it is completed from the element of base that is the same as far as this program knows; if several are, those at the front
//     and the back of both slices belong together, then they are taken in order, each once;
//   - what is left between the same two neighbours was changed: from the front and the back those belong together that are the same where base
//     has a value, and then, if equally many are left, each with the one in its place;
//   - any other is new and is completed from nothing.
func Carry(dst, base, next []byte, shape func() Shape) ([]byte, error) {
	s := shape()
	b, err := parse(base, s, false)
	if err == nil && !b.carries { // as most values do not
		return append(dst, next...), nil
	}
	if err == nil {
		b, err = parse(base, s, true)
	}
	if err != nil {
		return dst, fmt.Errorf("what was stored: %w", err)
	}
	n, err := parse(next, s, true)
	if err != nil {
		return dst, fmt.Errorf("what is to be stored: %w", err)
	}
	return appendCarried(dst, &b, &n, s), nil
}

// maxNesting bounds how deep Carry follows a shape, and so how long it takes. A level of what Enter counts may have more than one of these: a
// map of slices of structs has three.
const maxNesting = 4 * maxDepth

// A node is a value, taken apart as far as its shape goes.
type node struct {
	raw     []byte
	kids    []node   // of a struct, a slice or a map
	keys    [][]byte // of a map
	carries bool     // it has something at a position that its shape does not know
}

func (n *node) isNil() bool { return n.raw[0] == nilByte }

// kid returns the value at a struct's position i: nil if it has fewer.
func (n *node) kid(i int) *node {
	if i < len(n.kids) {
		return &n.kids[i]
	}
	return &node{raw: []byte{nilByte}}
}

// parse takes src apart, or, if keep is false, only says whether it carries something.
func parse(src []byte, s Shape, keep bool) (node, error) {
	r := Reader{rest: src, size: len(src)}
	n := r.node(s, keep)
	r.end()
	return n, r.err
}

func (r *Reader) node(s Shape, keep bool) (n node) {
	before := r.rest
	isNil := len(before) > 0 && before[0] == nilByte
	switch {
	case isNil || s.form == leaf || s.form == unknown:
		r.Skip()
		n.carries = !isNil && s.form == unknown
	case r.enter(maxNesting):
		n = r.inside(s, keep)
		r.Leave()
	}
	n.raw = before[:len(before)-len(r.rest)]
	return n
}

// inside reads the header of a struct, a slice or a map and the values inside.
func (r *Reader) inside(s Shape, keep bool) (n node) {
	var count int
	var elem Shape
	switch s.form {
	case structure:
		count, _ = r.array("a struct")
	case slice:
		count, _ = r.array("a slice")
		elem = s.elem()
	case mapping:
		count, _ = r.entries("a map")
		elem = s.elem()
	}
	for i := 0; i < count && r.err == nil; i++ {
		if s.form == structure {
			elem = s.field(i)
		}
		before := r.rest
		if s.form == mapping {
			r.Skip()
		}
		key := before[:len(before)-len(r.rest)]
		kid := r.node(elem, keep)
		n.carries = n.carries || kid.carries
		if keep {
			n.kids, n.keys = append(n.kids, kid), append(n.keys, key)
		}
	}
	return n
}

// appendCarried appends next, completed from base, of shape s.
func appendCarried(dst []byte, base, next *node, s Shape) []byte {
	switch {
	case !base.carries:
		return append(dst, next.raw...)
	case next.isNil() != (s.form == unknown): // what was removed is gone, and what next has at an unknown position stays
		return append(dst, next.raw...)
	case s.form == unknown:
		return append(dst, base.raw...)
	}
	switch s.form {
	case structure:
		count := max(len(next.kids), len(base.kids))
		for count > len(next.kids) && !base.kids[count-1].carries {
			count--
		}
		dst = AppendArray(dst, count)
		for i := range count {
			if i >= len(s.fields) && i < len(next.kids) { // who has written next knows it
				dst = append(dst, next.kids[i].raw...)
			} else {
				dst = appendCarried(dst, base.kid(i), next.kid(i), s.field(i))
			}
		}
	case slice:
		elem := s.elem()
		dst = AppendArray(dst, len(next.kids))
		for i, j := range match(base.kids, next.kids, elem) {
			if j < 0 {
				dst = append(dst, next.kids[i].raw...)
			} else {
				dst = appendCarried(dst, &base.kids[j], &next.kids[i], elem)
			}
		}
	case mapping:
		elem := s.elem()
		values := make(map[string]*node, len(base.kids))
		for i, k := range base.keys {
			values[string(k)] = &base.kids[i]
		}
		dst = msgp.AppendMapHeader(dst, uint32(len(next.kids)))
		for i, k := range next.keys {
			dst = append(dst, k...)
			if b := values[string(k)]; b != nil {
				dst = appendCarried(dst, b, &next.kids[i], elem)
				delete(values, string(k)) // once, even if next has the key again
			} else {
				dst = append(dst, next.kids[i].raw...)
			}
		}
	}
	return dst
}

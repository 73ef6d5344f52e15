package codec

import (
	"fmt"
	"slices"
)

// Complete appends to dst the value next, which another version of this program has encoded, completed with what base, the value before, has at
// positions that the other version does not know: those that its structs lack. It is Carry with the shape that the other version has, as far
// as next shows it. A position that this program has retired, shape's Unknown, may be so there too: it has base's value if it is nil in next.
func Complete(dst, base, next []byte, shape func() Shape) ([]byte, error) {
	s := shape()
	n, err := parse(next, s, true)
	if err != nil {
		return dst, fmt.Errorf("what is to be stored: %w", err)
	}
	known := shapeIn([]*node{&n}, s)
	return Carry(dst, base, next, func() Shape { return known })
}

// shapeIn is the shape s as the program has it that has encoded all of nodes: each of its structs has all the positions that it knows.
func shapeIn(nodes []*node, s Shape) Shape {
	nodes = slices.DeleteFunc(nodes, (*node).isNil)
	if len(nodes) == 0 {
		return s
	}
	var kids []*node
	switch s.form {
	case unknown:
		return Leaf()
	case structure:
		known := Shape{form: structure}
		for i := 0; ; i++ {
			kids = nil
			for _, n := range nodes {
				if i < len(n.kids) {
					kids = append(kids, &n.kids[i])
				}
			}
			if len(kids) == 0 {
				return known
			}
			field := Leaf()
			if i < len(s.fields) {
				field = shapeIn(kids, s.field(i))
			}
			known.fields = append(known.fields, func() Shape { return field })
		}
	case slice, mapping:
		for _, n := range nodes {
			for i := range n.kids {
				kids = append(kids, &n.kids[i])
			}
		}
		elem := shapeIn(kids, s.elem())
		return Shape{form: s.form, elem: func() Shape { return elem }}
	}
	return s
}

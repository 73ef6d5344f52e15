package codec

import (
	"bytes"

	"github.com/tinylib/msgp/msgp"
)

// match returns for each element of the slice next which one of the slice base it is completed from, or -1: see Carry.
func match(base, next []node, elem Shape) []int {
	m := matching{make([]int, len(next)), make([]bool, len(base))}
	for n := range next {
		m.of[n] = -1
	}
	known, wanted := allKnown(base, elem), allKnown(next, elem)
	middle := m.ends(run{0, len(base), 0, len(next)}, func(b, n int) bool { return known[b] == wanted[n] })

	left := make(map[string][]int, middle.bEnd-middle.b)
	for b := middle.b; b < middle.bEnd; b++ {
		left[known[b]] = append(left[known[b]], b)
	}
	for n := middle.n; n < middle.nEnd; n++ {
		if bs := left[wanted[n]]; len(bs) > 0 {
			m.pair(bs[0], n)
			left[wanted[n]] = bs[1:]
		}
	}
	for _, gap := range m.gaps(middle) {
		gap = m.ends(gap, func(b, n int) bool { return agree(&base[b], &next[n], elem) })
		if gap.bEnd-gap.b == gap.nEnd-gap.n {
			m.ends(gap, func(int, int) bool { return true })
		}
	}
	return m.of
}

// allKnown returns elements of a slice as this program would have written them.
func allKnown(all []node, elem Shape) []string {
	known := make([]string, len(all))
	for i := range all {
		known[i] = string(appendKnown(nil, &all[i], elem))
	}
	return known
}

type matching struct {
	of    []int  // of each element of next the one of base, or -1
	taken []bool // of base
}

func (m *matching) pair(b, n int) { m.of[n], m.taken[b] = b, true }

// A run is some neighbours in base, b to bEnd, and some in next, n to nEnd.
type run struct{ b, bEnd, n, nEnd int }

// ends pairs what is the same at the front of r, then at its back, and returns what is between.
func (m *matching) ends(r run, same func(b, n int) bool) run {
	for ; r.b < r.bEnd && r.n < r.nEnd && same(r.b, r.n); r.b, r.n = r.b+1, r.n+1 {
		m.pair(r.b, r.n)
	}
	for ; r.b < r.bEnd && r.n < r.nEnd && same(r.bEnd-1, r.nEnd-1); r.bEnd, r.nEnd = r.bEnd-1, r.nEnd-1 {
		m.pair(r.bEnd-1, r.nEnd-1)
	}
	return r
}

// gaps returns the runs within r that nothing is paired of, and that have the same neighbours in base and in next.
func (m *matching) gaps(r run) (gaps []run) {
	for n := r.n; n < r.nEnd; n++ {
		if m.of[n] >= 0 {
			continue
		}
		g := run{b: r.b, n: n}
		if n > r.n {
			g.b = m.of[n-1] + 1
		}
		for n < r.nEnd && m.of[n] < 0 {
			n++
		}
		g.nEnd = n
		for g.bEnd = g.b; g.bEnd < r.bEnd && !m.taken[g.bEnd]; {
			g.bEnd++
		}
		if n == r.nEnd && g.bEnd == r.bEnd || n < r.nEnd && g.bEnd == m.of[n] {
			gaps = append(gaps, g)
		}
	}
	return gaps
}

// appendKnown appends n without what shape s does not know: as this program would write it, if it has written what it knows.
func appendKnown(dst []byte, n *node, s Shape) []byte {
	switch {
	case s.form == unknown:
		return AppendNil(dst)
	case n.isNil() || s.form == leaf:
		return append(dst, n.raw...)
	case s.form == structure:
		count := min(len(n.kids), len(s.fields))
		dst = AppendArray(dst, count)
		for i := range count {
			dst = appendKnown(dst, &n.kids[i], s.field(i))
		}
	case s.form == slice:
		elem := s.elem()
		dst = AppendArray(dst, len(n.kids))
		for i := range n.kids {
			dst = appendKnown(dst, &n.kids[i], elem)
		}
	case s.form == mapping:
		elem := s.elem()
		dst = msgp.AppendMapHeader(dst, uint32(len(n.kids)))
		for i := range n.kids {
			dst = appendKnown(append(dst, n.keys[i]...), &n.kids[i], elem)
		}
	}
	return dst
}

// agree tells whether base and next are the same wherever base has a value: at a position that it lacks, or that is nil as another version
// has retired it, next has whatever this program takes instead.
func agree(base, next *node, s Shape) bool {
	switch {
	case s.form == unknown:
		return true
	case s.form == leaf || base.isNil() || next.isNil():
		return bytes.Equal(base.raw, next.raw)
	case s.form == structure:
		for i := range s.fields {
			if b := base.kid(i); !b.isNil() && !agree(b, next.kid(i), s.field(i)) {
				return false
			}
		}
		return true
	case len(base.kids) != len(next.kids):
		return false
	}
	elem := s.elem()
	for i := range base.kids {
		if s.form == mapping && !bytes.Equal(base.keys[i], next.keys[i]) || !agree(&base.kids[i], &next.kids[i], elem) {
			return false
		}
	}
	return true
}

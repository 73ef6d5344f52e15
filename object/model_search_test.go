package object

import (
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
)

// A search visits every state that a model can reach, the nearest first, so that it finds a shortest way to a violation. States are
// compared whole: none is taken for another because it has the same hash.
type search struct {
	*model
	limit int // of states, so that a model that has grown too large fails instead of filling the memory

	chunks [][]modelState // of chunkSize states each, in the order in which they were found
	parent []uint32       // of each state, by its number
	table  []uint64       // open addressing: numbers of states, plus one, below half of their hashes, which saves most comparisons; 0: free
	seed   maphash.Seed

	current int  // the state whose steps are being taken
	broken  bool // the last state violates what is promised

	sought   *modelState // while a story is told: the state that follows
	sentence string      // and how it comes about
	swap     bool        // the two reads change places by it
	swapped  bool        // they have changed places

	results results // see resultsOf

	heard map[string]bool // the texts of steps that were taken, if it is not nil
}

const chunkSize = 1 << 14

func (s *search) count() int { return len(s.parent) }

func (s *search) state(i int) *modelState { return &s.chunks[i/chunkSize][i%chunkSize] }

// explore returns the story of a shortest way to a violation, "" if there is none.
func (s *search) explore() (string, error) {
	s.seed = maphash.MakeSeed()
	s.table = make([]uint64, 1<<16)
	first := s.start()
	s.add(&first)
	for s.current = 0; s.current < s.count(); s.current++ {
		if s.count() > s.limit {
			return "", fmt.Errorf("there are more than %d states", s.limit)
		}
		s.steps(s.state(s.current))
		if s.broken {
			return s.story(), nil
		}
	}
	return "", nil
}

// to is called with each state that can follow the current one, and a sentence that tells how.
func (s *search) to(next modelState, text string, args ...int) {
	swap := s.canonical(&next)
	if s.sought != nil {
		if s.sentence == "" && next == *s.sought {
			s.sentence, s.swap = s.tell(text, args), swap
		}
		return
	}
	if s.heard != nil && s.current%16 == 0 { // that is enough, and costs less
		s.heard[text] = true
	}
	if !s.broken && s.add(&next) {
		s.broken = s.violation(s.state(s.current), &next) != ""
	}
}

// add tells whether g is new.
func (s *search) add(g *modelState) bool {
	if s.count()*2 > len(s.table) {
		s.grow()
	}
	entry, at := s.find(g)
	if s.table[at] != 0 {
		return false
	}
	if s.count()%chunkSize == 0 {
		s.chunks = append(s.chunks, make([]modelState, 0, chunkSize))
	}
	last := &s.chunks[len(s.chunks)-1]
	*last = append(*last, *g)
	s.parent = append(s.parent, uint32(s.current))
	s.table[at] = entry
	return true
}

// find returns where in the table g is or is to be, and the entry that is to be there if g is the next state.
func (s *search) find(g *modelState) (entry, at uint64) {
	hash := maphash.Comparable(s.seed, *g)
	half, mask := hash>>32<<32, uint64(len(s.table)-1)
	for at = hash & mask; ; at = (at + 1) & mask {
		e := s.table[at]
		if e == 0 || e>>32<<32 == half && *s.state(int(uint32(e) - 1)) == *g {
			return half | uint64(s.count()+1), at
		}
	}
}

func (s *search) grow() {
	s.table = make([]uint64, 2*len(s.table))
	for i := range s.count() {
		entry, at := s.find(s.state(i))
		s.table[at] = entry>>32<<32 | uint64(i+1)
	}
}

// story tells how the last state came about.
func (s *search) story() string {
	way := []int{s.count() - 1}
	for i := way[0]; i != 0; {
		i = int(s.parent[i])
		way = append(way, i)
	}
	slices.Reverse(way)
	var b strings.Builder
	fmt.Fprintf(&b, "%s.\n", s.variant)
	for x, n := range s.state(0).nodes[:s.nodes] {
		if n.joined() {
			fmt.Fprintf(&b, "%s has joined; its lease is valid for %d.\n", s.nodeName(x), n.lease)
		}
	}
	for n, i := range way[1:] {
		s.sought, s.sentence = s.state(i), ""
		s.steps(s.state(way[n]))
		fmt.Fprintf(&b, "%3d. %s\n", n+1, s.sentence)
		s.swapped = s.swapped != s.swap
	}
	fmt.Fprintf(&b, "So %s.\n", s.violation(s.state(way[len(way)-2]), s.state(way[len(way)-1])))
	return b.String()
}

// tell puts args into the text: %n is a node, %c a call, %v a state of the object, %d a number.
func (s *search) tell(text string, args []int) string {
	var b strings.Builder
	for {
		before, after, ok := strings.Cut(text, "%")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		switch after[0] {
		case 'n':
			b.WriteString(s.nodeName(args[0]))
		case 'c':
			b.WriteString(s.callName(args[0]))
		case 'v':
			b.WriteString(s.valueName(args[0]))
		default:
			fmt.Fprintf(&b, "%d", args[0])
		}
		text, args = after[1:], args[1:]
	}
}

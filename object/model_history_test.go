package object

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// violation says what is wrong with next that was not with g.
func (s *search) violation(g, next *modelState) string {
	if next.alarm == untold {
		return "the caller of a request that may have run asks, in time, what came of it, and cannot be told"
	}
	if next.alarm != 0 && s.variant == unbroken {
		return "there was an alarm, although nobody else wrote the object"
	}
	if g.calls == next.calls && g.store == next.store {
		return ""
	}
	for c, kind := range s.calls {
		switch there := holds(next.store.state(), c); {
		case !kind.changes():
		case there > 1 && kind.isOnce():
			return fmt.Sprintf("%s has taken effect twice", s.callName(c))
		case next.calls[c].phase == callAnswered && there == 0:
			return fmt.Sprintf("%s was acknowledged, and the store does not have it", s.callName(c))
		case (next.calls[c].phase == callFailed || next.calls[c].phase == callErred) && there > 0:
			return fmt.Sprintf("%s was said to have changed nothing, and the store has it", s.callName(c))
		}
	}
	if !s.linearizable(&next.calls, 0, 0) {
		return "no order of the calls explains the answers: " + s.answers(next)
	}
	return ""
}

// linearizable tells whether there is an order of the calls, those in done first, which have made the state, in which each answer is right, and
// none comes before one that was answered before it began.
func (s *search) linearizable(calls *[3]modelCall, done, state uint8) bool {
	rest := false
	for c := range calls {
		u := &calls[c]
		answered := u.phase == callAnswered || u.phase == callErred
		if done>>c&1 != 0 || s.calls[c] == noCall || !answered && (!s.calls[c].changes() || u.phase == callFailed || u.phase == callIdle) {
			continue
		}
		rest = rest || answered
		if u.after&^done != 0 {
			continue
		}
		after := state
		if s.calls[c].changes() && u.phase != callErred {
			after = appendCall(state, c)
		}
		if (!answered || u.value == after) && s.linearizable(calls, done|1<<c, after) {
			return true
		}
	}
	return !rest
}

// answers tells what was answered.
func (s *search) answers(g *modelState) string {
	var all []string
	for c := range g.calls {
		u := &g.calls[c]
		if u.phase != callAnswered && u.phase != callErred {
			continue
		}
		text := fmt.Sprintf("%s was answered %s", s.callName(c), s.valueName(int(u.value)))
		for d := range g.calls {
			if u.after>>d&1 != 0 {
				text += ", after the answer to " + s.callName(d)
			}
		}
		all = append(all, text)
	}
	return strings.Join(all, "; ")
}

func (s *search) nodeName(x int) string { return [...]string{"a", "b", "a (joined again)"}[x] }

func (s *search) callName(c int) string {
	if s.swapped && s.calls[c] == aRead {
		c = 3 - c
	}
	names := [...]string{"", "update", "insert", "read", "request", "request"}
	n := 1
	for _, k := range s.calls[:c] {
		if names[k] == names[s.calls[c]] {
			n++
		}
	}
	return fmt.Sprintf("%s %d", names[s.calls[c]], n)
}

func (s *search) valueName(v int) string {
	if v == 0 {
		return "empty"
	}
	var names []string
	for ; v != 0; v >>= 2 {
		names = append(names, s.callName(v&3-1))
	}
	slices.Reverse(names)
	return "[" + strings.Join(names, ", ") + "]"
}

func TestLinearizable(t *testing.T) {
	w, i, r := anUpdate, anInsert, aRead
	const empty, one, both = 0, 1, 1<<2 | 2 // [], [call 0], [call 0, call 1]
	done := func(value, after uint8) modelCall { return modelCall{phase: callAnswered, value: value, after: after} }
	pending, unknown, failed := modelCall{phase: callRan}, modelCall{phase: callUnknown}, modelCall{phase: callFailed}
	for _, c := range []struct {
		name  string
		kinds [3]callKind
		calls [3]modelCall
		want  bool
	}{
		{"a read after an update sees it", [3]callKind{w, r}, [3]modelCall{done(one, 0), done(one, 1)}, true},
		{"a read after an update does not see it", [3]callKind{w, r}, [3]modelCall{done(one, 0), done(empty, 1)}, false},
		{"a read beside an update does not see it", [3]callKind{w, r}, [3]modelCall{done(one, 0), done(empty, 0)}, true},
		{"a read before an update sees it", [3]callKind{w, r}, [3]modelCall{done(one, 2), done(one, 0)}, false},
		{"a read sees what is under way", [3]callKind{w, r}, [3]modelCall{pending, done(one, 0)}, true},
		{"a read sees what nobody knows of", [3]callKind{w, r}, [3]modelCall{unknown, done(one, 0)}, true},
		{"a read does not see what nobody knows of", [3]callKind{w, r}, [3]modelCall{unknown, done(empty, 0)}, true},
		{"a read sees what has failed", [3]callKind{w, r}, [3]modelCall{failed, done(one, 0)}, false},
		{"a read sees what nobody called", [3]callKind{w, r}, [3]modelCall{{}, done(one, 0)}, false},
		{"what was seen is gone", [3]callKind{w, r, r}, [3]modelCall{pending, done(one, 0), done(empty, 2)}, false},
		{"what was seen at the same time is gone", [3]callKind{w, r, r}, [3]modelCall{pending, done(one, 0), done(empty, 0)}, true},
		{"an error tells of what is under way", [3]callKind{w, i}, [3]modelCall{pending, done(one, 0)}, true},
		{"an error tells of what is undone", [3]callKind{w, i, r}, [3]modelCall{pending, done(one, 0), done(empty, 2)}, false},
		{"the second of two updates sees the first", [3]callKind{w, w}, [3]modelCall{done(one, 0), done(both, 1)}, true},
		{"the second of two updates does not", [3]callKind{w, w}, [3]modelCall{done(one, 0), done(2, 1)}, false},
		{"a request that has failed on a state that there was", [3]callKind{aRequest, w}, [3]modelCall{{phase: callErred, value: empty}, done(2, 0)}, true},
		{"a request that has failed on a state that there was not", [3]callKind{aRequest, w}, [3]modelCall{{phase: callErred, value: empty, after: 2}, done(2, 0)}, false},
		{"a request in doubt", [3]callKind{aRequest, r}, [3]modelCall{{phase: callDoubt}, done(one, 0)}, true},
		{"an update that has taken effect twice", [3]callKind{w, w}, [3]modelCall{done(one<<4|2<<2|one, 0), done(both, 0)}, false},
	} {
		s := &search{model: &model{calls: c.kinds}}
		if got := s.linearizable(&c.calls, 0, 0); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

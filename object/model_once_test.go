package object

import (
	"errors"

	"github.com/google/uuid"
)

// Updates that run exactly once, in the model. One caller makes them all, and numbers them in the order of the model's calls. What a node keeps of them
// is read and changed by the very functions of results.go.
//
// A first attempt is on its way for any time, to whichever node, and so it stays when its caller has sent another one. Later attempts are alike, and there may be any
// number of them: from when there is the first one on, one may arrive anywhere at any time, also when the caller has long had its answer.

// What a modelCall's at says of a request.
const (
	firstOut    = 1 << 0 // its first attempt is on its way, or waits to be run
	laterOut    = 1 << 1 // so may be later ones
	firstFailed = 1 << 2 // its first attempt has run and changed nothing, which is recorded nowhere
	floorAt     = 3      // from here on: the floor that its attempts carry
)

// A request's first attempt is the bit of its number in sets of calls, like any other call. A later one is the bit laterBits further up.
const laterBits = 4

// kept is what a record, or a node, has of recent updates: its caller's floor in two bits, 0 if it has nothing of the caller, then an outcome in three
// bits of each: 0 none, 1 it has changed the state, 2 or more: it has failed on a state of two updates less than that.
type kept uint16

const itHasChanged = 1

func failedOn(state uint8) uint8 { return 2 + updatesIn(state) }

func (k kept) outcome(c int) uint8 { return uint8(k >> (2 + 3*c) & 7) }

var (
	theCaller = uuid.UUID{1}
	outcomes  = [8][]byte{nil, {1}, {2}, {3}, {4}, {5}, {6}, {7}}
)

// resultsOf is k as the program has it. It is good until the next call.
func (s *search) resultsOf(k kept) *results {
	t := &s.results
	*t = results{callers: t.callers[:0]}
	if floor := k & 3; floor > 0 {
		caller := t.grow()
		caller.id, caller.floor = theCaller, uint64(floor)
		for c := range s.calls {
			if o := k.outcome(c); o != 0 {
				caller.all = append(caller.all, result{uint64(c + 1), outcomes[o]})
			}
		}
	}
	return t
}

func keptOf(t *results) (k kept) {
	for _, caller := range t.callers {
		k = kept(caller.floor)
		for _, r := range caller.all {
			k |= kept(r.outcome[0]) << (2 + 3*(r.number-1))
		}
	}
	return k
}

func (s *search) numbered(call *modelCall, c int) Numbered {
	return Numbered{ID: RequestID{Caller: theCaller, Number: uint64(c + 1)}, Floor: uint64(call.at >> floorAt)}
}

// recall asks the rule what is kept of c. err says that it can neither be told nor run.
func (s *search) recall(k kept, call *modelCall, c int) (outcome uint8, err error) {
	if s.variant == retriedWithoutID {
		return 0, nil
	}
	n := s.numbered(call, c)
	found, err := s.resultsOf(k).find(Key{}, &n)
	if err != nil && s.variant == ranBelowFloor {
		return 0, nil
	}
	if found != nil {
		outcome = found[0]
	}
	return outcome, err
}

// record has the rules heed the floor that comes with c, and keep the outcome if there is one.
func (s *search) record(k kept, call *modelCall, c int, outcome uint8) kept {
	if s.variant == retriedWithoutID {
		return 0
	}
	n := s.numbered(call, c)
	t := s.resultsOf(k)
	t.heed(&n)
	if outcome != 0 {
		t.add(&n, outcomes[outcome])
	}
	t.trim() // the program does so when it puts them: what is below the floor is refused before that, too
	return keptOf(t)
}

// begin: the caller makes its first attempt. Its numbers are in order: an earlier request has begun by then. Its floor is the first of its requests that is not over.
func (s *search) begin(g *modelState, c int) {
	floor := c + 1
	for d := c - 1; d >= 0; d-- {
		if !s.calls[d].isOnce() {
			continue
		}
		if g.calls[d].phase == callIdle {
			s.begin(g, d)
		}
		if g.calls[d].phase < callAnswered && s.variant != floorTooSoon {
			floor = d + 1
		}
	}
	g.calls[c] = modelCall{phase: callSent, at: firstOut | uint8(floor)<<floorAt, after: g.answered()}
}

// waits tells whether the caller does not make c yet.
func (s *search) waits(g *modelState, c int) bool {
	for d := range c {
		if s.inTurn && s.calls[d].isOnce() && g.calls[d].phase < callAnswered {
			return true
		}
	}
	return false
}

// asks are the steps of a request's caller.
func (s *search) asks(g *modelState, c int) {
	next := *g
	u := &next.calls[c]
	switch g.calls[c].phase {
	case callIdle:
		if s.waits(g, c) {
			return
		}
		s.begin(&next, c)
		next.doubts(c)
		s.to(next, "%c is sent. No answer comes, and its caller sends it again.", c)
	case callSent:
		next.doubts(c)
		s.to(next, "The caller of %c has no answer, and sends it again.", c)
	case callDoubt:
		if s.givesUp {
			u.phase = callUnknown
			s.to(next, "The caller of %c has waited for long enough, and takes its outcome for unknown.", c)
		}
	}
}

// doubts: the caller of c does not know whether its first attempt has run, or will.
func (g *modelState) doubts(c int) {
	u := &g.calls[c]
	u.phase = callDoubt
	u.at |= laterOut
}

// believes asks the router's rule whether a caller in doubt takes an error for the last word on its update.
func believes(err error) bool {
	w := way{r: &Request{Numbered: Numbered{ID: RequestID{Caller: theCaller}}}, doubt: func() {}}
	return !w.uncertain(err)
}

var (
	errMethod   = errors.New("the method's")
	errRecorded = &finalError{errMethod}
)

// arrives: an attempt of c, the first or a later one, comes to x, which owns the object. It is told what came of an earlier one, or runs.
func (s *search) arrives(g *modelState, c, x int, later bool) {
	n := &g.nodes[x]
	idle := g.calls[c].phase == callIdle
	out, bit := uint8(firstOut), uint8(1)<<c
	if later {
		out, bit = laterOut, bit<<laterBits
	}
	if n.phase != mAwake || n.verdict() != answerNow || (n.ran|n.batch)&bit != 0 || g.calls[c].at&out == 0 && (later || !idle || s.waits(g, c)) {
		return
	}
	next := *g
	m, u := &next.nodes[x], &next.calls[c]
	if idle {
		s.begin(&next, c)
	}
	if !later {
		u.at &^= firstOut
	}
	heard := u.phase == callSent && !later || u.phase == callDoubt && later
	switch outcome, err := s.recall(n.kept, u, c); {
	case err != nil && heard:
		u.phase, next.alarm = callUnknown, untold
		s.to(next, "%n has to refuse %c: its caller has said that it is done with.", x, c)
	case err != nil && !later:
		s.to(next, "The first attempt of %c comes late to %n, which refuses it: its caller is done with it.", c, x)
	case err != nil:
	case outcome != 0 && heard && s.variant == toldBeforePut:
		u.tell(m.cur, outcome, c)
		s.to(next, "%n is asked for %c again, knows what came of it, and tells so at once.", x, c)
	case outcome != 0 && heard:
		m.ran |= bit
		s.to(next, "%n is asked for %c again, and knows what came of it.", x, c)
	case outcome != 0 && !later:
		s.to(next, "The first attempt of %c comes late to %n, which knows what came of it.", c, x)
	case outcome != 0:
	case updatesIn(n.cur) == maxCalls: // broken, and about to be found
	default:
		m.ran |= bit
		if s.calls[c] == aFickle {
			s.fails(next, c, x, later)
		}
		m.cur = appendCall(n.cur, c)
		m.kept = s.record(n.kept, u, c, itHasChanged)
		s.to(next, which(later)+" of %c runs at %n and makes the state %v.", c, x, int(m.cur))
	}
}

func which(later bool) string {
	if later {
		return "A later attempt"
	}
	return "The first attempt"
}

// fails: the attempt of c that has come to x changes nothing. From the second one on that is recorded. That another one may have changed
// something is no contradiction: its context was another one, and the time of day.
func (s *search) fails(next modelState, c, x int, later bool) {
	n, u := &next.nodes[x], &next.calls[c]
	var outcome uint8
	if later {
		outcome = failedOn(n.cur)
	} else {
		u.at |= firstFailed
		if u.phase < callAnswered {
			u.value = n.cur
		}
	}
	n.kept = s.record(n.kept, u, c, outcome)
	s.to(next, which(later)+" of %c runs at %n on the state %v, and fails.", c, x, int(n.cur))
}

// tell: the caller hears what is kept of c, which has run on the way to the state.
func (u *modelCall) tell(state, outcome uint8, c int) {
	if outcome > itHasChanged {
		u.phase, u.value = callErred, firstOf(state, outcome-failedOn(0))
		return
	}
	u.phase, u.value = callAnswered, state
	for ; u.value != 0; u.value >>= 2 {
		if int(u.value&3) == c+1 {
			break
		}
	}
}

// answerRequest answers the attempts of c that are in the batch. The answers of later attempts may be lost; that of the first is when its caller is in doubt.
func (s *search) answerRequest(g *modelState, c, x int, batch uint8, lost bool) {
	u, known := &g.calls[c], g.nodes[x].known
	first, later := batch>>c&1 != 0, batch>>(c+laterBits)&1 != 0
	outcome := known.kept().outcome(c)
	switch s.variant {
	case retriedWithoutID:
		outcome = itHasChanged
	case failureUnrecorded:
		outcome = g.nodes[x].kept.outcome(c)
	}
	switch {
	case first && u.phase == callSent && u.at&firstFailed != 0:
		u.phase = callErred
	case first && u.phase == callSent:
		u.tell(known.state(), outcome, c)
	case first && u.phase == callDoubt && u.at&firstFailed != 0 && (believes(errMethod) || s.variant == unrecordedBelieved):
		u.phase = callErred
	case !later || lost || u.phase != callDoubt:
	case outcome == itHasChanged || outcome > itHasChanged && believes(errRecorded):
		u.tell(known.state(), outcome, c)
	}
	if first {
		u.at &^= firstFailed
	}
}

// dropRequest: x ends its activation with attempts of c in it. Who waits for the first one hears whether it may have run.
func (s *search) dropRequest(g *modelState, c, x int) {
	n, u := &g.nodes[x], &g.calls[c]
	bit := uint8(1) << c
	if (n.batch|n.ran)&bit != 0 {
		wrote := n.batch&bit != 0 && u.at&firstFailed == 0
		u.at &^= firstFailed
		if u.phase == callSent && wrote {
			g.doubts(c)
		} else if u.phase == callSent {
			u.phase = callFailed
		}
	}
}

// refuseRequest: the put of what attempts of c in the batch have made has surely come to nothing. Those that have failed run again.
func (s *search) refuseRequest(g *modelState, c, x int) {
	n, u := &g.nodes[x], &g.calls[c]
	if bit := uint8(1) << c; n.batch&bit != 0 && u.at&firstFailed == 0 {
		n.batch &^= bit
		if u.phase == callSent {
			u.phase = callFailed
		}
	}
}

// rerunRequest: attempts of c that have run at x run again, here or elsewhere.
func (s *search) rerunRequest(g *modelState, c, x int) {
	n, u := &g.nodes[x], &g.calls[c]
	if (n.batch|n.ran)>>c&1 != 0 {
		u.at = u.at&^firstFailed | firstOut
	}
}

// dirty tells whether what has run is to be put: it has changed the state, or what came of it is to be recorded.
func (s *search) dirty(n *modelNode) bool {
	if n.cur != n.known.state() {
		return true
	}
	for c := range s.calls {
		if o := n.kept.outcome(c); o != 0 && o != n.known.kept().outcome(c) && !(o > itHasChanged && s.variant == failureUnrecorded) {
			return true
		}
	}
	return false
}

// outstanding tells whether an attempt of c may still change the record: one is on its way, and the record does not say that it has been made.
func (s *search) outstanding(g *modelState, c int) bool {
	u, k := &g.calls[c], g.store.kept()
	return u.at&(firstOut|laterOut) != 0 && (s.variant != unbroken || k.outcome(c) == 0 && int(k&3) <= c+1)
}

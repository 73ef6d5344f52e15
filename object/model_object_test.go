package object

import "slices"

// The object's part of the model: calls, updates, puts and the store.
//
// A call begins with the first step that it takes at a node, and is answered with the last: were it sent sooner, or answered later, fewer calls would
// have to come before or after it, so no violation is lost. Likewise a call whose outcome its client never hears of is one that is never answered.

// reads are the steps of a read. It takes the committed state, then checks the lease, then answers.
func (s *search) reads(g *modelState, c, x int) {
	call, n := &g.calls[c], &g.nodes[x]
	next := *g
	r := &next.calls[c]
	checkFirst := s.variant == checkedBeforeSampled
	switch {
	case call.phase == callIdle && !n.readable():
	case call.phase == callIdle && checkFirst:
		if n.verdict() == answerNow {
			*r = modelCall{callChecked, uint8(x), 0, g.answered()}
			s.to(next, "%c begins at %n: its lease is valid, still for %d.", c, x, int(n.lease))
		}
	case call.phase == callIdle:
		*r = modelCall{callSampled, uint8(x), n.known.state(), g.answered()}
		s.to(next, "%c begins at %n and takes its committed state, %v.", c, x, int(r.value))
	case int(call.at) != x:
	case call.phase == callChecked && n.readable():
		r.phase, r.value, r.at = callAnswered, n.known.state(), 0
		s.to(next, "%c takes the committed state of %n and is answered: %v.", c, x, int(r.value))
	case call.phase == callSampled && (n.verdict() == answerNow || s.variant == readUnchecked):
		r.phase, r.at = callAnswered, 0
		s.to(next, "%c is answered: %v. The lease of %n is valid, still for %d.", c, int(r.value), x, int(n.lease))
	case call.phase == callSampled:
		*r = modelCall{}
		s.to(next, "%c finds the lease of %n lapsed, and begins anew.", c, x)
	}
}

// readable tells whether there is a state to be read. A state that has been let go is there in the variant alone that leaves it.
func (n *modelNode) readable() bool {
	return n.phase == mAwake || (n.phase == mReleased || n.phase == mDeleted) && n.flags&leftReadable != 0
}

// runs: an update runs on the newest state of a node whose lease is valid. What it makes waits for a put.
func (s *search) runs(g *modelState, c, x int) {
	n := &g.nodes[x]
	if n.phase != mAwake || g.calls[c].phase != callIdle && g.calls[c].phase != callAgain || n.verdict() != answerNow && s.variant != acceptedUnchecked {
		return
	}
	next := *g
	m := &next.nodes[x]
	u := &next.calls[c]
	if u.phase == callIdle {
		u.after = g.answered()
	}
	u.phase, u.value = callRan, n.cur
	if s.calls[c] == anInsert {
		if s.variant == errorBeforePut {
			u.phase = callAnswered
			s.to(next, "%c runs at %n on the state %v, and its error tells so at once.", c, x, int(n.cur))
			return
		}
		m.ran |= 1 << c
		s.to(next, "%c runs at %n on the state %v, and fails.", c, x, int(n.cur))
		return
	}
	u.value = appendCall(n.cur, c)
	m.cur = u.value
	m.ran |= 1 << c
	s.to(next, "%c runs at %n and makes the state %v.", c, x, int(u.value))
}

// writesOf are the steps of a node's put.
func (s *search) writesOf(g *modelState, x int) {
	n := &g.nodes[x]
	if n.phase != mAwake {
		return
	}
	next := *g
	m := &next.nodes[x]
	switch n.writes {
	case noPut:
		s.begins(g, x)
	case putSent:
		if g.store == n.known {
			m.writes = putTaken
			next.wroteStore(n.put)
			s.to(next, "The put of %n takes effect.", x)
		} else {
			m.writes = putMet
			s.to(next, "The put of %n finds another record than it was to follow.", x)
		}
		s.attempt(g, x, putUnknown, "The attempt of %n to put comes to nothing that it knows of; it sends the same again.")
		if s.variant != resultsApart {
			s.attempt(g, x, putRefused, "The store refuses this attempt of %n for another reason.")
		}
	case putTaken:
		s.attempt(g, x, putOK, "%n hears that its put is durable.")
		s.attempt(g, x, putUnknown, "The answer to %n is lost; it sends the same put again.")
	case putMet:
		s.attempt(g, x, putCondition, "%n hears that the store has another record.")
		s.attempt(g, x, putUnknown, "The answer to %n is lost; it sends the same put again.")
	case lookSent:
		m.writes, m.found = lookDone, g.store
		s.to(next, "%n reads the record that is there: %v.", x, int(g.store.state()))
	case lookDone:
		s.decides(g, x)
	case putDurable:
		if n.verdict() == answerNow || s.variant == writeUnchecked {
			m.writes, m.batch = noPut, 0
			if m.ran == 0 && s.variant != resultsLost && s.variant != failureUnrecorded {
				m.kept = n.known.kept() // an object with nothing to do has nothing but its record
			}
			if s.heardLater(g, n.batch) {
				lost := next
				s.answer(&lost, x, n.batch, true)
				s.to(lost, "%n answers what is durable; its lease is valid, still for %d. The answers to later attempts are lost.", x, int(n.lease))
			}
			s.answer(&next, x, n.batch, false)
			text := "%n answers what is durable; its lease is valid, still for %d."
			if s.variant == unrecordedBelieved && next.calls != g.calls {
				text += " The caller, in doubt or not, believes it."
			}
			s.to(next, text, x, int(n.lease))
		}
	}
}

// answer tells the callers of the batch what came of their calls.
func (s *search) answer(g *modelState, x int, batch uint8, lost bool) {
	for c := range g.calls {
		if s.calls[c].isOnce() {
			s.answerRequest(g, c, x, batch, lost)
		} else if batch>>c&1 != 0 {
			g.calls[c].phase = callAnswered
		}
	}
}

// heardLater tells whether the caller of a request waits for what a later attempt in the batch comes to.
func (s *search) heardLater(g *modelState, batch uint8) bool {
	for c := range g.calls {
		if batch>>(c+laterBits)&1 != 0 && g.calls[c].phase == callDoubt {
			return true
		}
	}
	return false
}

// wroteStore changes the record. A put that is late can take effect only while the store has what it was to follow, and no record comes twice, for each is
// Newer than the one before: so those late puts are void.
func (g *modelState) wroteStore(b blob) {
	g.store, g.late = b, [4]blob{}
}

// begins: what has run becomes the next put, or is durable already.
func (s *search) begins(g *modelState, x int) {
	n := &g.nodes[x]
	if n.ran == 0 {
		return
	}
	next := *g
	m := &next.nodes[x]
	m.batch, m.ran = n.ran, 0
	if !s.dirty(n) {
		m.writes = putDurable
		s.to(next, "%n has nothing to put for what has run.", x)
		return
	}
	if s.variant == resultsApart && n.cur != n.known.state() {
		s.sends(&next, x, n.known.kept())
	} else {
		s.sends(&next, x, n.kept)
	}
	if s.variant == answerBeforePut {
		s.answer(&next, x, m.batch, false)
		m.batch = 0
		s.to(next, "%n answers what has run and sends the put of %v.", x, int(n.cur))
		return
	}
	s.to(next, "%n sends the put of %v.", x, int(n.cur))
}

// sends: x sends the put of its state and of what it keeps.
func (s *search) sends(g *modelState, x int, k kept) {
	n := &g.nodes[x]
	last := n.known.record()
	var r Record
	r.Incarnation[0] = uint8(x % 2)
	r.Epoch, r.Version = nextEpoch(last.Epoch, n.known != 0 && last.Incarnation == r.Incarnation), last.Version+1
	if s.variant != constantWriteID {
		r.WriteID[0] = g.freshID()
	}
	n.put, n.writes = newBlob(&r, n.cur, k), putSent
	n.flags &^= inDoubt
}

// attempt takes the result of one attempt to put.
func (s *search) attempt(g *modelState, x int, result putResult, text string) {
	next := *g
	m := &next.nodes[x]
	step := afterPut(result, m.flags&inDoubt != 0)
	if s.variant == conditionIsFailure && result == putCondition {
		step = stepRefuse
	}
	switch step {
	case stepDone:
		text += s.commits(&next, x, m.put)
	case stepLook:
		m.writes = lookSent
	case stepAgain:
		m.writes = putSent
		m.flags |= inDoubt
	case stepRefuse:
		for c := range next.calls {
			if s.calls[c].isOnce() {
				s.refuseRequest(&next, c, x)
			} else if m.batch>>c&1 != 0 && s.calls[c] == anUpdate {
				next.calls[c].phase = callFailed
				m.batch &^= 1 << c
			}
		}
		s.rewind(&next, x)
		if s.variant == conditionIsFailure && result == putCondition {
			text += " It tells the callers that nothing has changed."
		}
	}
	s.to(next, text, x)
}

// commits: the record is the committed one. It returns what there is to tell of what follows.
func (s *search) commits(g *modelState, x int, b blob) (more string) {
	n := &g.nodes[x]
	n.known, n.writes, n.put, n.found = b, putDurable, 0, 0
	n.flags = hasWritten
	if s.variant == resultsApart && s.dirty(n) {
		s.sends(g, x, n.kept)
		more = " It sends another one, of the result."
	}
	return more
}

// rewind: what has run since the committed state runs again, here or elsewhere.
func (s *search) rewind(g *modelState, x int) {
	n := &g.nodes[x]
	for c := range g.calls {
		if s.calls[c].isOnce() {
			s.rerunRequest(g, c, x)
		} else if (n.batch|n.ran)>>c&1 != 0 {
			g.calls[c] = modelCall{phase: callAgain, after: g.calls[c].after}
		}
	}
	n.batch, n.ran, n.writes, n.put, n.found = 0, 0, noPut, 0, 0
	n.flags &^= inDoubt
	n.cur, n.kept = n.known.state(), n.known.kept()
}

// decides: x has read what stands where its record was to go.
func (s *search) decides(g *modelState, x int) {
	n := &g.nodes[x]
	ours, last, there := n.put.record(), n.known.record(), n.found.record()
	before := &last
	if n.known == 0 {
		before = nil
	}
	f := foundOther
	switch {
	case n.found == 0:
		f = foundNone
	case there.WriteID == ours.WriteID:
		f = foundOurs
	case !there.Newer(before):
		f = foundOlder
	}
	next := *g
	m := &next.nodes[x]
	valid := n.verdict() == answerNow || s.variant == adoptedUnchecked
	switch afterLook(f, valid, n.flags&hasWritten != 0, n.flags&inDoubt != 0) {
	case stepDone:
		more := s.commits(&next, x, n.found)
		s.to(next, "%n finds that the record is its own."+more, x)
	case stepAdopt:
		m.known = n.found
		s.rewind(&next, x)
		s.to(next, "%n adopts it, the late write of a former owner, and runs its updates again.", x)
	case stepWait:
		m.writes, m.found = lookSent, 0
		s.to(next, "%n waits for its lease to be renewed, and will look again.", x)
	default:
		next.alarm = clash
		s.letsGo(&next, x)
		s.to(next, "%n raises the alarm that somebody else writes the object, and lets it go.", x)
	}
}

// tearDown ends the activation: what it had under way is answered as far as anybody can know. A put that is on its way may still take effect.
func (s *search) tearDown(g *modelState, x int) {
	n := &g.nodes[x]
	for c := range g.calls {
		switch {
		case s.calls[c].isOnce():
			s.dropRequest(g, c, x)
		case n.batch>>c&1 != 0 && s.calls[c] == anUpdate:
			g.calls[c] = modelCall{phase: callUnknown, after: g.calls[c].after}
		case (n.batch|n.ran)>>c&1 != 0:
			g.calls[c] = modelCall{phase: callFailed}
		}
	}
	late := n.put.named(0) // nobody compares it any more
	if n.writes != putSent || g.store != n.known || slices.Contains(g.late[:], late) {
		return
	}
	g.late[slices.Index(g.late[:], 0)] = late // the models have no more
}

// endReads: the lease of x has ended. Reads that have taken its state find that, and begin anew.
func (s *search) endReads(g *modelState, x int) {
	for c := range g.calls {
		if s.calls[c] == aRead && (g.calls[c].phase == callSampled || g.calls[c].phase == callChecked) && int(g.calls[c].at) == x {
			g.calls[c] = modelCall{}
		}
	}
}

// letsGo: x gives the object up. Its lease goes on: a read that has taken the state may still be answered.
func (s *search) letsGo(g *modelState, x int) {
	n := &g.nodes[x]
	known, served := n.known, n.phase == mAwake
	s.tearDown(g, x)
	n.becomes(mReleased)
	if served && s.variant == readableAfterRelease {
		n.known, n.flags = known, leftReadable
	}
}

// releasing: x lets the object go, for good or in the middle of something.
func (s *search) releasing(g *modelState, x int) {
	n := &g.nodes[x]
	if n.phase != mAwake && n.phase != mWaiting {
		return
	}
	next := *g
	s.letsGo(&next, x)
	switch {
	case n.phase == mWaiting:
		s.to(next, "%n cannot load the record, and lets the object go.", x)
	case n.writes == noPut && n.ran == 0:
		s.to(next, "%n lets the object go and clears its state.", x)
	default:
		s.to(next, "%n lets the object go in the middle of a write, whose time is up, and clears its state.", x)
	}
}

// lateWrites: a put that nobody waits for takes effect.
func (s *search) lateWrites(g *modelState) {
	for _, b := range g.late {
		if b != 0 {
			next := *g
			if s.variant != constantWriteID {
				b = b.named(g.freshID())
			}
			next.wroteStore(b)
			s.to(next, "A late put takes effect: the record is %v.", int(b.state()))
		}
	}
}

package object

import "time"

// The registry's part of the model: sessions, leases, claims, and who is waited for. Each step is one that ZooKeeper orders among all others.
//
// Followers that lag are not modelled apart from pings, and nothing is lost by that: what a session reads never goes back and shows its own writes, so what
// a follower tells late could have been read of the leader sooner, its answer having been under way since. Any time may pass between two steps.
// For the same reason an answer that is lost, a partition, and a pause are no steps of their own: they are steps that come late or never.

// pass lets a tick go by. Counters stop where nothing asks for more, so that time is unbounded and the states are not.
func (s *search) pass(g *modelState) {
	next := *g
	for x := range s.nodes {
		n := &next.nodes[x]
		n.lease -= min(n.lease, 1)
		if left := n.renewal &^ carriedOut; left > 1 {
			n.renewal--
		}
		for y := range s.nodes {
			if t := n.lostFor(y); t >= 0 {
				n.setLost(y, min(t+1, int(s.leases[y])))
			}
		}
		if t := n.evicts &^ renewedSince; t > 0 && t <= s.leases[s.suspect(x)] {
			n.evicts++
		}
	}
	s.to(next, "A tick passes.")
}

// suspect is whom x can evict, and whose restart it can be.
func (s *search) suspect(x int) int { return 1 - x%2 }

func (n *modelNode) joined() bool { return n.phase >= mJoined && n.phase < mOver }

// verdict asks the rule for answers. The clock shows 0, as far as x knows.
func (n *modelNode) verdict() answer {
	return mayAnswer(0, time.Duration(n.lease)*modelTick, 1000*modelTick, !n.joined())
}

// outwaited asks the rule for the takeover wait. Of the wait's length the model rounds off what is longer than the lease: its clocks run at one rate.
func (s *search) outwaited(n *modelNode, x int, lost nodeSet) bool {
	var all [maxSessions]LostMember
	k := 0
	for y := range s.nodes {
		if lost.has(y) {
			length := s.leases[y]
			if s.variant == ownLeaseLength {
				length = s.leases[x]
			}
			all[k] = LostMember{Seen: -time.Duration(n.lostFor(y)) * modelTick, Lease: time.Duration(length) * modelTick}
			k++
		}
	}
	return ServeAt(all[:k])/modelTick <= 0
}

func (s *search) session(g *modelState, x int) {
	n := &g.nodes[x]
	if n.phase == mOut && (x < 2 || g.nodes[x-2].phase == mOver) {
		next := *g
		next.member, next.live, next.open = g.member.with(x), g.live.with(x), g.open.with(x)
		next.nodes[x].phase, next.nodes[x].lease = mJoined, s.leases[x]
		s.to(next, "%n joins; its lease is valid for %d.", x, int(s.leases[x]))
	}
	if g.open.has(x) {
		next := *g
		next.open, next.live = g.open.without(x), g.live.without(x)
		next.unclaim(x)
		s.to(next, "ZooKeeper ends the session of %n; its live node and its claims are gone.", x)
	}
	if n.joined() {
		s.renewals(g, x)
		s.learns(g, x)
	}
	if n.phase == mOver && g.member.has(x) {
		next := *g
		next.member, next.live = g.member.without(x), g.live.without(x)
		s.to(next, "%n, which serves nothing any more, removes its own pair.", x)
	}
	if s.proof && n.joined() && x == 0 {
		next := *g
		s.tearDown(&next, x)
		s.endReads(&next, x)
		next.nodes[x] = modelNode{phase: mDead}
		s.to(next, "The process of %n is killed.", x)
	}
}

// renewals are the steps of the lease. One renewal is in flight at a time. One sent within a tick of the last acknowledged one would change nothing.
func (s *search) renewals(g *modelState, x int) {
	n := &g.nodes[x]
	full := s.leases[x]
	switch {
	case s.variant == renewedByPings:
		if n.lease < full {
			next := *g
			next.nodes[x].lease = full
			s.to(next, "A follower answers a ping of %n, which takes its lease for valid for %d.", x, int(full))
		}
	case n.renewal == 0 && g.live.has(x) && n.lease < full:
		next := *g
		next.nodes[x].renewal = full + 1
		if !s.evictions { // when it is carried out matters only to who looks at the live node's version
			next.nodes[x].renewal |= carriedOut
		}
		s.to(next, "%n sends a renewal of its lease.", x)
	case n.renewal != 0 && n.renewal&carriedOut == 0:
		next := *g
		next.nodes[x].renewal |= carriedOut
		for y := range s.nodes {
			if m := &next.nodes[y]; m.evicts != 0 && s.suspect(y) == x {
				m.evicts |= renewedSince
			}
		}
		s.to(next, "ZooKeeper carries the renewal of %n out.", x)
	case n.renewal != 0:
		next := *g
		m := &next.nodes[x]
		m.lease, m.renewal = max(n.lease, n.renewal&^carriedOut-1), 0
		if s.variant == countedFromAcknowledgement {
			m.lease = full
		}
		s.to(next, "%n has the renewal acknowledged; its lease is valid for %d.", x, int(m.lease))
	}
}

// learns: a node learns that its session is over, or gives it up. It tears down what it serves.
func (s *search) learns(g *modelState, x int) {
	if s.variant == connectionReused && !g.open.has(x) {
		next := *g
		next.open, next.live = g.open.with(x), g.live.with(x)
		next.nodes[x].renewal = 0
		s.to(next, "%n learns that its session is over, and goes on with a new one; its live node is made again.", x)
		return
	}
	next := *g
	s.tearDown(&next, x)
	s.endReads(&next, x)
	lost := next.nodes[x].lost
	next.nodes[x] = modelNode{phase: mOver, lost: lost}
	if g.live.has(x) {
		s.to(next, "%n gives up its session and tears down what it serves.", x)
	} else {
		s.to(next, "%n learns that its session is over and tears down what it serves.", x)
	}
}

// claiming is how a node comes to own the object.
func (s *search) claiming(g *modelState, x int) {
	n := &g.nodes[x]
	next := *g
	m := &next.nodes[x]
	switch n.phase {
	case mJoined, mEarly:
		if s.variant == liveReadFirst && n.phase == mJoined {
			m.phase, m.saw = mEarly, g.live
			s.to(next, "%n lists who lives.", x)
		} else if g.open.has(x) && !g.claimed(x) {
			next.claim(x)
			m.phase = mClaimed
			s.to(next, "%n makes a claim.", x)
		}
	case mClaimed:
		s.contends(g, x)
	case mWon:
		if g.open.has(x) {
			m.phase, m.saw = mListed, g.member
			s.to(next, "%n lists the members.", x)
		}
	case mListed:
		if !g.open.has(x) {
			return
		}
		m.phase, m.saw = mWaiting, 0
		for y := range s.nodes {
			if !n.saw.has(y) || g.live.has(y) {
				continue
			}
			if n.lostFor(y) < 0 {
				if !g.member.has(y) { // the second look: it has retired, or was removed by who had waited for it
					continue
				}
				m.setLost(y, 0)
			}
			m.saw = m.saw.with(y)
		}
		if s.variant == loadBeforeWait {
			m.known = g.store
		}
		if m.saw == 0 {
			s.to(next, "%n lists who lives: nobody was lost, it need not wait.", x)
		} else {
			s.to(next, "%n lists who lives: a member was lost, whose lease it must outwait.", x)
		}
	case mWaiting:
		if s.variant != noTakeoverWait && !s.outwaited(n, x, n.saw) {
			return
		}
		m.phase, m.saw = mAwake, 0
		if s.variant != loadBeforeWait {
			m.known = g.store
		}
		m.cur, m.kept = m.known.state(), m.known.kept()
		if s.variant == resultsLost {
			m.kept = 0
		}
		s.to(next, "%n loads the record (%v) and serves the object.", x, int(m.cur))
	case mReleased:
		if !g.open.has(x) {
			return // it learns that its session is over
		}
		next.unclaim(x)
		if n.flags&leftReadable != 0 {
			m.phase = mDeleted
		} else { // when it hears of it makes no difference: nothing can be read in between
			m.becomes(mJoined)
		}
		s.to(next, "The claim of %n is deleted.", x)
	case mDeleted:
		m.becomes(mJoined)
		s.to(next, "%n hears that its claim is deleted, and forgets the object.", x)
	}
}

// becomes drops what n has of the object.
func (n *modelNode) becomes(p modelPhase) {
	*n = modelNode{phase: p, lease: n.lease, renewal: n.renewal, lost: n.lost, attends: n.attends, evicts: n.evicts}
}

// contends: x lists the container. Claims before its own whose pair is gone are void.
func (s *search) contends(g *modelState, x int) {
	if !g.open.has(x) {
		return
	}
	next := *g
	m := &next.nodes[x]
	live := g.live
	if s.variant == liveReadFirst {
		live = m.saw
	}
	m.saw = 0
	if !g.claimed(x) {
		m.becomes(mJoined)
		s.to(next, "%n lists the container: somebody has deleted its claim.", x)
		return
	}
	all, n := g.claimants()
	for _, y := range all[:n] {
		if y == x {
			break
		}
		if live.has(y) {
			next.unclaim(x)
			m.becomes(mJoined)
			s.to(next, "%n lists the container: %n owns the object. It deletes its own claim.", x, y)
			return
		}
		next.unclaim(y)
	}
	m.phase = mWon
	if next.claims != g.claims {
		s.to(next, "%n lists the container: the claim before its own is void, it deletes that and owns the object.", x)
	} else {
		s.to(next, "%n lists the container: it owns the object.", x)
	}
}

// attend is what a node does for lost members, through a connection of its own: it lists members, then who lives, and removes who is lost
// when its lease is over. In a model where nobody joins late the two lists are one step, since their order matters only to who joins in between.
func (s *search) attend(g *modelState, x int) {
	n := &g.nodes[x]
	if n.phase == mDead {
		return
	}
	const begun = 1 << 7
	liveFirst := s.variant == liveListedFirst
	if s.joins && n.attends == 0 {
		next := *g
		if liveFirst {
			next.nodes[x].attends = begun | uint8(g.live)
			s.to(next, "%n lists who lives, to look after lost members.", x)
		} else {
			next.nodes[x].attends = begun | uint8(g.member)
			s.to(next, "%n lists the members, to look after lost ones.", x)
		}
	} else {
		members, live := g.member, g.live
		if s.joins && liveFirst {
			live = nodeSet(n.attends &^ begun)
		} else if s.joins {
			members = nodeSet(n.attends &^ begun)
		}
		next := *g
		next.nodes[x].attends = 0
		for y := range s.nodes {
			if members.minus(live).has(y) && g.member.has(y) && n.lostFor(y) < 0 {
				next.nodes[x].setLost(y, 0)
			}
		}
		if next.nodes[x].lost != n.lost {
			s.to(next, "%n finds a member that does not live.", x)
		} else if s.joins {
			s.to(next, "%n finds nobody else lost.", x)
		}
	}
	for y := range s.nodes {
		atOnce := s.variant == deletedAtOnce
		if n.lostFor(y) < 0 || !g.member.has(y) || !atOnce && !s.outwaited(n, x, nodeSet(0).with(y)) || g.live.has(y) && !liveFirst {
			continue
		}
		next := *g
		next.member = g.member.without(y)
		s.to(next, "%n removes the lost member %n.", x, y)
	}
}

// evict: x removes the pair of a member that has not renewed since x has read its version, a takeover wait ago.
func (s *search) evict(g *modelState, x int) {
	n := &g.nodes[x]
	y := s.suspect(x)
	next := *g
	m := &next.nodes[x]
	since := n.evicts &^ renewedSince
	switch {
	case !g.live.has(y) || n.phase == mDead:
	case since == 0:
		m.evicts = 1
		s.to(next, "%n cannot reach %n, and reads the version of its live node.", x, y)
	case s.variant == evictionTooSoon || TakeoverWait(time.Duration(s.leases[y])*modelTick)/modelTick <= time.Duration(since-1):
		m.evicts = 0
		if n.evicts&renewedSince == 0 || s.variant == evictionUnguarded {
			next.member, next.live = g.member.without(y), g.live.without(y)
			s.to(next, "%n evicts %n: its pair is removed.", x, y)
		} else {
			s.to(next, "%n does not evict %n, which has renewed its lease.", x, y)
		}
	}
}

// restart: x was started in the place of y, in whose state directory it finds the lock of a process that is dead.
func (s *search) restart(g *modelState, x int) {
	y := s.suspect(x)
	if x != 1 || !g.member.has(y) {
		return
	}
	next := *g
	next.member, next.live = g.member.without(y), g.live.without(y)
	switch {
	case g.nodes[y].phase == mDead:
		s.to(next, "%n has the lock of %n, which must be dead, and removes its pair.", x, y)
	case s.variant == proofOfTheLiving:
		s.to(next, "%n takes %n for dead, whose lock it does not get, and removes its pair.", x, y)
	}
}

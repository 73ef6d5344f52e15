package registrytest

import (
	"time"

	"github.com/highlander-go/highlander/object"
)

func expiryIsTold(t T, c Cluster) {
	s := newScene(t, c)
	a, b := s.join("a"), s.join("b")
	old := s.claim(a, key("k"))
	s.expire(a)
	s.ends(a)
	s.claimSoon(b, key("k"))
	s.release(old) // after the end: no error, and not b's claim
	s.refused(s.join("c"), key("k"), b)
	s.ownerIs(key("k"), b)
}

// A lost owner that does not know may answer from memory until its lease is over. Every claim waits for that,
// also of a key that the lost owner never had: the new owner cannot know.
func takeoverWaitsForTheLostLease(t T, c Cluster) {
	s := newScene(t, c)
	a, b := s.join("a"), s.join("b")
	s.claim(a, key("k"))
	w := s.watch(a)
	defer w.end()
	s.disconnect(a)
	s.expire(a)
	taken := s.servesFrom(s.claimSoon(b, key("k")))
	other := s.servesFrom(s.claim(b, key("never owned")))
	last := s.endAt(max(taken, other)+s.Lease()/2, w)
	s.checkTakeover("what a owned", last, taken)
	s.checkTakeover("what a never owned", last, other)
	s.reconnect(a)
	s.ends(a)
}

// checkTakeover checks that the lost owner's lease was over when the new one began to serve.
func (s *scene) checkTakeover(what string, lastValid, servesFrom time.Duration) {
	s.Helper()
	if lastValid >= servesFrom {
		s.Errorf("the new owner of %s serves %v before the lost member's lease is over", what, lastValid-servesFrom)
	}
}

func laterNodesWaitToo(t T, c Cluster) {
	s := newScene(t, c)
	a := s.join("a")
	s.claim(a, key("k"))
	w := s.watch(a)
	defer w.end()
	s.disconnect(a)
	s.expire(a)
	b := s.join("b")
	from := s.servesFrom(s.claimSoon(b, key("k")))
	s.checkTakeover("what a owned", s.endAt(from+s.Lease()/2, w), from)
	s.reconnect(a)
}

// Members may run versions of a program that configure different leases.
func waitIsOfTheLostMembersLease(t T, c Cluster) {
	s := newScene(t, c)
	long, short := s.Lease(), s.Lease()/4
	longLived, shortLived := s.joinWithLease("long", long), s.joinWithLease("short", short)
	next, nextShort := s.joinWithLease("next", long), s.joinWithLease("next short", short)

	s.claim(shortLived, key("s"))
	s.disconnect(shortLived)
	s.expire(shortLived)
	claim := s.claimSoon(next, key("s"))
	if wait, most := claim.ServeAt()-s.clock(), object.TakeoverWait(short); wait > most {
		s.Errorf("the claim waits %v for a lost lease of %v; %v are enough", wait, short, most)
	}
	s.reconnect(shortLived)

	s.claim(longLived, key("l"))
	w := s.watch(longLived)
	defer w.end()
	s.disconnect(longLived)
	s.expire(longLived)
	from := s.servesFrom(s.claimSoon(nextShort, key("l")))
	s.checkTakeover("what a member of a longer lease owned", s.endAt(from+long, w), from)
	s.reconnect(longLived)
}

// A lost member is waited for once and then forgotten.
func waitEnds(t T, c Cluster) {
	s := newScene(t, c)
	a, b := s.join("a"), s.join("b")
	s.claim(a, key("k"))
	s.expire(a)
	s.claimSoon(b, key("k"))
	s.soon("a claim need not wait for the lost member any more", func() bool {
		claim := s.claim(b, key("other"))
		over := claim.ServeAt() <= s.clock()
		s.release(claim)
		return over
	})
}

// A session that is cut off for less than the session timeout keeps all that it has. Its lease is over meanwhile.
func shortDisconnectKeepsTheSession(t T, c Cluster) {
	s := newScene(t, c)
	a, b := s.join("a"), s.join("b")
	s.claim(a, key("k"))
	s.disconnect(a)
	s.refused(b, key("k"), a)
	s.soon("the lease of a lapses", func() bool { return !a.Lease().Valid() })
	s.refused(b, key("k"), a)
	s.reconnect(a)
	s.soon("the lease of a is valid again", a.Lease().Valid)
	if err := a.Lease().Err(); err != nil {
		s.Errorf("the session of a has ended: %v", err)
	}
	s.refused(b, key("k"), a)
	s.ownerIs(key("k"), a)
	s.claim(a, key("another"))
	s.noWait(s.claim(b, key("third")), "nobody was lost")
}

// A session that is cut off for longer than the session timeout is over, and stays so.
func longDisconnectEndsTheSession(t T, c Cluster) {
	s := newScene(t, c)
	a, b := s.join("a"), s.join("b")
	old := s.claim(a, key("k"))
	w := s.watch(a)
	defer w.end()
	s.disconnect(a)
	from := s.servesFrom(s.claimSoon(b, key("k")))
	s.soon("the new owner serves", func() bool { return s.clock() >= from })
	s.reconnect(a)
	s.ends(a)
	s.release(old)
	s.refused(s.join("c"), key("k"), b)
	s.checkTakeover("what a owned", s.endAt(s.clock()+s.Lease(), w), from)
	s.retire(a)
	s.noWait(s.claim(b, key("never owned")), "the lost member has retired")
}

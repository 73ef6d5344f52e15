package registrytest

import (
	"fmt"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/highlander-go/highlander/object"
)

func releaseHandsOverAtOnce(t T, c Cluster) {
	s := newScene(t, c)
	sessions := s.joinMany(3)
	for i := range 10 {
		owner, next := sessions[i%3], sessions[(i+1)%3]
		claim := s.claim(owner, key("k"))
		s.noWait(claim, "the last owner has released it and nobody was lost")
		s.refused(next, key("k"), owner)
		s.release(claim)
	}
}

// Releasing a claim again does nothing to a newer one of the same key, whoever made that.
func releaseIsOfOneClaim(t T, c Cluster) {
	s := newScene(t, c)
	a, b, other := s.join("a"), s.join("b"), s.join("c")
	first := s.claim(a, key("k"))
	s.release(first)
	second := s.claim(a, key("k"))
	s.release(first)
	s.refused(other, key("k"), a)
	s.release(second)
	s.claim(b, key("k"))
	s.release(first)
	s.release(second)
	s.refused(other, key("k"), b)
	s.refused(a, key("k"), b)
	s.ownerIs(key("k"), b)
}

func retireHandsOverAtOnce(t T, c Cluster) {
	s := newScene(t, c)
	a, b := s.join("a"), s.join("b")
	claim := s.claim(a, key("k"))
	s.claim(a, key("left"))
	s.retire(a)
	s.ends(a)
	s.noWait(s.claim(b, key("k")), "the owner has retired")
	s.noWait(s.claim(b, key("never owned")), "the only other member has retired")
	s.ownerIs(key("left"), nil)
	s.retire(a)
	s.release(claim)
	s.refused(s.join("c"), key("k"), b)
}

// Who retires a session that was lost says that nothing is served under it any more, so nobody need wait.
func retireAfterLossEndsTheWait(t T, c Cluster) {
	s := newScene(t, c)
	a, b := s.join("a"), s.join("b")
	s.claim(a, key("k"))
	s.expire(a)
	s.ends(a)
	s.retire(a)
	s.noWait(s.claimSoon(b, key("k")), "the lost owner has retired")
	s.noWait(s.claim(b, key("never owned")), "the lost member has retired")
	s.retire(a)
}

// Whatever a session starts ends with it.
func noGoroutineStays(t T, c Cluster) {
	s := newScene(t, c)
	node, err := s.Node(s.Lease())
	s.must("a node", err)
	live := func(i int) {
		ctx, cancel := s.within()
		defer cancel()
		session, err := node.Join(ctx, object.Member{Incarnation: uuid.New(), Name: fmt.Sprint(i)})
		s.must("join", err)
		s.claim(session, key(fmt.Sprint(i)))
		if i%2 == 1 {
			s.must("expire", s.Expire(session.Member()))
			s.soon("the session has ended", func() bool { return session.Lease().Err() != nil })
		}
		s.retire(session)
	}
	live(0) // what the node starts once and keeps is started now
	live(1)
	before := goleak.IgnoreCurrent()
	for i := range 6 {
		live(i)
	}
	if err := goleak.Find(before); err != nil {
		s.Errorf("retired sessions leave goroutines behind: %v", err)
	}
}

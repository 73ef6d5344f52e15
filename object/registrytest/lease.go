package registrytest

import (
	"fmt"
	"time"

	"github.com/highlander-go/highlander/object"
)

func joinGivesAValidLease(t T, c Cluster) {
	s := newScene(t, c)
	lease := s.join("a").Lease()
	if !lease.Valid() {
		s.Errorf("the lease is not valid right after the join")
	}
	if err := lease.Err(); err != nil {
		s.Errorf("the lease of a new session has ended: %v", err)
	}
	select {
	case <-lease.Done():
		s.Errorf("the lease of a new session is done")
	default:
	}
}

func leaseIsRenewed(t T, c Cluster) {
	s := newScene(t, c)
	lease := s.join("a").Lease()
	joined := s.clock()
	s.soon("the clock shows three leases more", func() bool { return s.clock() > joined+3*s.Lease() })
	s.soon("the lease is valid long after the one that the join gave", lease.Valid)
	if err := lease.Err(); err != nil {
		s.Errorf("the lease has ended: %v", err)
	}
}

// The last renewal was sent before the session was cut off, so the lease that it gave is over a lease's length
// after that, at the latest.
func leaseEndsALeaseAfterTheLastWord(t T, c Cluster) {
	s := newScene(t, c)
	// A lease that is a little too long shows only when its session is cut off right after a renewal:
	// many points between two renewals make one of them fall there.
	s.cutOffInTurn(s.joinMany(9), s.Lease()/32, 0)
}

// An answer to a renewal that was sent less than the delay ago cannot have arrived.
func leaseCountsFromTheSending(t T, c Cluster) {
	s := newScene(t, c)
	slower, ok := c.(Slower)
	if !ok {
		s.Skipf("the cluster cannot slow down answers")
	}
	sessions, delay := s.joinMany(8), s.Lease()/2
	for _, session := range sessions {
		s.must("slow down "+session.Member().Name, slower.Slow(session.Member(), delay))
	}
	slow := s.clock()
	s.soon("all answers on the way are slow ones", func() bool { return s.clock() > slow+delay })
	s.cutOffInTurn(sessions, s.Lease()/8, delay)
}

func (s *scene) joinMany(n int) []object.Session {
	s.Helper()
	sessions := make([]object.Session, n)
	for i := range sessions {
		sessions[i] = s.join(fmt.Sprintf("n%d", i))
	}
	return sessions
}

// cutOffInTurn cuts off one session after the other, apart by interval, and checks when their leases end.
// No answer is younger than delay.
func (s *scene) cutOffInTurn(sessions []object.Session, interval, delay time.Duration) {
	s.Helper()
	watches, ends := make([]*watch, len(sessions)), make([]time.Duration, len(sessions))
	for i, session := range sessions {
		watches[i] = s.watch(session)
		defer watches[i].end()
	}
	for i, session := range sessions {
		s.disconnect(session)
		cut := s.clock()
		ends[i] = cut - delay + s.Lease()
		s.soon("the next one's turn comes", func() bool { return s.clock() >= cut+interval })
	}
	for i, w := range watches {
		if last := s.endAt(ends[i]+s.Lease()/2, w); last >= ends[i] {
			s.Errorf("the lease of %s, %v long, was valid %v longer than any renewal that was answered can have made it",
				sessions[i].Member().Name, s.Lease(), last-ends[i])
		}
	}
}

package registrytest

import "time"

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
	// A lease that is a little too long shows only when the session is cut off right after a renewal:
	// sessions cut off at many points between two renewals make one of them fall there.
	s.cutOffInTurn(9, s.Lease()/32, 0)
}

// An answer to a renewal that was sent less than the delay ago cannot have arrived.
func leaseCountsFromTheSending(t T, c Cluster) {
	s := newScene(t, c)
	slower, ok := c.(Slower)
	if !ok {
		s.Skipf("the cluster cannot slow down answers")
	}
	s.cutOffInTurn(8, s.Lease()/8, s.Lease()/2, slower)
}

// cutOffInTurn lets n sessions get answers that take delay, cuts them off one after the other, apart by
// interval, and checks when their leases end.
func (s *scene) cutOffInTurn(n int, interval, delay time.Duration, slower ...Slower) {
	s.Helper()
	watches, ends := make([]*watch, n), make([]time.Duration, n)
	defer func() {
		for _, w := range watches {
			w.end()
		}
	}()
	for i := range watches {
		session := s.join("a")
		watches[i] = s.watch(session)
		defer s.reconnect(session)
		for _, c := range slower {
			s.must("slow down a", c.Slow(session.Member(), delay))
		}
		defer func() {
			if last := watches[i].end(); last >= ends[i] {
				s.Errorf("a lease of %v was valid %v longer than the last renewal can have made it", s.Lease(), last-ends[i])
			}
		}()
		ends[i] = session.Lease().Clock()()
	}
}

package memregistry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/highlander-go/highlander/object"
)

// A state is what a session is to the registry; the session itself learns it later when it is cut off.
type state int

const (
	live state = iota
	lost       // declared over without its doing: it may answer from memory until its lease is over
	gone       // retired, or ended with the registry: it answers nothing
)

// A session is a member's standing. What is below the line is guarded by the registry's mutex.
type session struct {
	registry *Registry
	member   object.Member
	length   time.Duration // of the lease
	lease    *object.Lease
	stopped  chan struct{} // closed when the renewals have stopped

	state    state
	renewed  time.Duration     // when the registry took the last renewal
	loss     object.LostMember // while state is lost
	held     int               // claims in the registry's table
	released []*claim          // given up while cut off, still in the table
	retiring bool              // Retire was called
	report   object.StoreState // to be told with the next renewal
	told     object.StoreState
}

func (s *session) pair() pair { return pair{s.member.Incarnation, s.member.Session} }

// Member implements [object.Session].
func (s *session) Member() object.Member { return s.member }

// Full implements [object.Session] by [Options].MaxClaims.
func (s *session) Full() bool {
	if s.registry.most == 0 {
		return false
	}
	s.registry.mu.Lock()
	defer s.registry.mu.Unlock()
	return s.held >= s.registry.most
}

// Lease implements [object.Session].
func (s *session) Lease() *object.Lease { return s.lease }

// keepRenewing renews the lease until the session has learned of its end.
func (s *session) keepRenewing() {
	defer close(s.stopped)
	ticker := time.NewTicker(s.length / renewalsInLease)
	defer ticker.Stop()
	for {
		select {
		case <-s.lease.Done():
			return
		case <-ticker.C:
			s.renew()
		}
	}
}

// renew makes one renewal. The lease is told under the registry's mutex, so that nothing of it
// gets through once Disconnect has returned.
func (s *session) renew() {
	r := s.registry
	sent := s.lease.Clock()()
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.state != live || r.cut[s.member.Incarnation] != nil {
		return
	}
	s.renewed, s.told = r.clock(), s.report
	if lag := r.lag[s.member.Incarnation]; lag > 0 {
		r.mu.Unlock()
		s.await(s.renewed + lag)
		r.mu.Lock()
		if r.cut[s.member.Incarnation] != nil {
			return
		}
	}
	s.lease.Renewed(sent)
}

// await returns when the registry's clock shows at, or the session has ended.
func (s *session) await(at time.Duration) {
	for {
		left := at - s.registry.clock()
		if left <= 0 {
			return
		}
		timer := time.NewTimer(left)
		select {
		case <-timer.C:
		case <-s.lease.Done():
			timer.Stop()
			return
		}
	}
}

// Claim implements [object.Session]. It waits only while the session is cut off, until ctx ends. Claiming what
// this session holds already is an error that leaves the first claim as it is: whoever claims twice has
// lost count of what it serves.
func (s *session) Claim(ctx context.Context, key object.Key) (object.Claim, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("claim %v: %w: %w", key, object.ErrUnavailable, ctx.Err())
	}
	r := s.registry
	if err := r.reach(ctx, s.member.Incarnation, s.lease.Done()); err != nil {
		return nil, fmt.Errorf("claim %v: %w", key, err)
	}
	defer r.mu.Unlock()
	if s.state != live || s.retiring {
		return nil, fmt.Errorf("claim %v: %w: %w", key, object.ErrUnavailable, s.lease.Err())
	}
	r.timeOut()
	switch c := r.claims[key]; {
	case c == nil:
	case c.session == s:
		return nil, fmt.Errorf("claim %v: this session holds it already; release that claim first", key)
	default:
		return nil, &object.NotOwnerError{Key: key, Owner: c.session.member}
	}
	c := &claim{session: s, key: key, serveAt: r.serveAt()}
	r.claims[key] = c
	s.held++
	return c, nil
}

// ReportStore implements [object.StoreReporter].
func (s *session) ReportStore(state object.StoreState) {
	s.registry.mu.Lock()
	defer s.registry.mu.Unlock()
	s.report = state
}

// StoreReports implements [object.StoreReporter]. It waits only while the session is cut off, until ctx ends.
func (s *session) StoreReports(ctx context.Context) (reports []object.StoreReport, err error) {
	r := s.registry
	if err := r.reach(ctx, s.member.Incarnation, s.lease.Done()); err != nil {
		return nil, fmt.Errorf("ask how other nodes' stores do: %w", err)
	}
	defer r.mu.Unlock()
	r.timeOut()
	for _, other := range r.sessions {
		if other.state == live && other.member.Incarnation != s.member.Incarnation {
			reports = append(reports, object.StoreReport{Member: other.member, State: other.told})
		}
	}
	return reports, nil
}

// Retire implements [object.Session]. It ends the lease and stops the renewals at once, and waits for the
// registry only while the session is cut off; if ctx ends first, the session leaves when it is connected again.
func (s *session) Retire(ctx context.Context) error {
	r := s.registry
	r.mu.Lock()
	s.retiring = true
	r.mu.Unlock()
	s.lease.End(errRetired)
	<-s.stopped
	if err := r.reach(ctx, s.member.Incarnation, nil); err != nil {
		return fmt.Errorf("retire session %d of %s: %w; retire it again, or others wait for its lease",
			s.member.Session, s.member.Name, err)
	}
	defer r.mu.Unlock()
	r.remove(s)
	return nil
}

// Why a session has ended.
var (
	errLost    = errors.New("the registry has declared the session lost; join with a new incarnation")
	errRetired = errors.New("the session was retired")
	errKilled  = errors.New("the node was killed")
)

var _ object.StoreReporter = (*session)(nil)

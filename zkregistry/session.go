package zkregistry

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/highlander-go/highlander/internal/zk"
	"github.com/highlander-go/highlander/object"
)

const (
	renewalsInLease = 4 // so that a lease outlasts three renewals that go missing

	// silence is how long a session outlives its last renewal although ZooKeeper has not said that it is over. A leader that dies
	// silently costs more than a session timeout, and its successor gives every session a full one again.
	silence = 3 * time.Minute
)

// A session is an [object.Session]: a ZooKeeper session of its own, and a pair.
type session struct {
	*connection
	registry *Registry
	member   object.Member
	pair     string
	lease    *object.Lease
	life     context.Context // ends with the lease
	stop     context.CancelFunc
	running  sync.WaitGroup
	closed   sync.Once

	renewing atomic.Int64 // when the renewal in flight was sent; 0: there is none
	took     atomic.Int64 // how long the last one took
	slots    chan struct{}
	leavings chan struct{} // capacity 1: there is something in left
	bytes    atomic.Int64  // of the paths of all claims
	store    atomic.Int64  // the object.StoreState that renewals write

	mu       sync.Mutex
	renewed  chan struct{} // closed at the next renewal
	attempts uint64
	held     map[object.Key]*claim
	left     []*claim   // children that are to be deleted
	removals []*removal // claims that are being released

	removing chan struct{} // held by who deletes the children of removals
}

// Join implements [object.Registry].
func (r *Registry) Join(ctx context.Context, m object.Member) (object.Session, error) {
	s := &session{
		connection: newConnection(r.paths), registry: r, member: m, pair: pairName(m), lease: object.NewLease(r.clock, r.lease, r.timeout),
		slots: make(chan struct{}, maxInFlight), leavings: make(chan struct{}, 1), removing: make(chan struct{}, 1), renewed: make(chan struct{}), held: make(map[object.Key]*claim),
	}
	s.life, s.stop = context.WithCancel(r.life)
	what := fmt.Sprintf("join as %s", s.pair)
	data, err := encodeMember(memberInfo{m, r.lease})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if err := r.enroll(s); err != nil {
		s.stop()
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	defer r.running.Done()
	ctx, cancel := r.untilClosed(ctx)
	defer cancel()
	if s.Session, err = r.ensemble.Open(ctx, r.timeout, s.hear); err != nil {
		s.stop()
		r.strike(s)
		return nil, unavailable(what, r.orClosed(err))
	}
	if granted := s.Timeout(); granted <= r.lease {
		err = fmt.Errorf("ZooKeeper grants a session timeout of %v, which is not longer than the lease of %v: raise its maxSessionTimeout or shorten the lease", granted, r.lease)
	} else if err = s.enter(ctx, data); err != nil {
		err = unavailable(what, err)
	}
	switch {
	case errors.Is(err, zk.ErrNodeExists): // the pair is not ours
		r.strike(s)
		return nil, errors.Join(fmt.Errorf("%s: it has joined already: %w", what, err), s.end(ctx, errRetired))
	case r.life.Err() != nil:
		return nil, errors.Join(unavailable(what, errClosed), s.leaveEarly(ctx))
	case err != nil:
		return nil, errors.Join(err, s.leaveEarly(ctx))
	}
	s.running.Go(s.keepRenewing)
	s.running.Go(s.deleteLeft)
	return s, nil
}

// hear takes in an event of the session's.
func (s *session) hear(e zk.Event) {
	s.event(e)
	if e.Type == zk.Disconnected && s.registry.stopOnDisconnect {
		s.lease.End(errors.New("the connection to ZooKeeper was lost, and StopOnDisconnect is set"))
	}
}

// enroll enters the session into the registry's books. Close waits from now on, until Join has returned.
func (r *Registry) enroll(s *session) error {
	r.mu.Lock()
	switch {
	case r.life.Err() != nil:
		r.mu.Unlock()
		return fmt.Errorf("%w: %w", object.ErrUnavailable, errClosed)
	case r.own[s.pair]:
		r.mu.Unlock()
		return errors.New("it has joined already: give each session of an incarnation its own number")
	}
	r.own[s.pair], r.sessions[s] = true, true
	r.running.Add(1)
	r.mu.Unlock()
	err := r.proof.record(s.member.Incarnation) // while Close waits: after it the folder may be another's
	if err != nil {
		r.strike(s)
		r.running.Done()
	}
	return err
}

// strike takes the session off the registry's books: there is no pair of it.
func (r *Registry) strike(s *session) {
	r.mu.Lock()
	delete(r.own, s.pair)
	delete(r.sessions, s)
	last := !ownsOne(r.own, s.member.Incarnation)
	r.mu.Unlock()
	if last {
		r.proof.forget(s.member.Incarnation)
	}
}

// enter makes the pair, with a first lease.
func (s *session) enter(ctx context.Context, data []byte) error {
	doubt := false
	for {
		sent := s.registry.clock()
		err := s.Multi(ctx,
			zk.CreateOp(s.paths.member(s.pair), data, zk.Persistent),
			zk.CreateOp(s.paths.liveOf(s.pair), nil, zk.Ephemeral))
		if doubt && errors.Is(err, zk.ErrNodeExists) { // made by the attempt whose answer was lost
			sent = s.registry.clock()
			err = s.Set(ctx, s.paths.liveOf(s.pair), nil, zk.AnyVersion)
		}
		switch {
		case err == nil:
			s.lease.Renewed(sent)
			return nil
		case !errors.Is(err, zk.ErrConnectionLost) || ctx.Err() != nil:
			return err
		}
		doubt = true
	}
}

// Member implements [object.Session].
func (s *session) Member() object.Member { return s.member }

// Lease implements [object.Session].
func (s *session) Lease() *object.Lease { return s.lease }

// keepRenewing renews the lease until it ends. One renewal is in flight at a time.
func (s *session) keepRenewing() {
	defer s.stop()
	clock, every := s.registry.clock, s.registry.lease/renewalsInLease
	last := clock()
	for next := last + every; sleepUntil(s.life, clock, next, s.lease.Done()); {
		sent := clock()
		err := s.renew(sent)
		now := clock()
		next = sent + every
		switch {
		case err == nil:
			last = now
		case errors.Is(err, zk.ErrNoNode):
			s.lease.End(errors.New("the member is not in the registry any more: others took it for dead, or somebody has removed it"))
		case errors.Is(err, zk.ErrSessionOver):
			s.lease.End(errors.New("ZooKeeper has ended the session"))
		case now-last > silence:
			s.lease.End(fmt.Errorf("ZooKeeper has not answered for %v: %w", silence, err))
		default:
			next = now + every/4
		}
	}
}

// renew writes the session's own live node through the session: what is acknowledged then, the session has outlived.
func (s *session) renew(sent time.Duration) error {
	ctx, cancel := context.WithTimeout(s.life, s.registry.timeout)
	defer cancel()
	s.renewing.Store(int64(sent))
	err := s.Set(ctx, s.paths.liveOf(s.pair), encodeLive(object.StoreState(s.store.Load())), zk.AnyVersion)
	if err != nil {
		return err
	}
	s.lease.Renewed(sent)
	s.took.Store(int64(s.registry.clock() - sent))
	s.renewing.Store(0)
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.renewed)
	s.renewed = make(chan struct{})
	return nil
}

// Retire implements [object.Session]. The pair is removed in one transaction, which makes all claims that are left void at once; then the
// session is closed, which removes them.
func (s *session) Retire(ctx context.Context) error {
	s.lease.End(errRetired)
	s.stop()
	s.running.Wait()
	r := s.registry
	c, err := r.connection(ctx)
	for err == nil {
		if err = r.bury(ctx, c, s.pair); !errors.Is(err, zk.ErrSessionOver) || ctx.Err() != nil {
			break
		}
		c, err = r.connection(ctx) // the registry's own session may have ended unnoticed
	}
	if err != nil {
		err = errors.Join(unavailable("retire "+s.pair, err), s.end(ctx, errRetired))
		r.mu.Lock()
		delete(r.sessions, s) // it has ended; its pair may still be there
		r.mu.Unlock()
		return err
	}
	r.strike(s)
	return s.end(ctx, errRetired)
}

// leaveEarly retires a session of which nobody knows whether its pair was made, or will be: the ZooKeeper session is closed first, and with it all that
// was sent through it has come to its end. It takes its time even if ctx has ended.
func (s *session) leaveEarly(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	closed := s.end(ctx, errRetired)
	ctx, cancel := context.WithTimeout(ctx, closeTimeout) // that closing has taken its time is no reason to leave the pair
	defer cancel()
	return errors.Join(closed, s.Retire(ctx))
}

var errRetired = errors.New("the session has retired")

// end ends the lease, the goroutines and the ZooKeeper session.
func (s *session) end(ctx context.Context, cause error) error {
	s.lease.End(cause)
	s.stop()
	s.running.Wait()
	var err error
	s.closed.Do(func() {
		if s.Session != nil {
			ctx, cancel := context.WithTimeout(ctx, closeTimeout)
			defer cancel()
			err = s.Session.Close(ctx)
		}
	})
	return err
}

// sleepUntil returns true when the clock shows at, and false when ctx ends or over is closed before.
func sleepUntil(ctx context.Context, clock object.Clock, at time.Duration, over <-chan struct{}) bool {
	for {
		left := at - clock()
		select { // an end that is there already counts first, in each run of a simulation
		case <-ctx.Done():
			return false
		case <-over:
			return false
		default:
		}
		if left <= 0 {
			return true
		}
		timer := time.NewTimer(left)
		select {
		case <-ctx.Done():
		case <-over:
		case <-timer.C:
		}
		timer.Stop()
	}
}

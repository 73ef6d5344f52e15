package registrytest_test

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/memregistry"
	"github.com/highlander-go/highlander/object"
)

const (
	lease          = 2 * time.Second
	sessionTimeout = 6 * time.Second
)

// A world is a cluster in memory that a flaw can get in the way of.
type world struct {
	flaw
	registry *memregistry.Registry
	clock    object.Clock
	stop     chan struct{}
	stopped  sync.WaitGroup

	claims sync.Map // the last claim won of each key, for a flaw that confuses them

	mu    sync.Mutex
	cut   map[uuid.UUID]bool
	delay map[uuid.UUID]time.Duration
	lost  time.Duration // when a session was last expired

	listed []object.Member // for a flaw that forgets nobody
}

func newWorld(f flaw) *world {
	start := time.Now()
	w := &world{
		flaw:  f,
		clock: func() time.Duration { return time.Since(start) },
		stop:  make(chan struct{}),
		cut:   make(map[uuid.UUID]bool),
		delay: make(map[uuid.UUID]time.Duration),
	}
	timeout := max(f.timeout, sessionTimeout)
	w.registry = memregistry.New(memregistry.Options{Clock: w.clock, Lease: lease, SessionTimeout: timeout})
	return w
}

func (w *world) close() {
	close(w.stop)
	w.registry.Close()
	w.stopped.Wait()
}

func (w *world) Lease() time.Duration          { return lease }
func (w *world) SessionTimeout() time.Duration { return sessionTimeout }

func (w *world) Node(length time.Duration) (object.Registry, error) {
	return node{w.registry.WithLease(length), w, length}, nil
}

func (w *world) Expire(m object.Member) error {
	w.mu.Lock()
	w.lost = w.clock()
	w.mu.Unlock()
	if w.expire != nil {
		return w.expire(w, m)
	}
	w.registry.Expire(m.Incarnation)
	return nil
}

func (w *world) Disconnect(m object.Member) error {
	w.mu.Lock()
	w.cut[m.Incarnation] = true
	w.mu.Unlock()
	w.registry.Disconnect(m.Incarnation)
	if w.disconnect != nil {
		return w.disconnect(w, m)
	}
	return nil
}

func (w *world) Reconnect(m object.Member) error {
	w.mu.Lock()
	delete(w.cut, m.Incarnation)
	w.mu.Unlock()
	w.registry.Reconnect(m.Incarnation)
	return nil
}

func (w *world) Slow(m object.Member, delay time.Duration) error {
	w.mu.Lock()
	w.delay[m.Incarnation] = delay
	w.mu.Unlock()
	w.registry.Delay(m.Incarnation, delay)
	return nil
}

func (w *world) isCut(m object.Member) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cut[m.Incarnation]
}

func (w *world) answersTake(m object.Member) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.delay[m.Incarnation]
}

func (w *world) lastLoss() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lost
}

// sleep returns false when the world is closed first.
func (w *world) sleep(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-w.stop:
		return false
	}
}

// A node is a node's view of the registry, with the flaw in what it gets.
type node struct {
	object.Registry
	world  *world
	length time.Duration
}

func (n node) Join(ctx context.Context, m object.Member) (object.Session, error) {
	sound, err := n.Registry.Join(ctx, m)
	if err != nil {
		return nil, err
	}
	s := &session{Session: sound, world: n.world, length: n.length, joined: n.world.clock(), lease: sound.Lease()}
	if n.world.renewal != nil {
		s.renewWrongly(*n.world.renewal)
	}
	return s, nil
}

func (n node) Owner(ctx context.Context, key object.Key) (object.Member, bool, error) {
	if n.world.owner != nil {
		return n.world.owner(n.Registry, ctx, key)
	}
	return n.Registry.Owner(ctx, key)
}

func (n node) Members(ctx context.Context) ([]object.Member, error) {
	sound, err := n.Registry.Members(ctx)
	if n.world.members != nil {
		sound = n.world.members(n.world, sound)
	}
	return sound, err
}

func (n node) Suspect(m object.Member, how object.Suspicion) {
	if n.world.suspect != nil {
		n.world.suspect(n.world, m)
	}
}

// A session is a sound session, with the flaw in its lease, its claims or its end.
type session struct {
	object.Session
	world  *world
	length time.Duration // of the lease
	joined time.Duration
	lease  *object.Lease
}

func (s *session) Lease() *object.Lease { return s.lease }

func (s *session) Claim(ctx context.Context, key object.Key) (object.Claim, error) {
	if s.world.claim != nil {
		return s.world.claim(s, ctx, key)
	}
	return s.Session.Claim(ctx, key)
}

func (s *session) Retire(ctx context.Context) error {
	if s.world.retire != nil {
		return s.world.retire(s, ctx)
	}
	return s.Session.Retire(ctx)
}

func (s *session) ReportStore(state object.StoreState) {
	if s.world.report != nil {
		state = s.world.report(state)
	}
	s.Session.(object.StoreReporter).ReportStore(state)
}

func (s *session) StoreReports(ctx context.Context) ([]object.StoreReport, error) {
	sound, err := s.Session.(object.StoreReporter).StoreReports(ctx)
	if s.world.reports != nil {
		sound = s.world.reports(s, sound)
	}
	return sound, err
}

// A wrongRenewal is how a lease may be kept wrongly.
type wrongRenewal struct {
	fromAcknowledgement bool          // counts from the answer
	extra               time.Duration // lasts longer than it should
	deaf                bool          // goes on while the session is cut off
	untold              bool          // goes on after the session's end
	late                bool          // is not valid at first
	once                bool          // is never renewed
}

// renewWrongly gives the session a lease that is kept as the rule says, not as the registry does.
func (s *session) renewWrongly(rule wrongRenewal) {
	sound, w := s.lease, s.world
	wrong := object.NewLease(w.clock, s.length, sessionTimeout)
	s.lease = wrong
	if !rule.late {
		wrong.Renewed(w.clock() + rule.extra)
	}
	w.stopped.Go(func() {
		for w.sleep(s.length / 4) {
			if sound.Err() != nil && !rule.untold {
				wrong.End(sound.Err())
				return
			}
			if rule.once || w.isCut(s.Member()) && !rule.deaf {
				continue
			}
			sent := w.clock()
			w.sleep(w.answersTake(s.Member()))
			switch {
			case w.isCut(s.Member()) && !rule.deaf:
			case rule.fromAcknowledgement:
				wrong.Renewed(w.clock())
			default:
				wrong.Renewed(sent + rule.extra)
			}
		}
	})
}

// A claim is a sound claim that says another time or is released in another way.
type claim struct {
	object.Claim
	serveAt time.Duration
	release func(context.Context) error
}

func (c claim) ServeAt() time.Duration { return c.serveAt }

func (c claim) Release(ctx context.Context) error {
	if c.release != nil {
		return c.release(ctx)
	}
	return c.Claim.Release(ctx)
}

// Package memregistry is an [object.Registry] inside this process: the default of a program that runs as one
// node, and the registry of tests, which put several nodes into it and take them from each other.
package memregistry

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/object"
)

// DefaultLease is the length of leases unless [Options] or [Registry.WithLease] say otherwise.
const DefaultLease = 2 * time.Second

const (
	timeoutLeases   = 3                // the default session timeout, in leases
	shortestLease   = time.Millisecond // a shorter one keeps a processor busy with renewals
	renewalsInLease = 4                // so that a lease outlasts three renewals that go missing
)

// Options configure a [Registry]. The zero value is ready to use.
type Options struct {
	// Clock is the clock of the registry and of the leases of all its sessions; it must be safe for concurrent
	// use, and return at once. Nil: the time since New, which does not run while the machine sleeps. That is enough as long as
	// this process is the only one.
	Clock object.Clock

	// Lease is how long an acknowledged renewal is good for, at least a millisecond. A session renews four
	// times as often. Zero: DefaultLease.
	Lease time.Duration

	// SessionTimeout is how long after its last renewal the registry gives up a session that is cut off by
	// [Registry.Disconnect]; more than Lease. Zero: three leases, so 6 s by default.
	SessionTimeout time.Duration

	// MaxClaims is how many claims make a session full. Zero: none ever is.
	MaxClaims int
}

// A Registry keeps sessions and claims in memory. Any number of nodes may join it, and its methods may be
// called concurrently. Make one with [New], end it with [Registry.Close].
//
// A claim costs a map entry and one small struct. No claim has a timer; each session has one goroutine, which
// renews its lease and ends with the session.
type Registry struct {
	clock    object.Clock
	lease    time.Duration
	timeout  time.Duration
	most     int            // claims of a session that is not full; 0: no limit
	renewals sync.WaitGroup // the sessions' goroutines

	mu       sync.Mutex
	closed   bool
	sessions map[pair]*session           // those that have not learned of their end
	lost     []*session                  // those whose leases a new owner may have to wait for
	claims   map[object.Key]*claim       // of live sessions only
	cut      map[uuid.UUID]chan struct{} // incarnations cut off; closed when they are connected again
	lag      map[uuid.UUID]time.Duration // how late the acknowledgements of an incarnation's renewals come
	killed   map[uuid.UUID]bool          // incarnations cut off for good, which do not wait for it
}

// A pair tells one session of one incarnation from all others.
type pair struct {
	incarnation uuid.UUID
	session     int
}

// New returns an empty registry. It panics when o makes no sense: a lease under a millisecond, or a session
// timeout that is not longer than the lease.
func New(o Options) *Registry {
	if o.Clock == nil {
		start := time.Now()
		o.Clock = func() time.Duration { return time.Since(start) }
	}
	if o.Lease == 0 {
		o.Lease = DefaultLease
	}
	if o.SessionTimeout == 0 {
		o.SessionTimeout = timeoutLeases * o.Lease
	}
	mustFit(o.Lease, o.SessionTimeout)
	return &Registry{
		clock:    o.Clock,
		lease:    o.Lease,
		timeout:  o.SessionTimeout,
		most:     o.MaxClaims,
		sessions: make(map[pair]*session),
		claims:   make(map[object.Key]*claim),
		cut:      make(map[uuid.UUID]chan struct{}),
		lag:      make(map[uuid.UUID]time.Duration),
		killed:   make(map[uuid.UUID]bool),
	}
}

func mustFit(lease, timeout time.Duration) {
	if lease < shortestLease {
		panic(fmt.Sprintf("memregistry: the lease is %v; give it at least %v", lease, shortestLease))
	}
	if timeout <= lease {
		panic(fmt.Sprintf("memregistry: the session timeout %v is not longer than the lease %v; make it about %d leases",
			timeout, lease, timeoutLeases))
	}
}

// Join opens a session for m. It fails when the same session of the same incarnation is in the registry
// already, when the registry was closed, and, with an error that matches [object.ErrUnavailable], when m's
// incarnation is cut off and stays so until ctx ends.
func (r *Registry) Join(ctx context.Context, m object.Member) (object.Session, error) {
	return r.join(ctx, m, r.lease, r.clock)
}

// WithLease is the same registry as a node sees it that is configured with another lease: sessions that join
// through it have leases of that length. It panics where [New] would.
func (r *Registry) WithLease(lease time.Duration) object.Registry { return r.WithClock(lease, r.clock) }

// WithClock is [Registry.WithLease], for a node whose leases go by a clock of its own. It shows what the registry's clock shows, but may take its time
// to do so: to a test it is what stops a node that answers from memory.
func (r *Registry) WithClock(lease time.Duration, clock object.Clock) object.Registry {
	mustFit(lease, r.timeout)
	return node{r, lease, clock}
}

type node struct {
	*Registry
	lease time.Duration
	clock object.Clock
}

func (n node) Join(ctx context.Context, m object.Member) (object.Session, error) {
	return n.join(ctx, m, n.lease, n.clock)
}

func (r *Registry) join(ctx context.Context, m object.Member, length time.Duration, clock object.Clock) (object.Session, error) {
	if err := r.reach(ctx, m.Incarnation, nil); err != nil {
		return nil, fmt.Errorf("join %s: %w", m.Name, err)
	}
	defer r.mu.Unlock()
	if r.closed {
		return nil, fmt.Errorf("join %s: %w: %w", m.Name, object.ErrUnavailable, errClosed)
	}
	if r.joined(m) {
		return nil, fmt.Errorf("join %s: session %d of incarnation %s has joined already; give each session its own number",
			m.Name, m.Session, m.Incarnation)
	}
	s := &session{
		registry: r,
		member:   m,
		length:   length,
		lease:    object.NewLease(clock, length, r.timeout),
		stopped:  make(chan struct{}),
		renewed:  r.clock(),
	}
	s.lease.Renewed(s.renewed)
	r.sessions[s.pair()] = s
	r.renewals.Go(s.keepRenewing)
	return s, nil
}

func (r *Registry) joined(m object.Member) bool {
	if r.sessions[pair{m.Incarnation, m.Session}] != nil {
		return true
	}
	for _, s := range r.lost {
		if s.pair() == (pair{m.Incarnation, m.Session}) {
			return true
		}
	}
	return false
}

// Owner returns the live member that owns key; ok is false when there is none. It never waits. It fails
// when ctx is over or the registry was closed.
func (r *Registry) Owner(ctx context.Context, key object.Key) (m object.Member, ok bool, err error) {
	if ctx.Err() != nil {
		return object.Member{}, false, fmt.Errorf("look up the owner of %v: %w: %w", key, object.ErrUnavailable, ctx.Err())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return object.Member{}, false, fmt.Errorf("look up the owner of %v: %w: %w", key, object.ErrUnavailable, errClosed)
	}
	r.timeOut()
	c := r.claims[key]
	if c == nil {
		return object.Member{}, false, nil
	}
	return c.session.member, true, nil
}

// Members returns the members that are live, one for each incarnation.
func (r *Registry) Members(ctx context.Context) ([]object.Member, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, fmt.Errorf("list the members: %w: %w", object.ErrUnavailable, errClosed)
	}
	r.timeOut()
	first := make(map[uuid.UUID]object.Member)
	for _, s := range r.sessions {
		if m, ok := first[s.member.Incarnation]; s.state == live && (!ok || s.member.Session < m.Session) {
			first[s.member.Incarnation] = s.member
		}
	}
	return slices.Collect(maps.Values(first)), nil
}

// Suspect declares the sessions of m's incarnation lost if it is cut off, so that nobody waits for their timeout: who claims what they held waits for their leases, as it
// would in a cluster whose nodes evict each other. Others it leaves alone: what lives in this process is connected.
func (r *Registry) Suspect(m object.Member, _ object.Suspicion) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cut[m.Incarnation] == nil {
		return
	}
	r.timeOut()
	for _, s := range r.of(m.Incarnation) {
		if s.state == live {
			r.lose(s, r.clock())
		}
	}
}

// Close ends every session and waits for their goroutines. All claims are gone, calls that wait return, and
// later ones fail with errors that match [object.ErrUnavailable] and [object.ErrClosed]. The error is always nil.
func (r *Registry) Close() error {
	r.mu.Lock()
	r.closed = true
	for _, s := range r.sessions {
		s.state = gone
		s.lease.End(errClosed)
	}
	for _, connected := range r.cut {
		close(connected)
	}
	clear(r.sessions)
	clear(r.claims)
	clear(r.cut)
	r.lost = nil
	r.mu.Unlock()
	r.renewals.Wait()
	return nil
}

// reach returns with the registry locked as soon as requests of the incarnation get through to it, or with
// an error and unlocked when ctx ends first. It returns without waiting when over is closed.
func (r *Registry) reach(ctx context.Context, incarnation uuid.UUID, over <-chan struct{}) error {
	for {
		r.mu.Lock()
		connected := r.cut[incarnation]
		if connected == nil {
			return nil
		}
		if r.killed[incarnation] {
			r.mu.Unlock()
			return fmt.Errorf("%w: %w", object.ErrUnavailable, errKilled)
		}
		select {
		case <-over:
			return nil
		default:
		}
		r.mu.Unlock()
		select {
		case <-connected:
		case <-over:
		case <-ctx.Done():
			return fmt.Errorf("%w: the registry did not answer: %w", object.ErrUnavailable, ctx.Err())
		}
	}
}

// errClosed is why a session ends with the registry, and what the registry says from then on.
var errClosed = fmt.Errorf("the registry is %w", object.ErrClosed)

var _ object.Registry = (*Registry)(nil)

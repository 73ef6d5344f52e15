package object

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A HostConfig says what a host works with.
type HostConfig struct {
	Node      string    // the node's name
	Registry  Registry  // asked who owns what is not here
	Committer Committer // loads and writes records
	Transport Transport // carries calls to other nodes; nil: there are none
	Log       *slog.Logger
	Env       any              // for [Env]
	Now       func() time.Time // for [Info.Now]; nil: time.Now

	// Serves names the types whose objects this node may own. Nil: all that it is opened with. Of others it only calls objects, at
	// their owners: a node that serves none is a client.
	Serves []string

	Placement Placement // says which node an object wakes at

	// CheckReads has each read method checked for changes of the state that it is given: it fails if it has made any. It costs two
	// encodings of the state a read: it is for tests.
	CheckReads bool

	// Grow asks for one more session to be served, since all are full and calls wait. It must return at once. It is called again and
	// again until there is room, also concurrently. Nil: they wait until objects are let go.
	Grow func()
}

// A Host serves objects: it wakes them on their first call, runs their methods, commits their updates, lets
// them go when they are idle, and ends them when the session ends that they were claimed under. All its
// goroutines belong to a run of [Host.Serve]. It may be used concurrently.
type Host struct {
	config HostConfig
	types  map[string]*table
	errors []CrossingError
	tables []*table  // the same, by name
	done   sync.Pool // of chan struct{}, for calls that wait
	works  sync.Pool // of *work; both belong to one host, as the channels do to its test bubble

	owners owners // of objects that live elsewhere
	handed handed // objects that others are to have
	peers  peers
	self   atomic.Pointer[Member] // this node, as of its latest session; nil: it has had none yet
	store  storeHealth

	seed       uint64        // of the host's pauses: a hash of the node's name
	sweeps     atomic.Uint32 // counts sweeps for idle objects
	keepSweeps uint32        // as many as there are in keepResults, and one

	flights flights

	mu       sync.Mutex
	servings []*serving    // by session; the slice is replaced, not changed
	begun    atomic.Uint64 // servings that there have been
	changed  watch         // for servings and closing

	adding  sync.RWMutex // held for reading while an object is added
	closing atomic.Int32 // one of the constants below; raised while no object is being added
}

// How far a host has come on its way out.
const (
	isOpen   int32 = iota
	draining       // no object wakes any more, except for calls from inside a method that runs
	isClosed       // no object wakes any more
)

// NewHost makes a host for objects of the defined types. It serves nothing until [Host.Serve] runs.
func NewHost(config HostConfig, given ...Definition) (*Host, error) {
	h := &Host{config: config, types: make(map[string]*table), seed: hashString(0, config.Node)}
	h.done.New = func() any { return make(chan struct{}, 1) }
	h.works.New = func() any { return new(work) }
	if h.config.Log == nil {
		h.config.Log = slog.New(slog.DiscardHandler)
	}
	var all definitions
	for _, d := range given {
		if err := d.define(&all); err != nil {
			return nil, err
		}
	}
	if err := checkErrors(all.errors); err != nil {
		return nil, err
	}
	h.errors = all.errors
	for _, def := range all.types {
		if h.types[def.name] != nil {
			return nil, fmt.Errorf("object: type %s is defined twice: give one of them another name", def.name)
		}
		h.types[def.name] = newTable(h, def)
	}
	for _, name := range slices.Sorted(maps.Keys(h.types)) {
		h.tables = append(h.tables, h.types[name])
		h.types[name].served = config.Serves == nil
	}
	for _, name := range config.Serves {
		if h.types[name] == nil {
			return nil, fmt.Errorf("object: the node is to serve type %q: %w: give its definition, or serve others", name, ErrUnknownType)
		}
		h.types[name].served = true
	}
	h.keepSweeps = uint32(keepResults/sweepEvery(h.tables)) + 2
	h.flights.init()
	return h, nil
}

// Serves returns what the node can own, for [Member].Types.
func (h *Host) Serves() []Served {
	var all []Served
	for _, t := range h.tables {
		if !t.served {
			continue
		}
		s := Served{Type: t.def.name, Layout: t.def.layout}
		for _, name := range slices.Sorted(maps.Keys(t.def.methods)) {
			if !builtIn(name) {
				s.Methods = append(s.Methods, name)
			}
		}
		all = append(all, s)
	}
	return all
}

// Host returns h, so that a host is a [Node].
func (h *Host) Host() *Host { return h }

// A serving is one run of Serve: a session and the objects claimed through it.
type serving struct {
	host    *Host
	session Session
	lease   *Lease
	member  Member
	ctx     context.Context  // ends when the objects have been torn down
	workers sync.WaitGroup   // all goroutines that are at work on objects
	tasks   chan *activation // hands objects to workers that are idle
	idle    atomic.Int32     // workers that wait for a task
	ended   bool             // no object is added any more; guarded by the host's adding
	nth     uint64           // of the host's servings, in the order in which they began, which need not be that of their sessions' numbers
}

// stepTimeout bounds each step that lets an object go: what is not over by then is given up.
const stepTimeout = 10 * time.Second

// Serve serves objects under the session until ctx or the session ends. Then it tears down all that was
// claimed through the session: nothing of it is served when Serve returns. It may run for several sessions of the node at once:
// an object is claimed through the first one that is not full, by number, and lives as long as that one.
//
// Once calls can claim objects through the session it calls ready, unless that is nil. The claims that it leaves behind are for the session's Retire to release.
func (h *Host) Serve(ctx context.Context, session Session, ready func()) error {
	defer func() {
		if ctx.Err() == nil { // even if Serve panics: the session's claims must not be claimed a second time
			session.Lease().End(fmt.Errorf("%w: the host has stopped serving", ErrUnavailable))
		}
	}()
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	s := &serving{host: h, session: session, lease: session.Lease(), member: session.Member(), ctx: life, tasks: make(chan *activation)}
	defer s.tearDown(end)
	h.serve(s)
	if ready != nil {
		ready()
	}
	s.workers.Go(s.attendStore)
	s.sweep(ctx)
	return s.lease.Err()
}

// mayAdd tells whether an object may be added; who asks holds adding until it is.
func (s *serving) mayAdd(ctx context.Context) error {
	switch {
	case s.host.closing.Load() == isClosed || s.host.closing.Load() == draining && !isNested(ctx):
		return &closedError{s.host.config.Node}
	case s.ended || s.lease.Err() != nil:
		return errMoved
	}
	return nil
}

// work has a worker do what a has to do: one that is idle, whose stack has grown already, else a new one.
func (s *serving) work(a *activation) {
	select {
	case s.tasks <- a:
	default:
		s.workers.Go(func() { s.worker(a) })
	}
}

// idleWorkers is how many goroutines a host keeps for the next task; they are the host's, not an object's.
const idleWorkers = 64

func (s *serving) worker(a *activation) {
	for {
		a.toil()
		if s.idle.Add(1) > idleWorkers {
			s.idle.Add(-1)
			return
		}
		var ok bool
		if a, ok = <-s.tasks; !ok {
			return
		}
		s.idle.Add(-1)
	}
}

// tearDown ends all objects that were claimed through the session.
func (s *serving) tearDown(end context.CancelFunc) {
	s.host.unserve(s)
	s.host.adding.Lock()
	s.ended = true
	s.host.adding.Unlock()
	cause := s.lease.Err()
	if cause == nil {
		cause = ErrClosed
	}
	for _, a := range s.host.pick(func(a *activation) bool { return a.serving == s }) {
		a.end(cause)
		a.forget()
	}
	end()
	close(s.tasks) // no object is left that could have work
	if !waitFor(&s.workers, stepTimeout) {
		s.host.config.Log.Error("methods do not return although their contexts have ended: they were given up, "+
			"their results are ignored", "node", s.host.config.Node, "after", stepTimeout)
	}
}

// pick returns the activations that are wanted, by key: whatever happens to them happens in the same order in each run of a simulation.
func (h *Host) pick(wanted func(*activation) bool) []*activation {
	var all []*activation
	for _, t := range h.tables {
		first := len(all)
		for a := range t.all() {
			if wanted(a) {
				all = append(all, a)
			}
		}
		slices.SortFunc(all[first:], func(a, b *activation) int { return strings.Compare(a.id, b.id) })
	}
	return all
}

// waitFor waits for the group and tells whether it was done in time. Only if not, a goroutine is left behind: it ends
// with the methods that do not return.
func waitFor(group *sync.WaitGroup, limit time.Duration) bool {
	done := make(chan struct{})
	go func() { group.Wait(); close(done) }()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}

func (h *Host) serve(s *serving) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.self.Store(&s.member)
	s.nth = h.begun.Add(1)
	h.servings = append(slices.Clone(h.servings), s)
	slices.SortStableFunc(h.servings, func(a, b *serving) int { return a.member.Session - b.member.Session })
	h.changed.wake()
}

func (h *Host) unserve(s *serving) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.servings = slices.DeleteFunc(slices.Clone(h.servings), func(other *serving) bool { return other == s })
	h.changed.wake()
}

func (h *Host) current() []*serving {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.servings
}

// growEvery is how often a call that waits for room in a session looks and asks for it.
const growEvery = 50 * time.Millisecond

// await returns the serving under which the next object is claimed. While there is no session, or none with room, a call
// from here waits; one from afar waits only for room, and not long.
func (h *Host) await(ctx context.Context, from origin) (*serving, error) {
	for waited := time.Duration(0); ; waited += growEvery {
		h.mu.Lock()
		all, closing, changed := h.servings, h.closing.Load(), h.changed.wait()
		h.mu.Unlock()
		s, full := choose(all)
		what, again := "session", (<-chan time.Time)(nil)
		switch {
		case s != nil && (from == fromHere || s.lease.Valid()):
			return s, nil
		case closing == isClosed || closing == draining && !(full && isNested(ctx)):
			return nil, &closedError{h.config.Node}
		case full:
			what, again = "room in its sessions", time.After(growEvery)
			if h.config.Grow != nil {
				h.config.Grow()
			}
		}
		if from == fromAfar && (!full || waited >= claimPatience) {
			cause := ErrNoLease
			if full {
				cause = ErrOverloaded
			}
			return nil, fmt.Errorf("node %s has no %s: %w", h.config.Node, what, cause)
		}
		select {
		case <-changed:
		case <-again:
		case <-ctx.Done():
			return nil, fmt.Errorf("node %s has no %s: %w: %w", h.config.Node, what, ErrUnavailable, ended(ctx))
		}
	}
}

// choose returns the first serving with room and a lease that holds, else the first one with room; if there is none, full
// tells whether that is for want of room.
func choose(all []*serving) (s *serving, full bool) {
	for _, each := range all {
		switch {
		case each.session.Full():
			full = true
		case each.lease.Valid():
			return each, false
		case s == nil:
			s = each
		}
	}
	return s, full
}

// A closedError says that the node is on its way out.
type closedError struct{ node string }

func (e *closedError) Error() string {
	return fmt.Sprintf("node %s is %v: the call had no effect, make it through another node", e.node, ErrClosed)
}
func (e *closedError) Unwrap() error { return ErrClosed }

// Close makes calls that need an object that is not awake fail with [ErrClosed]. What is awake stays.
func (h *Host) Close() { h.close(isClosed) }

func (h *Host) close(c int32) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.adding.Lock() // who found the host open has added its object
	defer h.adding.Unlock()
	h.closing.Store(max(h.closing.Load(), c))
	h.changed.wake()
}

// Drain lets go of all objects: calls that were accepted are finished, and what they call themselves, then the claims are
// released. Calls that would wake an object fail with [ErrClosed] from now on. Drain returns when nothing is left, or
// when ctx ends; the error then says how many objects are.
func (h *Host) Drain(ctx context.Context) error {
	h.close(draining)
	for {
		all := h.pick(func(*activation) bool { return true })
		switch {
		case len(all) == 0 && h.closing.Load() == isClosed:
			return nil
		case len(all) == 0:
			h.close(isClosed) // and look again: an object may have been added before
		case ctx.Err() != nil:
			return fmt.Errorf("object: node %s: %d objects were not drained in time: %w", h.config.Node, len(all), ctx.Err())
		default:
			slices.SortStableFunc(all, func(a, b *activation) int { return a.serving.member.Session - b.serving.member.Session }) // a session releases many at once
			release(ctx, all, false)
		}
	}
}

// Ready returns nil when the host has a session whose lease holds, or serves nothing itself, and else an error that says what is missing.
func (h *Host) Ready() error {
	switch {
	case h.closing.Load() != isOpen:
		return &closedError{h.config.Node}
	case !slices.ContainsFunc(h.tables, func(t *table) bool { return t.served }):
		return nil // it owns nothing and needs no session
	case len(h.current()) == 0:
		return fmt.Errorf("node %s has no session: %w", h.config.Node, ErrUnavailable)
	case !h.canClaim():
		return fmt.Errorf("node %s: its lease has lapsed: %w", h.config.Node, ErrUnavailable)
	}
	return nil
}

// canClaim tells whether the lease of some session holds.
func (h *Host) canClaim() bool {
	return slices.ContainsFunc(h.current(), func(s *serving) bool { return s.lease.Valid() })
}

// Owner returns the live member that owns key, without waking the object; ok is false when there is none.
func (h *Host) Owner(ctx context.Context, key Key) (m Member, ok bool, err error) {
	if h.types[key.Type] == nil {
		return m, false, unknownType(h.config.Node, key.Type)
	}
	if err := key.Validate(); err != nil {
		return m, false, err
	}
	return h.config.Registry.Owner(ctx, key)
}

// unknownType says that the node was opened without the type. Its name may be empty: then it is not known.
func unknownType(node, name string) error {
	return fmt.Errorf("%w %q: the %s was opened without it: give its definition to Open", ErrUnknownType, name, strings.TrimSpace("node "+node))
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ended(ctx)
	}
}

// jitter returns between half of d and d. It is drawn from what it is for, not from chance, so that a simulation can replay it.
func (h *Host) jitter(d time.Duration, key Key, attempt int) time.Duration {
	return d/2 + time.Duration(mix(h.seed^hashOf(key)^uint64(attempt))%uint64(d/2+1))
}

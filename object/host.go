package object

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A HostConfig says what a host works with.
type HostConfig struct {
	Node      string    // the node's name
	Registry  Registry  // asked who owns what is not here
	Committer Committer // loads and writes records
	Transport Transport // carries calls to other owners; nil: there are no other nodes
	Log       *slog.Logger
	Env       any              // for [Env]
	Now       func() time.Time // for [Info.Now]; nil: time.Now
}

// A Host serves objects: it wakes them on their first call, runs their methods, commits their updates, lets
// them go when they are idle, and ends them when the session ends that they were claimed under. All its
// goroutines belong to a run of [Host.Serve]. It may be used concurrently.
type Host struct {
	config HostConfig
	types  map[string]*table
	done   sync.Pool // of chan struct{}, for calls that wait
	works  sync.Pool // of *work; both belong to one host, as the channels do to its test bubble

	sweeps  atomic.Uint32 // counts sweeps for idle objects
	serving atomic.Pointer[serving]

	mu      sync.Mutex
	changed watch        // for serving and closing
	closing atomic.Int32 // one of the constants below; raised while no object is being added
}

// How far a host has come on its way out.
const (
	isOpen   int32 = iota
	draining       // no object wakes any more, except for calls from inside a method that runs
	isClosed       // no object wakes any more
)

// NewHost makes a host for objects of the defined types. It serves nothing until [Host.Serve] runs.
func NewHost(config HostConfig, definitions ...Definition) (*Host, error) {
	h := &Host{config: config, types: make(map[string]*table)}
	h.done.New = func() any { return make(chan struct{}, 1) }
	h.works.New = func() any { return new(work) }
	if h.config.Log == nil {
		h.config.Log = slog.New(slog.DiscardHandler)
	}
	for _, d := range definitions {
		def, err := d.define()
		if err != nil {
			return nil, err
		}
		if h.types[def.name] != nil {
			return nil, fmt.Errorf("object: type %s is defined twice: give one of them another name", def.name)
		}
		h.types[def.name] = newTable(h, def)
	}
	return h, nil
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

	mu    sync.RWMutex // held while an object is added
	ended bool         // no object is added any more
}

// stepTimeout bounds each step that lets an object go: what is not over by then is given up.
const stepTimeout = 10 * time.Second

// Serve serves objects under the session until ctx or the session ends. Then it tears down all that was
// claimed through the session: nothing of it is served when Serve returns. One Serve runs at a time.
//
// The claims that it leaves behind are for the session's Retire to release.
func (h *Host) Serve(ctx context.Context, session Session) error {
	defer func() {
		if ctx.Err() == nil { // even if Serve panics: the session's claims must not be claimed a second time
			session.Lease().End(fmt.Errorf("%w: the host has stopped serving", ErrUnavailable))
		}
	}()
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	s := &serving{host: h, session: session, lease: session.Lease(), member: session.Member(), ctx: life, tasks: make(chan *activation)}
	defer s.tearDown(end)
	h.serve(s)
	s.sweep(ctx)
	return s.lease.Err()
}

// mayAdd tells whether an object may be added; who asks holds mu until it is.
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
	s.host.serve(nil)
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	cause := s.lease.Err()
	if cause == nil {
		cause = ErrClosed
	}
	for _, t := range s.host.types {
		for a := range t.all() {
			if a.serving == s {
				a.end(cause)
				a.forget()
			}
		}
	}
	end()
	close(s.tasks) // no object is left that could have work
	if !waitFor(&s.workers, stepTimeout) {
		s.host.config.Log.Error("methods do not return although their contexts have ended: they were given up, "+
			"their results are ignored", "node", s.host.config.Node, "after", stepTimeout)
	}
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
	h.serving.Store(s)
	h.changed.wake()
}

// await returns what objects are served under now; while there is no session it waits for one.
func (h *Host) await(ctx context.Context) (*serving, error) {
	for {
		h.mu.Lock()
		s, closing, changed := h.serving.Load(), h.closing.Load(), h.changed.wait()
		h.mu.Unlock()
		if s != nil {
			return s, nil
		}
		if closing != isOpen {
			return nil, &closedError{h.config.Node}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("node %s has no session: %w: %w", h.config.Node, ErrUnavailable, ended(ctx))
		}
	}
}

// A closedError says that the node is on its way out.
type closedError struct{ node string }

func (e *closedError) Error() string {
	return fmt.Sprintf("node %s is %v: the call had no effect", e.node, ErrClosed)
}
func (e *closedError) Unwrap() error { return ErrClosed }

// Close makes calls that need an object that is not awake fail with [ErrClosed]. What is awake stays.
func (h *Host) Close() { h.close(isClosed) }

func (h *Host) close(c int32) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s := h.serving.Load(); s != nil {
		s.mu.Lock() // who found the host open has added its object
		defer s.mu.Unlock()
	}
	h.closing.Store(max(h.closing.Load(), c))
	h.changed.wake()
}

// Drain lets go of all objects: calls that were accepted are finished, and what they call themselves, then the claims are
// released. Calls that would wake an object fail with [ErrClosed] from now on. Drain returns when nothing is left, or
// when ctx ends; the error then says how many objects are.
func (h *Host) Drain(ctx context.Context) error {
	h.close(draining)
	for {
		var all []*activation
		for _, t := range h.types {
			all = slices.AppendSeq(all, t.all())
		}
		switch {
		case len(all) == 0 && h.closing.Load() == isClosed:
			return nil
		case len(all) == 0:
			h.close(isClosed) // and look again: an object may have been added before
		case ctx.Err() != nil:
			return fmt.Errorf("object: node %s: %d objects were not drained in time: %w", h.config.Node, len(all), ctx.Err())
		default:
			release(ctx, all, false)
		}
	}
}

// Ready returns nil when the host has a session whose lease holds, and else an error that says what is missing.
func (h *Host) Ready() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.serving.Load()
	switch {
	case h.closing.Load() != isOpen:
		return &closedError{h.config.Node}
	case s == nil:
		return fmt.Errorf("node %s has no session: %w", h.config.Node, ErrUnavailable)
	case !s.lease.Valid():
		return fmt.Errorf("node %s: its lease has lapsed: %w", h.config.Node, ErrUnavailable)
	}
	return nil
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

func unknownType(node, name string) error {
	return fmt.Errorf("%w %q: node %q was opened without it: give its definition to Open", ErrUnknownType, name, node)
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

// jitter returns between half of d and d.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }

package object

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
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
	changed chan struct{} // closed when serving or closed changes; nil while nobody waits
	closed  bool          // no object wakes any more
}

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
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	s := &serving{host: h, session: session, lease: session.Lease(), member: session.Member(), ctx: life, tasks: make(chan *activation)}
	defer s.tearDown(end)
	h.serve(s)
	s.sweep(ctx)
	return s.lease.Err()
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
				a.lose(cause)
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
	h.wake()
}

func (h *Host) wake() {
	if h.changed != nil {
		close(h.changed)
		h.changed = nil
	}
}

// await returns what objects are served under now; while there is no session it waits for one.
func (h *Host) await(ctx context.Context) (*serving, error) {
	for {
		h.mu.Lock()
		s, closed := h.serving.Load(), h.closed
		if h.changed == nil && s == nil {
			h.changed = make(chan struct{})
		}
		changed := h.changed
		h.mu.Unlock()
		if closed {
			return nil, fmt.Errorf("node %s: %w", h.config.Node, ErrClosed)
		}
		if s != nil {
			return s, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("node %s has no session: %w: %w", h.config.Node, ErrUnavailable, ended(ctx))
		}
	}
}

// Close makes calls that need an object that is not awake fail with [ErrClosed]. What is awake stays.
func (h *Host) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	h.wake()
}

// Drain is Close, and lets go of all objects: calls that were accepted are finished, then the claims are
// released. It returns when nothing is left or ctx ends; the error then says how many objects are.
func (h *Host) Drain(ctx context.Context) error {
	h.Close()
	for {
		var all []*activation
		for _, t := range h.types {
			all = slices.AppendSeq(all, t.all())
		}
		if len(all) == 0 {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("object: node %s: %d objects were not drained in time: %w", h.config.Node, len(all), ctx.Err())
		}
		release(ctx, all, false)
	}
}

// Ready returns nil when the host has a session whose lease holds, and else an error that says what is missing.
func (h *Host) Ready() error {
	s := h.serving.Load()
	switch {
	case s == nil:
		return fmt.Errorf("node %s has no session: %w", h.config.Node, ErrUnavailable)
	case !s.lease.Valid():
		return fmt.Errorf("node %s: its lease has lapsed: %w", h.config.Node, ErrUnavailable)
	}
	return nil
}

// Member is the session that objects are served under now; ok is false when there is none.
func (h *Host) Member() (m Member, ok bool) {
	if s := h.serving.Load(); s != nil {
		return s.member, true
	}
	return Member{}, false
}

// Owner returns the live member that owns key, without waking the object; ok is false when there is none.
func (h *Host) Owner(ctx context.Context, key Key) (m Member, ok bool, err error) {
	if h.types[key.Type] == nil {
		return m, false, unknownType(h, key.Type)
	}
	if err := key.Validate(); err != nil {
		return m, false, err
	}
	return h.config.Registry.Owner(ctx, key)
}

func unknownType(h *Host, name string) error {
	return fmt.Errorf("%w %q: node %s was opened without it: give its definition to Open", ErrUnknownType, name, h.config.Node)
}

// A Transport carries calls to the nodes that own the objects. Package transport has one.
type Transport interface {
	// Call has r handled by the member: the reply is what [Host.Handle] returned there. An error that is not
	// one of the other host's must match [ErrUnavailable] if the call surely did not run there, and
	// [ErrUnknownOutcome] if it may have.
	Call(ctx context.Context, to Member, r *Request) (reply []byte, err error)
}

// A Request is a call on its way to another node.
type Request struct {
	Key    Key
	Method string
	Args   []byte
	Caller Caller
	Path   []Key // the updates that wait for this call, the outermost first
}

// Handle answers a call that came from another node. If this node does not own the object and cannot claim it, the
// error is a [*NotOwnerError] that says who does.
func (h *Host) Handle(ctx context.Context, r *Request) (reply []byte, err error) {
	t := h.types[r.Key.Type]
	if t == nil {
		return nil, unknownType(h, r.Key.Type)
	}
	m := t.def.methods[r.Method]
	if m == nil {
		return nil, fmt.Errorf("%v: %w %q: does its node run another version of the program?", r.Key, ErrUnknownMethod, r.Method)
	}
	ctx = context.WithValue(WithCaller(ctx, r.Caller), pathKey{}, r.Path)
	if m.read != nil {
		snap, err := t.view(ctx, r.Key.ID)
		if err != nil {
			return nil, err
		}
		return m.read(&methodContext{ctx, t, r.Key.ID}, snap, r.Args)
	}
	o, err := m.update(r.Args)
	if err != nil {
		return nil, unavailable(r.Key, fmt.Errorf("the argument of %s cannot be read: %w", r.Method, err))
	}
	ctx, leave, err := enter(ctx, r.Key)
	if err != nil {
		return nil, err
	}
	defer leave()
	if err := t.local(ctx, r.Key.ID, o); err != nil {
		return nil, err
	}
	return o.reply()
}

// forward sends a call to the object's owner. again says that it surely did not run there and may find
// another owner.
func (t *table) forward(ctx context.Context, owner Member, r *Request) (reply []byte, again bool, err error) {
	if t.host.config.Transport == nil {
		return nil, false, unavailable(r.Key, fmt.Errorf("it is owned by node %s and there is no transport", owner.Name))
	}
	r.Caller, r.Path = From(ctx).Caller, updatePath(ctx)
	reply, err = t.host.config.Transport.Call(ctx, owner, r)
	var moved *NotOwnerError
	if !errors.As(err, &moved) && !errors.Is(err, ErrClosed) {
		return reply, false, err
	}
	if err := sleep(ctx, jitter(20*time.Millisecond)); err != nil {
		return nil, false, unavailable(r.Key, fmt.Errorf("its owner is changing: %w", err))
	}
	return nil, true, nil
}

// read returns the object's committed state if it is owned here, else the reply of its owner to the read.
func (t *table) read(ctx context.Context, name, id, method string, args []byte) (*snapshot, []byte, error) {
	if t == nil {
		return nil, nil, fmt.Errorf("%w %q: give its definition to Open", ErrUnknownType, name)
	}
	for {
		snap, err := t.view(ctx, id)
		var elsewhere *NotOwnerError
		if !errors.As(err, &elsewhere) {
			return snap, nil, err
		}
		reply, again, err := t.forward(ctx, elsewhere.Owner, &Request{Key: Key{t.def.name, id}, Method: method, Args: args})
		if !again {
			return nil, reply, err
		}
	}
}

// update has o run where the object is owned. The reply is nil if that is here: o has the result then.
func (t *table) update(ctx context.Context, name, id string, o *op) ([]byte, error) {
	if t == nil {
		return nil, fmt.Errorf("%w %q: give its definition to Open", ErrUnknownType, name)
	}
	ctx, leave, err := enter(ctx, Key{t.def.name, id})
	if err != nil {
		return nil, err
	}
	defer leave()
	for {
		err := t.local(ctx, id, o)
		if err == nil {
			return nil, nil
		}
		var elsewhere *NotOwnerError
		if !errors.As(err, &elsewhere) {
			return nil, err
		}
		method, args, err := o.request()
		if err != nil {
			return nil, err
		}
		reply, again, err := t.forward(ctx, elsewhere.Owner, &Request{Key: Key{t.def.name, id}, Method: method, Args: args})
		if !again {
			return reply, err
		}
	}
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

// panicked turns a method's panic into its error, and logs the stack.
func (c *methodContext) panicked(method string, cause any) error {
	key := Key{c.table.def.name, c.id}
	c.table.host.config.Log.Error("a method panicked: the call failed and changed nothing", "object", key, "method", method,
		"panic", cause, "stack", string(debug.Stack()))
	return fmt.Errorf("%v: %w: %s: %v", key, ErrPanic, method, cause)
}

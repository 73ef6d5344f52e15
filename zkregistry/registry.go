package zkregistry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/internal/zk"
	"github.com/highlander-go/highlander/object"
)

// Defaults of [Options].
const (
	DefaultLease          = 2 * time.Second
	DefaultSessionTimeout = 6 * time.Second
)

// Options configure a [Registry].
type Options struct {
	Root string // path of the node under which everything is, "/todo"; its parents are made where they lack

	// Lease is the length of this node's leases, 10 ms to a minute. Zero: [DefaultLease].
	Lease time.Duration

	// SessionTimeout is how long ZooKeeper keeps a session that it does not hear of. More than Lease. Zero: [DefaultSessionTimeout].
	SessionTimeout time.Duration

	// Clock is the clock of leases. Nil: the machine's time since boot, sleep included.
	Clock object.Clock

	// StateDir is a folder on a local disk by which a process that was killed and started again proves that its predecessor is dead.
	// Empty: others, and the process itself, wait for the predecessor's leases.
	StateDir string

	// StopOnDisconnect ends a session as soon as its connection is lost, be it for a moment, instead of serving for the rest of the lease: for
	// applications that would rather not be available.
	StopOnDisconnect bool

	// Probe asks a member whether it lives. Nil: members that others suspect are not evicted; ZooKeeper's word is waited for. The error
	// is an [*object.UnreachableError] that says what was seen.
	Probe func(context.Context, object.Member) error

	Log *slog.Logger // nil: discarded
}

// A Registry is an [object.Registry] on ZooKeeper, as one process sees it. It holds one ZooKeeper session of its own, for what is
// no session's, and one for each session that has joined through it. It must be closed.
type Registry struct {
	ensemble zk.Ensemble
	paths    layout
	lease    time.Duration
	timeout  time.Duration
	clock    object.Clock
	probe    func(context.Context, object.Member) error
	log      *slog.Logger
	proof    *proof

	stopOnDisconnect bool

	life    context.Context // ends with Close
	stop    context.CancelFunc
	running sync.WaitGroup // goroutines, and those who join
	changed chan struct{}  // capacity 1: who is there may have changed
	listed  chan struct{}  // closed when members is known
	turn    chan struct{}  // held by who changes base
	evictor evictor

	mu       sync.Mutex
	base     *connection // nil: there is none, or it is over
	known    map[string]memberInfo
	lost     map[string]object.LostMember
	own      map[string]bool // pairs that have joined here
	sessions map[*session]bool
	members  []object.Member
}

// Open connects to the ensemble and makes the root where it lacks. It tries until ctx ends.
func Open(ctx context.Context, ensemble zk.Ensemble, o Options) (*Registry, error) {
	if o.Lease == 0 {
		o.Lease = DefaultLease
	}
	if o.SessionTimeout == 0 {
		o.SessionTimeout = DefaultSessionTimeout
	}
	if o.Clock == nil {
		o.Clock = bootClock()
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	switch {
	case o.SessionTimeout <= o.Lease || o.Lease < 10*time.Millisecond || o.Lease > maxLease:
		return nil, fmt.Errorf("zkregistry: the lease is %v, the session timeout %v: make the lease 10 ms to %v, and the timeout longer, best three times as long",
			o.Lease, o.SessionTimeout, maxLease)
	case !strings.HasPrefix(o.Root, "/") || strings.HasSuffix(o.Root, "/") || strings.Contains(o.Root, "//") || len(o.Root) > 100:
		return nil, fmt.Errorf("zkregistry: the root %q is no path such as /todo, of at most 100 bytes", o.Root)
	}
	r := &Registry{
		ensemble: ensemble, paths: layout{o.Root}, lease: o.Lease, timeout: o.SessionTimeout, clock: o.Clock, probe: o.Probe, log: o.Log,
		changed: make(chan struct{}, 1), listed: make(chan struct{}), turn: make(chan struct{}, 1),
		known: make(map[string]memberInfo), lost: make(map[string]object.LostMember), own: make(map[string]bool),
		sessions: make(map[*session]bool), stopOnDisconnect: o.StopOnDisconnect,
	}
	r.life, r.stop = context.WithCancel(context.Background())
	if err := r.open(ctx, o); err != nil {
		return nil, errors.Join(fmt.Errorf("zkregistry: %w", err), r.Close())
	}
	r.running.Go(func() { r.attend(r.life) })
	return r, nil
}

func (r *Registry) open(ctx context.Context, o Options) error {
	c, err := r.connection(ctx)
	if err != nil {
		return err
	}
	if err := r.makeRoot(ctx, c); err != nil {
		return unavailable("make the root "+r.paths.root, err)
	}
	if o.StateDir == "" {
		return nil
	}
	dead, err := r.openProof(o.StateDir)
	if err != nil {
		return err
	}
	p, err := c.presence(ctx)
	if err != nil {
		return unavailable("list the members", err)
	}
	for _, pair := range pairsOf(p.members, dead) {
		if err := r.bury(ctx, c, pair); err != nil {
			return unavailable("remove the predecessor "+pair, err)
		}
		r.log.Info("the predecessor of this process is dead: nobody need wait for it", "pair", pair)
	}
	for _, id := range dead {
		r.proof.forget(id)
	}
	return nil
}

// makeRoot makes the folders that everything is in.
func (r *Registry) makeRoot(ctx context.Context, c zk.Session) error {
	path := ""
	paths := []string{}
	for part := range strings.SplitSeq(r.paths.root[1:], "/") {
		path += "/" + part
		paths = append(paths, path)
	}
	for _, path := range append(paths, r.paths.members(), r.paths.live(), r.paths.objects()) {
		if err := r.ensure(ctx, c, path); err != nil {
			return err
		}
	}
	return nil
}

// ensure makes a persistent node unless it is there.
func (r *Registry) ensure(ctx context.Context, c zk.Session, path string) error {
	return persistently(ctx, func() error {
		_, err := c.Create(ctx, path, nil, zk.Persistent)
		if errors.Is(err, zk.ErrNodeExists) {
			return nil
		}
		return err
	})
}

// connection returns the registry's own connection, a new one if the last is over.
func (r *Registry) connection(ctx context.Context) (*connection, error) {
	r.mu.Lock()
	c := r.base
	r.mu.Unlock()
	if c != nil {
		return c, nil
	}
	if err := take(ctx, r.turn); err != nil {
		return nil, unavailable("connect to ZooKeeper", err)
	}
	defer func() { <-r.turn }()
	r.mu.Lock()
	c = r.base
	r.mu.Unlock()
	if c != nil {
		return c, nil
	}
	if r.life.Err() != nil {
		return nil, unavailable("connect to ZooKeeper", errClosed)
	}
	c = newConnection(r.paths)
	ctx, cancel := r.untilClosed(ctx)
	defer cancel()
	over := false // guarded by mu: the session may be over before it is known
	var err error
	c.Session, err = r.ensemble.Open(ctx, r.timeout, func(e zk.Event) {
		c.event(e)
		if e.Type == zk.Expired {
			r.mu.Lock()
			over = true
			if r.base == c {
				r.base = nil
			}
			r.mu.Unlock()
		}
		r.poke()
	})
	if err != nil {
		return nil, unavailable("connect to ZooKeeper", r.orClosed(err))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !over {
		r.base = c
	}
	return c, nil
}

// untilClosed returns a context that ends with ctx, or when the registry is closed.
func (r *Registry) untilClosed(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(r.life, cancel)
	return ctx, func() { stop(); cancel() }
}

// orClosed is err, or that the registry is closed: that is then the cause of all else.
func (r *Registry) orClosed(err error) error {
	if r.life.Err() != nil {
		return errClosed
	}
	return err
}

// poke has attend look again.
func (r *Registry) poke() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// Owner implements [object.Registry].
func (r *Registry) Owner(ctx context.Context, key object.Key) (m object.Member, ok bool, err error) {
	c, err := r.connection(ctx)
	if err == nil {
		m, ok, err = r.owner(ctx, c, key)
	}
	if err != nil {
		return m, false, unavailable(fmt.Sprintf("look up the owner of %v", key), err)
	}
	return m, ok, nil
}

func (r *Registry) owner(ctx context.Context, c *connection, key object.Key) (m object.Member, ok bool, err error) {
	all, err := c.contenders(ctx, key)
	if err != nil {
		return m, false, err
	}
	for _, o := range all {
		info, live, err := r.holder(ctx, c, key, o)
		if err != nil || live {
			return info.Member, live, err
		}
	}
	return m, false, nil
}

// holder returns the member that has made a claim; ok is false when the claim is gone, or is void. The claim was listed through c before.
func (r *Registry) holder(ctx context.Context, c *connection, key object.Key, o contender) (m memberInfo, ok bool, err error) {
	var data []byte
	err = persistently(ctx, func() error {
		data, _, err = c.Get(ctx, r.paths.container(key)+"/"+o.name)
		return err
	})
	if errors.Is(err, zk.ErrNoNode) {
		return m, false, nil
	} else if err != nil {
		return m, false, err
	}
	p, err := c.presence(ctx) // after the claim was seen: a pair is made before its claims
	if err != nil || !p.live[string(data)] {
		return m, false, err
	}
	return r.member(ctx, c, string(data))
}

// Members implements [object.Registry]. It waits for the first list until ctx ends.
func (r *Registry) Members(ctx context.Context) ([]object.Member, error) {
	select {
	case <-r.listed:
	default:
		select {
		case <-r.listed:
		case <-ctx.Done():
			return nil, unavailable("list the members", ctx.Err())
		case <-r.life.Done():
			return nil, unavailable("list the members", errClosed)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.members, nil
}

// Close ends all sessions that have not retired, as a crash would, and closes the connections.
func (r *Registry) Close() error {
	r.mu.Lock()
	r.stop() // under mu: nobody starts a goroutine, or joins, after it
	r.mu.Unlock()
	r.running.Wait()
	r.turn <- struct{}{} // who makes a connection has come to the end of it
	defer func() { <-r.turn }()
	r.mu.Lock()
	base := r.base
	r.base = nil
	left := make([]*session, 0, len(r.sessions))
	for s := range r.sessions {
		left = append(left, s)
	}
	r.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	var errs []error
	for _, s := range left {
		errs = append(errs, s.end(ctx, errClosed))
	}
	if base != nil {
		errs = append(errs, base.Close(ctx))
	}
	r.proof.close()
	return errors.Join(errs...)
}

// closeTimeout is how long a session that is closed waits for ZooKeeper's word.
const closeTimeout = 2 * time.Second

var errClosed = fmt.Errorf("the registry is %w", object.ErrClosed)

func unavailable(what string, err error) error {
	if errors.Is(err, object.ErrUnavailable) {
		return fmt.Errorf("%s: %w", what, err)
	}
	return fmt.Errorf("%s: %w: %w", what, object.ErrUnavailable, err)
}

// pairsOf returns the pairs among names that are of one of the incarnations.
func pairsOf(names []string, incarnations []uuid.UUID) (pairs []string) {
	for _, name := range names {
		for _, id := range incarnations {
			if strings.HasPrefix(name, id.String()+".") {
				pairs = append(pairs, name)
			}
		}
	}
	return pairs
}

var _ object.Registry = (*Registry)(nil)

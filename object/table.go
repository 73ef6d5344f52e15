package object

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"
)

// A table holds the objects of one type that are awake on this node.
type table struct {
	host   *Host
	def    *definition
	served bool      // this node may own objects of the type
	shards [64]shard // so that calls of different objects do not meet at one lock
}

type shard struct {
	mu sync.RWMutex
	m  map[string]*activation
	_  [32]byte // keeps neighbours off the same cache line
}

func newTable(h *Host, def *definition) *table {
	t := &table{host: h, def: def}
	def.typed.in(t)
	for i := range t.shards {
		t.shards[i].m = make(map[string]*activation)
	}
	return t
}

// shard picks by the id's last two bytes, where ids differ most; a bad spread costs only waiting at a lock.
func (t *table) shard(id string) *shard {
	n := len(id)
	if n < 2 {
		return &t.shards[0]
	}
	return &t.shards[(id[n-1]+id[n-2]<<3)%64]
}

func (t *table) lookup(id string) *activation {
	s := t.shard(id)
	s.mu.RLock()
	a := s.m[id]
	s.mu.RUnlock()
	return a
}

// resident returns the committed state if the object is awake here and may be answered now, else nil. This
// is the path of nearly all reads.
func (t *table) resident(id string) *snapshot {
	if t == nil {
		return nil
	}
	a := t.lookup(id)
	if a == nil {
		return nil
	}
	snap := a.committed.Load()
	if snap == nil || !a.serving.lease.Valid() { // in this order: see mayAnswer
		return nil
	}
	a.touch()
	return snap
}

// view returns the committed state, waking the object and waiting for the lease where need be.
func (t *table) view(ctx context.Context, id string, from origin) (*snapshot, error) {
	for {
		if snap := t.resident(id); snap != nil {
			return snap, nil
		}
		if _, err := t.find(ctx, id, from); err != nil {
			return nil, err
		}
	}
}

// local runs the update if the object is owned here or can be.
func (t *table) local(ctx context.Context, id string, o *op) error {
	begun := t.host.begun.Load() // 0: this process has had no session yet
	for {
		a := t.lookup(id)
		if a == nil || a.committed.Load() == nil || !a.serving.lease.Valid() { // in this order: a lease that is valid after the load says that no other owner had written before it
			var err error
			if a, err = t.find(ctx, id, o.from); err != nil {
				return err
			}
		}
		if o.from == fromAfar && begun > 0 && a.serving.nth > begun { // this process may have been frozen for long since the call came
			return refuse(a.key(), unavailable(a.key(), errFormer))
		}
		t.yield(ctx, a)
		err := a.do(ctx, o)
		if err != errMoved {
			return err
		}
		if _, err := t.find(ctx, id, o.from); err != nil {
			return err
		}
	}
}

var errFormer = fmt.Errorf("%w: the call came in a former session of this node", ErrNoLease) // so that it is made again

// errMoved says that an activation is over or not yet there, and that the update it was given did not run.
var errMoved = errors.New("moved")

// An origin is where a call comes from.
type origin int

const (
	fromHere origin = iota
	fromAfar        // another node, through the transport: it can try others, so it is not kept waiting for what may not come; and its answer may be lost
)

// claimPatience is how long a call from afar waits for a claim that is neither won nor lost.
const claimPatience = 2 * time.Second

// refuse says that a call on key did not run here, since this node cannot own it now.
func refuse(key Key, err error) error {
	if refused := (*NotOwnerError)(nil); errors.As(err, &refused) {
		return refused
	}
	return &NotOwnerError{Key: key, Err: err}
}

// find returns the object's activation once it serves and its lease is valid, waking the object where need be. The error is a
// [*NotOwnerError] if the object may be had at another node.
func (t *table) find(ctx context.Context, id string, from origin) (*activation, error) {
	key := Key{t.def.name, id}
	for {
		a, s, err := t.activation(ctx, id, from)
		if err != nil {
			return nil, err
		}
		if a != nil {
			if change := a.changing(); change != nil {
				var late <-chan time.Time
				if from == fromAfar && change.phase == waking {
					late = time.After(claimPatience)
				}
				select {
				case <-change.done:
				case <-late:
					if !a.claimed() {
						return nil, refuse(key, unavailable(key, fmt.Errorf("it could not be claimed within %v", claimPatience)))
					}
				case <-ctx.Done():
					return nil, unavailable(key, fmt.Errorf("it is %v: %w", change.phase, ended(ctx)))
				}
				if change.err != nil {
					return nil, change.err
				}
				continue
			}
			if err := s.lease.Wait(ctx); err == nil {
				return a, nil
			} else if ctx.Err() != nil {
				return nil, unavailable(key, err)
			} else if s.lease.Err() == nil { // it is still the owner: when the registry answers again, others need not ask it all at once
				return nil, &NotOwnerError{Key: key, Owner: s.member, Err: unavailable(key, err)}
			}
		}
		// The session is over. When its objects have been torn down they can wake under the next one.
		select {
		case <-s.ctx.Done():
		case <-ctx.Done():
			return nil, unavailable(key, fmt.Errorf("its node has lost the session: %w", ended(ctx)))
		}
	}
}

// activation returns the object's activation, a new one if there is none, and what it is served under. The activation is
// nil if that is over.
func (t *table) activation(ctx context.Context, id string, from origin) (*activation, *serving, error) {
	if a := t.lookup(id); a != nil {
		return a, a.serving, nil
	}
	if err := validateID(id); err != nil {
		return nil, nil, err
	}
	key := Key{t.def.name, id}
	s, err := t.host.await(ctx, from)
	if err != nil && ctx.Err() == nil {
		return nil, nil, refuse(key, err)
	} else if err != nil {
		return nil, nil, err
	}
	if err := t.host.mayWake(key); err != nil {
		return nil, nil, refuse(key, err)
	}
	t.host.adding.RLock()
	defer t.host.adding.RUnlock()
	if err := s.mayAdd(ctx); err == errMoved {
		return nil, s, nil
	} else if err != nil {
		return nil, nil, refuse(key, err)
	}
	sh := t.shard(id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if a := sh.m[id]; a != nil {
		return a, a.serving, nil
	}
	a := &activation{table: t, id: id, serving: s, phase: waking, change: newTransition(waking)}
	a.touch()
	sh.m[id] = a
	s.workers.Go(a.wake)
	return a, s, nil
}

func (t *table) remove(a *activation) {
	sh := t.shard(a.id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.m[a.id] == a {
		delete(sh.m, a.id)
	}
}

// all iterates over the activations that there are.
func (t *table) all() iter.Seq[*activation] {
	return func(yield func(*activation) bool) {
		for i := range t.shards {
			sh := &t.shards[i]
			sh.mu.RLock()
			some := slices.Collect(maps.Values(sh.m))
			sh.mu.RUnlock()
			for _, a := range some {
				if !yield(a) {
					return
				}
			}
		}
	}
}

package object

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
)

// A table holds the objects of one type that are awake on this node.
type table struct {
	host   *Host
	def    *definition
	shards [64]shard // so that calls of different objects do not meet at one lock
}

type shard struct {
	mu sync.RWMutex
	m  map[string]*activation
	_  [32]byte // keeps neighbours off the same cache line
}

func newTable(h *Host, def *definition) *table {
	t := &table{host: h, def: def}
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
func (t *table) view(ctx context.Context, id string) (*snapshot, error) {
	for {
		if snap := t.resident(id); snap != nil {
			return snap, nil
		}
		a, err := t.find(ctx, id)
		if err != nil {
			return nil, err
		}
		lease := a.serving.lease
		if err := lease.Wait(ctx); err == nil {
			continue
		} else if lease.Err() == nil {
			return nil, unavailable(a.key(), err)
		}
		a.lose(lease.Err()) // it can wake under the next session
	}
}

// local runs the update if the object is owned here or can be.
func (t *table) local(ctx context.Context, id string, o *op) error {
	for {
		a := t.lookup(id)
		if a == nil {
			var err error
			if a, err = t.find(ctx, id); err != nil {
				return err
			}
		}
		err := a.do(ctx, o)
		if err != errMoved {
			return err
		}
		if _, err := t.find(ctx, id); err != nil {
			return err
		}
	}
}

// errMoved says that an activation is over or not yet there, and that the update it was given did not run.
var errMoved = errors.New("moved")

// find returns the object's activation once it serves, waking the object where need be.
func (t *table) find(ctx context.Context, id string) (*activation, error) {
	for {
		a := t.lookup(id)
		if a == nil {
			if err := validateID(id); err != nil {
				return nil, err
			}
			s, err := t.host.await(ctx)
			if err != nil {
				return nil, err
			}
			if a = t.insert(id, s); a == nil {
				continue
			}
		}
		change := a.changing()
		if change == nil {
			return a, nil
		}
		select {
		case <-change.done:
			if change.err != nil {
				return nil, change.err
			}
		case <-ctx.Done():
			return nil, unavailable(a.key(), fmt.Errorf("it is %v: %w", change.phase, ended(ctx)))
		}
	}
}

// insert returns the object's activation; one that is new is waking. It returns nil if s has ended.
func (t *table) insert(id string, s *serving) *activation {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.ended {
		return nil
	}
	sh := t.shard(id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	a := sh.m[id]
	if a == nil {
		a = &activation{table: t, id: id, serving: s, phase: waking, change: newTransition(waking)}
		a.touch()
		sh.m[id] = a
		s.workers.Go(a.wake)
	}
	return a
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

package zkregistry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/internal/zk"
	"github.com/highlander-go/highlander/object"
)

// An evictor removes members that cannot be reached, so that failover takes about a takeover wait and not a session timeout more. It is
// guarded by the registry's mu.
type evictor struct {
	suspects map[uuid.UUID]object.Member
	spared   map[uuid.UUID]time.Duration // until when members are left alone that have turned out to live, though they cannot be reached from here
	running  bool
}

// probeTimeout is how long a member may take to answer before it counts as silent.
const probeTimeout = time.Second

// Suspect implements [object.Registry].
func (r *Registry) Suspect(m object.Member, _ object.Suspicion) {
	if r.probe == nil {
		return
	}
	now := r.clock()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.life.Err() != nil {
		return
	}
	if r.evictor.suspects == nil {
		r.evictor.suspects, r.evictor.spared = make(map[uuid.UUID]object.Member), make(map[uuid.UUID]time.Duration)
	}
	if now < r.evictor.spared[m.Incarnation] {
		return
	}
	delete(r.evictor.spared, m.Incarnation)
	r.evictor.suspects[m.Incarnation] = m
	if !r.evictor.running {
		r.evictor.running = true
		r.running.Go(r.evictSuspects)
	}
}

// evictSuspects deals with one suspect after the other until there is none.
func (r *Registry) evictSuspects() {
	for {
		r.mu.Lock()
		ids := slices.SortedFunc(maps.Keys(r.evictor.suspects), func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
		if len(ids) == 0 || r.life.Err() != nil {
			r.evictor.running = false
			r.mu.Unlock()
			return
		}
		m := r.evictor.suspects[ids[0]]
		r.mu.Unlock()
		if err := r.evict(r.life, m); err != nil && r.life.Err() == nil {
			r.log.Warn("a member that could not be reached was not evicted", "member", m.Name, "incarnation", m.Incarnation, "error", err)
		}
		r.mu.Lock()
		delete(r.evictor.suspects, m.Incarnation)
		r.mu.Unlock()
	}
}

// evict removes the pairs of a member that is gone or silent, once it is sure that their leases are over: a pair's live node that nobody has
// written for a takeover wait is removed in a transaction that fails if its version has changed. If it succeeds, nobody need wait.
func (r *Registry) evict(ctx context.Context, m object.Member) error {
	c, err := r.connection(ctx)
	if err != nil {
		return err
	}
	p, err := c.presence(ctx)
	if err != nil {
		return err
	}
	last, err := r.lastSigns(ctx, c, livePairs(p, m.Incarnation))
	if err != nil {
		return err
	}
	how := r.seen(ctx, m)
	if how == 0 {
		return nil // it answers
	}
	if how == object.Silent {
		if silent, all := r.countSilent(ctx, m); 2*silent >= all {
			return fmt.Errorf("%d of %d members are silent: it is the network, or this node", silent, all)
		}
	}
	defer r.unreserve(ctx, c) // whatever comes of it: an answer may have been lost
	if free, err := r.reserve(ctx, c, m, p); err != nil || !free {
		return err
	}
	return r.evictPairs(ctx, c, m, how, last)
}

func livePairs(p *presence, incarnation uuid.UUID) []string {
	return slices.DeleteFunc(pairsOf(p.members, []uuid.UUID{incarnation}), func(pair string) bool { return !p.live[pair] })
}

// reserve makes this eviction the only one of the cluster: two at once would be the network. It waits while there is another one, and
// returns false when the member has gone meanwhile.
func (r *Registry) reserve(ctx context.Context, c *connection, m object.Member, p *presence) (bool, error) {
	for {
		if len(livePairs(p, m.Incarnation)) == 0 {
			return false, nil
		}
		_, err := c.Create(ctx, r.paths.evicting(), reservation(c), zk.Ephemeral)
		if err == nil {
			return true, nil
		}
		if !errors.Is(err, zk.ErrNodeExists) && !errors.Is(err, zk.ErrConnectionLost) {
			return false, err
		}
		if data, _, err := c.Get(ctx, r.paths.evicting()); err == nil && bytes.Equal(data, reservation(c)) {
			return true, nil // made by an attempt whose answer was lost
		}
		if !sleepUntil(ctx, r.clock, r.clock()+retryPause, nil) {
			return false, ctx.Err()
		}
		if p, err = c.presence(ctx); err != nil {
			return false, err
		}
	}
}

// unreserve lets others evict, if this node has kept them from it. It is tried until ctx ends or the connection does, which ends the reservation too.
func (r *Registry) unreserve(ctx context.Context, c *connection) {
	_ = persistently(ctx, func() error {
		data, _, err := c.Get(ctx, r.paths.evicting())
		if err != nil || !bytes.Equal(data, reservation(c)) {
			return err
		}
		return c.Delete(ctx, r.paths.evicting(), zk.AnyVersion)
	})
}

// reservation is what the node says that keeps others from evicting: whose it is.
func reservation(c *connection) []byte { return strconv.AppendInt(nil, c.ID(), 36) }

// Signs are what a member's pairs showed at a moment.
type signs struct {
	versions map[string]int32 // of the live nodes: each renewal raises it
	at       time.Duration    // by when they had been read
	wait     time.Duration    // after which the leases are over that were renewed before
}

func (r *Registry) lastSigns(ctx context.Context, c *connection, pairs []string) (signs, error) {
	s := signs{versions: make(map[string]int32)}
	for _, pair := range pairs {
		var version int32
		err := persistently(ctx, func() (err error) {
			_, version, err = c.Get(ctx, r.paths.liveOf(pair))
			return err
		})
		if errors.Is(err, zk.ErrNoNode) {
			continue
		} else if err != nil {
			return s, err
		}
		info, _, err := r.member(ctx, c, pair)
		if err != nil {
			return s, err
		}
		s.versions[pair] = version
		s.wait = max(s.wait, object.TakeoverWait(info.lease))
	}
	s.at = r.clock()
	return s, nil
}

// evictPairs waits and removes the pairs, if none of them has shown a sign of life since.
func (r *Registry) evictPairs(ctx context.Context, c *connection, m object.Member, how object.Suspicion, last signs) error {
	versions, wait := last.versions, last.wait
	if how == object.Silent {
		// It may only be slow: it gets twice as long, of which it had been silent for a while when it was reported. This is over before
		// ZooKeeper ends its session, whereupon everybody would have to wait.
		wait = max(wait, 2*wait-probeTimeout)
	}
	until := last.at + wait
	if how == object.Silent {
		if !sleepUntil(ctx, r.clock, until-probeTimeout, nil) {
			return ctx.Err()
		}
		if r.seen(ctx, m) == 0 {
			return nil
		}
	}
	if !sleepUntil(ctx, r.clock, until, nil) {
		return ctx.Err()
	}
	for _, pair := range slices.Sorted(maps.Keys(versions)) {
		err := persistently(ctx, func() error { return r.deletePair(ctx, c, pair, versions[pair]) })
		switch {
		case errors.Is(err, zk.ErrBadVersion):
			r.spare(m)
			return errors.New("it has renewed its lease meanwhile: it lives, though this node cannot reach it")
		case err != nil && !errors.Is(err, zk.ErrNoNode):
			return err
		}
		r.log.Warn("a member that cannot be reached was evicted: its objects can be claimed", "member", m.Name, "pair", pair, "after", wait)
	}
	return nil
}

// spare leaves a member alone for a session timeout: while this node tries to evict it, in vain, nobody else can be evicted.
func (r *Registry) spare(m object.Member) {
	now := r.clock()
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.evictor.spared, func(_ uuid.UUID, until time.Duration) bool { return until <= now })
	r.evictor.spared[m.Incarnation] = now + r.timeout
}

// seen returns what is seen of a member now; 0: it answers, if only that it takes no calls.
func (r *Registry) seen(ctx context.Context, m object.Member) object.Suspicion {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	err := r.probe(ctx, m)
	var unreachable *object.UnreachableError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &unreachable):
		return unreachable.How
	default:
		return object.Silent
	}
}

// countSilent asks all other members and counts those that are silent, m included, and all that there are.
func (r *Registry) countSilent(ctx context.Context, m object.Member) (silent, all int) {
	r.mu.Lock()
	members := r.members
	own := maps.Clone(r.own)
	r.mu.Unlock()
	var count atomic.Int32
	count.Add(1)
	var asking sync.WaitGroup
	for _, other := range members {
		if other.Incarnation == m.Incarnation || ownsOne(own, other.Incarnation) || other.Address == "" {
			continue
		}
		asking.Go(func() {
			if r.seen(ctx, other) == object.Silent {
				count.Add(1)
			}
		})
	}
	asking.Wait()
	return int(count.Load()), len(members)
}

func ownsOne(own map[string]bool, incarnation uuid.UUID) bool {
	for pair := range own {
		if strings.HasPrefix(pair, incarnation.String()+".") {
			return true
		}
	}
	return false
}

package zkregistry

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/highlander-go/highlander/internal/zk"
	"github.com/highlander-go/highlander/object"
)

// lostMembers returns the members whose leases a claim must outwait that was just won through c.
func (r *Registry) lostMembers(ctx context.Context, c *connection) ([]object.LostMember, error) {
	p, err := c.presence(ctx)
	if err != nil {
		return nil, err
	}
	return r.see(ctx, c, p.lost())
}

// see returns when each of the pairs, which c has shown without a live twin, was first seen so. That moment is the node's, not
// the connection's: gone is final.
func (r *Registry) see(ctx context.Context, c *connection, pairs []string) (lost []object.LostMember, err error) {
	for _, pair := range pairs {
		r.mu.Lock()
		l, seen := r.lost[pair]
		r.mu.Unlock()
		if !seen {
			m, ok, err := r.readMember(ctx, c, pair) // it may have retired between the two listings: look again
			if err != nil {
				return nil, err
			} else if !ok {
				continue // and who was deleted by somebody who has waited for it need not be waited for
			}
			now := r.clock()
			r.mu.Lock()
			if l, seen = r.lost[pair]; !seen {
				l = object.LostMember{Seen: now, Lease: m.lease}
				r.lost[pair] = l
			}
			r.mu.Unlock()
		}
		lost = append(lost, l)
	}
	return lost, nil
}

// attend keeps the lists of who is there up to date through the registry's own connection, and removes members that nobody need wait
// for any more. It runs until ctx ends.
func (r *Registry) attend(ctx context.Context) {
	for ctx.Err() == nil {
		next, err := r.look(ctx)
		if err != nil && ctx.Err() == nil {
			r.log.Warn("the list of the cluster's members could not be read: trying again", "error", err)
			next = r.clock() + retryPause
		}
		r.wait(ctx, next)
	}
}

const (
	retryPause = 500 * time.Millisecond
	lookAgain  = 30 * time.Second // although nothing seems to have happened
)

// wait returns when somebody has changed or the clock shows until.
func (r *Registry) wait(ctx context.Context, until time.Duration) {
	timer := time.NewTimer(max(until-r.clock(), time.Millisecond))
	defer timer.Stop()
	select {
	case <-r.changed:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// look lists who is there and buries who can be. It returns when there is something to bury next.
func (r *Registry) look(ctx context.Context) (next time.Duration, err error) {
	c, err := r.connection(ctx)
	if err != nil {
		return 0, err
	}
	p, err := c.presence(ctx)
	if err != nil {
		return 0, err
	}
	if err := r.publish(ctx, c, p); err != nil {
		return 0, err
	}
	missing := p.lost()
	if _, err := r.see(ctx, c, missing); err != nil {
		return 0, err
	}
	r.forget(p)
	now := r.clock()
	next = now + lookAgain
	for _, pair := range missing {
		switch at, known := r.burial(pair, p); {
		case !known:
		case at > now:
			next = min(next, at)
		default:
			if err := r.deleteLost(ctx, c, pair); err != nil {
				return 0, err
			}
			r.log.Info("a lost member was removed from the registry", "member", pair)
		}
	}
	return next, nil
}

// publish makes what [Registry.Members] returns.
func (r *Registry) publish(ctx context.Context, c *connection, p *presence) error {
	var members []object.Member
	for _, pair := range p.members { // sorted: by incarnation
		if !p.live[pair] {
			continue
		}
		m, ok, err := r.member(ctx, c, pair)
		if err != nil {
			return err
		} else if !ok {
			continue
		}
		if last := len(members) - 1; last >= 0 && members[last].Incarnation == m.Incarnation {
			if m.Session < members[last].Session {
				members[last] = m.Member
			}
			continue
		}
		members = append(members, m.Member)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.members = members
	select {
	case <-r.listed:
	default:
		close(r.listed)
	}
	return nil
}

// forget drops what is known of pairs that are gone.
func (r *Registry) forget(p *presence) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for pair := range r.lost {
		if _, there := slices.BinarySearch(p.members, pair); !there {
			delete(r.lost, pair)
		}
	}
	for pair := range r.known {
		if _, there := slices.BinarySearch(p.members, pair); !there {
			delete(r.known, pair)
		}
	}
}

// burial is when this node may remove the lost pair: when its lease is surely over. That nodes do not all do it at once, each leaves it
// to those before it in the list of the live, a lease long.
func (r *Registry) burial(pair string, p *presence) (at time.Duration, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l, ok := r.lost[pair]
	rank := 0
	for _, m := range p.members {
		if r.own[m] {
			break
		}
		if p.live[m] {
			rank++
		}
	}
	return object.ServeAt([]object.LostMember{l}) + time.Duration(min(rank, 10))*r.lease, ok
}

// deleteLost removes a member that has no live twin, in a transaction that cannot succeed while it has one: a member removed by mistake
// would be one that nobody waits for when it dies.
func (r *Registry) deleteLost(ctx context.Context, c zk.Session, pair string) error {
	err := persistently(ctx, func() error {
		return c.Multi(ctx,
			zk.CreateOp(r.paths.liveOf(pair), nil, zk.Ephemeral),
			zk.DeleteOp(r.paths.liveOf(pair), zk.AnyVersion),
			zk.DeleteOp(r.paths.member(pair), zk.AnyVersion))
	})
	if errors.Is(err, zk.ErrNoNode) {
		return nil
	}
	return err
}

// bury removes both nodes of a pair under which surely nothing is served any more, so that nobody waits for it.
func (r *Registry) bury(ctx context.Context, c zk.Session, pair string) error {
	for {
		err := persistently(ctx, func() error { return r.deletePair(ctx, c, pair, zk.AnyVersion) })
		if !errors.Is(err, zk.ErrNoNode) {
			return err
		}
		if err := r.deleteLost(ctx, c, pair); !errors.Is(err, zk.ErrNodeExists) {
			return err
		}
	}
}

func (r *Registry) deletePair(ctx context.Context, c zk.Session, pair string, version int32) error {
	return c.Multi(ctx, zk.DeleteOp(r.paths.liveOf(pair), version), zk.DeleteOp(r.paths.member(pair), zk.AnyVersion))
}

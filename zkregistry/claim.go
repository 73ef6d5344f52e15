package zkregistry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/highlander-go/highlander/internal/zk"
	"github.com/highlander-go/highlander/object"
)

const (
	// maxInFlight bounds a session's claims and releases under way, so that a renewal is never behind many requests. (Behind 40,000
	// claims one was measured to wait for 3.4 s.)
	maxInFlight = 64

	// pathBudget is what the paths of a session's claims may take together. ZooKeeper ends a session in one transaction, which holds the path of each of its
	// ephemeral nodes; one of more than a mebibyte (jute.maxbuffer) takes the ensemble down for good.
	pathBudget = 512 << 10

	// pathOverhead is what a path takes in that transaction besides its bytes.
	pathOverhead = 4
)

// Full implements [object.Session]. What can be in flight when it is noticed fits into the budget, too.
func (s *session) Full() bool { return s.bytes.Load() > pathBudget-maxInFlight*1024 }

// A claim is one attempt to own a key. From the moment that its child may exist until the child surely does not, it is among the
// session's held or left.
type claim struct {
	session *session
	key     object.Key
	number  uint64 // of the attempt
	name    string // of the child; "" while that is not known
	serveAt time.Duration
}

func (c *claim) attempt() attempt { return attempt{c.session.ID(), c.number} }

// ServeAt implements [object.Claim].
func (c *claim) ServeAt() time.Duration { return c.serveAt }

// Claim implements [object.Session].
func (s *session) Claim(ctx context.Context, key object.Key) (object.Claim, error) {
	what := fmt.Sprintf("claim %v", key)
	if err := s.acquire(ctx, true); err != nil {
		return nil, unavailable(what, err)
	}
	defer s.free()
	c, err := s.begin(key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	var elsewhere *object.NotOwnerError
	switch err := s.win(ctx, c); {
	case err == nil:
		return c, nil
	case errors.As(err, &elsewhere):
		s.giveUp(c)
		if s.remove(ctx, c) != nil {
			s.leave(c)
		}
		return nil, elsewhere
	default:
		s.giveUp(c)
		s.leave(c)
		return nil, unavailable(what, err)
	}
}

// acquire takes one of the session's slots. A claim also waits while renewals are slow.
func (s *session) acquire(ctx context.Context, isClaim bool) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := s.lease.Err(); err != nil { // an end that is there already counts first, in each run of a simulation
		return err
	}
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.lease.Done():
		return s.lease.Err()
	}
	for isClaim {
		s.mu.Lock()
		renewed := s.renewed
		s.mu.Unlock()
		if !s.slow() {
			break
		}
		select {
		case <-renewed:
		case <-ctx.Done():
			s.free()
			return fmt.Errorf("ZooKeeper is slow to renew the lease: %w", ctx.Err())
		case <-s.lease.Done():
			s.free()
			return s.lease.Err()
		}
	}
	return nil
}

func (s *session) free() { <-s.slots }

// slow tells whether the last renewal took, or has taken so far, longer than the time between two of them.
func (s *session) slow() bool {
	limit := int64(s.registry.lease / renewalsInLease)
	sent := s.renewing.Load()
	return s.took.Load() > limit || sent != 0 && int64(s.registry.clock())-sent > limit
}

// begin enters a new attempt into the books.
func (s *session) begin(key object.Key) (*claim, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.lease.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", object.ErrUnavailable, err)
	}
	if s.held[key] != nil {
		return nil, errors.New("the session has claimed it already")
	}
	s.attempts++
	c := &claim{session: s, key: key, number: s.attempts}
	s.held[key] = c
	s.bytes.Add(c.size())
	return c, nil
}

// size is what c takes of the path budget.
func (c *claim) size() int64 {
	return int64(len(c.session.paths.container(c.key)) + 1 + len(c.attempt().prefix()) + 10 + pathOverhead)
}

// giveUp lets the key be claimed again; false if c was given up before. The child is still to be deleted.
func (s *session) giveUp(c *claim) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held[c.key] != c {
		return false
	}
	delete(s.held, c.key)
	return true
}

// leave leaves the deletion of c's child to deleteLeft.
func (s *session) leave(c *claim) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left = append(s.left, c)
	select {
	case s.leavings <- struct{}{}:
	default:
	}
}

// win makes the child and finds out whether it owns the key.
func (s *session) win(ctx context.Context, c *claim) error {
	if err := s.contend(ctx, c); err != nil {
		return err
	}
	for {
		all, err := s.contenders(ctx, c.key)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(all, func(o contender) bool { return o.name == c.name }) {
			return errors.New("its node has been deleted by somebody else")
		}
		again := false
		for _, o := range all {
			if o.name == c.name {
				break
			}
			if again, err = s.yield(ctx, c.key, o); err != nil {
				return err
			} else if again {
				break
			}
		}
		if again {
			continue
		}
		lost, err := s.registry.lostMembers(ctx, s.connection) // after the claim is won
		if err != nil {
			return err
		}
		c.serveAt = object.ServeAt(lost)
		return nil
	}
}

// contend makes c's child.
func (s *session) contend(ctx context.Context, c *claim) error {
	container := s.paths.container(c.key)
	for {
		path, err := s.Create(ctx, container+"/"+c.attempt().prefix(), []byte(s.pair), zk.EphemeralSequential)
		switch {
		case err == nil:
			c.name = path[len(container)+1:]
			return nil
		case errors.Is(err, zk.ErrNoNode):
			if err := s.makeContainer(ctx, c.key); err != nil {
				return err
			}
		case !errors.Is(err, zk.ErrConnectionLost) || ctx.Err() != nil:
			return err
		default:
			if found, err := s.find(ctx, c); err != nil || found {
				return err
			}
		}
	}
}

// find finds out c's name after an answer was lost; false if it has surely not been made.
func (s *session) find(ctx context.Context, c *claim) (bool, error) {
	err := persistently(ctx, func() error { return s.Sync(ctx, s.paths.root) })
	if err != nil {
		return false, err
	}
	all, err := s.contenders(ctx, c.key)
	for _, o := range all {
		if o.attempt == c.attempt() {
			c.name = o.name
			return true, nil
		}
	}
	return false, err
}

// makeContainer makes the key's container. It may be gone again by the time that a child is to be made in it.
func (s *session) makeContainer(ctx context.Context, key object.Key) error {
	for {
		_, err := s.Create(ctx, s.paths.container(key), nil, zk.Container)
		switch {
		case err == nil || errors.Is(err, zk.ErrNodeExists):
			return nil
		case errors.Is(err, zk.ErrConnectionLost) && ctx.Err() == nil:
			continue
		case !errors.Is(err, zk.ErrNoNode):
			return err
		}
		for _, path := range []string{s.paths.objects() + "/" + key.Type, s.paths.bucket(key)} {
			if err := s.registry.ensure(ctx, s, path); err != nil {
				return err
			}
		}
	}
}

// contenders lists the claims of key, the one that owns it first. None: no container.
func (c *connection) contenders(ctx context.Context, key object.Key) ([]contender, error) {
	var names []string
	err := persistently(ctx, func() (err error) {
		names, err = c.Children(ctx, c.paths.container(key), false)
		return err
	})
	if errors.Is(err, zk.ErrNoNode) {
		return nil, nil
	}
	return contenders(names), err
}

// yield looks at a claim that comes before ours. If it holds, the error says whose it is. Else it is deleted: by its exact name if it is void, and
// if it is a left-over of ours, which serves nothing. again: it is in transition, list again.
func (s *session) yield(ctx context.Context, key object.Key, o contender) (again bool, err error) {
	if o.attempt.session != s.ID() {
		m, ok, err := s.registry.holder(ctx, s.connection, key, o)
		if err != nil {
			return false, err
		} else if ok {
			return false, &object.NotOwnerError{Key: key, Owner: m.Member}
		}
	}
	return true, s.deleteChild(ctx, key, o.name)
}

func (s *session) deleteChild(ctx context.Context, key object.Key, name string) error {
	return persistently(ctx, func() error {
		err := s.Delete(ctx, s.paths.container(key)+"/"+name, zk.AnyVersion)
		if errors.Is(err, zk.ErrNoNode) {
			return nil
		}
		return err
	})
}

// Release implements [object.Claim].
func (c *claim) Release(ctx context.Context) error {
	s := c.session
	if !s.giveUp(c) || s.lease.Err() != nil {
		return nil
	}
	err := s.removeTogether(ctx, c)
	if err == nil || s.lease.Err() != nil {
		return nil
	}
	s.leave(c)
	return unavailable(fmt.Sprintf("release %v", c.key), err)
}

// remove deletes c's child, and the container if that leaves it empty: ZooKeeper's own collector is slow. When it returns nil there is no child.
func (s *session) remove(ctx context.Context, c *claim) error {
	container := s.paths.container(c.key)
	if c.name == "" {
		if found, err := s.find(ctx, c); err != nil {
			return err
		} else if !found {
			s.bytes.Add(-c.size())
			_ = s.Delete(ctx, container, zk.AnyVersion) // it may be new: ZooKeeper collects none that never had a child
			return nil
		}
	}
	err := persistently(ctx, func() error {
		return s.Multi(ctx, zk.DeleteOp(container+"/"+c.name, zk.AnyVersion), zk.DeleteOp(container, zk.AnyVersion))
	})
	if errors.Is(err, zk.ErrNotEmpty) {
		err = s.deleteChild(ctx, c.key, c.name)
	}
	if err == nil || errors.Is(err, zk.ErrNoNode) {
		s.bytes.Add(-c.size())
		return nil
	}
	return err
}

// deleteLeft deletes children that are left over, until the session ends: they end with it.
func (s *session) deleteLeft() {
	for {
		select {
		case <-s.leavings:
		case <-s.life.Done():
			return
		}
		for {
			s.mu.Lock()
			if len(s.left) == 0 {
				s.mu.Unlock()
				break
			}
			c := s.left[0]
			s.left = s.left[1:]
			s.mu.Unlock()
			if s.remove(s.life, c) != nil {
				s.leave(c)
				if !sleepUntil(s.life, s.registry.clock, s.registry.clock()+retryPause, s.lease.Done()) {
					return
				}
			}
		}
	}
}

package zkregistry

import (
	"context"

	"github.com/highlander-go/highlander/internal/zk"
)

// maxTogether is how many claims are released in one transaction. Their paths are a fraction of what ZooKeeper takes in one (jute.maxbuffer).
const maxTogether = 64

// A removal is a claim whose child is to be deleted together with others'. Who has the turn may look at its fields.
type removal struct {
	*claim
	tried, deleted bool
}

// removeTogether is remove for claims that were won. One transaction of a session is under way at a time, and what comes meanwhile shares the next
// one: a node that drains writes a few for all of its objects, not one for each.
func (s *session) removeTogether(ctx context.Context, c *claim) error {
	mine := &removal{claim: c}
	s.mu.Lock()
	s.removals = append(s.removals, mine)
	s.mu.Unlock()
	s.removing <- struct{}{} // the turn, which nobody holds for longer than his own time for releasing lasts
	for !mine.tried {
		s.removeSome(ctx)
	}
	deleted := mine.deleted
	<-s.removing
	if deleted {
		return nil
	}
	if err := s.acquire(ctx, false); err != nil {
		return err
	}
	defer s.free()
	return s.remove(ctx, c)
}

// removeSome deletes the children of the claims that wait, if that can be done in one transaction, and their containers.
func (s *session) removeSome(ctx context.Context) {
	s.mu.Lock()
	some := s.removals[:min(len(s.removals), maxTogether)]
	s.removals = s.removals[len(some):]
	s.mu.Unlock()
	var ops []zk.Op
	var size int64
	for _, r := range some {
		container := s.paths.container(r.key)
		ops = append(ops, zk.DeleteOp(container+"/"+r.name, zk.AnyVersion), zk.DeleteOp(container, zk.AnyVersion))
		size += r.size()
	}
	err := s.acquire(ctx, false)
	if err == nil {
		err = s.Multi(ctx, ops...)
		s.free()
	}
	if err == nil {
		s.bytes.Add(-size)
	}
	for _, r := range some {
		r.tried, r.deleted = true, err == nil
	}
}

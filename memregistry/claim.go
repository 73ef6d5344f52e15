package memregistry

import (
	"context"
	"fmt"
	"time"

	"github.com/highlander-go/highlander/object"
)

// A claim is a session's hold on a key, from Claim until it is out of the registry's table. There may be
// millions: keep it small.
type claim struct {
	session *session
	key     object.Key
	serveAt time.Duration
}

// ServeAt implements [object.Claim].
func (c *claim) ServeAt() time.Duration { return c.serveAt }

// Release implements [object.Claim]. The next claimer waits for nothing on its account. Releasing again, or after the
// session's end, does nothing. While the session is cut off it waits until ctx ends; the claim is then given
// up as soon as the session is connected again.
func (c *claim) Release(ctx context.Context) error {
	s, r := c.session, c.session.registry
	r.mu.Lock()
	if r.cut[s.member.Incarnation] == nil {
		r.drop(c)
		r.mu.Unlock()
		return nil
	}
	s.released = append(s.released, c)
	r.mu.Unlock()
	if err := r.reach(ctx, s.member.Incarnation, s.lease.Done()); err != nil {
		return fmt.Errorf("release %v: %w; it is released when the session is connected again", c.key, err)
	}
	r.mu.Unlock()
	return nil
}

// drop takes c out of the table, if it is c that is there.
func (r *Registry) drop(c *claim) {
	if r.claims[c.key] == c {
		delete(r.claims, c.key)
		c.session.held--
	}
}

// void takes all that s holds out of the table. It looks through the whole table, since ends of sessions
// are rare and a list for each session would make every claim larger.
func (r *Registry) void(s *session) {
	s.released = nil
	if s.held == 0 {
		return
	}
	for _, c := range r.claims {
		if c.session == s {
			r.drop(c)
		}
	}
}

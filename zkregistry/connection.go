package zkregistry

import (
	"context"
	"slices"
	"sync/atomic"

	"github.com/highlander-go/highlander/internal/zk"
)

// A connection is a ZooKeeper session and what is known through it of who is there. The same lists seen through another session may be
// older: who has claimed something must look through the session that it was claimed with.
type connection struct {
	zk.Session
	paths layout

	// Raised by each event that may have made the lists old. ZooKeeper delivers it before the answer of any request that shows
	// the change, so lists that no event has marked are as new as all that was read before them.
	marks          atomic.Uint64
	membersWatched atomic.Bool
	liveWatched    atomic.Bool

	turn   chan struct{} // held by who lists
	last   *presence
	marked uint64 // marks when last was listed
}

// A presence is who is there, by the names of pairs.
type presence struct {
	members []string // sorted
	live    map[string]bool
}

// lost returns the members without a live twin.
func (p *presence) lost() []string {
	var names []string
	for _, m := range p.members {
		if !p.live[m] {
			names = append(names, m)
		}
	}
	return names
}

func newConnection(paths layout) *connection {
	return &connection{paths: paths, turn: make(chan struct{}, 1)}
}

// event notes that the lists may be old. It is called out of the client's receive loop.
func (c *connection) event(e zk.Event) {
	switch {
	case e.Type == zk.ChildrenChanged && e.Path == c.paths.members():
		c.membersWatched.Store(false)
	case e.Type == zk.ChildrenChanged && e.Path == c.paths.live():
		c.liveWatched.Store(false)
	}
	c.marks.Add(1)
}

// presence returns who is there, at least as new as all that was read through the connection before the call.
//
// Members are listed before live: a node that joins in between is then not taken for one that was lost. One that
// leaves in between is, which the caller can tell by a second look at the members.
func (c *connection) presence(ctx context.Context) (*presence, error) {
	if err := take(ctx, c.turn); err != nil {
		return nil, err
	}
	defer func() { <-c.turn }()
	marks := c.marks.Load()
	if c.last != nil && c.marked == marks {
		return c.last, nil
	}
	members, err := c.watch(ctx, c.paths.members(), &c.membersWatched)
	if err != nil {
		return nil, err
	}
	live, err := c.watch(ctx, c.paths.live(), &c.liveWatched)
	if err != nil {
		return nil, err
	}
	slices.Sort(members)
	p := &presence{members, make(map[string]bool, len(live))}
	for _, name := range live {
		p.live[name] = true
	}
	c.last, c.marked = p, marks
	return p, nil
}

// watch lists a node's children and sees to it that an event comes when they change.
func (c *connection) watch(ctx context.Context, path string, watched *atomic.Bool) (names []string, err error) {
	err = persistently(ctx, func() error {
		fresh := watched.CompareAndSwap(false, true) // before the request: the event may overtake its answer
		if names, err = c.Children(ctx, path, fresh); err != nil && fresh {
			watched.Store(false)
		}
		return err
	})
	return names, err
}

// take waits for a place in the channel until ctx ends. An end that is there already counts first: which of two goes is else a matter of
// chance, and a run of the simulation could not be repeated.
func take(ctx context.Context, places chan struct{}) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	select {
	case places <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

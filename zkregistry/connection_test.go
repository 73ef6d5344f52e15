package zkregistry

import (
	"context"
	"testing"

	"github.com/highlander-go/highlander/internal/zk"
)

// A listingSession lists nothing and counts how often.
type listingSession struct {
	zk.Session
	lists int
}

func (s *listingSession) Children(context.Context, string, bool) ([]string, error) {
	s.lists++
	return nil, nil
}

// What was listed is used until an event says that it may be old; that there is a new connection says so, too.
func TestEveryEventMakesTheListsOld(t *testing.T) {
	s := new(listingSession)
	c := newConnection(layout{"/todo"})
	c.Session = s
	lists := func() int {
		if _, err := c.presence(t.Context()); err != nil {
			t.Fatal(err)
		}
		return s.lists
	}
	if lists(); lists() != 2 {
		t.Fatalf("%d lists; want members and live once", s.lists)
	}
	for _, e := range []zk.Event{{Type: zk.Connected}, {Type: zk.Disconnected}, {Type: zk.ChildrenChanged, Path: "/todo/live"}, {Type: zk.ChildrenChanged, Path: "/todo/members"}} {
		before := lists()
		c.event(e)
		if lists() != before+2 {
			t.Errorf("after %v the old lists are used", e)
		}
	}
}

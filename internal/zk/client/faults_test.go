package client

import (
	"errors"
	"testing"
	"time"

	"github.com/highlander-go/highlander/internal/zk"
	"github.com/highlander-go/highlander/internal/zk/zkserver"
)

func TestSessionEndedFromOutsideIsOver(t *testing.T) {
	addrs := zkserver.Addrs(t)
	e := newEnsemble(t, addrs, Options{})
	witness, _ := open(t, e, 6*time.Second)
	dir := root(t, witness)
	s, events := open(t, e, 6*time.Second)
	must(t)(s.Create(t.Context(), dir+"/mine", nil, zk.Ephemeral))
	if err := zkserver.EndSession(within(t, patience), addrs[0], s.ID()); err != nil {
		t.Fatal(err)
	}
	var err error
	for err == nil || errors.Is(err, zk.ErrConnectionLost) { // the server need not say it before it is asked
		err = s.Set(within(t, patience), dir, nil, zk.AnyVersion)
	}
	if !errors.Is(err, zk.ErrSessionOver) {
		t.Errorf("Set in a session that was ended: %v", err)
	}
	events.await(t, zk.Event{Type: zk.Expired}, 1)
	await(t, "the session's node goes", func() bool {
		names, err := witness.Children(t.Context(), dir, false)
		return err == nil && len(names) == 0
	})
	if err := s.Close(t.Context()); err != nil {
		t.Errorf("Close of a session that has ended: %v", err)
	}
	if all := events.all(); all[len(all)-1].Type != zk.Expired {
		t.Errorf("events after the last one: %v", all)
	}
}

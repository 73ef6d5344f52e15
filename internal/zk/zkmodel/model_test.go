package zkmodel

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/highlander-go/highlander/internal/zk"
)

func TestASessionOutlivesItsServerAndNotItsTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		c, err := m.Client("a")
		if err != nil {
			t.Fatal(err)
		}
		var events []zk.EventType
		s, err := c.Open(t.Context(), 6*time.Second, func(e zk.Event) { events = append(events, e.Type) })
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Create(t.Context(), "/a", nil, zk.Ephemeral); err != nil {
			t.Fatal(err)
		}
		m.Kill(0)
		time.Sleep(time.Minute)
		if names, err := s.Children(t.Context(), "/", false); err != nil || !slices.Equal(names, []string{"a"}) {
			t.Errorf("after the server's end: %v, %v", names, err)
		}
		m.CutBoth("a", Server(1))
		m.CutBoth("a", Server(2))
		time.Sleep(time.Minute)
		m.HealAll()
		time.Sleep(time.Minute)
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if want := []zk.EventType{zk.Connected, zk.Disconnected, zk.Connected, zk.Disconnected, zk.Expired}; !slices.Equal(events, want) {
			t.Errorf("events %v, want %v", events, want)
		}
	})
}

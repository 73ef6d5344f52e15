package highlandertest_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/highlander-go/highlander"
	"github.com/highlander-go/highlander/highlandertest"
	"github.com/highlander-go/highlander/internal/zk/zkserver"
	"github.com/highlander-go/highlander/object"
)

func TestAClusterInAFolder(t *testing.T) {
	dir := t.TempDir()
	c := highlandertest.Options{Config: highlander.Config{Store: "file:" + dir, Lease: 100 * time.Millisecond}}.Start(t, 2, tallies)
	mustBump(t, c, 0, 1)
	c.Store().Next(1, highlandertest.LoseAnswer())
	mustBump(t, c, 1, 2)
	owner := c.Owner("tally", "a")
	c.Kill(owner)
	c.Restart(owner)
	if n, err := get(t, c, owner, time.Minute); n != 2 || err != nil {
		t.Error(n, err)
	}
	if cost := c.Cost(); cost.PUTs != 3 {
		t.Errorf("it cost %+v", cost)
	}
}

// On a real registry, where nodes call each other over TCP.
func TestAClusterOnZooKeeper(t *testing.T) {
	if testing.Short() {
		t.Skip("takes ten seconds of real time")
	}
	registry := fmt.Sprintf("zk://%s/highlandertest-%d", strings.Join(zkserver.Addrs(t), ","), time.Now().UnixNano())
	c := highlandertest.Options{Config: highlander.Config{Registry: registry, Lease: 500 * time.Millisecond, SessionTimeout: 4 * time.Second}}.Start(t, 3, tallies)
	for i := range 3 {
		mustBump(t, c, i, i+1)
	}
	owner := c.Owner("tally", "a")
	c.Kill(owner)
	mustBump(t, c, other(c, owner), 4)
	<-c.Node(owner).Done()
	c.Restart(owner)
	mustBump(t, c, owner, 5)

	owner = c.Owner("tally", "a")
	caller := other(c, owner)
	c.Pause(owner)
	if n, err := get(t, c, caller, 20*time.Second); n != 5 || err != nil {
		t.Errorf("while its owner is paused: %d, %v", n, err)
	}
	c.Resume(owner)
	mustBump(t, c, caller, 6)

	owner = c.Owner("tally", "a")
	c.Partition(owner, highlandertest.Registry)
	c.Partition(owner, other(c, owner))
	if n, err := get(t, c, other(c, owner), 20*time.Second); n != 6 || err != nil {
		t.Errorf("while its owner is cut off: %d, %v", n, err)
	}
	c.Heal()
	for {
		n, err := bumpFor(t, c, owner, 20*time.Second)
		if n == 7 {
			break
		}
		if !errors.Is(err, object.ErrUnavailable) || t.Context().Err() != nil { // it has to connect again first
			t.Fatal(n, err)
		}
	}
	tb := &recording{TB: t}
	tb.run(func() {
		highlandertest.Options{Config: highlander.Config{Registry: registry + "-other"}}.Start(tb, 1, tallies).Expire(0)
	})
	if !strings.Contains(tb.said.String(), "Expire needs the registry in memory") {
		t.Errorf("Expire says %q", tb.said.String())
	}
}

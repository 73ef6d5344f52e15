package highlandertest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/highlander-go/highlander"
	"github.com/highlander-go/highlander/highlandertest"
	"github.com/highlander-go/highlander/object"
)

const lease = 2 * time.Second

// within runs the test on a cluster of n nodes in a bubble, where object "a" is 1.
func within(t *testing.T, n int, test func(t *testing.T, c *highlandertest.Cluster, owner int)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := highlandertest.Start(t, n, tallies)
		mustBump(t, c, 0, 1)
		test(t, c, c.Owner("tally", "a"))
	})
}

// get reads the tally "a" through a node, for so long.
func get(t *testing.T, c *highlandertest.Cluster, node int, limit time.Duration) (int, error) {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	s, err := tallies.On(c.Node(node)).Get(ctx, "a")
	return s.N, err
}

func bumpFor(t *testing.T, c *highlandertest.Cluster, node int, limit time.Duration) (int, error) {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	return bump.Call(ctx, tallies.On(c.Node(node)).Ref("a"), 1)
}

// mustBeReady checks that the node has a session again after a lease.
func mustBeReady(t *testing.T, c *highlandertest.Cluster, node int) {
	t.Helper()
	time.Sleep(lease)
	if err := c.Node(node).Ready(); err != nil {
		t.Error(err)
	}
}

func TestAPausedNodeAnswersNothingUntilItGoesOn(t *testing.T) {
	within(t, 3, func(t *testing.T, c *highlandertest.Cluster, owner int) {
		c.Pause(owner)
		answered := make(chan int, 1)
		go func() { n, _ := get(t, c, owner, time.Hour); answered <- n }()
		synctest.Wait()
		if len(answered) > 0 {
			t.Error("it answers while it is paused")
		}
		paused := time.Now()
		if n, err := get(t, c, other(c, owner), time.Minute); n != 1 || err != nil {
			t.Errorf("elsewhere: %d, %v", n, err)
		}
		mustBump(t, c, other(c, owner), 2)
		if took := time.Since(paused); took < object.TakeoverWait(lease) {
			t.Errorf("others serve its object after %v, its lease may still hold", took)
		}
		if len(answered) > 0 {
			t.Error("it answers while it is paused")
		}
		c.Resume(owner)
		if n := <-answered; n != 2 { // the state that it had in its hands is stale
			t.Errorf("it answers %d when it goes on, want 2", n)
		}
		mustBump(t, c, owner, 3)
		mustBeReady(t, c, owner)
	})
}

// What is sent to a paused node waits for it; what is run by one that dies is run by another one.
func TestCallsOfANodeThatIsPausedAndOneThatIsKilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, end := make(chan struct{}, 1), make(chan struct{})
		wait := object.Update("Wait", func(_ context.Context, t *tally, _ object.None) (object.None, error) {
			began <- struct{}{}
			<-end
			t.N += 10
			return object.None{}, nil
		})
		c := highlandertest.Start(t, 2, &object.Type[tally]{Name: "tally", Methods: []object.Method[tally]{bump, wait}})
		mustBump(t, c, 0, 1)
		owner := c.Owner("tally", "a")
		mustBump(t, c, other(c, owner), 2) // so that they are connected
		c.Pause(owner)
		called := make(chan error, 1)
		go func() {
			_, err := wait.Call(t.Context(), tallies.On(c.Node(other(c, owner))).Ref("a"), object.None{})
			called <- err
		}()
		if synctest.Wait(); len(began) > 0 {
			t.Error("a paused node has taken a call")
		}
		c.Resume(owner)
		<-began
		go c.Kill(owner)
		<-began // at the other one
		close(end)
		if err := <-called; err != nil {
			t.Errorf("the caller of a method that was run by a node when it died is told %v", err)
		}
		if n, err := get(t, c, other(c, owner), time.Minute); n != 12 || err != nil {
			t.Errorf("%d, %v; want 12", n, err)
		}
	})
}

func TestAShortPauseIsSatOut(t *testing.T) {
	within(t, 2, func(t *testing.T, c *highlandertest.Cluster, owner int) {
		c.Pause(owner)
		time.Sleep(lease / 4)
		c.Resume(owner)
		mustBump(t, c, other(c, owner), 2)
		if now := c.Owner("tally", "a"); now != owner {
			t.Errorf("it has moved from node %d to node %d", owner, now)
		}
	})
}

func TestAPausedNodeCanBeKilled(t *testing.T) {
	within(t, 2, func(t *testing.T, c *highlandertest.Cluster, owner int) {
		c.Pause(owner)
		ended := make(chan error, 1)
		go func() { _, err := get(t, c, owner, time.Hour); ended <- err }()
		synctest.Wait()
		c.Kill(owner)
		if err := <-ended; !errors.Is(err, object.ErrClosed) && !errors.Is(err, object.ErrUnavailable) {
			t.Errorf("a call through it: %v", err)
		}
		mustBump(t, c, other(c, owner), 2)
	})
}

func TestAnExpiredNodeJoinsAgain(t *testing.T) {
	within(t, 2, func(t *testing.T, c *highlandertest.Cluster, owner int) {
		expired := time.Now()
		c.Expire(owner)
		if now := c.Owner("tally", "a"); now != -1 {
			t.Errorf("node %d still owns what the session held", now)
		}
		mustBump(t, c, other(c, owner), 2)
		mustBump(t, c, owner, 3)
		if time.Since(expired) > 3*lease {
			t.Errorf("it took %v", time.Since(expired))
		}
	})
}

func TestANodeCutOffFromTheRegistryAnswersAsLongAsItsLeaseHolds(t *testing.T) {
	within(t, 2, func(t *testing.T, c *highlandertest.Cluster, owner int) {
		c.Partition(owner, highlandertest.Registry)
		if n, err := get(t, c, owner, time.Millisecond); n != 1 || err != nil {
			t.Errorf("at once: %d, %v", n, err)
		}
		time.Sleep(lease)
		if _, err := get(t, c, owner, time.Millisecond); !errors.Is(err, object.ErrUnavailable) {
			t.Errorf("when its lease is over: %v", err)
		}
		time.Sleep(3 * lease)
		mustBump(t, c, other(c, owner), 2)
		c.Heal()
		mustBump(t, c, owner, 3)
		mustBeReady(t, c, owner)
	})
}

// It knows what it knew.
func TestWhatANodeCutOffFromTheRegistrySees(t *testing.T) {
	within(t, 1, func(t *testing.T, c *highlandertest.Cluster, _ int) {
		c.Partition(0, highlandertest.Registry)
		c.Add(highlander.Config{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, _, err := c.Node(0).Host().Owner(ctx, object.Key{Type: "tally", ID: "a"}); !errors.Is(err, object.ErrUnavailable) {
			t.Errorf("it is told who owns an object: %v", err)
		}
		for i := range 10 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if _, err := tallies.On(c.Node(0)).Get(ctx, fmt.Sprint(i)); !errors.Is(err, object.ErrUnavailable) {
				t.Errorf("it calls a node of which it cannot know: %v", err)
			}
			cancel()
		}
		c.Heal()
		mustBump(t, c, 0, 2)
	})
	within(t, 3, func(t *testing.T, c *highlandertest.Cluster, owner int) {
		c.Pause(owner)
		c.Partition(other(c, owner), highlandertest.Registry)
		if _, err := get(t, c, other(c, owner), 4*time.Second); !errors.Is(err, object.ErrUnavailable) {
			t.Errorf("through it: %v", err)
		}
		if c.Owner("tally", "a") != owner {
			t.Error("it has told the registry whom it cannot reach")
		}
	})
}

func TestNodesThatCannotReachEachOther(t *testing.T) {
	within(t, 3, func(t *testing.T, c *highlandertest.Cluster, owner int) {
		caller := other(c, owner)
		third := other(c, caller)
		c.Partition(caller, owner)
		if _, err := get(t, c, caller, 10*time.Second); !errors.Is(err, object.ErrUnavailable) {
			t.Errorf("through the node that is cut off: %v", err)
		}
		mustBump(t, c, third, 2)
		c.Heal()
		mustBump(t, c, caller, 3)
	})
}

// What a one-way partition loses decides what is known.
func TestOneWayPartitions(t *testing.T) {
	within(t, 2, func(t *testing.T, c *highlandertest.Cluster, owner int) {
		caller := other(c, owner)
		mustBump(t, c, caller, 2)
		c.Cut(owner, caller)
		if _, err := bumpFor(t, c, caller, 20*time.Second); !errors.Is(err, object.ErrUnknownOutcome) {
			t.Errorf("its answer is lost: %v", err)
		}
		if n, err := get(t, c, owner, time.Second); n != 3 || err != nil {
			t.Errorf("what was called has not happened: %d, %v", n, err)
		}
		c.Heal()
		mustBump(t, c, caller, 4)
	})
	within(t, 2, func(t *testing.T, c *highlandertest.Cluster, owner int) {
		caller := other(c, owner)
		mustBump(t, c, caller, 2)
		c.Cut(caller, owner)
		if _, err := bumpFor(t, c, caller, 20*time.Second); !errors.Is(err, object.ErrUnknownOutcome) {
			t.Errorf("the call is on its way: %v", err)
		}
		if n, err := get(t, c, owner, time.Second); n != 2 || err != nil {
			t.Errorf("what has not arrived has happened: %d, %v", n, err)
		}
	})
}

func TestANodeCutOffFromTheStore(t *testing.T) {
	within(t, 2, func(t *testing.T, c *highlandertest.Cluster, owner int) {
		c.ResetCost()
		c.Partition(owner, highlandertest.Store)
		if _, err := bumpFor(t, c, owner, 7*time.Second); err == nil {
			t.Error("an update is acknowledged that cannot be stored")
		}
		if n, err := get(t, c, owner, time.Second); n != 1 || err != nil {
			t.Errorf("a read: %d, %v", n, err)
		}
		if cost := c.Cost(); cost != (highlandertest.Cost{}) {
			t.Errorf("the store was asked: %+v", cost)
		}
		c.Heal()
		if n, err := get(t, c, owner, time.Minute); n > 2 || err != nil { // the update that was given up may be made now
			t.Errorf("after it: %d, %v", n, err)
		}
	})
	within(t, 2, func(t *testing.T, c *highlandertest.Cluster, owner int) {
		c.ResetCost()
		c.Cut(highlandertest.Store, owner)
		if _, err := bumpFor(t, c, owner, 3*time.Second); !errors.Is(err, object.ErrUnknownOutcome) {
			t.Errorf("the store's answer is lost: %v", err)
		}
		if cost := c.Cost(); cost.PUTs != 1 {
			t.Errorf("the store was asked: %+v", cost)
		}
		c.Kill(owner)
		if n, err := get(t, c, other(c, owner), time.Minute); n != 2 || err != nil {
			t.Errorf("what was put is %d, %v; want 2", n, err)
		}
	})
}

func TestWhatCannotBeEndsTheTest(t *testing.T) {
	for name, x := range map[string]struct {
		do   func(*highlandertest.Cluster)
		want string
	}{
		"a node that is none":                 {func(c *highlandertest.Cluster) { c.Kill(2) }, "there is no node 2, there are 2\n"},
		"the owner of what nobody owns":       {func(c *highlandertest.Cluster) { c.Kill(c.Owner("tally", "never")) }, "there are 2 (Owner gives -1 for an object that nobody owns)"},
		"a partition from itself":             {func(c *highlandertest.Cluster) { c.Partition(1, 1) }, "nothing passes"},
		"a partition without a node":          {func(c *highlandertest.Cluster) { c.Partition(highlandertest.Registry, highlandertest.Store) }, "nothing passes"},
		"answers of the registry":             {func(c *highlandertest.Cluster) { c.Cut(highlandertest.Registry, 0) }, "knows no answers that are lost"},
		"another node where one is":           {func(c *highlandertest.Cluster) { c.Restart(0) }, "node 0 is open"},
		"a pause of what is dead":             {func(c *highlandertest.Cluster) { c.Kill(0); c.Pause(0) }, "node 0 was killed"},
		"a second death":                      {func(c *highlandertest.Cluster) { c.Kill(0); c.Kill(0) }, "node 0 was killed"},
		"the end of a dead one's pause":       {func(c *highlandertest.Cluster) { c.Pause(0); c.Kill(0); c.Resume(0) }, "node 0 was killed"},
		"the end of no pause":                 {func(c *highlandertest.Cluster) { c.Resume(0) }, "node 0 is not paused"},
		"a pause in a pause":                  {func(c *highlandertest.Cluster) { c.Pause(0); c.Pause(0) }, "node 0 is paused already"},
		"fewer than no faults":                {func(c *highlandertest.Cluster) { c.Store().Next(-1, highlandertest.Refuse()) }, "Next(-1, …)"},
		"a request that arrives before":       {func(c *highlandertest.Cluster) { c.Store().Next(1, highlandertest.Slow(-1)) }, "cannot arrive -1ns later"},
		"another lease than can be":           {func(c *highlandertest.Cluster) { c.Add(config(time.Hour)) }, "session timeout"},
		"a node that cannot be opened":        {func(c *highlandertest.Cluster) { c.Add(config(0), tallies, tallies) }, "tally"},
		"an owner that nobody is left to ask": {func(c *highlandertest.Cluster) { c.Kill(0); c.Kill(1); c.Owner("tally", "a") }, "no node can ask"},
	} {
		t.Run(name, func(t *testing.T) {
			tb := &recording{TB: t}
			c := highlandertest.Start(tb, 2, tallies)
			tb.run(func() { x.do(c) })
			if said := tb.said.String(); !tb.ended || !strings.Contains(said, x.want) {
				t.Errorf("the test has ended: %t; it says %q, want %q", tb.ended, said, x.want)
			}
		})
	}
}

func TestAClusterOfFewerThanNoNodesEndsTheTest(t *testing.T) {
	tb := &recording{TB: t}
	tb.run(func() { highlandertest.Start(tb, -1, tallies) })
	if said := tb.said.String(); !tb.ended || !strings.Contains(said, "a cluster of -1 nodes") {
		t.Errorf("the test has ended: %t; it says %q", tb.ended, said)
	}
}

// A node asks what becomes of its request: the answer cannot end the test, but fails it.
func TestAFaultOfARuleThatCannotBeFailsTheTest(t *testing.T) {
	tb := &recording{TB: t}
	c := highlandertest.Start(tb, 1, tallies)
	c.Store().When(func(highlandertest.Request) highlandertest.Fault { return highlandertest.LandLate(-time.Second) })
	if _, err := get(t, c, 0, time.Minute); !errors.Is(err, object.ErrUnavailable) {
		t.Errorf("what has not arrived was answered: %v", err)
	}
	if said := tb.said.String(); !strings.Contains(said, "When: a request cannot arrive -1s later") {
		t.Errorf("it says %q", said)
	}
}

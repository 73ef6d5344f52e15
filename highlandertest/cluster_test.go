package highlandertest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/highlander-go/highlander"
	"github.com/highlander-go/highlander/highlandertest"
	"github.com/highlander-go/highlander/object"
)

type tally struct{ N int }

var (
	bump = object.Update("Bump", func(_ context.Context, t *tally, by int) (int, error) {
		t.N += by
		return t.N, nil
	})
	tallies = &object.Type[tally]{Name: "tally", Methods: []object.Method[tally]{bump}}
)

// mustBump adds 1 to the tally "a" through a node.
func mustBump(t *testing.T, c *highlandertest.Cluster, node, want int) {
	t.Helper()
	if got, err := bump.Call(t.Context(), tallies.On(c.Node(node)).Ref("a"), 1); got != want || err != nil {
		t.Fatalf("a bump through node %d: %d, %v; want %d", node, got, err, want)
	}
}

// other returns a node that is not that one.
func other(c *highlandertest.Cluster, node int) int { return (node + 1) % c.Len() }

func TestAKilledNodeIsFollowedAfterItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := highlandertest.Start(t, 3, tallies)
		mustBump(t, c, 0, 1)
		owner := c.Owner("tally", "a")
		killed := time.Now()
		c.Kill(owner)
		if _, err := tallies.On(c.Node(owner)).Get(t.Context(), "a"); !errors.Is(err, object.ErrClosed) {
			t.Errorf("through the killed node: %v", err)
		}
		mustBump(t, c, other(c, owner), 2)
		if took, least := time.Since(killed), object.TakeoverWait(2*time.Second); took < least || took > least+time.Second {
			t.Errorf("it is served elsewhere after %v, want %v", took, least)
		}
		if next := c.Owner("tally", "a"); next == owner {
			t.Errorf("the owner is node %d, which is dead", next)
		}
		c.Restart(owner)
		mustBump(t, c, owner, 3)
	})
}

// Whoever owns the object, and whether the node knows that or not, a call through a node that has ended says so, of that node and no other.
func TestCallsThroughANodeThatHasEndedSayThatItIsClosed(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, c *highlandertest.Cluster, node int){
		"killed":  func(_ *testing.T, c *highlandertest.Cluster, node int) { c.Kill(node) },
		"closed":  func(_ *testing.T, c *highlandertest.Cluster, node int) { c.Node(node).Close() },
		"drained": func(t *testing.T, c *highlandertest.Cluster, node int) { c.Node(node).Drain(t.Context()) },
	} {
		for _, nodes := range []int{1, 3} {
			t.Run(fmt.Sprint(name, " of ", nodes), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := highlandertest.Start(t, nodes, tallies)
					call := func(id int) error {
						_, err := bump.Call(t.Context(), tallies.On(c.Node(0)).Ref(fmt.Sprint(id)), 1)
						return err
					}
					for id := range 10 { // some are owned by each
						if err := call(id); err != nil {
							t.Fatal(err)
						}
					}
					end(t, c, 0)
					for id := range 20 { // of half of them it knows nothing
						_, read := tallies.On(c.Node(0)).Get(t.Context(), fmt.Sprint(id))
						for _, err := range []error{read, call(id)} {
							if !errors.Is(err, object.ErrClosed) || errors.Is(err, object.ErrUnavailable) || err.Error() != "node n0 is closed: the call had no effect, make it through another node" {
								t.Errorf("a call of object %d: %v", id, err)
							}
						}
					}
				})
			})
		}
	}
}

// The first call of an object reads its record, each update puts one, and reads cost nothing. What a node asks for when it is opened does not count.
func TestCost(t *testing.T) {
	c := highlandertest.Start(t, 3, tallies)
	for i := range 10 {
		for j := range 3 {
			if n, err := bump.Call(t.Context(), tallies.On(c.Node((i+j)%3)).Ref(fmt.Sprint(i)), 1); n != j+1 || err != nil {
				t.Fatal(n, err)
			}
			if s, err := tallies.On(c.Node(j)).Get(t.Context(), fmt.Sprint(i)); s.N != j+1 || err != nil {
				t.Fatal(s, err)
			}
		}
	}
	if got, want := c.Cost(), (highlandertest.Cost{GETs: 10, PUTs: 30}); got != want {
		t.Errorf("they cost %+v, want %+v", got, want)
	}
	c.ResetCost()
	c.Add(highlander.Config{})
	if c.Stored("tally", "0") == nil || c.Stored("tally", "none") != nil {
		t.Error("a record is not there, or one is that nobody wrote")
	}
	if got := c.Cost(); got != (highlandertest.Cost{}) {
		t.Errorf("another node has cost %+v", got)
	}
}

// Another version of a program takes the place of one, and nodes differ in what they are opened with.
func TestNodesThatDiffer(t *testing.T) {
	newer := &object.Type[tally]{Name: "tally", Methods: []object.Method[tally]{bump, object.Update("Reset",
		func(_ context.Context, t *tally, _ object.None) (int, error) { t.N = 0; return 0, nil })}}
	c := highlandertest.Options{Node: func(i int, config *highlander.Config) {
		config.Name, config.ClientOnly = fmt.Sprint("client-or-server-", i), i == 0
	}}.Start(t, 2, tallies)
	mustBump(t, c, 0, 1)
	if owner := c.Owner("tally", "a"); owner != 1 || c.Node(1).Name() != "client-or-server-1" {
		t.Errorf("node %d, %s, owns the object", owner, c.Node(1).Name())
	}
	if c.Owner("tally", "b") != -1 {
		t.Error("somebody owns an object that nobody has called")
	}
	if err := c.Node(1).Drain(t.Context()); err != nil {
		t.Error(err)
	}
	c.Restart(1, newer)
	for _, served := range c.Node(1).Host().Serves() {
		if len(served.Methods) != 2 {
			t.Errorf("the node has the methods %v", served.Methods)
		}
	}
	mustBump(t, c, 0, 2)
}

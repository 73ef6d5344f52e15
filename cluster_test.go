package highlander_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
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

// A cluster is one whose nodes serve tallies.
type cluster struct {
	*testing.T
	*highlandertest.Cluster
}

func start(t *testing.T, n int) cluster {
	return cluster{t, highlandertest.Start(t, n, tallies)}
}

func (c cluster) bump(node int, id string, want int) {
	c.Helper()
	ctx, cancel := context.WithTimeout(c.Context(), 30*time.Second)
	defer cancel()
	if v, err := bump.Call(ctx, tallies.On(c.Node(node)).Ref(id), 1); v != want || err != nil {
		c.Fatalf("bump of %s: %d, %v; want %d", id, v, err, want)
	}
}

func (c cluster) mustLiveAt(id string, node int) {
	c.Helper()
	if owner := c.Owner("tally", id); owner != node {
		c.Errorf("object %s lives at node %d, want %d", id, owner, node)
	}
}

func TestAnyNodeCallsAnyObject(t *testing.T) {
	c := start(t, 3)
	owners := make(map[int]int)
	for i := range 30 {
		id := fmt.Sprint(i)
		for j := range 3 {
			c.bump((i+j)%3, id, j+1)
		}
		owners[c.Owner("tally", id)]++
		if s, err := tallies.On(c.Node(i%3)).Get(t.Context(), id); s.N != 3 || err != nil {
			t.Error(s, err)
		}
	}
	if len(owners) != 3 {
		t.Errorf("30 objects live at %v", owners)
	}
	for i := range 3 {
		if err := c.Node(i).Ready(); err != nil {
			t.Error(err)
		}
	}
}

func TestANodeThatPrefersItselfOwnsWhatItCalls(t *testing.T) {
	c := start(t, 1)
	b := c.Add(highlander.Config{Placement: object.PreferLocal})
	for i := range 10 {
		c.bump(b, fmt.Sprint(i), 1)
		c.mustLiveAt(fmt.Sprint(i), b)
	}
}

func TestAClientOnlyNodeOwnsNothing(t *testing.T) {
	c := start(t, 0)
	client := c.Add(highlander.Config{ClientOnly: true})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := tallies.On(c.Node(client)).Get(ctx, "a"); !errors.Is(err, object.ErrUnavailable) || !strings.Contains(err.Error(), "no live node") {
		t.Errorf("alone: %v", err)
	}
	server := c.Add(highlander.Config{Placement: object.PreferLocal})
	for i := range 20 {
		c.bump(client, fmt.Sprint(i), 1)
		c.mustLiveAt(fmt.Sprint(i), server)
	}
}

// Two versions of a program, of which the older one lacks a method and a type.
func TestTwoVersionsOfAProgram(t *testing.T) {
	reset := object.Update("Reset", func(_ context.Context, t *tally, _ object.None) (int, error) { t.N = 0; return 0, nil })
	newer := &object.Type[tally]{Name: "tally", Methods: []object.Method[tally]{bump, reset}}
	extra := &object.Type[tally]{Name: "extra", Methods: []object.Method[tally]{bump}}
	c := start(t, 1)
	young := c.Node(c.Add(highlander.Config{ClientOnly: true}, newer, extra))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := reset.Call(ctx, newer.On(young).Ref("a"), object.None{}); !errors.Is(err, object.ErrUnavailable) {
		t.Errorf("nobody serves the method: %v", err)
	}
	server := c.Add(highlander.Config{}, newer, extra)
	for i := range 10 {
		if _, err := reset.Call(t.Context(), newer.On(young).Ref(fmt.Sprint(i)), object.None{}); err != nil {
			t.Error(err)
		}
		if _, err := bump.Call(t.Context(), extra.On(young).Ref(fmt.Sprint(i)), 1); err != nil {
			t.Error(err)
		}
		c.mustLiveAt(fmt.Sprint(i), server)
	}
}

// load bumps objects through the nodes until stop is called, and then says how often each one was acknowledged, and how
// many outcomes are unknown. Other errors fail the test.
func (c cluster) load(nodes ...int) (stop func() (acked map[string]int, unknown int)) {
	var (
		over    atomic.Bool
		callers sync.WaitGroup
		mu      sync.Mutex
		acked   = make(map[string]int)
		unknown int
		first   = make(chan struct{}, 64)
	)
	for i := range 4 * len(nodes) {
		callers.Go(func() {
			for n := 0; !over.Load(); n++ {
				id := fmt.Sprint((i + n) % 16)
				ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
				_, err := bump.Call(ctx, tallies.On(c.Node(nodes[i%len(nodes)])).Ref(id), 1)
				cancel()
				mu.Lock()
				switch {
				case err == nil:
					acked[id]++
				case errors.Is(err, object.ErrUnknownOutcome):
					unknown++
				default:
					c.Errorf("a call: %v", err)
				}
				mu.Unlock()
				if n == 20 {
					first <- struct{}{}
				}
				time.Sleep(time.Millisecond) // so that time passes in bubbles, too
			}
		})
	}
	for range 4 * len(nodes) {
		<-first
	}
	return func() (map[string]int, int) {
		over.Store(true)
		callers.Wait()
		return acked, unknown
	}
}

// check compares the objects with what callers were told.
func (c cluster) check(node int, acked map[string]int, unknown int) {
	c.Helper()
	for id, want := range acked {
		if s, err := tallies.On(c.Node(node)).Get(c.Context(), id); err != nil || s.N < want || s.N > want+unknown {
			c.Errorf("object %s is %d, %v; %d updates were acknowledged, %d are unknown", id, s.N, err, want, unknown)
		}
	}
}

// A node that is drained under load hands over without an unknown outcome, and calls through others do not notice.
func TestDrainingANodeUnderLoadIsNotNoticed(t *testing.T) {
	c := start(t, 3)
	stop := c.load(0, 1)
	if err := c.Node(2).Drain(t.Context()); err != nil {
		t.Error(err)
	}
	c.Restart(2)
	acked, unknown := stop()
	if unknown > 0 {
		t.Errorf("%d unknown outcomes", unknown)
	}
	c.check(2, acked, unknown)
}

func TestANodeThatDiesIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 3)
		stop := c.load(0, 1)
		c.Kill(2)
		for _, node := range []int{0, 1} {
			for i := range 16 {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				if _, err := tallies.On(c.Node(node)).Get(ctx, fmt.Sprint(i)); err != nil {
					t.Errorf("object %d: %v", i, err)
				}
				cancel()
			}
		}
		acked, unknown := stop()
		c.check(0, acked, unknown)
		for i := range 16 {
			if c.Owner("tally", fmt.Sprint(i)) == 2 {
				t.Errorf("object %d still lives at the dead node", i)
			}
		}
	})
}

// A node whose session is lost keeps its listener and its incarnation, and serves again under the next session.
func TestALostSessionIsFollowedByTheNextNumber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 0)
		a, b := c.Add(highlander.Config{Placement: object.PreferLocal}), c.Add(highlander.Config{ClientOnly: true})
		owner := func() object.Member {
			m, _, err := c.Node(b).Host().Owner(t.Context(), object.Key{Type: "tally", ID: "x"})
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		c.bump(a, "x", 1)
		c.bump(b, "x", 2)
		first := owner()
		for i := 1; i <= 3; i++ {
			if was := owner(); was.Session != i || was.Incarnation != first.Incarnation {
				t.Errorf("session %d of %s, want session %d of %s", was.Session, was.Incarnation, i, first.Incarnation)
			}
			c.Expire(a)
			c.bump(b, "x", 2+i)
		}
	})
}

// What nodes of one cluster do not share, they refuse.
func TestNodesOfOtherClustersAreNotCalled(t *testing.T) {
	c := start(t, 0)
	c.Add(highlander.Config{Cluster: "one", Placement: object.PreferLocal})
	b := c.Add(highlander.Config{Cluster: "two", ClientOnly: true})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := tallies.On(c.Node(b)).Get(ctx, "x"); !errors.Is(err, object.ErrUnavailable) || !strings.Contains(err.Error(), "cluster") {
		t.Error(err)
	}
}

package highlander

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/highlander-go/highlander/memregistry"
	"github.com/highlander-go/highlander/object"
	"github.com/highlander-go/highlander/persist"
)

// A cluster is a registry and a store that the nodes of a test share. They call each other over TCP.
type cluster struct {
	*testing.T
	registry *memregistry.Registry
	store    persist.Store
}

func newCluster(t *testing.T, o memregistry.Options) *cluster {
	c := &cluster{t, memregistry.New(o), persist.NewMemory()}
	t.Cleanup(func() { c.registry.Close() })
	return c
}

// These end with the cluster, not with a node.
type (
	sharedRegistry struct{ *memregistry.Registry }
	sharedStore    struct{ persist.Store }
)

func (sharedRegistry) Close() error { return nil }
func (sharedStore) Close() error    { return nil }

// node opens a node that listens on a loopback address, and is closed with the test.
func (c *cluster) node(name string, config Config, types ...object.Definition) *Node {
	c.Helper()
	config.Name, config.Listen = name, "127.0.0.1:0"
	config.Log = slog.New(slog.NewTextHandler(c.Output(), nil)).With("at", name)
	config, err := config.withDefaults()
	if err != nil {
		c.Fatal(err)
	}
	if len(types) == 0 {
		types = []object.Definition{tallies}
	}
	n := newNode(config)
	n.registry, n.store = sharedRegistry{c.registry}, sharedStore{c.store}
	if err := n.start(c.Context(), persist.NewRecords(c.store), types); err != nil {
		n.release()
		c.Fatal(err)
	}
	c.Cleanup(func() { n.Close() })
	return n
}

func (c *cluster) owner(id string) object.Member {
	c.Helper()
	m, _, err := c.registry.Owner(c.Context(), object.Key{Type: "tally", ID: id})
	if err != nil {
		c.Fatal(err)
	}
	return m
}

func (c *cluster) bump(n *Node, id string, want int) {
	c.Helper()
	ctx, cancel := context.WithTimeout(c.Context(), 30*time.Second)
	defer cancel()
	if v, err := bump.Call(ctx, tallies.On(n).Ref(id), 1); v != want || err != nil {
		c.Fatalf("bump of %s: %d, %v; want %d", id, v, err, want)
	}
}

func TestAnyNodeCallsAnyObject(t *testing.T) {
	c := newCluster(t, memregistry.Options{})
	nodes := []*Node{c.node("a", Config{}), c.node("b", Config{}), c.node("c", Config{})}
	owners := make(map[string]int)
	for i := range 30 {
		id := fmt.Sprint(i)
		for j := range nodes {
			c.bump(nodes[(i+j)%3], id, j+1)
		}
		owners[c.owner(id).Name]++
		if s, err := tallies.On(nodes[i%3]).Get(t.Context(), id); s.N != 3 || err != nil {
			t.Error(s, err)
		}
	}
	if len(owners) != 3 {
		t.Errorf("30 objects live at %v", owners)
	}
	for _, n := range nodes {
		if err := n.Ready(); err != nil {
			t.Error(err)
		}
	}
}

func TestANodeThatPrefersItselfOwnsWhatItCalls(t *testing.T) {
	c := newCluster(t, memregistry.Options{})
	c.node("a", Config{})
	b := c.node("b", Config{Placement: object.PreferLocal})
	for i := range 10 {
		if c.bump(b, fmt.Sprint(i), 1); c.owner(fmt.Sprint(i)).Name != "b" {
			t.Errorf("object %d lives at %s", i, c.owner(fmt.Sprint(i)).Name)
		}
	}
}

func TestAClientOnlyNodeOwnsNothing(t *testing.T) {
	c := newCluster(t, memregistry.Options{})
	client := c.node("client", Config{ClientOnly: true})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := tallies.On(client).Get(ctx, "a"); !errors.Is(err, object.ErrUnavailable) || !strings.Contains(err.Error(), "no live node") {
		t.Errorf("alone: %v", err)
	}
	c.node("server", Config{Placement: object.PreferLocal})
	for i := range 20 {
		if c.bump(client, fmt.Sprint(i), 1); c.owner(fmt.Sprint(i)).Name != "server" {
			t.Errorf("object %d lives at %s", i, c.owner(fmt.Sprint(i)).Name)
		}
	}
}

// Two versions of a program, of which the older one lacks a method and a type.
func TestTwoVersionsOfAProgram(t *testing.T) {
	reset := object.Update("Reset", func(_ context.Context, t *tally, _ object.None) (int, error) { t.N = 0; return 0, nil })
	newer := &object.Type[tally]{Name: "tally", Methods: []object.Method[tally]{bump, reset}}
	extra := &object.Type[tally]{Name: "extra", Methods: []object.Method[tally]{bump}}
	c := newCluster(t, memregistry.Options{})
	c.node("old", Config{})
	young := c.node("young", Config{ClientOnly: true}, newer, extra)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := reset.Call(ctx, newer.On(young).Ref("a"), object.None{}); !errors.Is(err, object.ErrUnavailable) {
		t.Errorf("nobody serves the method: %v", err)
	}
	c.node("server", Config{}, newer, extra)
	for i := range 10 {
		if _, err := reset.Call(t.Context(), newer.On(young).Ref(fmt.Sprint(i)), object.None{}); err != nil {
			t.Error(err)
		}
		if _, err := bump.Call(t.Context(), extra.On(young).Ref(fmt.Sprint(i)), 1); err != nil {
			t.Error(err)
		}
		if c.owner(fmt.Sprint(i)).Name != "server" {
			t.Errorf("object %d lives at %q", i, c.owner(fmt.Sprint(i)).Name)
		}
	}
}

// load bumps objects through the nodes until stop is called, and then says how often each one was acknowledged, and how
// many outcomes are unknown. Other errors than those that also match allowed fail the test.
func (c *cluster) load(nodes []*Node, allowed ...error) (stop func() (acked map[string]int, unknown int)) {
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
				_, err := bump.Call(ctx, tallies.On(nodes[i%len(nodes)]).Ref(id), 1)
				cancel()
				mu.Lock()
				switch {
				case err == nil:
					acked[id]++
				case errors.Is(err, object.ErrUnknownOutcome):
					unknown++
				case !slices.ContainsFunc(allowed, func(target error) bool { return errors.Is(err, target) }):
					c.Errorf("a call: %v", err)
				}
				mu.Unlock()
				if n == 20 {
					first <- struct{}{}
				}
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
func (c *cluster) check(n *Node, acked map[string]int, unknown int) {
	c.Helper()
	for id, want := range acked {
		if s, err := tallies.On(n).Get(c.Context(), id); err != nil || s.N < want || s.N > want+unknown {
			c.Errorf("object %s is %d, %v; %d updates were acknowledged, %d are unknown", id, s.N, err, want, unknown)
		}
	}
}

// A node that is drained under load hands over without an unknown outcome, and calls through others do not notice.
func TestDrainingANodeUnderLoadIsNotNoticed(t *testing.T) {
	c := newCluster(t, memregistry.Options{})
	a, b, leaver := c.node("a", Config{}), c.node("b", Config{}), c.node("leaver", Config{})
	stop := c.load([]*Node{a, b})
	if err := leaver.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	again := c.node("leaver again", Config{})
	acked, unknown := stop()
	if unknown > 0 {
		t.Errorf("%d unknown outcomes", unknown)
	}
	c.check(again, acked, unknown)
}

// A node that is gone without a word: its listener and its connections are closed, the registry does not hear of it.
func TestANodeThatDiesIsFollowed(t *testing.T) {
	c := newCluster(t, memregistry.Options{Lease: 100 * time.Millisecond, SessionTimeout: 300 * time.Millisecond})
	a, b, victim := c.node("a", Config{}), c.node("b", Config{}), c.node("victim", Config{})
	stop := c.load([]*Node{a, b})
	c.registry.Disconnect(victim.me.Incarnation)
	victim.endpoint.Close()
	for _, n := range []*Node{a, b} {
		for i := range 16 {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			if _, err := tallies.On(n).Get(ctx, fmt.Sprint(i)); err != nil {
				t.Errorf("object %d: %v", i, err)
			}
			cancel()
		}
	}
	acked, unknown := stop()
	c.check(a, acked, unknown)
	for i := range 16 {
		if c.owner(fmt.Sprint(i)).Name == "victim" {
			t.Errorf("object %d still lives at the victim", i)
		}
	}
	c.registry.Reconnect(victim.me.Incarnation)
}

// A node whose session is lost keeps its listener and its incarnation, and serves again under the next session.
func TestALostSessionIsFollowedByTheNextNumber(t *testing.T) {
	c := newCluster(t, memregistry.Options{})
	a, b := c.node("a", Config{Placement: object.PreferLocal}), c.node("b", Config{ClientOnly: true})
	c.bump(a, "x", 1)
	c.bump(b, "x", 2)
	for i := 1; i <= 3; i++ {
		was := c.owner("x")
		if was.Session != i || was.Incarnation != a.me.Incarnation {
			t.Errorf("session %d of %s, want session %d", was.Session, was.Incarnation, i)
		}
		c.registry.Expire(a.me.Incarnation)
		c.bump(b, "x", 2+i)
	}
}

func TestANodeOpensMoreSessionsWhenTheyAreFull(t *testing.T) {
	c := newCluster(t, memregistry.Options{MaxClaims: 10})
	a := c.node("a", Config{})
	sessions := make(map[int]int)
	for i := range 45 {
		c.bump(a, fmt.Sprint(i), 1)
		sessions[c.owner(fmt.Sprint(i)).Session]++
	}
	if len(sessions) != 5 || sessions[1] != 10 {
		t.Errorf("objects by session: %v", sessions)
	}
	lost := c.owner("0")
	c.registry.ExpireSession(lost)
	for i := range 45 {
		c.bump(a, fmt.Sprint(i), 2)
	}
	if m := c.owner("44"); m.Session != 5 {
		t.Errorf("what another session held moved to session %d", m.Session)
	}
	if err := a.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	if members, err := c.registry.Members(t.Context()); len(members) != 0 || err != nil {
		t.Errorf("after the drain %v are members, %v", members, err)
	}
}

func TestListeningSaysWhatToChange(t *testing.T) {
	for name, x := range map[string]struct {
		config Config
		want   string
	}{
		"an open address":               {Config{Listen: "0.0.0.0:0"}, "AllowPlaintext"},
		"an address that is none":       {Config{Listen: "nowhere"}, "Config.Listen"},
		"an address for all interfaces": {Config{Listen: "0.0.0.0:0", AllowPlaintext: true}, "Config.Advertise"},
		"nothing to advertise":          {Config{Advertise: "a:1"}, "Config.Listen"},
		"no port to advertise":          {Config{Listen: "127.0.0.1:0", Advertise: "a"}, "host:port"},
		"a client that serves":          {Config{ClientOnly: true, Serve: []string{"tally"}}, "Config.Serve"},
		"a type that it does not have":  {Config{Serve: []string{"list"}}, `"list"`},
		"a long name":                   {Config{Cluster: strings.Repeat("x", 256)}, "Config.Cluster"},
		"an unknown placement":          {Config{Placement: 7}, "Config.Placement"},
	} {
		n, err := Open(t.Context(), x.config, tallies)
		if err == nil {
			n.Close()
		}
		if err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %v; want it to say %q", name, err, x.want)
		}
	}
	n, err := Open(t.Context(), Config{Listen: "0.0.0.0:0", AllowPlaintext: true, Advertise: "here.example:7400"}, tallies)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if n.me.Address != "here.example:7400" {
		t.Errorf("it advertises %q", n.me.Address)
	}
}

// What nodes of one cluster do not share, they refuse.
func TestNodesOfOtherClustersAreNotCalled(t *testing.T) {
	c := newCluster(t, memregistry.Options{})
	c.node("a", Config{Cluster: "one", Placement: object.PreferLocal})
	b := c.node("b", Config{Cluster: "two", ClientOnly: true})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := tallies.On(b).Get(ctx, "x"); !errors.Is(err, object.ErrUnavailable) || !strings.Contains(err.Error(), "cluster") {
		t.Error(err)
	}
}

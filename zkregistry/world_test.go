package zkregistry

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/internal/zk"
	"github.com/highlander-go/highlander/internal/zk/zkmodel"
	"github.com/highlander-go/highlander/object"
)

// A gate is what requests to the model pass through. Tests put traps in it.
type gate struct {
	mu    sync.Mutex
	traps []*trap
	seen  []zkmodel.Point // that have entered
}

// A trap catches the first request that matches.
type trap struct {
	match   func(zkmodel.Point) bool
	fate    zkmodel.Fate
	caught  chan struct{} // closed when it has
	release chan struct{} // it holds the request until this is closed; nil: it does not
}

func (g *gate) pass(ctx context.Context, p zkmodel.Point) zkmodel.Fate {
	g.mu.Lock()
	if !p.Answer {
		g.seen = append(g.seen, p)
	}
	i := slices.IndexFunc(g.traps, func(t *trap) bool { return t.match(p) })
	if i < 0 {
		g.mu.Unlock()
		return zkmodel.Deliver
	}
	t := g.traps[i]
	g.traps = slices.Delete(g.traps, i, i+1)
	g.mu.Unlock()
	close(t.caught)
	if t.release != nil {
		<-t.release
	}
	return t.fate
}

func (g *gate) set(t *trap) *trap {
	g.mu.Lock()
	defer g.mu.Unlock()
	t.caught = make(chan struct{})
	g.traps = append(g.traps, t)
	return t
}

// hold holds the next request, or answer, that matches until the trap's release is closed.
func (g *gate) hold(match func(zkmodel.Point) bool) *trap {
	return g.set(&trap{match: match, release: make(chan struct{})})
}

// lose has the next request that matches meet a fate.
func (g *gate) lose(fate zkmodel.Fate, match func(zkmodel.Point) bool) *trap {
	return g.set(&trap{match: match, fate: fate})
}

// count is how many requests have entered that match.
func (g *gate) count(match func(zkmodel.Point) bool) (n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range g.seen {
		if match(p) {
			n++
		}
	}
	return n
}

// request matches requests of a session, on a path that ends so.
func request(s object.Session, op, suffix string) func(zkmodel.Point) bool {
	id := s.(*session).ID()
	return func(p zkmodel.Point) bool {
		return !p.Answer && p.Session == id && p.Op == op && strings.HasSuffix(p.Path, suffix)
	}
}

func answer(s object.Session, op, suffix string) func(zkmodel.Point) bool {
	id := s.(*session).ID()
	return func(p zkmodel.Point) bool {
		return p.Answer && p.Session == id && p.Op == op && strings.HasSuffix(p.Path, suffix)
	}
}

// inWorld runs a test in a bubble, with a cluster of its own.
func inWorld(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, &world{newModelCluster(t, 1), t}) })
}

type world struct {
	*modelCluster
	t *testing.T
}

// node opens a registry on a host of its own.
func (w *world) node(o Options) *modelNode {
	w.t.Helper()
	n, err := w.open(o)
	w.must(err)
	return n
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (n *modelNode) join(name string) object.Session {
	n.cluster.t.Helper()
	s, err := n.Join(n.cluster.t.Context(), object.Member{Incarnation: uuid.New(), Name: name, Address: name + ":1"})
	if err != nil {
		n.cluster.t.Fatal(err)
	}
	return s
}

// session joins from a host of its own.
func (w *world) session(name string) object.Session { return w.node(Options{}).join(name) }

func (w *world) claim(s object.Session, id string) object.Claim {
	w.t.Helper()
	c, err := s.Claim(w.t.Context(), object.Key{Type: "list", ID: id})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// goClaim claims in a goroutine; the channel has what came of it.
func (w *world) goClaim(ctx context.Context, s object.Session, id string) chan claimed {
	result := make(chan claimed, 1)
	go func() {
		c, err := s.Claim(ctx, object.Key{Type: "list", ID: id})
		result <- claimed{c, err}
	}()
	return result
}

type claimed struct {
	claim object.Claim
	err   error
}

func (w *world) wait(c object.Claim) time.Duration { return max(0, c.ServeAt()-w.clock()) }

func (w *world) noWait(c object.Claim) {
	w.t.Helper()
	if wait := w.wait(c); wait > 0 {
		w.t.Errorf("the claim waits for %v", wait)
	}
}

func (w *world) waits(c object.Claim, least time.Duration) {
	w.t.Helper()
	if wait := w.wait(c); wait < least {
		w.t.Errorf("the claim waits for %v; want %v at least", wait, least)
	}
}

// soon waits for a condition, of virtual time as much as it takes within a minute.
func (w *world) soon(what string, cond func() bool) {
	w.t.Helper()
	for range 6000 {
		if cond() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	w.t.Fatalf("in vain for a minute: %s", what)
}

// peek is a session of the test's own, which sees what was committed.
func (w *world) peek() zk.Session {
	w.t.Helper()
	w.mu.Lock()
	w.nodes++
	host := zkmodel.Host("peek" + time.Now().String() + string(rune('a'+w.nodes)))
	w.mu.Unlock()
	client, err := w.model.Client(host, w.model.Leader())
	w.must(err)
	s, err := client.Open(w.t.Context(), time.Minute, func(zk.Event) {})
	w.must(err)
	return s
}

// children lists a node's children as the leader has them; nil: there is no such node.
func (w *world) children(path string) []string {
	w.t.Helper()
	s := w.peek()
	defer s.Close(w.t.Context())
	names, err := s.Children(w.t.Context(), path, false)
	if errors.Is(err, zk.ErrNoNode) {
		return nil
	}
	w.must(err)
	slices.Sort(names)
	return append([]string{}, names...)
}

func container(id string) string { return layout{"/todo"}.container(object.Key{Type: "list", ID: id}) }

// is tells whether a member's two nodes are there.
func (w *world) is(s object.Session) (member, live bool) {
	w.t.Helper()
	pair := pairName(s.Member())
	return slices.Contains(w.children("/todo/members"), pair), slices.Contains(w.children("/todo/live"), pair)
}

// crash cuts a node off for good: nothing that it does gets through any more.
func (w *world) crash(s object.Session) { w.must(w.Disconnect(s.Member())) }

package object_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/codec"
	"github.com/highlander-go/highlander/object"
)

// routed runs the test in a world of nodes that place objects by rendezvous.
func routed(t *testing.T, names []string, test func(w *world, nodes []*node), types ...object.Definition) {
	inWorld(t, func(w *world) {
		w.placement = object.Rendezvous
		var nodes []*node
		for _, name := range names {
			nodes = append(nodes, w.node(name))
		}
		test(w, nodes)
	}, types...)
}

// ownerOf is the node that owns the counter, nil if none does.
func (w *world) ownerOf(nodes []*node, id string) *node {
	w.Helper()
	return w.ownerOf2("counter", nodes, id)
}

func (w *world) ownerOf2(typ string, nodes []*node, id string) *node {
	w.Helper()
	m, ok, err := w.registry.Owner(w.Context(), object.Key{Type: typ, ID: id})
	if err != nil {
		w.Fatal(err)
	}
	if !ok {
		return nil
	}
	i := slices.IndexFunc(nodes, func(n *node) bool { return n.id == m.Incarnation })
	if i < 0 {
		w.Fatalf("%v owns %s %s", m, typ, id)
	}
	return nodes[i]
}

// placedAt is an id of a counter that wakes at the node.
func (w *world) placedAt(nodes []*node, at *node) string {
	w.Helper()
	for i := range 200 {
		id := fmt.Sprint("for ", at.id, " ", i)
		if _, err := counters.On(nodes[0]).Get(w.Context(), id); err != nil {
			w.Fatal(err)
		}
		owner := w.ownerOf(nodes, id)
		w.letGo()
		if owner == at {
			return id
		}
	}
	w.Fatal("no object wakes there")
	return ""
}

// letGo waits until idle objects are let go.
func (w *world) letGo() {
	time.Sleep(2 * object.DefaultIdle)
	synctest.Wait()
}

func (w *world) callsTo(n *node) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls[n.id]
}

func (w *world) suspected(n *node) object.Suspicion {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.suspects[n.id]
}

func (w *world) mustAddAt(n *node, id string, want int64) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
	defer cancel()
	if got, err := add.Call(ctx, counters.On(n).Ref(id), 1); got != want || err != nil {
		w.Fatalf("counter %s: %d, %v; want %d", id, got, err, want)
	}
}

func TestAllNodesPlaceAnObjectAtTheSameOne(t *testing.T) {
	routed(t, []string{"a", "b", "c"}, func(w *world, nodes []*node) {
		at, owned := w.clock(), make(map[*node]int)
		for i := range 300 {
			id := strconv.Itoa(i)
			w.mustAddAt(nodes[i%3], id, 1)
			owner := w.ownerOf(nodes, id)
			owned[owner]++
			for j, n := range nodes {
				calls := w.callsTo(owner)
				w.mustAddAt(n, id, int64(2+j))
				if n == owner && w.callsTo(owner) != calls {
					t.Fatal("the owner calls itself")
				}
			}
		}
		for _, n := range nodes {
			if owned[n] < 60 {
				t.Errorf("a node owns %d of 300 objects", owned[n])
			}
		}
		if total := w.callsTo(nodes[0]) + w.callsTo(nodes[1]) + w.callsTo(nodes[2]); total > 300*3 {
			t.Errorf("%d calls between nodes; of 4 calls of each of 300 objects some 800 are from other nodes", total)
		}
		if w.clock() != at {
			t.Errorf("it took %v", w.clock()-at)
		}
	})
}

func TestAnObjectWakesAtTheNodeThatIsCalledIfThatIsPreferred(t *testing.T) {
	inWorld(t, func(w *world) {
		nodes := []*node{w.node("a"), w.node("b")}
		for i := range 20 {
			w.mustAddAt(nodes[i%2], strconv.Itoa(i), 1)
			if w.ownerOf(nodes, strconv.Itoa(i)) != nodes[i%2] {
				t.Error("it woke elsewhere")
			}
		}
	})
}

func TestAClientOwnsNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		w.serves = []string{}
		client := w.node("client")
		ctx := w.Context()
		short, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		at := w.clock()
		if _, err := counters.On(client).Get(short, "a"); !errors.Is(err, object.ErrUnavailable) || w.clock() == at {
			t.Errorf("while nobody serves counters, after %v: %v", w.clock()-at, err)
		}
		if _, err := counters.On(client).Get(ctx, ""); !errors.Is(err, object.ErrBadID) {
			t.Errorf("an id that no object can have: %v", err)
		}
		if _, err := add.Call(ctx, counters.On(client).Ref(""), 1); !errors.Is(err, object.ErrBadID) {
			t.Errorf("an update of an id that no object can have: %v", err)
		}
		get := &object.Request{Key: object.Key{Type: "counter", ID: "a"}, Method: "get state"}
		refused := new(object.NotOwnerError)
		if _, err := client.host.Handle(w.Context(), get); !errors.As(err, &refused) || refused.Owner.Incarnation != uuid.Nil {
			t.Errorf("a client is called: %v", err)
		}
		w.serves = []string{"counter"}
		server := w.node("server")
		w.mustAddAt(client, "a", 1)
		if w.ownerOf([]*node{client, server}, "a") != server {
			t.Error("the client owns it")
		}
		if _, err := client.host.Handle(w.Context(), get); !errors.As(err, &refused) || refused.Owner.Incarnation != server.id {
			t.Errorf("a client is called for what another node owns: %v", err)
		}
		if types := client.host.Serves(); len(types) != 0 {
			t.Errorf("it says that it serves %v", types)
		}
		if _, err := object.NewHost(object.HostConfig{Serves: []string{"album"}}, counters); !errors.Is(err, object.ErrUnknownType) {
			t.Errorf("serving a type without its definition: %v", err)
		}
	})
}

// Nodes run two versions of a program: what one of them cannot serve goes to the other one.
func TestCallsGoToNodesThatCanServeThem(t *testing.T) {
	newer := object.Update("Newer", func(_ context.Context, c *counter, _ object.None) (int64, error) {
		c.Value += 100
		return c.Value, nil
	})
	old := &object.Type[counter]{Name: "counter", Methods: []object.Method[counter]{add}, Codec: counterCodec}
	young := &object.Type[counter]{Name: "counter", Methods: []object.Method[counter]{add, newer}, Codec: counterCodec}
	inWorld(t, func(w *world) {
		w.placement = object.Rendezvous
		w.types = []object.Definition{old}
		olds := []*node{w.node("old"), w.node("older")}
		w.types = []object.Definition{young, albums}
		n := w.node("young")
		for i := range 20 {
			if v, err := newer.Call(w.Context(), young.On(n).Ref(strconv.Itoa(i)), object.None{}); v != 100 || err != nil {
				t.Fatal(v, err)
			}
			if _, err := albums.On(n).Get(w.Context(), strconv.Itoa(i)); err != nil {
				t.Fatal(err)
			}
		}
		if calls := w.callsTo(olds[0]) + w.callsTo(olds[1]); calls > 0 {
			t.Errorf("nodes that do not have the method or the type were called %d times", calls)
		}
	})
}

// What an old node owns is handed over to a node that has the method, if there is one, although old nodes are called meanwhile and would wake it again.
func TestAnObjectIsHandedOverToANodeThatHasTheMethod(t *testing.T) {
	newer := object.Update("Newer", func(_ context.Context, c *counter, _ object.None) (int64, error) {
		c.Value += 100
		return c.Value, nil
	})
	old := &object.Type[counter]{Name: "counter", Methods: []object.Method[counter]{add}, Codec: counterCodec}
	young := &object.Type[counter]{Name: "counter", Methods: []object.Method[counter]{add, newer}, Codec: counterCodec}
	for _, placement := range []object.Placement{object.PreferLocal, object.Rendezvous} {
		inWorld(t, func(w *world) {
			w.onCall, w.placement = overTheWire, placement
			w.types = []object.Definition{old}
			olds := []*node{w.node("old"), w.node("older")}
			w.types, w.serves = []object.Definition{young}, []string{}
			client := w.node("client")
			w.mustAddAt(olds[0], "none", 1)
			owner := w.ownerOf(olds, "none")
			if _, err := newer.Call(w.Context(), young.On(client).Ref("none"), object.None{}); !errors.Is(err, object.ErrUnavailable) && !errors.Is(err, object.ErrUnknownMethod) {
				t.Errorf("nobody has the method: %v", err)
			}
			if w.ownerOf(olds, "none") != owner {
				t.Error("it was given up although nobody has the method")
			}
			w.serves = nil
			n := w.node("young")
			for i := range 10 {
				id := fmt.Sprint("x", i)
				w.mustAddAt(olds[i%2], id, 1)
				var busy sync.WaitGroup
				added := int64(1)
				w.onCall = func(to object.Member, r *object.Request, deliver func() ([]byte, error)) ([]byte, error) {
					reply, err := overTheWire(to, r, deliver)
					if r.Method == "Newer" && err != nil { // who has just given it up is called before the other one can claim it
						for _, o := range olds {
							if o.id == to.Incarnation {
								added++
								busy.Go(func() {
									if _, err := add.Call(w.Context(), old.On(o).Ref(id), 1); err != nil {
										t.Error(err)
									}
								})
								synctest.Wait()
							}
						}
					}
					return reply, err
				}
				ctx, cancel := context.WithTimeout(w.Context(), time.Second)
				_, err := newer.Call(ctx, young.On(n).Ref(id), object.None{})
				cancel()
				busy.Wait()
				w.onCall = overTheWire
				if c, getErr := young.On(n).Get(w.Context(), id); err != nil || getErr != nil || c.Value != 100+added {
					t.Errorf("%v after %d adds, %v; %v", c, added, getErr, err)
				}
			}
			n.stop() // who has handed an object over wakes it again when nobody else does
			olds[1].stop()
			if _, err := add.Call(w.Context(), old.On(olds[0]).Ref("x9"), 1); err != nil {
				t.Error(err)
			}
		})
	}
}

// Who calls the method that the owner lacks may have little time: that does not cut short what others have been promised.
func TestAHandOverFinishesWhatWasAccepted(t *testing.T) {
	newer := object.Update("Newer", func(_ context.Context, c *counter, _ object.None) (object.None, error) { return object.None{}, nil })
	old := &object.Type[counter]{Name: "counter", Methods: []object.Method[counter]{add}, Codec: counterCodec}
	young := &object.Type[counter]{Name: "counter", Methods: []object.Method[counter]{add, newer}, Codec: counterCodec}
	inWorld(t, func(w *world) {
		w.types = []object.Definition{old}
		owner := w.node("old")
		w.types = []object.Definition{young}
		n := w.node("young")
		w.mustAdd(owner, 1, 1)
		release := w.store.hold()
		r := owner.add(w.Context(), 1)
		ctx, cancel := context.WithTimeout(w.Context(), time.Second)
		defer cancel()
		if _, err := newer.Call(ctx, young.On(n).Ref("a"), object.None{}); err == nil {
			t.Error("it was handed over before the update was finished")
		}
		release()
		if v, err := r.wait(); v != 2 || err != nil {
			t.Error(v, err)
		}
		if _, err := newer.Call(w.Context(), young.On(n).Ref("a"), object.None{}); err != nil {
			t.Error(err)
		}
	})
}

func TestServesSaysWhatANodeCanDo(t *testing.T) {
	typ := &object.Type[counter]{Name: "typ", Layout: 3, Methods: []object.Method[counter]{add, block}}
	h, err := object.NewHost(object.HostConfig{Serves: []string{"typ"}}, albums, typ)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(h.Serves()); got != "[{typ 3 [Add Block]}]" {
		t.Error(got)
	}
}

// A state of a higher layout is served by the nodes that can read it, wherever the call comes from.
func TestLayouts(t *testing.T) {
	layout := func(n uint32) *object.Type[counter] {
		return &object.Type[counter]{Name: "counter", Layout: n, Methods: []object.Method[counter]{add}, Codec: counterCodec,
			Upgrades: []object.Upgrade[counter]{{From: n - 1, Read: func(r *codec.Reader, c *counter) error { counterCodec.Read(r, c); return nil }}}}
	}
	inWorld(t, func(w *world) {
		w.types = []object.Definition{layout(1)}
		old := w.node("old")
		for i := range 8 {
			w.mustAddAt(old, strconv.Itoa(i), 1)
		}
		w.letGo()
		w.types = []object.Definition{layout(2)}
		young := w.node("young")
		all := []*node{old, young}
		for i := range 8 { // of what is written, and of what never was, by a node that prefers itself and by one that does not
			id := strconv.Itoa(i)
			w.mustAddAt(young, id, 2)
			w.mustAddAt(young, "new"+id, 1)
			if w.ownerOf(all, id) != old || w.ownerOf(all, "new"+id) != old {
				t.Error("served by a node that writes what not all can read")
			}
		}
		w.mustLayout("0", 1)
		w.letGo()
		old.stop()
		for i := range 8 {
			w.mustAddAt(young, strconv.Itoa(i), 3)
		}
		w.mustLayout("0", 2)
		if _, err := layout(2).On(young).Get(w.Context(), "new0"); err != nil {
			t.Fatal(err)
		}
		w.mustLayout("new0", 1) // a read writes nothing
		w.types = []object.Definition{layout(1)}
		again := w.node("again")
		all = []*node{again, young}
		w.mustAddAt(young, "new0", 2)
		if w.ownerOf(all, "new0") != again {
			t.Error("what is not yet raised is given up when a member comes that could not read it")
		}
		w.mustAddAt(young, "0", 4) // what is raised is not
		w.letGo()
		for i := range 8 {
			w.mustAddAt(again, strconv.Itoa(i), int64(4+min(1-min(i, 1), 1))) // it prefers itself, cannot read the state, and goes on
		}
		young.stop()
		if _, err := add.Call(w.Context(), counters.On(again).Ref("0"), 1); !errors.Is(err, object.ErrUnavailable) || !strings.Contains(err.Error(), "layout 2") {
			t.Errorf("nobody can read the state: %v", err)
		}
		w.mustLayout("0", 2)
	})
}

func (w *world) mustLayout(id string, want uint32) {
	w.Helper()
	if r, _, err := w.store.Committer.Load(w.Context(), object.Key{Type: "counter", ID: id}); err != nil || r.Layout != want {
		w.Errorf("layout %d, %v; want %d", r.Layout, err, want)
	}
}

func TestAStaleOwnerIsForgotten(t *testing.T) {
	routed(t, []string{"a", "b", "c"}, func(w *world, nodes []*node) {
		w.mustAddAt(nodes[0], "x", 1)
		for _, n := range nodes {
			w.mustAddAt(n, "x", int64(2+slices.Index(nodes, n)))
		}
		owner := w.ownerOf(nodes, "x")
		at := w.clock()
		if err := owner.host.Drain(w.Context()); err != nil {
			t.Fatal(err)
		}
		value := int64(5)
		for _, n := range nodes {
			if n != owner {
				w.mustAddAt(n, "x", value)
				value++
			}
		}
		if w.clock() != at {
			t.Errorf("following it took %v", w.clock()-at)
		}
	})
}

// What placement names and cannot be reached is passed over, and the registry is told.
func TestANodeThatCannotBeReachedIsPassedOver(t *testing.T) {
	for _, how := range []object.Suspicion{object.Gone, object.Silent} {
		routed(t, []string{"a", "b", "c"}, func(w *world, nodes []*node) {
			id := w.placedAt(nodes, nodes[1])
			w.onCall = func(to object.Member, r *object.Request, deliver func() ([]byte, error)) ([]byte, error) {
				if to.Incarnation == nodes[1].id {
					return nil, &object.UnreachableError{Member: to, How: how, Err: errors.New("no route")}
				}
				return deliver()
			}
			at := w.clock()
			w.mustAddAt(nodes[0], id, 1)
			if w.ownerOf(nodes, id) == nodes[1] || w.suspected(nodes[1]) != how || w.clock() != at {
				t.Errorf("owner %v, suspicion %v, after %v", w.ownerOf(nodes, id), w.suspected(nodes[1]), w.clock()-at)
			}
		})
	}
}

// A node that was out of reach for a moment is called as before once it has answered.
func TestANodeThatAnswersAgainIsCalledAsBefore(t *testing.T) {
	routed(t, []string{"a", "b"}, func(w *world, nodes []*node) {
		id := w.placedAt(nodes, nodes[1])
		w.mustAddAt(nodes[0], id, 1)
		calls := 0
		w.onCall = func(to object.Member, r *object.Request, deliver func() ([]byte, error)) ([]byte, error) {
			if calls++; calls == 1 {
				return nil, &object.UnreachableError{Member: to, How: object.Silent, Err: errors.New("no route")}
			}
			return deliver()
		}
		w.mustAddAt(nodes[0], id, 2)
		at := w.clock()
		w.mustAddAt(nodes[0], id, 3)
		if took := w.clock() - at; took > 0 || calls < 3 {
			t.Errorf("the call after %d took %v", calls-1, took)
		}
	})
}

// An owner whose lease has lapsed for long says that it is unavailable, and nobody claims its object in vain, unless the registry has given it up.
func TestAnOwnerWithoutItsLeaseIsStillTheOwner(t *testing.T) {
	routed(t, []string{"a", "b", "c"}, func(w *world, nodes []*node) {
		id := w.placedAt(nodes, nodes[1])
		w.mustAddAt(nodes[0], id, 1)
		w.onCall = func(to object.Member, r *object.Request, deliver func() ([]byte, error)) ([]byte, error) {
			if to.Incarnation == nodes[1].id {
				return nil, object.NewRemoteError(&object.NotOwnerError{Key: r.Key, Owner: to, Err: object.ErrUnavailable})
			}
			return deliver()
		}
		others := w.callsTo(nodes[2])
		r := background(func() (int64, error) { return add.Call(w.Context(), counters.On(nodes[0]).Ref(id), 1) })
		synctest.Wait()
		if !r.over() {
			t.Fatal("the call waits")
		}
		w.mustFail(r, object.ErrUnavailable)
		if w.callsTo(nodes[2]) != others || w.ownerOf(nodes, id) != nodes[1] {
			t.Error("another node was asked to claim the object")
		}
		w.registry.Disconnect(nodes[1].id)
		time.Sleep(sessionTimeout + object.TakeoverWait(leaseLength))
		w.mustAddAt(nodes[0], id, 2)
	})
}

// lost makes the node unreachable for all others, and says how a call ends: sent or not.
func (w *world) lost(n *node, sent bool) {
	w.onCall = func(to object.Member, r *object.Request, deliver func() ([]byte, error)) ([]byte, error) {
		if to.Incarnation == n.id {
			return nil, &object.UnreachableError{Member: to, How: object.Gone, Sent: sent, Err: errors.New("reset")}
		}
		return deliver()
	}
}

// An owner that cannot be reached is waited for until the registry has given it up, without asking the others again and again.
func TestACallOutlivesItsObjectsOwner(t *testing.T) {
	routed(t, []string{"a", "b", "c"}, func(w *world, nodes []*node) {
		id := w.placedAt(nodes, nodes[1])
		for _, known := range []bool{true, false} {
			w.onCall = nil
			if known {
				w.mustAddAt(nodes[0], id, 1)
			}
			w.lost(nodes[1], false)
			w.registry.Disconnect(nodes[1].id)
			at, calls := w.clock(), w.callsTo(nodes[0])+w.callsTo(nodes[1])+w.callsTo(nodes[2])
			caller := nodes[0]
			if !known {
				caller = nodes[2]
			}
			r := background(func() (int64, error) { return add.Call(w.Context(), counters.On(caller).Ref(id), 1) })
			w.mustWait(r)
			if !known { // one of the two is not the next in order, and must ask the other one
				r2 := background(func() (int64, error) { return add.Call(w.Context(), counters.On(nodes[0]).Ref(id), 1) })
				defer func() {
					if _, err := r2.wait(); err != nil {
						t.Error(err)
					}
				}()
			}
			if known {
				time.Sleep(time.Second)
				w.mustWait(r)
				w.registry.Reconnect(nodes[1].id)
				w.mu.Lock()
				w.onCall = nil
				w.mu.Unlock()
				if v, err := r.wait(); v != 2 || err != nil || w.clock()-at > 3*time.Second {
					t.Fatalf("reached again: %d, %v, after %v", v, err, w.clock()-at)
				}
				continue
			}
			v, err := r.wait()
			if v < 3 || err != nil {
				t.Fatal(v, err)
			}
			if took := w.clock() - at; took > sessionTimeout+object.TakeoverWait(leaseLength)+200*time.Millisecond {
				t.Errorf("it took %v", took)
			}
			if made := w.callsTo(nodes[0]) + w.callsTo(nodes[1]) + w.callsTo(nodes[2]) - calls; made > 40 {
				t.Errorf("%d calls within %v", made, w.clock()-at)
			}
		}
	})
}

// As soon as the registry does not list the owner any more, calls go on.
func TestACallGoesOnWhenItsObjectsOwnerIsNotListedAnyMore(t *testing.T) {
	routed(t, []string{"a", "b"}, func(w *world, nodes []*node) {
		id := w.placedAt(nodes, nodes[1])
		w.mustAddAt(nodes[0], id, 1)
		w.lost(nodes[1], false)
		r := background(func() (int64, error) { return add.Call(w.Context(), counters.On(nodes[0]).Ref(id), 1) })
		time.Sleep(4500 * time.Millisecond)
		w.mustWait(r)
		nodes[1].stop()
		at := w.clock()
		if v, err := r.wait(); v != 2 || err != nil || w.clock()-at > 150*time.Millisecond {
			t.Errorf("%d, %v, after %v", v, err, w.clock()-at)
		}
	})
}

// While the only nodes that could serve a call are on their way out, it waits for others to come.
func TestACallWaitsForANodeThatComesAfterOnesThatDrain(t *testing.T) {
	inWorld(t, func(w *world) {
		w.serves = []string{}
		client := w.node("client")
		w.serves = nil
		if err := w.node("leaver").host.Drain(w.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
		defer cancel()
		r := client.add(ctx, 1)
		w.mustWait(r)
		w.node("next")
		at := w.clock()
		if v, err := r.wait(); v != 1 || err != nil || w.clock()-at > 150*time.Millisecond {
			t.Errorf("%d, %v, after %v", v, err, w.clock()-at)
		}
	})
}

func TestAnUpdateWhoseAnswerIsLostIsMadeOnce(t *testing.T) {
	routed(t, []string{"a", "b"}, func(w *world, nodes []*node) {
		id := w.placedAt(nodes, nodes[1])
		w.mustAddAt(nodes[0], id, 1)
		calls := 0
		w.onCall = func(to object.Member, r *object.Request, deliver func() ([]byte, error)) ([]byte, error) {
			reply, err := deliver()
			if calls++; calls == 1 || calls == 2 || calls == 4 {
				return nil, &object.UnreachableError{Member: to, How: object.Silent, Sent: true, Err: errors.New("reset")}
			}
			return reply, err
		}
		if v, err := add.Call(w.Context(), counters.On(nodes[0]).Ref(id), 1); v != 2 || err != nil || calls != 3 {
			t.Errorf("after %d calls: %d, %v", calls, v, err)
		}
		if c, err := counters.On(nodes[0]).Get(w.Context(), id); c.Value != 2 || err != nil || calls != 5 {
			t.Errorf("a read whose answer was lost, after %d calls: %v, %v", calls, c, err)
		}
	})
}

// Without a deadline a call gives up in the end, but not before a failover can be over.
func TestACallWithoutADeadlineGivesUp(t *testing.T) {
	routed(t, []string{"a", "b"}, func(w *world, nodes []*node) {
		id := w.placedAt(nodes, nodes[1])
		w.mustAddAt(nodes[0], id, 1)
		w.lost(nodes[1], false)
		at := w.clock()
		_, err := add.Call(context.Background(), counters.On(nodes[0]).Ref(id), 1)
		if took := w.clock() - at; !errors.Is(err, object.ErrUnavailable) || took < 20*time.Second || took > time.Minute {
			t.Errorf("after %v: %v", took, err)
		}
		ctx, cancel := context.WithTimeout(w.Context(), 2*time.Minute)
		defer cancel()
		at = w.clock()
		_, err = add.Call(ctx, counters.On(nodes[0]).Ref(id), 1)
		if !errors.Is(err, context.DeadlineExceeded) || w.clock()-at != 2*time.Minute {
			t.Errorf("with a deadline of 2m, after %v: %v", w.clock()-at, err)
		}
		if calls := w.callsTo(nodes[1]); calls > 300 {
			t.Errorf("%d calls of a node that cannot be reached", calls)
		}
	})
}

func TestADrainingNodeIsNotAskedAgain(t *testing.T) {
	routed(t, []string{"a", "b"}, func(w *world, nodes []*node) {
		if err := nodes[1].host.Drain(w.Context()); err != nil {
			t.Fatal(err)
		}
		before := w.callsTo(nodes[1])
		for i := range 40 {
			w.mustAddAt(nodes[0], strconv.Itoa(i), 1)
		}
		if calls := w.callsTo(nodes[1]) - before; calls != 1 {
			t.Errorf("a node that has said that it drains was called %d times", calls)
		}
	})
}

func TestAStoreThatFailsAtOneNodeSendsCallsToTheNext(t *testing.T) {
	routed(t, []string{"a", "b"}, func(w *world, nodes []*node) {
		id := w.placedAt(nodes, nodes[1])
		var failing, loads atomic.Int32
		failing.Store(1)
		failure := errors.New("503")
		w.store.onLoad = func(_ context.Context, _ object.Key, load func() (*object.Record, object.Tag, error)) (*object.Record, object.Tag, error) {
			if loads.Add(1) <= failing.Load() {
				return nil, "", failure
			}
			return load()
		}
		w.mustAddAt(nodes[0], id, 1)
		if w.ownerOf(nodes, id) != nodes[0] || loads.Load() != 2 {
			t.Errorf("%d loads, owner %v", loads.Load(), w.ownerOf(nodes, id))
		}
		w.letGo()
		at := w.clock()
		loads.Store(0)
		failing.Store(100)
		_, err := add.Call(w.Context(), counters.On(nodes[0]).Ref(id), 1)
		refused := new(object.NotOwnerError)
		if !errors.Is(err, object.ErrUnavailable) || errors.As(err, &refused) || loads.Load() != 2 || w.clock() != at {
			t.Errorf("after %d loads and %v: %v", loads.Load(), w.clock()-at, err)
		}
	})
}

// A claim of the node's own incarnation that none of its objects holds is one that is being released, or was left behind.
func TestALeftOverClaimOfTheNodeItselfIsWaitedFor(t *testing.T) {
	for _, caller := range []int{0, 1} {
		inWorld(t, func(w *world) {
			nodes := []*node{w.node("a"), w.node("b")}
			extra := nodes[0].another()
			synctest.Wait()
			left, err := extra.session.Claim(w.Context(), object.Key{Type: "counter", ID: "x"})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
			defer cancel()
			r := background(func() (int64, error) { return add.Call(ctx, counters.On(nodes[caller]).Ref("x"), 1) })
			time.Sleep(time.Second)
			w.mustWait(r)
			if calls := w.callsTo(nodes[0]); caller == 0 && calls > 0 {
				t.Errorf("it has called itself %d times", calls)
			}
			left.Release(w.Context())
			at := w.clock()
			if v, err := r.wait(); v != 1 || err != nil || w.clock()-at > 200*time.Millisecond {
				t.Errorf("%d, %v, %v after the release", v, err, w.clock()-at)
			}
		})
	}
}

// A node that cannot claim says so soon: the caller can try others.
func TestANodeThatCannotClaimRefusesSoon(t *testing.T) {
	routed(t, []string{"a", "b"}, func(w *world, nodes []*node) {
		id := w.placedAt(nodes, nodes[1])
		w.registry.Disconnect(nodes[1].id) // its lease holds, but its claims hang
		at := w.clock()
		w.mustAddAt(nodes[0], id, 1)
		if took := w.clock() - at; w.ownerOf(nodes, id) != nodes[0] || took > 3*time.Second {
			t.Errorf("owner %v after %v", w.ownerOf(nodes, id), took)
		}
		time.Sleep(leaseLength) // over
		at = w.clock()
		for i := range 20 {
			w.mustAddAt(nodes[0], fmt.Sprint("y", i), 1)
		}
		if w.clock() != at {
			t.Errorf("after its lease had lapsed it took %v", w.clock()-at)
		}
		if _, err := add.Call(w.Context(), counters.On(nodes[0]).Ref(id), 1); err != nil {
			t.Error(err)
		}
	})
}

// A node without a session, or with a lapsed one, has its calls served by others.
func TestANodeWithoutASessionCallsOthers(t *testing.T) {
	for _, placement := range []object.Placement{object.Rendezvous, object.PreferLocal} {
		inWorld(t, func(w *world) {
			w.placement = placement
			a, b := w.node("a"), w.node("b")
			a.stop()
			for i := range 10 {
				w.mustAddAt(a, strconv.Itoa(i), 1)
			}
			b.stop()
			r := a.get(w.Context())
			w.mustWait(r)
			b.join()
			if _, err := r.wait(); err != nil {
				t.Error(err)
			}
		})
	}
}

// Two nodes that each name the other one are not called on and on: after a pause the call begins anew.
func TestNodesThatNameEachOtherAreLeftAloneForAMoment(t *testing.T) {
	routed(t, []string{"a", "b", "c"}, func(w *world, nodes []*node) {
		id := w.placedAt(nodes, nodes[1])
		at, calls := w.clock(), 0
		w.onCall = func(to object.Member, r *object.Request, deliver func() ([]byte, error)) ([]byte, error) {
			if calls++; w.clock() != at || calls > 20 {
				return deliver()
			}
			other := nodes[1]
			if to.Incarnation == other.id {
				other = nodes[2]
			}
			return nil, &object.NotOwnerError{Key: r.Key, Owner: object.Member{Incarnation: other.id, Name: "other", Address: "here"}}
		}
		w.mustAddAt(nodes[0], id, 1)
		if calls > 20 || w.clock() == at {
			t.Errorf("%d calls, at once", calls)
		}
	})
}

// What a method has met elsewhere, of another object, does not say that the method did not run.
func TestARefusalOfAnotherObjectIsTheMethodsError(t *testing.T) {
	routed(t, []string{"a", "b"}, func(w *world, nodes []*node) {
		id, calls := w.placedAt(nodes, nodes[1]), 0
		w.onCall = func(object.Member, *object.Request, func() ([]byte, error)) ([]byte, error) {
			calls++
			return nil, &object.NotOwnerError{Key: object.Key{Type: "counter", ID: "another"}, Err: errors.New("not here")}
		}
		var refused *object.NotOwnerError
		if _, err := add.Call(w.Context(), counters.On(nodes[0]).Ref(id), 1); !errors.As(err, &refused) || calls != 1 {
			t.Errorf("after %d calls: %v", calls, err)
		}
	})
}

// A node without a lease will have one again.
func TestANodeWithoutALeaseIsCalledAgain(t *testing.T) {
	inWorld(t, func(w *world) {
		w.serves = []string{"counter"}
		w.node("server")
		w.serves = []string{}
		client, calls := w.node("client"), 0
		w.onCall = func(_ object.Member, r *object.Request, deliver func() ([]byte, error)) ([]byte, error) {
			if calls++; calls == 1 {
				return nil, &object.NotOwnerError{Key: r.Key, Err: object.ErrNoLease}
			}
			return deliver()
		}
		w.mustAddAt(client, "x", 1)
	})
}

package zkregistry

import (
	"errors"
	"testing"
	"time"

	"github.com/highlander-go/highlander/internal/zk"
	"github.com/highlander-go/highlander/object"
)

func TestALostMemberIsRemovedAfterItsLease(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.session("a"), w.session("b")
		w.must(w.Expire(a.Member()))
		w.soon("it is lost", func() bool { _, live := w.is(a); return !live })
		seen := w.clock()
		w.soon("it is removed", func() bool { member, _ := w.is(a); return !member })
		if after := w.clock() - seen; after < object.TakeoverWait(DefaultLease)-50*time.Millisecond {
			t.Errorf("it was removed after %v", after)
		}
		w.noWait(w.claim(b, "k"))
	})
}

// A member that lives is not removed, even by a node that takes it for lost.
func TestALiveMemberCannotBeRemoved(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		n := w.node(Options{})
		a := w.session("a")
		c, err := n.connection(t.Context())
		w.must(err)
		if err := n.deleteLost(t.Context(), c, pairName(a.Member())); !errors.Is(err, zk.ErrNodeExists) {
			t.Error(err)
		}
		if member, live := w.is(a); !member || !live {
			t.Error("it was removed")
		}
	})
}

// The first sight of a loss is the node's: its other sessions and its own connection count from the same moment.
func TestALossIsSeenOnce(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		n := w.node(Options{})
		a, b, other := w.session("a"), n.join("b"), n.join("c")
		w.must(w.Expire(a.Member()))
		time.Sleep(time.Second)
		first, second := w.claim(b, "k"), w.claim(other, "l")
		if first.ServeAt() != second.ServeAt() || w.wait(first) == 0 || w.wait(first) > object.TakeoverWait(DefaultLease)-900*time.Millisecond {
			t.Errorf("the one waits for %v, the other for %v", w.wait(first), w.wait(second))
		}
	})
}

func TestARootThatIsTakenOverIsWaitedFor(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		n := w.node(Options{})
		data, version, err := n.Identity(t.Context())
		if err != nil || len(data) > 0 {
			t.Fatal(data, err)
		}
		w.must(n.SetIdentity(t.Context(), []byte("one"), version, 0))
		if n.SetIdentity(t.Context(), []byte("two"), version, 0) == nil {
			t.Error("it was written over")
		}
		data, version, err = n.Identity(t.Context())
		if err != nil || string(data) != "one" {
			t.Fatal(data, err)
		}
		a := n.join("a")
		w.noWait(w.claim(a, "before"))
		const longest = 9 * time.Second
		w.must(n.SetIdentity(t.Context(), []byte("three"), version, longest))
		w.waits(w.claim(a, "after"), longest)
		w.soon("the wait ends", func() bool { return len(w.children("/todo/members")) == 1 })
	})
}

// A root that was founded a moment ago through another server must not look new.
func TestAnIdentityIsReadAsItWasWrittenLast(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		var nodes []*modelNode // spread over the servers
		for range 6 {
			nodes = append(nodes, w.node(Options{}))
		}
		for i, writer := range nodes {
			_, version, err := writer.Identity(t.Context())
			w.must(err)
			want := string(rune('a' + i))
			w.must(writer.SetIdentity(t.Context(), []byte(want), version, 0))
			for _, n := range nodes {
				if data, _, err := n.Identity(t.Context()); string(data) != want || err != nil {
					t.Errorf("%q, %v; want %q", data, err, want)
				}
			}
		}
	})
}

package zkregistry

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/highlander-go/highlander/internal/zk"
	"github.com/highlander-go/highlander/internal/zk/zkmodel"
	"github.com/highlander-go/highlander/object"
)

// The answer to the create is lost: the child is found, and no second one is made.
func TestAClaimWhoseAnswerIsLostIsFound(t *testing.T) {
	for _, fate := range []zkmodel.Fate{zkmodel.LoseAnswer, zkmodel.LoseRequest} {
		inWorld(t, func(t *testing.T, w *world) {
			a := w.session("a")
			w.must(a.(*session).makeContainer(t.Context(), object.Key{Type: "list", ID: "k"}))
			w.must(a.(*session).makeContainer(t.Context(), object.Key{Type: "list", ID: "first"}))
			w.claim(a, "first")
			lost := w.gate.lose(fate, request(a, "create", "-"))
			w.noWait(w.claim(a, "k"))
			<-lost.caught
			if names := w.children(container("k")); len(names) != 1 {
				t.Errorf("the claims are %v", names)
			}
			if n := w.gate.count(request(a, "create", "-")); fate == zkmodel.LoseAnswer && n != 2 {
				t.Errorf("two claims made %d children", n)
			}
		})
	}
}

// Every other request of a claim may lose its answer, too.
func TestAClaimSurvivesTheLossOfItsConnection(t *testing.T) {
	for _, lost := range []struct{ op, suffix string }{{"children", "/k"}, {"children", "/members"}, {"children", "/live"}, {"create", "/k"}} {
		for _, fate := range []zkmodel.Fate{zkmodel.LoseAnswer, zkmodel.LoseRequest} {
			inWorld(t, func(t *testing.T, w *world) {
				a := w.session("a")
				trap := w.gate.lose(fate, request(a, lost.op, lost.suffix))
				w.noWait(w.claim(a, "k"))
				<-trap.caught
				if err := a.Lease().Err(); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// The caller gives up while the create is under way, which is carried out after that.
func TestAClaimThatWasGivenUpIsDeleted(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.session("a"), w.session("b")
		held := w.claim(b, "k")
		host := w.clients[pairName(a.Member())]
		for i := range 3 {
			w.model.Cut(zkmodel.Server(i), host) // the answer stays away
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := a.Claim(ctx, object.Key{Type: "list", ID: "k"}); !errors.Is(err, object.ErrUnavailable) {
			t.Fatal(err)
		}
		if names := w.children(container("k")); len(names) != 2 {
			t.Fatalf("the scene is not set: the claims are %v", names)
		}
		w.must(w.Reconnect(a.Member()))
		w.soon("what was left is deleted", func() bool { return len(w.children(container("k"))) == 1 })
		w.must(held.Release(t.Context()))
		w.noWait(w.claim(b, "k"))
	})
}

// A child of ours that serves nothing stands before the new one: it is deleted.
func TestALeftOverDoesNotOwn(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.session("a")
		s := a.(*session)
		left := &claim{session: s, key: object.Key{Type: "list", ID: "k"}, number: 1 << 20}
		w.must(s.makeContainer(t.Context(), left.key))
		w.must(s.contend(t.Context(), left))
		w.noWait(w.claim(a, "k"))
		if names := w.children(container("k")); len(names) != 1 || names[0] == left.name {
			t.Errorf("the claims are %v", names)
		}
	})
}

// The container is collected between its making and the child's.
func TestAContainerThatWasCollectedIsMadeAgain(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.session("a"), w.session("b")
		first := w.claim(b, "k")
		trap := w.gate.hold(request(a, "create", "-"))
		result := w.goClaim(t.Context(), a, "k")
		<-trap.caught
		w.must(first.Release(t.Context()))
		if names := w.children(container("k")); names != nil {
			t.Fatalf("the scene is not set: the container has %v", names)
		}
		close(trap.release)
		got := <-result
		w.must(got.err)
		w.noWait(got.claim)
	})
}

func TestAContainerIsDeletedWithItsLastChild(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.session("a"), w.session("b")
		c := w.claim(a, "k")
		trap := w.gate.hold(request(b, "multi", ""))
		result := w.goClaim(t.Context(), b, "k")
		<-trap.caught // b has lost, and its child is still there
		w.must(c.Release(t.Context()))
		if names := w.children(container("k")); len(names) != 1 {
			t.Errorf("the container has %v; want b's child", names)
		}
		close(trap.release)
		if got := <-result; !errors.As(got.err, new(*object.NotOwnerError)) {
			t.Error(got.err)
		}
		if names := w.children(container("k")); names != nil {
			t.Errorf("the container has %v; want none", names)
		}
	})
}

// A claim whose pair is gone is void: whoever comes next deletes it and waits for nobody on its account.
func TestAVoidClaimIsDeleted(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.session("a"), w.session("b")
		c := w.claim(a, "k").(*claim)
		peek := w.peek()
		w.must(peek.Multi(t.Context(), zk.DeleteOp("/todo/live/"+pairName(a.Member()), zk.AnyVersion), zk.DeleteOp("/todo/members/"+pairName(a.Member()), zk.AnyVersion)))
		if _, ok, err := w.node(Options{}).Owner(t.Context(), c.key); ok || err != nil {
			t.Errorf("the void claim owns: %v, %v", ok, err)
		}
		w.noWait(w.claim(b, "k"))
		if names := w.children(container("k")); len(names) != 1 || names[0] == c.name {
			t.Errorf("the claims are %v", names)
		}
	})
}

// A pair is made before its claims: one that is missing from a list of live that was read before the claim was seen may have
// been made meanwhile.
func TestWhoLivesIsAskedAfterTheClaimWasSeen(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.session("a")
		w.claim(a, "first") // a knows who lives
		w.must(a.(*session).makeContainer(t.Context(), object.Key{Type: "list", ID: "k"}))
		trap := w.gate.hold(request(a, "create", "-"))
		result := w.goClaim(t.Context(), a, "k")
		<-trap.caught
		b := w.session("b")
		w.claim(b, "k")
		close(trap.release)
		if got := <-result; !errors.As(got.err, new(*object.NotOwnerError)) {
			t.Errorf("a takes b's claim for void: %v", got.err)
		}
		if names := w.children(container("k")); len(names) != 1 {
			t.Errorf("the claims are %v; want b's", names)
		}
	})
}

// A node that joins between the two listings must not be taken for one that was lost.
func TestANodeThatJoinsIsNotTakenForLost(t *testing.T) {
	for _, second := range []string{"/members", "/live"} {
		inWorld(t, func(t *testing.T, w *world) {
			a := w.session("a")
			trap := w.gate.hold(request(a, "children", second))
			result := w.goClaim(t.Context(), a, "k")
			<-trap.caught
			b := w.session("b")
			close(trap.release)
			got := <-result
			w.must(got.err)
			w.noWait(got.claim)
			time.Sleep(time.Minute)
			if member, live := w.is(b); !member || !live {
				t.Errorf("b is in members: %v, in live: %v", member, live)
			}
		})
	}
}

// One that retires between the two listings is looked for a second time.
func TestANodeThatRetiresIsNotTakenForLost(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.session("a"), w.session("b")
		trap := w.gate.hold(request(a, "children", "/live"))
		result := w.goClaim(t.Context(), a, "k")
		<-trap.caught
		w.must(b.Retire(t.Context()))
		close(trap.release)
		got := <-result
		w.must(got.err)
		w.noWait(got.claim)
	})
}

// What was listed once is listed again when it may be old: after an event, and after each reconnection.
func TestWhoLivesIsListedAgainWhenItMayHaveChanged(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.session("a"), w.session("b")
		w.claim(b, "k")
		w.claim(a, "first")
		w.must(w.Expire(b.Member()))
		w.soon("a can claim", func() bool {
			c, err := a.Claim(t.Context(), object.Key{Type: "list", ID: "k"})
			if err != nil {
				return false
			}
			w.waits(c, DefaultLease)
			return true
		})
	})
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.session("a"), w.session("b")
		w.claim(b, "k")
		w.claim(a, "first")
		w.must(w.Disconnect(a.Member()))
		w.must(w.Expire(b.Member()))
		time.Sleep(time.Second)
		w.must(w.Reconnect(a.Member()))
		c := w.claim(a, "k")
		w.waits(c, time.Second)
	})
}

// Claims that nobody is waiting for any more must not keep a renewal waiting, nor may there be too many at once.
func TestClaimsInFlightAreBounded(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.session("a")
		host := w.clients[pairName(a.Member())]
		for i := range 3 {
			w.model.Delay(zkmodel.Server(i), host, 200*time.Millisecond)
		}
		w.gate.mu.Lock()
		w.gate.seen = nil
		w.gate.mu.Unlock()
		var results []chan claimed
		for i := range 3 * maxInFlight {
			results = append(results, w.goClaim(t.Context(), a, fmt.Sprint(i)))
		}
		time.Sleep(100 * time.Millisecond)
		w.gate.mu.Lock()
		under := len(w.gate.seen)
		w.gate.mu.Unlock()
		if under > maxInFlight+1 {
			t.Errorf("%d requests at once", under)
		}
		for _, r := range results {
			w.must((<-r).err)
		}
	})
}

// While a renewal takes long, no claim is begun.
func TestClaimsGiveWayToRenewals(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.session("a")
		w.claim(a, "first")
		trap := w.gate.hold(answer(a, "set", pairName(a.Member())))
		<-trap.caught
		time.Sleep(DefaultLease/renewalsInLease + time.Millisecond)
		result := w.goClaim(t.Context(), a, "k")
		time.Sleep(time.Second) // enough for a claim to be through
		if names := w.children(container("k")); names != nil {
			t.Errorf("a claim was begun: %v", names)
		}
		close(trap.release)
		w.must((<-result).err)
	})
}

// The paths of a session's claims stay within the budget, whatever is in flight when it is full.
func TestASessionIsFullBeforeItsPathsAreTooLong(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.session("a")
		if a.Full() {
			t.Fatal("it is full at once")
		}
		s := a.(*session)
		var claims []*claim
		for i := 0; !a.Full(); i++ {
			c, err := s.begin(object.Key{Type: "list", ID: fmt.Sprintf("%036d", i)})
			w.must(err)
			claims = append(claims, c)
		}
		if n := len(claims); n < 4000 || n > pathBudget/60 {
			t.Errorf("a session holds %d claims of 36 bytes each", n)
		}
		longest := make([]byte, object.MaxIDBytes)
		for i := range maxInFlight {
			copy(longest, fmt.Sprint(i))
			_, err := s.begin(object.Key{Type: "list", ID: string(longest)})
			w.must(err)
		}
		if n := s.bytes.Load(); n > pathBudget {
			t.Errorf("with all in flight it holds %d bytes", n)
		}
		s.bytes.Add(-claims[0].size())
		c := w.claim(a, "k").(*claim)
		before := s.bytes.Load()
		if path := container("k") + "/" + c.name; c.size() != int64(len(path)+pathOverhead) {
			t.Errorf("%s counts as %d bytes", path, c.size())
		}
		w.must(c.Release(t.Context()))
		if n := s.bytes.Load(); n != before-c.size() {
			t.Errorf("a release leaves %d bytes of %d", n, before)
		}
	})
}

// A release whose answer is lost goes on.
func TestAReleaseSurvivesTheLossOfItsConnection(t *testing.T) {
	for _, fate := range []zkmodel.Fate{zkmodel.LoseAnswer, zkmodel.LoseRequest} {
		inWorld(t, func(t *testing.T, w *world) {
			a := w.session("a")
			c := w.claim(a, "k")
			trap := w.gate.lose(fate, request(a, "multi", ""))
			w.must(c.Release(t.Context()))
			<-trap.caught
			if names := w.children(container("k")); names != nil {
				t.Errorf("the container has %v", names)
			}
		})
	}
	inWorld(t, func(t *testing.T, w *world) {
		a := w.session("a")
		c := w.claim(a, "k")
		w.must(w.Disconnect(a.Member()))
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := c.Release(ctx); !errors.Is(err, object.ErrUnavailable) {
			t.Error(err)
		}
		w.must(w.Reconnect(a.Member()))
		w.soon("the claim is given up", func() bool { return w.children(container("k")) == nil })
		w.claim(a, "k")
	})
}

// A container in which nothing was ever made is collected by nobody.
func TestAClaimThatWasNotMadeLeavesNoContainer(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.session("a")
		w.must(w.claim(a, "other").Release(t.Context()))
		trap := &trap{match: request(a, "create", "-"), fate: zkmodel.LoseRequest, release: make(chan struct{})}
		ctx, cancel := context.WithCancel(t.Context())
		w.must(a.(*session).makeContainer(ctx, object.Key{Type: "list", ID: "k"}))
		w.gate.set(trap)
		result := w.goClaim(ctx, a, "k")
		<-trap.caught
		cancel()
		close(trap.release)
		if got := <-result; got.err == nil {
			t.Fatal("the scene is not set: the claim was won")
		}
		w.soon("the container is gone", func() bool { return w.children(container("k")) == nil })
	})
}

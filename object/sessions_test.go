package object_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/object"
)

// Several sessions of one node.

// sessionOf is the number of the session that has claimed the counter, 0 if none has.
func (w *world) sessionOf(id string) int {
	w.Helper()
	m, _, err := w.registry.Owner(w.Context(), object.Key{Type: "counter", ID: id})
	if err != nil {
		w.Fatal(err)
	}
	return m.Session
}

// wake reads the counter through the node.
func (w *world) wake(n *node, id string) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
	defer cancel()
	if _, err := counters.On(n).Get(ctx, id); err != nil {
		w.Fatalf("counter %s: %v", id, err)
	}
}

func TestObjectsAreClaimedThroughTheFirstSessionWithRoom(t *testing.T) {
	inWorld(t, func(w *world) {
		w.limit(2)
		n := w.node("n")
		n.another()
		n.another()
		synctest.Wait()
		for i := range 6 {
			w.wake(n, strconv.Itoa(i))
			if got, want := w.sessionOf(strconv.Itoa(i)), 1+i/2; got != want {
				t.Errorf("object %d was claimed through session %d, want %d", i, got, want)
			}
		}
	})
}

// Two sessions of a node are lost at the same time and begin anew, the one of the higher number first. Other nodes can update what either has.
func TestSessionsBeginInAnyOrder(t *testing.T) {
	inWorld(t, func(w *world) {
		w.limit(1)
		n, other := w.node("n"), w.node("other")
		for _, number := range []int{3, 2} {
			n.more = append(n.more, n.serve(n.enter(number)))
			synctest.Wait()
		}
		for _, id := range []string{"x", "y", "z"} {
			w.wake(n, id)
			if err := counters.On(other).Put(w.Context(), id, counter{1}); err != nil {
				t.Errorf("%s, of session %d: %v", id, w.sessionOf(id), err)
			}
		}
	})
}

func TestASessionWhoseLeaseHasLapsedIsPassedOver(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		incarnation := n.id
		n.id = uuid.New() // of another incarnation, so that the two can be cut off one by one
		n.another()
		synctest.Wait()
		w.registry.Disconnect(incarnation)
		time.Sleep(leaseLength + time.Second)
		w.wake(n, "a")
		if got := w.sessionOf("a"); got != 2 {
			t.Errorf("claimed through session %d although the lease of 2 holds", got)
		}
		if err := n.host.Ready(); err != nil {
			t.Error(err)
		}
		w.registry.Disconnect(n.id)
		time.Sleep(leaseLength + time.Second)
		if n.host.Ready() == nil {
			t.Error("ready although no lease holds")
		}
		r := background(func() (int64, error) { return add.Call(w.Context(), counters.On(n).Ref("b"), 1) })
		w.mustWait(r)
		w.registry.Reconnect(n.id)
		w.registry.Reconnect(incarnation)
		if _, err := r.wait(); err != nil {
			t.Error(err)
		}
	})
}

func TestTheLossOfOneSessionTearsDownOnlyItsOwnObjects(t *testing.T) {
	inWorld(t, func(w *world) {
		w.limit(1)
		n := w.node("n")
		n.another()
		synctest.Wait()
		ids := []string{"first", "second"}
		for _, id := range ids {
			if _, err := add.Call(w.Context(), counters.On(n).Ref(id), 1); err != nil {
				t.Fatal(err)
			}
		}
		gate := w.store.hold()
		doomed := background(func() (int64, error) { return add.Call(w.Context(), counters.On(n).Ref("first"), 1) })
		kept := background(func() (int64, error) { return add.Call(w.Context(), counters.On(n).Ref("second"), 1) })
		synctest.Wait()
		w.registry.ExpireSession(n.session.Member())
		w.mustFail(doomed, object.ErrUnknownOutcome)
		w.mustWait(kept)
		gate()
		if v, err := kept.wait(); v != 2 || err != nil {
			t.Error(v, err)
		}
		<-n.done
		at := w.clock()
		w.wake(n, "second")
		if w.clock() != at || n.host.Ready() != nil {
			t.Errorf("a read of what the other session holds took %v; ready: %v", w.clock()-at, n.host.Ready())
		}
		n.another()
		w.wake(n, "first")
		if got := w.sessionOf("first"); got != 3 {
			t.Errorf("claimed through session %d", got)
		}
	})
}

func TestAHostWhoseSessionsAreFullAsksForAnother(t *testing.T) {
	inWorld(t, func(w *world) {
		w.limit(3)
		asked := 0
		w.onGrow = func(n *node) {
			if asked++; asked == 2 { // it asks again
				n.another()
			}
		}
		n := w.node("n")
		for i := range 3 {
			w.wake(n, strconv.Itoa(i))
		}
		if asked != 0 {
			t.Errorf("it asked %d times while there was room", asked)
		}
		ctx, cancel := context.WithTimeout(w.Context(), time.Millisecond)
		defer cancel()
		if _, err := counters.On(n).Get(ctx, "3"); !errors.Is(err, object.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("while there is no room: %v", err)
		}
		w.wake(n, "3")
		if got := w.sessionOf("3"); got != 2 {
			t.Errorf("claimed through session %d", got)
		}
	})
}

// Who waits for room goes on when objects are let go, if nobody gives the host another session.
func TestRoomInASessionIsUsedAgain(t *testing.T) {
	short := &object.Type[counter]{Name: "short", Idle: time.Minute}
	inWorld(t, func(w *world) {
		w.limit(1)
		n := w.node("n")
		if _, err := short.On(n).Get(w.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(w.Context(), 3*time.Minute)
		defer cancel()
		if _, err := short.On(n).Get(ctx, "b"); err != nil {
			t.Error(err)
		}
	}, short)
}

func TestDrainEmptiesAllSessions(t *testing.T) {
	inWorld(t, func(w *world) {
		w.limit(10)
		w.onGrow = func(n *node) { n.another() }
		n, next := w.node("n"), w.node("next")
		for i := range 35 {
			if _, err := add.Call(w.Context(), counters.On(n).Ref(strconv.Itoa(i)), 1); err != nil {
				t.Fatal(err)
			}
		}
		if len(n.more) != 3 {
			t.Fatalf("%d sessions for 35 objects, 10 each", 1+len(n.more))
		}
		accepted := background(func() (int64, error) { return add.Call(w.Context(), counters.On(n).Ref("34"), 1) })
		if err := n.host.Drain(w.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := accepted.wait(); err != nil && !errors.Is(err, object.ErrClosed) {
			t.Error(err)
		}
		at := w.clock()
		for i := range 35 {
			if got := w.sessionOf(strconv.Itoa(i)); got != 0 {
				t.Errorf("object %d is still claimed through session %d", i, got)
			}
		}
		if v, err := add.Call(w.Context(), counters.On(next).Ref("0"), 1); v != 2 || err != nil || w.clock() != at {
			t.Errorf("at the next node: %d, %v, after %v", v, err, w.clock()-at)
		}
	})
}

// Idle objects are let go after the idle time, however many sessions there are, and also when the first one is gone.
func TestSweepsCountOnceForAllSessions(t *testing.T) {
	for _, first := range []bool{true, false} {
		t.Run(fmt.Sprint("with the first session ", first), func(t *testing.T) {
			short := &object.Type[counter]{Name: "short", Idle: 8 * time.Minute}
			inWorld(t, func(w *world) {
				n := w.node("n")
				n.another()
				n.another()
				synctest.Wait()
				if !first {
					w.registry.ExpireSession(n.session.Member())
					<-n.done
				}
				if _, err := short.On(n).Get(w.Context(), "a"); err != nil {
					t.Fatal(err)
				}
				live := func() bool {
					_, ok, err := n.host.Owner(w.Context(), object.Key{Type: "short", ID: "a"})
					return ok && err == nil
				}
				time.Sleep(7 * time.Minute)
				synctest.Wait()
				if !live() {
					t.Error("let go before the idle time was over")
				}
				time.Sleep(5 * time.Minute)
				synctest.Wait()
				if live() {
					t.Error("not let go after the idle time")
				}
			}, short)
		})
	}
}

// A session that is over but still being torn down is no reason to wait.
func TestASessionThatIsOverIsNotWaitedFor(t *testing.T) {
	stubborn := object.Update("Stubborn", func(context.Context, *counter, object.None) (int64, error) {
		time.Sleep(5 * time.Second)
		return 0, nil
	})
	typ := &object.Type[counter]{Name: "stubborn", Methods: []object.Method[counter]{stubborn}}
	inWorld(t, func(w *world) {
		w.limit(2)
		n := w.node("n")
		held := background(func() (int64, error) { return stubborn.Call(w.Context(), typ.On(n).Ref("a"), object.None{}) })
		synctest.Wait()
		n.another()
		w.registry.ExpireSession(n.session.Member())
		w.mustFail(held, object.ErrUnavailable)
		ctx, cancel := context.WithTimeout(w.Context(), time.Second)
		defer cancel()
		if _, err := counters.On(n).Get(ctx, "b"); err == nil {
			t.Fatal("served within the takeover wait")
		}
		if got := w.sessionOf("b"); got != 2 {
			t.Errorf("claimed through session %d", got)
		}
	}, typ)
}

package object_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/highlander-go/highlander/object"
)

// Loading: after the wait, under the lease, and only a sure "no such blob" is a new object.

func TestAnObjectIsLoadedOnlyAfterTheTakeoverWait(t *testing.T) {
	inWorld(t, func(w *world) {
		a, b := w.node("a"), w.node("b")
		w.mustAdd(a, 1, 1)
		w.registry.Disconnect(a.id) // a goes on answering until its lease is over
		w.registry.Expire(a.id)
		lost := w.clock()
		var loaded time.Duration
		w.store.onLoad = func(_ context.Context, _ object.Key, load func() (*object.Record, object.Tag, error)) (*object.Record, object.Tag, error) {
			loaded = w.clock()
			return load()
		}
		r := b.get(w.Context())
		w.mustGet(a, 1)
		w.mustWait(r)
		if v, err := r.wait(); v != 1 || err != nil {
			t.Fatal(v, err)
		}
		if want := lost + object.TakeoverWait(leaseLength); loaded < want {
			t.Fatalf("loaded at %v, the takeover wait was over at %v", loaded, want)
		}
		if r := a.get(w.Context()); r.over() {
			t.Fatal("the lost owner still answers")
		}
	})
}

func TestALoadThatFailsIsAnErrorAndReleasesTheClaim(t *testing.T) {
	for name, failure := range map[string]error{
		"unreachable": errors.New("connection reset"),
		"forbidden":   fmt.Errorf("403: %w", object.ErrRefused),
		"unreadable":  fmt.Errorf("truncated: %w", object.ErrUnreadable),
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				a, b := w.node("a"), w.node("b")
				var fails atomic.Bool
				fails.Store(true)
				w.store.onLoad = func(_ context.Context, _ object.Key, load func() (*object.Record, object.Tag, error)) (*object.Record, object.Tag, error) {
					if fails.Load() {
						return nil, "", failure
					}
					return load()
				}
				w.mustFail(a.get(w.Context()), object.ErrUnavailable, failure)
				w.mustFail(a.add(w.Context(), 1), object.ErrUnavailable, failure)
				fails.Store(false)
				w.mustAdd(b, 1, 1)
				if m, _, _ := b.host.Owner(w.Context(), object.Key{Type: "counter", ID: "a"}); m.Incarnation != b.id {
					t.Fatalf("the owner is %v, want b", m)
				}
			})
		})
	}
}

func TestAStateThatCannotBeDecodedIsAnError(t *testing.T) {
	inWorld(t, func(w *world) {
		w.store.write(1)
		n := w.node("n")
		w.store.onLoad = func(_ context.Context, _ object.Key, load func() (*object.Record, object.Tag, error)) (*object.Record, object.Tag, error) {
			r, tag, err := load()
			r.State = r.State[:3]
			return r, tag, err
		}
		w.mustFail(n.get(w.Context()), object.ErrUnavailable)
		w.store.onLoad = nil
		w.mustGet(n, 1)
	})
}

func TestALeaseThatLapsesDuringTheLoadIsWaitedFor(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		w.store.onLoad = func(_ context.Context, _ object.Key, load func() (*object.Record, object.Tag, error)) (*object.Record, object.Tag, error) {
			w.registry.Disconnect(n.id)
			time.Sleep(leaseLength + time.Second)
			return load()
		}
		r := n.get(w.Context())
		time.Sleep(leaseLength + 2*time.Second)
		w.mustWait(r)
		w.registry.Reconnect(n.id)
		if v, err := r.wait(); v != 0 || err != nil {
			t.Fatal(v, err)
		}
	})
}

// Release.

func TestAReleaseFinishesPutsThenClearsTheStateThenGivesUpTheClaim(t *testing.T) {
	inWorld(t, func(w *world) {
		a, b := w.node("a"), w.node("b")
		w.mustAdd(a, 1, 1)
		release := w.store.hold()
		r := a.add(w.Context(), 1)
		drained := background(func() (int64, error) { return 0, a.host.Drain(w.Context()) })
		w.mustWait(drained)
		w.mustGet(a, 1) // still its owner
		later := a.add(w.Context(), 1)
		w.mustWait(later) // accepted no more, but not lost: it waits for what comes
		release()
		if v, err := r.wait(); v != 2 || err != nil {
			t.Fatal(v, err)
		}
		if _, err := drained.wait(); err != nil {
			t.Fatal(err)
		}
		w.mustFail(later, object.ErrClosed)
		at := w.clock()
		w.mustGet(b, 2)
		if w.clock() != at {
			t.Fatalf("the next owner waited %v after a release", w.clock()-at)
		}
		w.mustFail(a.get(w.Context()), object.ErrClosed)
	})
}

// Who holds the object from before its release must be sent on: the next owner may have changed the state.
func TestAReleasedObjectIsNotAnsweredFromMemory(t *testing.T) {
	inWorld(t, func(w *world) {
		a, b := w.node("a"), w.node("b")
		w.mustAdd(a, 1, 1)
		clock := w.clock
		looked, resume := make(chan struct{}), make(chan struct{})
		var hold atomic.Bool
		w.clock = func() time.Duration { // holds a reader that has found the object, at its lease check
			if hold.CompareAndSwap(true, false) {
				close(looked)
				<-resume
				return clock() + leaseLength // it finds the lease lapsed and asks once more
			}
			return clock()
		}
		hold.Store(true)
		r := background(func() (int64, error) {
			c, err := counters.On(a).Get(w.Context(), "a")
			return c.Value, err
		})
		<-looked
		if err := a.host.Drain(w.Context()); err != nil {
			t.Fatal(err)
		}
		w.mustAdd(b, 1, 2)
		close(resume)
		if v, err := r.wait(); err == nil && v != 2 {
			t.Fatalf("read %d from an object that was released", v)
		}
	})
}

func TestAReleaseThatTakesTooLongIsGivenUp(t *testing.T) {
	inWorld(t, func(w *world) {
		a, b := w.node("a"), w.node("b")
		w.mustAdd(a, 1, 1)
		gate := w.store.holdEach(1)[0] // as by a store out of reach that does not heed its context
		r := a.attempt(w.Context(), 1)
		queued := a.add(w.Context(), 1)
		if err := a.host.Drain(w.Context()); err != nil {
			t.Fatal(err)
		}
		w.mustFail(r, object.ErrUnknownOutcome)
		w.mustFail(queued, object.ErrUnavailable)
		if v, err := b.get(w.Context()).wait(); v != 1 || err != nil {
			t.Fatal(v, err)
		}
		close(gate) // the late write lands, and the next owner builds on it
		synctest.Wait()
		w.mustAdd(b, 1, 3)
	})
}

// The late put of an object that was given up finds the next owner's record, which is as it should be.
func TestALatePutOfAnObjectThatWasGivenUpIsNoAlarm(t *testing.T) {
	inWorld(t, func(w *world) {
		a, b := w.node("a"), w.node("b")
		w.mustAdd(a, 1, 1)
		gate := w.store.holdEach(1)[0] // as by a store out of reach that does not heed its context
		r := a.attempt(w.Context(), 1)
		ctx, cancel := context.WithTimeout(w.Context(), time.Second)
		defer cancel()
		a.host.Drain(ctx)
		w.mustFail(r, object.ErrUnknownOutcome)
		w.mustAdd(b, 1, 2)
		close(gate)
		synctest.Wait()
		if strings.Contains(w.log.String(), "ALARM") {
			t.Error("it was taken for two owners")
		}
		w.mustGet(b, 2)
	})
}

func TestIdleObjectsAreReleased(t *testing.T) {
	short := &object.Type[counter]{Name: "short", Idle: time.Minute}
	kept := &object.Type[counter]{Name: "kept", Idle: -1}
	inWorld(t, func(w *world) {
		n := w.node("n")
		ctx := w.Context()
		live := func(typ string) bool {
			_, ok, err := n.host.Owner(ctx, object.Key{Type: typ, ID: "a"})
			if err != nil {
				t.Fatal(err)
			}
			return ok
		}
		for range 10 { // use keeps it awake
			short.On(n).Get(ctx, "a")
			kept.On(n).Get(ctx, "a")
			time.Sleep(50 * time.Second)
			synctest.Wait()
			if !live("short") {
				t.Fatal("released although it was used")
			}
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if live("short") || !live("kept") {
			t.Fatalf("after the idle time: short %v, kept %v", live("short"), live("kept"))
		}
		if _, err := short.On(n).Get(ctx, "a"); err != nil || !live("short") {
			t.Fatal("it does not wake again", err)
		}
	}, short, kept)
}

func TestABusyObjectIsNotIdle(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		w.mustAdd(n, 1, 1)
		release := w.store.hold()
		r := n.add(w.Context(), 1)
		time.Sleep(2 * object.DefaultIdle)
		release()
		if v, err := r.wait(); v != 2 || err != nil {
			t.Fatal(v, err)
		}
	})
}

func TestAnIdleObjectHoldsNoGoroutine(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		before := runtime.NumGoroutine()
		for i := range 1000 {
			if _, err := add.Call(w.Context(), counters.On(n).Ref(fmt.Sprint(i)), 1); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if more := runtime.NumGoroutine() - before; more > 64 {
			t.Fatalf("1000 idle objects hold %d goroutines", more)
		}
	})
}

// Sessions.

func TestTheLossOfTheSessionEndsAllObjectsAndTheyComeBackUnderTheNext(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		w.mustAdd(n, 1, 1)
		release := w.store.hold()
		inFlight := n.attempt(w.Context(), 1)
		w.store.onCommit = nil
		w.registry.Expire(n.id)
		<-n.done
		w.mustFail(inFlight, object.ErrUnknownOutcome)
		short, cancel := context.WithTimeout(w.Context(), time.Second)
		defer cancel()
		w.mustFail(n.get(short), object.ErrUnavailable, context.DeadlineExceeded)
		waiting := n.get(w.Context())
		w.mustWait(waiting)
		release()
		n.session.Retire(w.Context())
		n.join()
		if v, err := waiting.wait(); err != nil || v != 1 {
			t.Fatal(v, err)
		}
	})
}

func TestWhatIsQueuedWhenTheSessionEndsRunsUnderTheNext(t *testing.T) {
	inWorld(t, func(w *world) {
		w.env = make(chan struct{}) // never closed
		n := w.node("n")
		ref := counters.On(n).Ref("a")
		running := background(func() (int64, error) { return block.Call(w.Context(), ref, object.None{}) })
		synctest.Wait()
		queued := n.add(w.Context(), 1)
		w.registry.Expire(n.id)
		<-n.done // the method's context has ended, else Serve would wait for it
		w.mustFail(running, object.ErrUnavailable)
		n.session.Retire(w.Context())
		n.join()
		if v, err := queued.wait(); v != 1 || err != nil {
			t.Fatal(v, err)
		}
	})
}

func TestAMethodThatIgnoresItsContextDoesNotKeepTheTeardownWaiting(t *testing.T) {
	stuck := object.Update("Stuck", func(ctx context.Context, c *counter, _ object.None) (int64, error) {
		e, _ := object.Env[chan struct{}](ctx)
		<-e
		c.Value = 100
		return 0, nil
	})
	stubborn := &object.Type[counter]{Name: "stubborn", Methods: []object.Method[counter]{stuck}}
	inWorld(t, func(w *world) {
		gate := make(chan struct{})
		w.env = gate
		n := w.node("n")
		r := background(func() (int64, error) { return stuck.Call(w.Context(), stubborn.On(n).Ref("a"), object.None{}) })
		synctest.Wait()
		w.registry.Expire(n.id)
		<-n.done
		w.mustFail(r, object.ErrUnavailable)
		close(gate) // a late result is ignored
		synctest.Wait()
		n.session.Retire(w.Context())
		n.join()
		if c, err := stubborn.On(n).Get(w.Context(), "a"); c.Value != 0 || err != nil {
			t.Fatal(c, err)
		}
	}, stubborn)
}

// Deadlines and limits.

func TestACallThatWaitsForSomethingHonoursItsDeadline(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(w *world, n *node)
		want    error
	}{
		"the claim":         {func(w *world, n *node) { w.registry.Disconnect(n.id) }, object.ErrUnavailable},
		"the takeover wait": {func(w *world, n *node) { lose(w) }, object.ErrUnavailable},
		"the load": {func(w *world, n *node) {
			w.store.onLoad = func(ctx context.Context, _ object.Key, _ func() (*object.Record, object.Tag, error)) (*object.Record, object.Tag, error) {
				<-ctx.Done()
				return nil, "", ctx.Err()
			}
		}, object.ErrUnavailable},
		"the queue": {func(w *world, n *node) {
			background(func() (int64, error) { return block.Call(w.Context(), counters.On(n).Ref("a"), object.None{}) })
		}, object.ErrUnavailable},
		"the put":     {func(w *world, n *node) { w.store.hold() }, object.ErrUnknownOutcome},
		"the session": {func(w *world, n *node) { w.registry.Expire(n.id); <-n.done }, object.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.env = make(chan struct{})
				n := w.node("n")
				c.prepare(w, n)
				synctest.Wait()
				ctx, cancel := context.WithTimeout(w.Context(), time.Second)
				defer cancel()
				at := w.clock()
				w.mustFail(n.add(ctx, 1), c.want, context.DeadlineExceeded)
				if took := w.clock() - at; took != time.Second {
					t.Fatalf("it took %v", took)
				}
				canceled, stop := context.WithCancel(w.Context())
				stop()
				w.mustFail(n.add(canceled, 1), context.Canceled)
			})
		})
	}
}

// lose has a node with a claim be lost.
func lose(w *world) {
	n := w.node("lost")
	w.registry.Disconnect(n.id)
	w.registry.Expire(n.id)
}

func TestAFullQueueIsRefusedAndLosesNothing(t *testing.T) {
	small := &object.Type[counter]{Name: "small", MaxQueue: 2, Methods: []object.Method[counter]{add, block}}
	inWorld(t, func(w *world) {
		gate := make(chan struct{})
		w.env = gate
		n := w.node("n")
		ref := small.On(n).Ref("a")
		var accepted []*result
		accepted = append(accepted, background(func() (int64, error) { return block.Call(w.Context(), ref, object.None{}) }))
		synctest.Wait()
		for range 2 {
			accepted = append(accepted, background(func() (int64, error) { return add.Call(w.Context(), ref, 1) }))
		}
		synctest.Wait()
		if _, err := add.Call(w.Context(), ref, 1); !errors.Is(err, object.ErrOverloaded) {
			t.Fatal(err)
		}
		close(gate)
		for _, r := range accepted {
			if _, err := r.wait(); err != nil {
				t.Fatal(err)
			}
		}
		if c, err := small.On(n).Get(w.Context(), "a"); c.Value != 3 || err != nil {
			t.Fatal(c, err)
		}
	}, small)
}

func TestAStateThatGrowsTooLargeIsRefusedAndOneThatShrinksIsNot(t *testing.T) {
	type text struct{ Body string }
	large := &object.Type[text]{Name: "text", MaxState: 1000}
	small := &object.Type[text]{Name: "text", MaxState: 100}
	body := func(n int) text { return text{string(make([]byte, n))} }
	inWorld(t, func(w *world) {
		n := w.node("n")
		if err := large.On(n).Put(w.Context(), "a", body(500)); err != nil {
			t.Fatal(err)
		}
		if err := large.On(n).Put(w.Context(), "a", body(2000)); !errors.Is(err, object.ErrTooLarge) {
			t.Fatal(err)
		}
		if s, _ := large.On(n).Get(w.Context(), "a"); len(s.Body) != 500 {
			t.Fatalf("%d bytes, want 500", len(s.Body))
		}
		n.stop()
		// The same objects under a program whose limit is lower.
		w.types = []object.Definition{small}
		n = w.node("n2")
		if err := small.On(n).Put(w.Context(), "a", body(501)); !errors.Is(err, object.ErrTooLarge) {
			t.Fatal(err)
		}
		if err := small.On(n).Put(w.Context(), "a", body(400)); err != nil {
			t.Fatalf("an update that shrinks an oversize state: %v", err)
		}
		if err := small.On(n).Put(w.Context(), "a", body(450)); !errors.Is(err, object.ErrTooLarge) {
			t.Fatal(err)
		}
	}, large)
}

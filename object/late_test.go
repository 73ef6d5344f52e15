package object_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/codec"
	"github.com/highlander-go/highlander/object"
)

// Tests of what is kept of updates for how long, and of attempts that are made late.

// sum adds to a counter as another node asks for it.
func sum(n *node, id string, num object.Numbered, delta int64) (int64, error) {
	reply, err := n.host.Handle(n.world.Context(), &object.Request{Key: object.Key{Type: "counter", ID: id}, Method: add.Name, Args: add.Args.Append(nil, delta), Numbered: num})
	if err != nil {
		return 0, err
	}
	var v int64
	return v, codec.Decode(reply, &v, add.Results.Read)
}

// A node that had no session for long knows what time it is: the next owner must not take its results for old ones.
func TestResultsAreStampedWithTheTime(t *testing.T) {
	inWorld(t, func(w *world) {
		a, b := w.node("a"), w.node("b")
		// a is without a session for three hours (ZooKeeper out of reach, a laptop asleep, a SIGSTOP).
		w.registry.Expire(a.id)
		<-a.done
		a.session.Retire(w.Context())
		time.Sleep(3 * time.Hour)
		a.join()
		num := object.Numbered{ID: object.RequestID{Caller: uuid.New(), Number: 1}, Floor: 1}
		v, err := sum(a, "a", num, 5) // its answer is lost
		if err != nil || v != 5 {
			t.Fatal(v, err)
		}
		// a is lost; the caller asks b.
		w.registry.Expire(a.id)
		<-a.done
		a.session.Retire(w.Context())
		num.Again = true
		v, err = sum(b, "a", num, 5)
		if err != nil || v != 5 {
			t.Errorf("the retry: %d, %v; want 5", v, err)
		}
		w.mustGet(b, 5)
	})
}

// More hosts call one object than results are kept for, each of them once in nine minutes.
func TestManyCallersOfOneObject(t *testing.T) {
	object.SkipRaced(t)
	inWorld(t, func(w *world) {
		n := w.node("n")
		const hosts = 2300
		callers := make([]uuid.UUID, hosts)
		for i := range callers {
			callers[i] = uuid.New()
		}
		for round := uint64(1); round <= 4; round++ {
			accepted := 0
			for _, c := range callers {
				if _, err := sum(n, "a", object.Numbered{ID: object.RequestID{Caller: c, Number: round}, Floor: round}, 1); err == nil {
					accepted++
				} else if !errors.Is(err, object.ErrOverloaded) {
					t.Fatal(err)
				}
			}
			if accepted < hosts/2 {
				t.Errorf("round %d: %d of %d hosts could call it", round, accepted, hosts)
			}
			time.Sleep(9 * time.Minute)
		}
	})
}

// What came of a host's own updates is forgotten when they have their answers, and takes no room of others.
func TestABurstOfTheHostsOwnUpdatesLeavesNothing(t *testing.T) {
	queue := &object.Type[counter]{Name: "counter", Codec: counterCodec, MaxQueue: 10000, Methods: []object.Method[counter]{add}}
	inWorld(t, func(w *world) {
		w.types = []object.Definition{queue}
		n := w.node("n")
		ref := queue.On(n).Ref("a")
		gates := w.store.holdEach(1)
		go sum(n, "a", object.Numbered{ID: object.RequestID{Caller: uuid.New(), Number: 1}, Floor: 1}, 1) // of another host
		synctest.Wait()
		var group sync.WaitGroup
		for range 8000 {
			group.Go(func() {
				if _, err := add.Call(w.Context(), ref, 1); err != nil && !errors.Is(err, object.ErrOverloaded) {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		close(gates[0])
		group.Wait()
		if _, err := add.Call(w.Context(), ref, 1); err != nil {
			t.Errorf("a single update of an idle object: %v", err)
		}
	})
}

// So it is with long results: those of other callers are kept.
func TestLongResultsOfTheHostsOwnUpdatesLeaveNothing(t *testing.T) {
	long := object.Update("Long", func(_ context.Context, c *counter, n int64) ([]byte, error) {
		c.Value++
		return make([]byte, n), nil
	})
	typ := &object.Type[counter]{Name: "long", Codec: counterCodec, Methods: []object.Method[counter]{long}}
	inWorld(t, func(w *world) {
		n := w.node("n")
		ref := typ.On(n).Ref("a")
		gates := w.store.holdEach(1)
		var group sync.WaitGroup
		for range 40 {
			group.Go(func() {
				if _, err := long.Call(w.Context(), ref, 1000); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		close(gates[0])
		group.Wait()
		r := &object.Request{Key: object.Key{Type: "long", ID: "a"}, Method: "Long", Args: long.Args.Append(nil, 2000),
			Numbered: object.Numbered{ID: object.RequestID{Caller: uuid.New(), Number: 1}, Floor: 1}}
		if _, err := n.host.Handle(w.Context(), r); err != nil {
			t.Fatal(err)
		}
		r.Again = true
		if _, err := n.host.Handle(w.Context(), r); err != nil {
			t.Errorf("asked again at once, of an object that has nothing else to do: %v", err)
		}
	}, typ)
}

// The calls that a host's updates make are kept as long as one of them is under way. When they fill an object, it is that host which has to wait.
func TestOneCallerFillsAnObject(t *testing.T) {
	object.SkipRaced(t)
	relay := relaying(nil)
	outer := &object.Type[counter]{Name: "outer", Codec: counterCodec, Methods: []object.Method[counter]{relay, block}}
	inWorld(t, func(w *world) {
		gate := make(chan struct{})
		w.env = gate
		a, b := w.node("a"), w.node("b")
		w.mustAdd(b, 10, 10)
		slow := background(func() (int64, error) { return block.Call(w.Context(), outer.On(a).Ref("slow"), object.None{}) })
		w.mustWait(slow)
		var err error
		for i := 0; i < 8000 && err == nil; i++ {
			_, err = relay.Call(w.Context(), outer.On(a).Ref(fmt.Sprint(i%7)), "a")
		}
		if !errors.Is(err, object.ErrUnknownOutcome) && !errors.Is(err, object.ErrOverloaded) {
			t.Errorf("it is never full: %v", err)
		}
		if _, err := relay.Call(w.Context(), outer.On(b).Ref("other node's"), "a"); err != nil {
			t.Errorf("another host: %v", err)
		}
		if _, err := add.Call(object.WithRequestID(w.Context(), "new"), counters.On(b).Ref("a"), 1); err != nil {
			t.Errorf("an id from outside: %v", err)
		}
		close(gate)
		slow.wait()
		if _, err := relay.Call(w.Context(), outer.On(a).Ref("x"), "a"); err != nil {
			t.Errorf("when the slow one is over: %v", err)
		}
	}, outer)
}

// Run again on a late write, an update fails as what it calls cannot be had now. The first run has called it: so nobody is told that nothing was changed.
func TestARunThatFailsAfterAnotherHasCalledOthers(t *testing.T) {
	relay := relaying(nil)
	typ := &object.Type[counter]{Name: "counter", Codec: counterCodec, Methods: []object.Method[counter]{add, addBelow, block, relay}}
	inWorld(t, func(w *world) {
		w.types = []object.Definition{typ}
		a, b := w.node("a"), w.node("b")
		if _, err := add.Call(w.Context(), typ.On(b).Ref("other"), 10); err != nil {
			t.Fatal(err)
		}
		w.mustGet(a, 0) // a owns it
		nested := 0
		w.onCall = func(to object.Member, r *object.Request, deliver func() ([]byte, error)) ([]byte, error) {
			if nested++; nested == 2 {
				return nil, fmt.Errorf("%v: %w", r.Key, object.ErrOverloaded)
			}
			return deliver()
		}
		w.store.write(100) // a former owner's, which comes late
		if v, err := relay.Call(w.Context(), typ.On(a).Ref("a"), "other"); v != 101 || err != nil || nested < 3 {
			t.Errorf("%d, %v after %d calls", v, err, nested)
		}
		if c, err := typ.On(b).Get(w.Context(), "other"); c.Value != 11 || err != nil {
			t.Errorf("%+v, %v; want 11", c, err)
		}
	}, typ)
}

// The caller's process stands still (SIGSTOP, a suspended machine) while it waits for the answer to its first attempt, and its connection is gone when it wakes. What came of that attempt may be kept no more: it is not made again.
func TestACallerThatStandsStillInItsFirstAttempt(t *testing.T) {
	for frozen, want := range map[time.Duration]error{5 * time.Minute: nil, 9 * time.Minute: object.ErrUnknownOutcome, 25 * time.Minute: object.ErrUnknownOutcome, 3 * time.Hour: object.ErrUnknownOutcome} {
		t.Run(frozen.String(), func(t *testing.T) {
			inWorld(t, func(w *world) {
				a, c := w.node("a"), w.node("c")
				w.mustAdd(a, 1, 1)
				first := true
				w.onCall = func(to object.Member, r *object.Request, deliver func() ([]byte, error)) ([]byte, error) {
					if !first {
						return deliver()
					}
					first = false
					deliver()
					for range frozen / time.Minute { // others go on
						time.Sleep(time.Minute)
						add.Call(w.Context(), counters.On(a).Ref("a"), 0)
						if _, err := sum(a, "a", object.Numbered{ID: object.RequestID{Caller: uuid.UUID{1}, Number: 1}, Floor: 1}, 0); err != nil {
							t.Error(err)
						}
						counters.On(a).Put(w.Context(), "b", counter{})
					}
					return nil, lost(to)
				}
				r := c.add(w.Context(), 100)
				v, err := r.wait()
				s, _ := counters.On(a).Get(w.Context(), "a")
				if s.Value != 101 || !errors.Is(err, want) || err == nil && v != 101 {
					t.Errorf("told %d, %v, want %v; the counter is %d, want 101", v, err, want, s.Value)
				}
			})
		})
	}
}

// The same of a caller on the owner's own node, which stands still between its put and the answer.
func TestAnOwnerThatStandsStillAfterItsPut(t *testing.T) {
	inWorld(t, func(w *world) {
		a, b := w.node("a"), w.node("b")
		w.mustAdd(a, 1, 1)
		n := w.store.count()
		landed := make(chan struct{})
		w.store.onCommit = func(ctx context.Context, i int, commit func() (object.Tag, error)) (object.Tag, error) {
			tag, err := commit()
			if i == n {
				close(landed)
				w.registry.Disconnect(a.id)
				time.Sleep(3 * time.Hour) // all of a's goroutines stand still
			}
			return tag, err
		}
		r := a.add(w.Context(), 100)
		<-landed
		// b's view of these three hours:
		time.Sleep(3*time.Hour - time.Minute)
		w.registry.Expire(a.id) // a learns it when it wakes
		w.registry.Reconnect(a.id)
		<-a.done
		a.session.Retire(w.Context())
		v, err := r.wait()
		w.registry.Reconnect(b.id)
		s, _ := counters.On(b).Get(w.Context(), "a")
		if s.Value != 101 || !errors.Is(err, object.ErrUnknownOutcome) {
			t.Errorf("told %d, %v; the counter is %d, want 101", v, err, s.Value)
		}
		time.Sleep(5 * time.Minute) // until the held put has returned
	})
}

// A method takes the backup when the primary is not to be had. A second attempt must not be told so of a primary which the first has changed.
func TestACallThatIsMadeAgainIsNotTakenForOneWithoutEffect(t *testing.T) {
	for _, id := range []string{"", "from outside"} {
		t.Run("id "+id, func(t *testing.T) { notWithoutEffect(t, id) })
	}
}

func notWithoutEffect(t *testing.T, id string) {
	either := object.Update("Either", func(ctx context.Context, c *counter, _ object.None) (int64, error) {
		node := object.From(ctx)
		_, err := add.Call(ctx, counters.On(node).Ref("primary"), 1)
		if errors.Is(err, object.ErrOverloaded) { // "the call had no effect"
			_, err = add.Call(ctx, counters.On(node).Ref("backup"), 1)
		}
		c.Value++
		return c.Value, err
	})
	outer := &object.Type[counter]{Name: "outer", Codec: counterCodec, Methods: []object.Method[counter]{either}}
	inWorld(t, func(w *world) {
		a := w.node("a")
		b, client := w.node("b"), w.node("client")
		for _, id := range []string{"primary", "backup"} {
			if _, err := add.Call(w.Context(), counters.On(b).Ref(id), 10); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := outer.On(a).Get(w.Context(), "x"); err != nil {
			t.Fatal(err)
		}
		nested, outers := 0, 0
		w.onCall = func(to object.Member, r *object.Request, deliver func() ([]byte, error)) ([]byte, error) {
			if r.Key.ID == "primary" {
				if nested++; nested == 2 {
					return nil, fmt.Errorf("%v: %w", r.Key, object.ErrOverloaded)
				}
			} else if r.Key.Type == "outer" {
				if outers++; outers == 1 {
					go deliver()
					synctest.Wait()
					time.Sleep(time.Second)
					return nil, lost(to)
				}
			}
			return deliver()
		}
		w.loseBeforePut(a, "outer")
		v, err := either.Call(object.WithRequestID(w.Context(), id), outer.On(client).Ref("x"), object.None{})
		p, _ := counters.On(b).Get(w.Context(), "primary")
		q, _ := counters.On(b).Get(w.Context(), "backup")
		if v != 1 || err != nil || p.Value != 11 || q.Value != 10 {
			t.Errorf("told %d, %v; primary %d, backup %d, after %d calls", v, err, p.Value, q.Value, nested)
		}
	}, outer)
}

// An update has run for 40 minutes, and would have to run again on a late write: what it has called is kept no more.
func TestALongUpdateDoesNotRunAgainTooLate(t *testing.T) {
	for _, caller := range []string{"its owner", "another node"} {
		for _, id := range []string{"", "from outside"} {
			t.Run("called from "+caller+", id "+id, func(t *testing.T) { aLongUpdate(t, caller == "its owner", id) })
		}
	}
}

func aLongUpdate(t *testing.T, here bool, id string) {
	runs := 0
	relay := relaying(func(context.Context) error {
		if runs++; runs == 1 {
			time.Sleep(40 * time.Minute)
		}
		return nil
	})
	typ := &object.Type[counter]{Name: "counter", Codec: counterCodec, Methods: []object.Method[counter]{add, addBelow, block, relay}}
	inWorld(t, func(w *world) {
		w.types = []object.Definition{typ}
		a, b, c := w.node("a"), w.node("b"), w.node("c")
		other := typ.On(b).Ref("other")
		if _, err := add.Call(w.Context(), other, 0); err != nil {
			t.Fatal(err)
		}
		w.mustGet(a, 0) // a owns it
		w.store.write(100)
		from := c
		if here {
			from = a
		}
		r := background(func() (int64, error) {
			return relay.Call(object.WithRequestID(w.Context(), id), typ.On(from).Ref("a"), "other")
		})
		others := int64(0)
		for !r.over() {
			time.Sleep(time.Minute)
			if _, err := add.Call(w.Context(), typ.On(c).Ref("other"), 1000); err != nil {
				t.Fatal(err)
			}
			others += 1000
		}
		v, err := r.wait()
		s, _ := typ.On(b).Get(w.Context(), "other")
		if s.Value != others+1 || !errors.Is(err, object.ErrUnknownOutcome) || runs != 1 {
			t.Errorf("%d, %v after %d runs; the other counter has %d of the update, want 1", v, err, runs, s.Value-others)
		}
	}, typ)
}

// A method makes a call again that had no effect. When the update runs again it is still one call.
func TestAMethodThatBacksOff(t *testing.T) {
	relay := object.Update("Relay", func(ctx context.Context, c *counter, to string) (int64, error) {
		for {
			_, err := add.Call(ctx, counters.On(object.From(ctx)).Ref(to), 1)
			if errors.Is(err, object.ErrOverloaded) && ctx.Err() == nil { // "the call had no effect. Back off."
				time.Sleep(time.Second)
				continue
			}
			c.Value++
			return c.Value, err
		}
	})
	outer := &object.Type[counter]{Name: "outer", Codec: counterCodec, Methods: []object.Method[counter]{relay}}
	inWorld(t, func(w *world) {
		a := w.node("a")
		b, client := w.node("b"), w.node("client")
		w.mustAdd(b, 10, 10)
		if _, err := outer.On(a).Get(w.Context(), "x"); err != nil {
			t.Fatal(err)
		}
		var nested atomic.Int32
		lostOnce := false
		w.onCall = func(to object.Member, r *object.Request, deliver func() ([]byte, error)) ([]byte, error) {
			if r.Key.Type == "counter" {
				if nested.Add(1) == 1 {
					return nil, fmt.Errorf("%v: %w", r.Key, object.ErrOverloaded) // as its owner says when its queue is full
				}
				return deliver()
			}
			if lostOnce {
				return deliver()
			}
			lostOnce = true
			go deliver()
			for nested.Load() < 2 {
				time.Sleep(100 * time.Millisecond)
			}
			synctest.Wait()
			return nil, lost(to)
		}
		w.loseBeforePut(a, "outer")
		if v, err := relay.Call(w.Context(), outer.On(client).Ref("x"), "a"); v != 1 || err != nil {
			t.Errorf("%d, %v", v, err)
		}
		w.mustGet(b, 11)
	}, outer)
}

// The last one at work ends by Goexit, and its caller has gone: the object has nothing to do then, and can be let go at once.
func TestGoexitAsTheLastThingToDo(t *testing.T) {
	var goOn chan struct{}
	exit := object.Update("Exit", func(_ context.Context, c *counter, _ object.None) (int64, error) {
		<-goOn
		runtime.Goexit()
		return 0, nil
	})
	typ := &object.Type[counter]{Name: "counter", Codec: counterCodec, Methods: []object.Method[counter]{add, exit}}
	inWorld(t, func(w *world) {
		goOn = make(chan struct{})
		w.types = []object.Definition{typ}
		n := w.node("n")
		w.mustGet(n, 0)
		w.store.write(100)
		gates := w.store.holdEach(1)
		ctx, cancel := context.WithCancel(w.Context())
		one := background(func() (int64, error) { return add.Call(ctx, typ.On(n).Ref("a"), 1) })
		synctest.Wait()
		two := background(func() (int64, error) { return exit.Call(ctx, typ.On(n).Ref("a"), object.None{}) })
		synctest.Wait()
		cancel()
		one.wait()
		two.wait()
		close(gates[0])
		synctest.Wait()
		close(goOn)
		synctest.Wait()
		start := time.Now()
		if err := n.host.Drain(w.Context()); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("an object that has nothing to do is let go after %v", took)
		}
	}, typ)
}

// An update that fails for now after it has called others has had an effect: it is tried again. One whose calls have had none says so at once.
func TestAnUpdateThatFailsForNow(t *testing.T) {
	runs := 0
	relay := relaying(func(context.Context) error {
		if runs++; runs == 1 {
			return object.ErrUnavailable
		}
		return nil
	})
	outer := &object.Type[counter]{Name: "outer", Codec: counterCodec, Methods: []object.Method[counter]{relay}}
	inWorld(t, func(w *world) {
		a, b := w.node("a"), w.node("b")
		w.mustAdd(b, 10, 10)
		if v, err := relay.Call(w.Context(), outer.On(a).Ref("x"), "a"); v != 1 || err != nil || runs != 2 {
			t.Errorf("%d, %v after %d runs", v, err, runs)
		}
		w.mustGet(b, 11)
		calls := 0
		w.onCall = func(_ object.Member, r *object.Request, _ func() ([]byte, error)) ([]byte, error) {
			calls++
			return nil, fmt.Errorf("%v: %w", r.Key, object.ErrOverloaded)
		}
		if _, err := relay.Call(w.Context(), outer.On(a).Ref("x"), "a"); !errors.Is(err, object.ErrOverloaded) || errors.Is(err, object.ErrUnknownOutcome) || calls != 1 {
			t.Errorf("%v after %d calls", err, calls)
		}
	}, outer)
}

// An update that goes on when the lease has lapsed, its node having stood still, calls nobody: it may have been made elsewhere by then, long ago.
func TestAnUpdateWithoutALeaseCallsNobody(t *testing.T) {
	gate, called := make(chan struct{}), make(chan error, 1)
	late := object.Update("Late", func(ctx context.Context, c *counter, to string) (int64, error) {
		<-gate
		_, err := add.Call(ctx, counters.On(object.From(ctx)).Ref(to), 1)
		called <- err
		return 0, err
	})
	outer := &object.Type[counter]{Name: "outer", Codec: counterCodec, Methods: []object.Method[counter]{late}}
	inWorld(t, func(w *world) {
		gate, called = make(chan struct{}), make(chan error, 1)
		a, b := w.node("a"), w.node("b")
		w.mustAdd(b, 10, 10)
		r := background(func() (int64, error) { return late.Call(w.Context(), outer.On(a).Ref("x"), "a") })
		synctest.Wait()
		w.registry.Disconnect(a.id)
		time.Sleep(leaseLength + time.Second)
		close(gate)
		if err := <-called; !errors.Is(err, object.ErrNoLease) {
			t.Error(err)
		}
		w.mustGet(b, 10)
		w.registry.Reconnect(a.id)
		r.wait()
	}, outer)
}

// Nor does a second run of a call of an object on the same node, whose queue is full by then.
func TestACallOfTheSameNodeThatIsMadeAgain(t *testing.T) {
	var full func()
	either := object.Update("Either", func(ctx context.Context, c *counter, _ object.None) (int64, error) {
		_, err := add.Call(ctx, counters.On(object.From(ctx)).Ref("primary"), 1)
		if errors.Is(err, object.ErrOverloaded) {
			_, err = add.Call(ctx, counters.On(object.From(ctx)).Ref("backup"), 1)
		}
		if f := full; f != nil {
			full = nil
			f()
		}
		c.Value++
		return c.Value, err
	})
	typ := &object.Type[counter]{Name: "counter", Codec: counterCodec, MaxQueue: 1, Methods: []object.Method[counter]{add, block, either}}
	inWorld(t, func(w *world) {
		w.types = []object.Definition{typ}
		gate := make(chan struct{})
		w.env = gate
		n := w.node("n")
		primary := typ.On(n).Ref("primary")
		w.mustGet(n, 0)
		w.store.write(100) // a former owner's, which comes late
		full = func() {    // between the runs
			go block.Call(w.Context(), primary, object.None{})
			time.Sleep(time.Millisecond)
			go add.Call(w.Context(), primary, 1)
			time.AfterFunc(time.Second, func() { close(gate) })
			time.Sleep(time.Millisecond)
		}
		v, err := either.Call(w.Context(), typ.On(n).Ref("a"), object.None{})
		if backup, _ := typ.On(n).Get(w.Context(), "backup"); v != 101 || err != nil || backup.Value != 0 {
			t.Errorf("%d, %v; backup %d", v, err, backup.Value)
		}
	}, typ)
}

// loseBeforePut has the node lose its session when it is about to put an object of the type for the next time.
func (w *world) loseBeforePut(n *node, typ string) {
	lost := false
	w.store.onCommit = func(ctx context.Context, i int, commit func() (object.Tag, error)) (object.Tag, error) {
		if lost || w.store.puts[i].key.Type != typ {
			return commit()
		}
		lost = true
		w.registry.Expire(n.id)
		<-ctx.Done()
		return "", ctx.Err()
	}
}

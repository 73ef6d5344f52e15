package object_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/codec"
	"github.com/highlander-go/highlander/object"
)

// part is an attempt, as it comes from another node, of a call by the update of that number; all updates of its caller below the other number are over.
func part(n *node, caller uuid.UUID, number, below uint64) error {
	_, err := n.host.Handle(n.world.Context(), &object.Request{Key: object.Key{Type: "counter", ID: "a"}, Method: add.Name, Args: add.Args.Append(nil, 1),
		Numbered: object.Numbered{ID: object.RequestID{Caller: caller, Number: number, Part: 7}, Below: below}})
	return err
}

// numbered is an attempt of an update, as it comes from another node.
func numbered(n *node, caller uuid.UUID, number, floor uint64) error {
	_, err := n.host.Handle(n.world.Context(), &object.Request{Key: object.Key{Type: "counter", ID: "a"}, Method: add.Name, Args: add.Args.Append(nil, 1),
		Numbered: object.Numbered{ID: object.RequestID{Caller: caller, Number: number}, Floor: floor}})
	return err
}

// When an update is over what is kept of its calls goes; an owner of it that was frozen in the middle makes them again when it wakes.
func TestACallOfAnUpdateThatIsOverDoesNotRun(t *testing.T) {
	inWorld(t, func(w *world) {
		a, b := w.node("a"), w.node("b")
		caller := uuid.New()
		if err := errors.Join(part(a, caller, 5, 0), part(a, caller, 9, 9)); err != nil {
			t.Fatal(err)
		}
		if err := part(a, caller, 5, 0); !errors.Is(err, object.ErrUnknownOutcome) {
			t.Error(err)
		}
		if err := a.host.Drain(w.Context()); err != nil {
			t.Fatal(err)
		}
		if err := part(b, caller, 5, 0); !errors.Is(err, object.ErrUnknownOutcome) {
			t.Errorf("at the next owner: %v", err)
		}
		if err := part(b, caller, 9, 9); err != nil {
			t.Error(err)
		}
		if err := part(b, caller, 10, 9); err != nil {
			t.Error(err)
		}
		w.mustGet(b, 3)
	})
}

// An update that changes nothing itself may have called others, also under an id from outside: when its session ends before it is answered it runs again.
func TestAnUpdateThatOnlyCallsOthersIsTriedAgain(t *testing.T) {
	onlyCalls := object.Update("OnlyCalls", func(ctx context.Context, c *counter, to string) (int64, error) {
		_, err := add.Call(ctx, counters.On(object.From(ctx)).Ref(to), 1)
		return c.Value, err
	})
	withID := object.Update("WithID", func(ctx context.Context, c *counter, to string) (int64, error) {
		_, err := add.Call(object.WithRequestID(ctx, "id"), counters.On(object.From(ctx)).Ref(to), 1)
		return c.Value, err
	})
	outer := &object.Type[counter]{Name: "outer", Codec: counterCodec, Methods: []object.Method[counter]{add, onlyCalls, withID}}
	for name, m := range map[string]*object.UpdateMethod[counter, string, int64]{"": onlyCalls, "under an id from outside": withID} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				a, b := w.node("a"), w.node("b")
				w.mustAdd(b, 10, 10)
				if _, err := add.Call(w.Context(), outer.On(a).Ref("x"), 1); err != nil {
					t.Fatal(err)
				}
				gate := make(chan struct{})
				first := w.store.count()
				w.store.onCommit = func(_ context.Context, n int, commit func() (object.Tag, error)) (object.Tag, error) {
					if n == first {
						<-gate
						return "", errors.New("503")
					}
					return commit()
				}
				before := background(func() (int64, error) { return add.Call(w.Context(), outer.On(a).Ref("x"), 1) })
				synctest.Wait()
				r := background(func() (int64, error) { return m.Call(w.Context(), outer.On(a).Ref("x"), "a") })
				w.mustWait(r) // for the put before it
				w.mustGet(b, 11)
				w.registry.Expire(a.id)
				<-a.done
				close(gate)
				a.session.Retire(w.Context())
				a.join()
				if _, err := before.wait(); err != nil {
					t.Error(err)
				}
				if _, err := r.wait(); err != nil {
					t.Error(err)
				}
				w.mustGet(b, 11)
			}, outer)
		})
	}
}

// A run that was given up calls no other object any more, as its caller may know that nothing was changed.
func TestARunThatWasGivenUpCallsNobody(t *testing.T) {
	var goOn chan struct{}
	var called chan error
	var once sync.Once
	m := object.Update("Late", func(ctx context.Context, c *counter, _ object.None) (int64, error) {
		first := false
		once.Do(func() { first = true })
		if first {
			<-goOn
			_, err := add.Call(context.WithoutCancel(ctx), counters.On(object.From(ctx)).Ref("a"), 1)
			called <- err
		}
		c.Value++
		return c.Value, nil
	})
	outer := &object.Type[counter]{Name: "outer", Codec: counterCodec, Methods: []object.Method[counter]{m}}
	inWorld(t, func(w *world) {
		goOn, called = make(chan struct{}), make(chan error, 1)
		a, b := w.node("a"), w.node("b")
		w.mustAdd(b, 10, 10)
		r := background(func() (int64, error) { return m.Call(w.Context(), outer.On(a).Ref("x"), object.None{}) })
		synctest.Wait()
		w.registry.Expire(a.id)
		if _, err := r.wait(); !errors.Is(err, object.ErrUnavailable) {
			t.Error(err)
		}
		close(goOn)
		if err := <-called; !errors.Is(err, object.ErrUnavailable) {
			t.Error(err)
		}
		w.mustGet(b, 10)
		<-a.done
	}, outer)
}

// What a method starts and leaves behind makes calls of its own.
func TestACallAfterTheUpdateHasReturnedIsItsOwn(t *testing.T) {
	var called chan error
	m := object.Update("Leave", func(ctx context.Context, c *counter, _ object.None) (int64, error) {
		go func() {
			time.Sleep(time.Hour)
			_, err := add.Call(context.WithoutCancel(ctx), counters.On(object.From(ctx)).Ref("a"), 1)
			called <- err
		}()
		c.Value++
		return c.Value, nil
	})
	outer := &object.Type[counter]{Name: "outer", Codec: counterCodec, Methods: []object.Method[counter]{m, add}}
	relay := relaying(nil)
	third := &object.Type[counter]{Name: "third", Codec: counterCodec, Methods: []object.Method[counter]{relay}}
	inWorld(t, func(w *world) {
		called = make(chan error, 1)
		a := w.node("a")
		if _, err := m.Call(w.Context(), outer.On(a).Ref("x"), object.None{}); err != nil {
			t.Fatal(err)
		}
		for i := range int64(2) { // says that the one before is over
			time.Sleep(time.Hour/2 - time.Second)
			if v, err := relay.Call(w.Context(), third.On(a).Ref("y"), "a"); v != i+1 || err != nil {
				t.Fatal(v, err)
			}
		}
		if err := <-called; err != nil {
			t.Error(err)
		}
		w.mustGet(a, 3)
	}, outer, third)
}

// An error that says that a call could not be made now is not what an id stands for: the next attempt may do better.
func TestAPassingErrorIsNotKept(t *testing.T) {
	for name, passing := range map[string]error{"unavailable": object.ErrUnavailable, "overloaded": object.ErrOverloaded, "closed": object.ErrClosed} {
		t.Run(name, func(t *testing.T) {
			fails := true
			relay := relaying(func(context.Context) error {
				if fails {
					return fmt.Errorf("wrapped: %w", passing)
				}
				return nil
			})
			outer := &object.Type[counter]{Name: "outer", Codec: counterCodec, Methods: []object.Method[counter]{relay}}
			inWorld(t, func(w *world) {
				a := w.node("a")
				call := func() (int64, error) {
					return relay.Call(object.WithRequestID(w.Context(), "id"), outer.On(a).Ref("x"), "a")
				}
				if _, err := call(); !errors.Is(err, object.ErrUnknownOutcome) { // it has called another one
					t.Fatal(err)
				}
				fails = false
				if v, err := call(); v != 1 || err != nil {
					t.Error(v, err)
				}
				w.mustGet(a, 1)
			}, outer)
		})
	}
}

// Nor is what a method returns when its caller has gone.
func TestTheEndOfACallersContextIsNotKept(t *testing.T) {
	inWorld(t, func(w *world) {
		gate := make(chan struct{})
		w.env = gate
		n := w.node("n")
		ctx, cancel := context.WithCancel(w.Context())
		r := background(func() (int64, error) {
			return block.Call(object.WithRequestID(ctx, "id"), counters.On(n).Ref("a"), object.None{})
		})
		w.mustWait(r)
		cancel()
		w.mustFail(r, context.Canceled)
		close(gate)
		if v, err := block.Call(object.WithRequestID(w.Context(), "id"), counters.On(n).Ref("a"), object.None{}); v != 1 || err != nil {
			t.Error(v, err)
		}
	})
}

// A second attempt whose calls cannot be made now has not failed for good: it is made again.
func TestASecondAttemptWaitsForWhatItCalls(t *testing.T) {
	runs := 0
	relay := relaying(func(context.Context) error {
		if runs++; runs < 4 {
			return object.ErrUnavailable
		}
		return nil
	})
	outer := &object.Type[counter]{Name: "outer", Codec: counterCodec, Methods: []object.Method[counter]{relay}}
	inWorld(t, func(w *world) {
		a, b := w.node("a"), w.node("b")
		if _, err := outer.On(a).Get(w.Context(), "x"); err != nil {
			t.Fatal(err)
		}
		lostOnce := false
		w.onCall = func(to object.Member, r *object.Request, deliver func() ([]byte, error)) ([]byte, error) {
			reply, err := deliver()
			if r.Key.Type == "outer" && !lostOnce {
				lostOnce = true
				return nil, lost(to)
			}
			return reply, err
		}
		if v, err := relay.Call(w.Context(), outer.On(b).Ref("x"), "a"); v != 1 || err != nil {
			t.Error(v, err)
		}
		w.mustGet(a, 1)
	}, outer)
}

// When the caller waits no more, no other node is asked, and no object is woken.
func TestNobodyIsAskedWhenTheCallersTimeIsOver(t *testing.T) {
	inWorld(t, func(w *world) {
		a := w.node("a")
		w.mustAdd(a, 1, 1)
		w.node("c")
		w.serves = []string{}
		b := w.node("b")
		ctx, cancel := context.WithTimeout(w.Context(), time.Second)
		defer cancel()
		calls := 0
		w.onCall = func(to object.Member, r *object.Request, deliver func() ([]byte, error)) ([]byte, error) {
			calls++
			<-ctx.Done()
			return nil, lost(to)
		}
		_, err := add.Call(ctx, counters.On(b).Ref("a"), 1)
		if !errors.Is(err, object.ErrUnknownOutcome) || !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, object.ErrUnavailable) {
			t.Error(err)
		}
		if calls != 1 {
			t.Errorf("%d calls", calls)
		}
	})
}

// What the last attempt has come to is not said again when it says no more than that the time was over.
func TestAnUnknownOutcomeIsSaidOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		w.mustAdd(n, 1, 1)
		defer w.store.hold()()
		ctx, cancel := context.WithTimeout(w.Context(), time.Second)
		defer cancel()
		_, err := n.add(ctx, 1).wait()
		if want := "counter/a: outcome unknown, read it before trying again: context deadline exceeded"; !errors.Is(err, object.ErrUnknownOutcome) || err.Error() != want {
			t.Errorf("it says %q, want %q", err, want)
		}
	})
}

// A node that was closed does not try again: neither one without a transport nor the last one of a cluster.
func TestANodeThatIsClosedAsksNoMore(t *testing.T) {
	for name, alone := range map[string]bool{"without a transport": true, "the last one": false} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.alone = alone
				n := w.node("n")
				w.mustAdd(n, 1, 1)
				w.store.hold()
				r := n.add(w.Context(), 1)
				w.mustWait(r)
				n.host.Close()
				start := time.Now()
				n.stop()
				w.mustFail(r, object.ErrUnknownOutcome)
				if took := time.Since(start); took > 15*time.Second {
					t.Errorf("after %v", took)
				}
			})
		})
	}
}

// Objects that are never awake for long forget, too.
func TestWhatIsKeptIsForgottenAlsoBetweenShortLives(t *testing.T) {
	short := &object.Type[counter]{Name: "counter", Codec: counterCodec, Idle: 2 * time.Minute, Methods: []object.Method[counter]{add}}
	inWorld(t, func(w *world) {
		w.types = []object.Definition{short}
		n := w.node("n")
		size := 0
		for i := range 100 {
			if err := numbered(n, uuid.New(), 1, 1); err != nil {
				t.Fatal(err)
			}
			if _, err := add.Call(object.WithRequestID(w.Context(), fmt.Sprint(i)), short.On(n).Ref("a"), 1); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Minute)
			if v, err := add.Call(object.WithRequestID(w.Context(), fmt.Sprint(i)), short.On(n).Ref("a"), 1); v != int64(2*i+2) || err != nil {
				t.Fatal(v, err)
			}
			size = max(size, w.requests("a"))
		}
		if size > 3000 {
			t.Errorf("%d bytes", size)
		}
	})
}

// When so much is kept that nothing can be done, what is old is forgotten all the same.
func TestAFullObjectForgetsWithoutPuts(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		caller := uuid.New()
		last, err := uint64(0), error(nil)
		for err == nil {
			last++
			err = numbered(n, caller, last, 1) // as if the first one were not over yet
		}
		if !errors.Is(err, object.ErrOverloaded) || last < 1000 {
			t.Fatal(last, err)
		}
		for range 4 * object.KeptRequests / time.Minute {
			time.Sleep(time.Minute)
			err = numbered(n, uuid.New(), 1, 1)
		}
		if err != nil {
			t.Error(err)
		}
	})
	inWorld(t, func(w *world) { // that all is over may be news that comes with a call for which there is no room
		n := w.node("n")
		caller := uuid.New()
		last, err := uint64(0), error(nil)
		for err == nil {
			last++
			err = numbered(n, caller, last, 1)
		}
		if err := numbered(n, caller, last+1, last+1); err != nil {
			t.Error(err)
		}
	})
}

// What is kept of an update is not the update itself, with its context and its argument.
func TestWhatIsKeptHoldsNoUpdates(t *testing.T) {
	inWorld(t, func(w *world) {
		w.env = make(chan struct{})
		n := w.node("n")
		w.mustAdd(n, 1, 1)
		gate := w.store.holdEach(1)[0]
		type big struct{ _ [1 << 16]byte }
		type bigKey struct{}
		var held weak.Pointer[big]
		r := background(func() (int64, error) {
			b := new(big)
			held = weak.Make(b)
			ctx := object.WithRequestID(context.WithValue(w.Context(), bigKey{}, b), "id")
			return add.Call(ctx, counters.On(n).Ref("a"), 1)
		})
		synctest.Wait()
		busy := background(func() (int64, error) {
			return block.Call(w.Context(), counters.On(n).Ref("a"), object.None{})
		})
		synctest.Wait()
		close(gate)
		if v, err := r.wait(); v != 2 || err != nil {
			t.Fatal(v, err)
		}
		w.mustWait(busy) // the object has work all the time
		for range 3 {
			runtime.GC()
		}
		if held.Value() != nil {
			t.Error("the context is still held")
		}
		close(w.env.(chan struct{}))
		busy.wait()
	})
}

// failing is a PutIf of a version that the object does not have, as a second attempt: that it fails is written down.
func failing(t *testing.T, w *world, n *node, typ, id string, args []byte) {
	t.Helper()
	before := w.store.count()
	_, err := n.host.Handle(w.Context(), &object.Request{
		Numbered: object.Numbered{ID: object.RequestID{Caller: uuid.New(), Number: 1}, Again: true, Floor: 1},
		Key:      object.Key{Type: typ, ID: id}, Method: "put state", Mode: object.PutMode{Creates: true, Conditional: true, Version: 77}, Args: args,
	})
	if !errors.Is(err, object.ErrVersion) || w.store.count() != before+1 {
		t.Fatalf("%v, %d puts", err, w.store.count()-before)
	}
}

// When the state is written as it was, for a second attempt that has failed, so is what only a newer version of the program knows of it.
func TestAFailureThatIsWrittenDownCarriesWhatIsNotKnown(t *testing.T) {
	c := counterCodec
	c.Shape = func() codec.Shape { return codec.StructOf(codec.Leaf) }
	c.Read = func(r *codec.Reader, c *counter) {
		for i := range r.Fields() {
			if i == 0 {
				codec.ReadInt(r, &c.Value)
			} else {
				r.Skip()
			}
		}
	}
	shaped := &object.Type[counter]{Name: "shaped", Codec: c}
	inWorld(t, func(w *world) {
		n := w.node("n")
		args := []byte{0x92, 0, 0x92, 1, 2} // layout, and a state with a field too many
		if _, err := n.host.Handle(w.Context(), &object.Request{Key: object.Key{Type: "shaped", ID: "x"}, Method: "put state", Mode: object.PutMode{Creates: true}, Args: args}); err != nil {
			t.Fatal(err)
		}
		failing(t, w, n, "shaped", "x", args)
		if state := w.store.puts[1].record.State; !bytes.Equal(state, args[2:]) {
			t.Errorf("the state is %x now, it was %x", state, args[2:])
		}
	}, shaped)
}

// An object that was made by its Init is there when a failure has been written down, and is made no second time.
func TestAFailureThatIsWrittenDownKeepsWhatInitHasMade(t *testing.T) {
	made := &object.Type[counter]{Name: "made", Codec: counterCodec, Init: func(c *counter, _ context.Context) error { c.Value = 5; return nil }}
	inWorld(t, func(w *world) {
		a, b := w.node("a"), w.node("b")
		failing(t, w, a, "made", "x", []byte{0x92, 0, 0x91, 1})
		if err := a.host.Drain(w.Context()); err != nil {
			t.Fatal(err)
		}
		if c, err := made.On(b).Get(w.Context(), "x"); c.Value != 5 || err != nil {
			t.Errorf("%+v, %v", c, err)
		}
	}, made)
}

// A call waits at its object's owner, for its turn or for the lease, when that changes its session. It is made again.
func TestACallThatWaitsOutlivesItsOwnersSession(t *testing.T) {
	for _, what := range []string{"its turn", "the lease"} {
		t.Run("for "+what, func(t *testing.T) {
			inWorld(t, func(w *world) {
				gate := make(chan struct{})
				w.env = gate
				n := w.node("n")
				w.serves = []string{}
				client := w.node("client")
				w.onCall = overTheWire
				w.mustAdd(n, 1, 1)
				if what == "its turn" {
					w.mustWait(background(func() (int64, error) { return block.Call(w.Context(), counters.On(n).Ref("a"), object.None{}) }))
				} else {
					w.registry.Disconnect(n.id)
					time.Sleep(leaseLength + time.Second)
				}
				r := client.add(w.Context(), 1)
				w.mustWait(r)
				w.registry.Reconnect(n.id)
				n.another()
				w.registry.ExpireSession(object.Member{Incarnation: n.id, Session: 1})
				if _, err := r.wait(); err != nil {
					t.Error(err)
				}
				close(gate)
			})
		})
	}
}

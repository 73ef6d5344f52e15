package object_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/highlander-go/highlander/codec"
	"github.com/highlander-go/highlander/object"
	"github.com/vmihailenco/msgpack/v5"
)

// Giving claims back to a registry out of reach ends with Drain's context.
func TestDrainEndsWithItsContext(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		for i := range 1000 {
			if _, err := counters.On(n).Get(w.Context(), fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
		}
		w.registry.Disconnect(n.id)
		ctx, cancel := context.WithTimeout(w.Context(), time.Second)
		defer cancel()
		at := w.clock()
		err := n.host.Drain(ctx)
		if took := w.clock() - at; took > 2*time.Second {
			t.Errorf("Drain took %v with a deadline of 1s: %v", took, err)
		}
		w.registry.Reconnect(n.id)
	})
}

// A sweep that gives claims back to a registry out of reach does not hold up the end.
func TestServeReturnsDuringASweep(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		for i := range 1000 {
			if _, err := counters.On(n).Get(w.Context(), fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(object.DefaultIdle + time.Minute - w.clock() - time.Second) // the sweep at 11 min finds them all idle
		w.registry.Disconnect(n.id)
		time.Sleep(2 * time.Second)
		at := w.clock()
		n.cancel()
		<-n.done
		if took := w.clock() - at; took > 11*time.Second {
			t.Errorf("Serve took %v to return", took)
		}
		w.registry.Reconnect(n.id)
	})
}

// Waking has a time limit, which Drain need not wait beyond.
func TestDrainGivesUpAWakingObject(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		w.store.onLoad = func(ctx context.Context, _ object.Key, _ func() (*object.Record, object.Tag, error)) (*object.Record, object.Tag, error) {
			<-ctx.Done() // a store that does not answer
			return nil, "", ctx.Err()
		}
		r := n.get(w.Context())
		ctx, cancel := context.WithTimeout(w.Context(), time.Hour)
		defer cancel()
		at := w.clock()
		err := n.host.Drain(ctx)
		if took := w.clock() - at; took > time.Minute {
			t.Errorf("Drain took %v: %v", took, err)
		}
		n.cancel()
		r.wait()
	})
}

// While a put is under way updates do not pile up without limit, neither those that have run.
func TestUpdatesThatWaitForAPutAreBounded(t *testing.T) {
	small := &object.Type[counter]{Name: "small", MaxQueue: 2, Methods: []object.Method[counter]{add}}
	inWorld(t, func(w *world) {
		n := w.node("n")
		release := w.store.hold()
		ref := small.On(n).Ref("a")
		var refused atomic.Int64
		var calls sync.WaitGroup
		for range 500 {
			calls.Go(func() {
				ctx, cancel := context.WithTimeout(w.Context(), time.Second)
				defer cancel()
				if _, err := add.Call(ctx, ref, 1); errors.Is(err, object.ErrOverloaded) {
					refused.Add(1)
				}
			})
			synctest.Wait()
		}
		calls.Wait() // all callers have gone
		release()
		synctest.Wait()
		c, _ := small.On(n).Get(w.Context(), "a")
		if refused.Load() == 0 {
			t.Errorf("none of 500 updates was refused although the queue is limited to 2; %d were applied after their callers had gone", c.Value)
		}
	}, small)
}

// After a session timeout without renewal an update is not run, and its caller is told at once.
func TestUpdatesAreUnavailableAtOnceAfterASessionTimeout(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		w.mustAdd(n, 1, 1)
		w.registry.Disconnect(n.id)
		time.Sleep(sessionTimeout + leaseLength)
		ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
		defer cancel()
		puts := w.store.count()
		r := n.add(ctx, 1)
		if !r.over() {
			t.Errorf("the update waits")
		}
		_, err := r.wait()
		if !errors.Is(err, object.ErrUnavailable) || w.store.count() != puts {
			t.Errorf("%v; %d puts", err, w.store.count()-puts)
		}
		w.registry.Reconnect(n.id)
	})
}

// An activation that was given up makes no further attempt to write.
func TestAnAbandonedActivationWritesNoMore(t *testing.T) {
	inWorld(t, func(w *world) {
		a := w.node("a")
		b := w.node("b")
		w.mustAdd(a, 1, 1)
		var attempts atomic.Int64
		var healed atomic.Bool
		w.store.onCommit = func(_ context.Context, n int, commit func() (object.Tag, error)) (object.Tag, error) {
			if !healed.Load() {
				attempts.Add(1)
				return "", errors.New("503")
			}
			return commit()
		}
		r := a.attempt(w.Context(), 1)
		if err := a.host.Drain(w.Context()); err != nil {
			t.Fatal(err)
		}
		w.mustFail(r, object.ErrUnknownOutcome)
		w.mustGet(b, 1)
		before := attempts.Load()
		time.Sleep(10 * time.Minute)
		if n := attempts.Load() - before; n > 1 {
			t.Errorf("%d attempts after the claim had been released", n)
		}
		healed.Store(true)
		w.mustAdd(b, 1, 2)
		time.Sleep(10 * time.Second)
		if strings.Contains(w.log.String(), "ALARM") {
			t.Error("a false alarm")
		}
	})
}

// A read from inside an update has a deadline, as an update has.
func TestAReadFromInsideAnUpdateHasADeadline(t *testing.T) {
	var gone object.Node
	nested := object.Update("Nested", func(ctx context.Context, c *counter, _ object.None) (int64, error) {
		v, err := counters.On(gone).Get(ctx, "a")
		return v.Value, err
	})
	outer := &object.Type[counter]{Name: "outer", Methods: []object.Method[counter]{nested}}
	inWorld(t, func(w *world) {
		n := w.node("n")
		var err error // alone and without a session: calls wait for one
		if gone, err = object.NewHost(object.HostConfig{Node: "gone", Registry: w.registry, Committer: w.store}, w.types...); err != nil {
			t.Fatal(err)
		}
		r := background(func() (int64, error) { return nested.Call(w.Context(), outer.On(n).Ref("x"), object.None{}) })
		time.Sleep(time.Hour)
		if !r.over() {
			t.Error("the update still waits for its read after an hour")
		}
		w.mustFail(r, object.ErrUnavailable, context.DeadlineExceeded)
	}, outer)
}

// The context of an update is over when the update has returned, also if nobody had looked at it before.
func TestTheContextOfAnUpdateEndsWithIt(t *testing.T) {
	var leaked context.Context
	leak := object.Update("Leak", func(ctx context.Context, c *counter, _ object.None) (int64, error) {
		leaked = ctx
		return 0, nil
	})
	leaky := &object.Type[counter]{Name: "leaky", Methods: []object.Method[counter]{leak}}
	inWorld(t, func(w *world) {
		n := w.node("n")
		if _, err := leak.Call(w.Context(), leaky.On(n).Ref("x"), object.None{}); err != nil {
			t.Fatal(err)
		}
		if leaked.Err() == nil {
			t.Error("the context of an update goes on after the update has returned")
		}
	}, leaky)
}

// What cannot be told to a caller at another node is no result: nothing is changed.
type unsendable struct{ F func() }

func TestAResultThatCannotBeEncoded(t *testing.T) {
	var m = object.Update("M", func(ctx context.Context, c *counter, _ object.None) (unsendable, error) {
		c.Value++
		return unsendable{func() {}}, nil
	})
	typ := &object.Type[counter]{Name: "uns", Methods: []object.Method[counter]{m}}
	inWorld(t, func(w *world) {
		a, b := w.node("a"), w.node("b")
		for i, n := range []*node{a, b} {
			_, err := m.Call(w.Context(), typ.On(n).Ref("x"), object.None{})
			if err == nil || !strings.Contains(err.Error(), "what M returned cannot be encoded") {
				t.Errorf("through node %d: %v", i, err)
			}
		}
		if c, err := typ.On(b).Get(w.Context(), "x"); c.Value != 0 || err != nil {
			t.Errorf("%+v, %v", c, err)
		}
	}, typ)
}

// A method's own error that matches ErrClosed does not say that the object is elsewhere.
func TestAMethodsOwnErrClosed(t *testing.T) {
	var runs atomic.Int64
	m := object.Update("M", func(ctx context.Context, c *counter, _ object.None) (int64, error) {
		runs.Add(1)
		return 0, fmt.Errorf("my database is %w", object.ErrClosed)
	})
	typ := &object.Type[counter]{Name: "closes", Methods: []object.Method[counter]{m}}
	inWorld(t, func(w *world) {
		a, b := w.node("a"), w.node("b")
		m.Call(w.Context(), typ.On(a).Ref("x"), object.None{})
		runs.Store(0)
		ctx, cancel := context.WithTimeout(w.Context(), 10*time.Second)
		defer cancel()
		_, err := m.Call(ctx, typ.On(b).Ref("x"), object.None{})
		if runs.Load() != 1 {
			t.Errorf("it ran %d times, error %v", runs.Load(), err)
		}
	}, typ)
}

// An argument is encoded only if it must be sent.
func TestAReadsArgumentIsEncodedOnlyWhenItIsSent(t *testing.T) {
	m := object.Read("M", func(ctx context.Context, c *counter, f unsendable) (int64, error) { return c.Value, nil })
	typ := &object.Type[counter]{Name: "r", Methods: []object.Method[counter]{m}}
	inWorld(t, func(w *world) {
		n := w.node("n")
		_, asleep := m.Call(w.Context(), typ.On(n).Ref("x"), unsendable{func() {}})
		typ.On(n).Get(w.Context(), "x")
		_, awake := m.Call(w.Context(), typ.On(n).Ref("x"), unsendable{func() {}})
		if (asleep == nil) != (awake == nil) {
			t.Errorf("asleep: %v; awake: %v", asleep, awake)
		}
	}, typ)
}

// A codec that ends its goroutine fails one call, not the object.
func TestGoexitInACodec(t *testing.T) {
	var on atomic.Bool
	exits := counterCodec
	exits.Append = func(b []byte, c counter) []byte {
		if on.Load() {
			runtime.Goexit()
		}
		return counterCodec.Append(b, c)
	}
	typ := &object.Type[counter]{Name: "g", Methods: []object.Method[counter]{add}, Codec: exits}
	inWorld(t, func(w *world) {
		n := w.node("n")
		typ.On(n).Get(w.Context(), "x")
		on.Store(true)
		ctx, cancel := context.WithTimeout(w.Context(), time.Second)
		defer cancel()
		add.Call(ctx, typ.On(n).Ref("x"), 1)
		on.Store(false)
		ctx, cancel = context.WithTimeout(w.Context(), time.Minute)
		defer cancel()
		if _, err := add.Call(ctx, typ.On(n).Ref("x"), 1); err != nil {
			t.Error(err)
		}
	}, typ)
}

func TestAClosedHostIsNotReady(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		n.host.Close()
		if n.host.Ready() == nil {
			t.Error("ready although it takes no calls")
		}
	})
}

// A call whose context was over before it began is never run, and never unknown.
func TestACallWhoseContextIsOver(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		w.mustAdd(n, 1, 1)
		ctx, cancel := context.WithCancel(w.Context())
		cancel()
		var ran, unknown int
		for range 100000 {
			_, err := add.Call(ctx, counters.On(n).Ref("a"), 1)
			if err == nil {
				ran++
			}
			if errors.Is(err, object.ErrUnknownOutcome) {
				unknown++
			}
		}
		if ran+unknown > 0 {
			t.Errorf("of 100000 calls with a context that was over %d ran and %d are unknown", ran, unknown)
		}
	})
}

// The method of an update that a release has given up is told to end.
func TestAnUpdateThatIsGivenUpHasItsContextEnded(t *testing.T) {
	var running atomic.Int64
	m := object.Update("M", func(ctx context.Context, c *counter, _ object.None) (int64, error) {
		running.Add(1)
		defer running.Add(-1)
		<-ctx.Done()
		return 0, ctx.Err()
	})
	typ := &object.Type[counter]{Name: "waits", Methods: []object.Method[counter]{m}}
	inWorld(t, func(w *world) {
		n := w.node("n")
		r := background(func() (int64, error) { return m.Call(w.Context(), typ.On(n).Ref("a"), object.None{}) })
		synctest.Wait()
		if err := n.host.Drain(w.Context()); err != nil {
			t.Fatal(err)
		}
		r.wait()
		time.Sleep(time.Hour)
		if running.Load() > 0 {
			t.Error("the method still runs an hour after its object was given up")
		}
	}, typ)
}

// A call that was accepted before a drain may wake other objects.
func TestAnAcceptedUpdateMayCallOthersDuringADrain(t *testing.T) {
	var n *node
	gate := make(chan struct{})
	m := object.Update("M", func(ctx context.Context, c *counter, _ object.None) (int64, error) {
		<-gate
		return add.Call(ctx, counters.On(n).Ref("a"), 1)
	})
	typ := &object.Type[counter]{Name: "calls", Methods: []object.Method[counter]{m}}
	inWorld(t, func(w *world) {
		gate = make(chan struct{})
		n = w.node("n")
		r := background(func() (int64, error) { return m.Call(w.Context(), typ.On(n).Ref("x"), object.None{}) })
		synctest.Wait()
		drained := background(func() (int64, error) { return 0, n.host.Drain(w.Context()) })
		synctest.Wait()
		close(gate)
		if _, err := r.wait(); err != nil {
			t.Error(err)
		}
		drained.wait()
	}, typ)
}

// A method panics, and so would the encoder of its argument.
type bomb struct{}

func (bomb) EncodeMsgpack(*msgpack.Encoder) error { panic("bomb") }

func TestAPanicWithAnArgumentThatCannotBeEncoded(t *testing.T) {
	m := object.Update("M", func(ctx context.Context, c *counter, _ bomb) (int64, error) { panic("method") })
	typ := &object.Type[counter]{Name: "b", Methods: []object.Method[counter]{m}}
	inWorld(t, func(w *world) {
		n := w.node("n")
		if _, err := m.Call(w.Context(), typ.On(n).Ref("x"), bomb{}); !errors.Is(err, object.ErrPanic) {
			t.Error(err)
		}
	}, typ)
}

// Fields that the owner's version of the program does not know have their default, wherever the object lives.
func TestARemoteGetFillsInDefaults(t *testing.T) {
	type v1 struct{ A int }
	type v2 struct {
		A int
		B string
	}
	old := &object.Type[v1]{Name: "u"}
	young := &object.Type[v2]{Name: "u", Default: func() v2 { return v2{B: "default"} }}
	inWorld(t, func(w *world) {
		w.types = []object.Definition{old}
		a := w.node("a")
		w.types = []object.Definition{young}
		b := w.node("b")
		if err := old.On(a).Put(w.Context(), "x", v1{A: 1}); err != nil {
			t.Fatal(err)
		}
		remote, err := young.On(b).Get(w.Context(), "x")
		if err != nil {
			t.Fatal(err)
		}
		a.host.Drain(w.Context())
		local, err := young.On(b).Get(w.Context(), "x")
		if err != nil {
			t.Fatal(err)
		}
		if remote != local {
			t.Errorf("remote %+v, local %+v", remote, local)
		}
	})
}

// One lost answer of the store does not keep the object from waking.
func TestALoadHasATimeLimit(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		first := true
		w.store.onLoad = func(ctx context.Context, _ object.Key, load func() (*object.Record, object.Tag, error)) (*object.Record, object.Tag, error) {
			if first {
				first = false
				<-ctx.Done() // one request whose answer is lost
				return nil, "", ctx.Err()
			}
			return load()
		}
		n.get(w.Context())
		time.Sleep(time.Hour)
		if r := n.get(w.Context()); !r.over() {
			t.Error("an hour after one lost answer the object is still waking")
		}
		n.cancel()
	})
}

// A field may be added: in what was stored before it has its default.
func TestAFieldMayBeAddedToAReflectedState(t *testing.T) {
	type v1 struct{ A int }
	type v2 struct {
		A int
		B string
	}
	old := &object.Type[v1]{Name: "u"}
	young := &object.Type[v2]{Name: "u", Default: func() v2 { return v2{B: "default"} }}
	inWorld(t, func(w *world) {
		w.types = []object.Definition{old}
		a := w.node("a")
		w.types = []object.Definition{young}
		b := w.node("b")
		if err := old.On(a).Put(w.Context(), "x", v1{A: 1}); err != nil {
			t.Fatal(err)
		}
		if err := a.host.Drain(w.Context()); err != nil {
			t.Fatal(err)
		}
		got, err := young.On(b).Get(w.Context(), "x")
		if err != nil || got != (v2{1, "default"}) {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

// After an outage of the store, work whose callers have long gone is not done again.
func TestWhatNobodyWaitsForIsNotRunAgain(t *testing.T) {
	runs := 0
	m := object.Update("M", func(ctx context.Context, c *counter, _ object.None) (int64, error) {
		runs++
		c.Value++
		return c.Value, nil
	})
	typ := &object.Type[counter]{Name: "many", Methods: []object.Method[counter]{m}}
	inWorld(t, func(w *world) {
		n := w.node("n")
		gate := make(chan struct{})
		w.store.onCommit = func(ctx context.Context, k int, commit func() (object.Tag, error)) (object.Tag, error) {
			if k == 0 {
				<-gate
				return "", object.ErrRefused
			}
			return commit()
		}
		for range 2000 {
			ctx, cancel := context.WithTimeout(w.Context(), time.Millisecond)
			m.Call(ctx, typ.On(n).Ref("x"), object.None{})
			cancel()
		}
		runs = 0
		close(gate)
		synctest.Wait()
		if runs > 0 {
			t.Errorf("%d updates whose callers have gone were run again", runs)
		}
	}, typ)
}

// A codec that panics over what another node has sent, or over what it is to send, costs one call and not the process.
func TestACodecThatPanicsInARemoteCallFailsTheCall(t *testing.T) {
	m := object.Update("M", func(_ context.Context, c *counter, _ object.None) (bomb, error) {
		c.Value++
		return bomb{}, nil
	})
	typ := &object.Type[counter]{Name: "b", Methods: []object.Method[counter]{m}}
	panics := counterCodec
	panics.Read = func(*codec.Reader, *counter) { panic("what is this?") }
	bad := &object.Type[counter]{Name: "panics", Codec: panics}
	inWorld(t, func(w *world) {
		a, b := w.node("a"), w.node("b")
		if _, err := typ.On(a).Get(w.Context(), "x"); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Call(w.Context(), typ.On(b).Ref("x"), object.None{}); !errors.Is(err, object.ErrPanic) {
			t.Errorf("an update whose result panics: %v", err)
		}
		if c, err := typ.On(b).Get(w.Context(), "x"); c.Value != 0 || err != nil {
			t.Errorf("%+v, %v", c, err)
		}
		_, err := a.host.Handle(w.Context(), &object.Request{Key: object.Key{Type: "panics", ID: "x"}, Method: "put state", Args: []byte{0x92, 0, 0x91, 1}})
		if !errors.Is(err, object.ErrPanic) {
			t.Error(err)
		}
	}, typ, bad)
}

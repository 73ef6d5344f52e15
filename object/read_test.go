package object_test

import (
	"context"
	"errors"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/highlander-go/highlander/object"
)

func TestAReadThatChangesTheStateIsFound(t *testing.T) {
	sneaky := object.Read("Sneaky", func(_ context.Context, a *album, change bool) (int, error) {
		if change {
			a.Titles[0] = "changed"
		}
		return 0, nil
	})
	typ := &object.Type[album]{Name: "sneaky", Default: albums.Default, Methods: []object.Method[album]{sneaky}}
	for _, check := range []bool{true, false} {
		inWorld(t, func(w *world) {
			w.checkReads = check
			a, b := w.node("a"), w.node("b")
			typ.On(a).Get(w.Context(), "x")
			for _, n := range []*node{a, b} {
				if _, err := sneaky.Call(w.Context(), typ.On(n).Ref("x"), false); err != nil {
					t.Error(err)
				}
			}
			_, err := sneaky.Call(w.Context(), typ.On(b).Ref("x"), true)
			if check != (err != nil && strings.Contains(err.Error(), "Sneaky has changed the committed state")) {
				t.Errorf("checked: %v; %v", check, err)
			}
		}, typ)
	}
}

// A jumble encodes its entries in a new order each time.
type jumble map[string]int

func (j jumble) MarshalMsgpack() ([]byte, error) { return msgpack.Marshal(map[string]int(j)) }

func TestAReadOfAJumbleChangesNothing(t *testing.T) {
	type state struct{ Values jumble }
	values := make(jumble)
	for i := range 20 {
		values[strconv.Itoa(i)] = i
	}
	look := object.Read("Look", func(_ context.Context, s *state, change bool) (int, error) {
		if change {
			s.Values["0"]++
		}
		return len(s.Values), nil
	})
	typ := &object.Type[state]{Name: "maps", Methods: []object.Method[state]{look}}
	inWorld(t, func(w *world) {
		w.checkReads = true
		c := typ.On(w.node("n"))
		if err := c.Put(w.Context(), "x", state{values}); err != nil {
			t.Fatal(err)
		}
		for _, change := range []bool{false, true} {
			if _, err := look.Call(w.Context(), c.Ref("x"), change); (err != nil) != change {
				t.Error(change, err)
			}
		}
	}, typ)
}

// A Reading as generated code uses it.
func TestReading(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		ctx := object.WithCaller(w.Context(), object.Caller{ID: "bob"})
		read := func(panics bool) (caller string, err error) {
			var reading object.Reading
			if c := counters.On(n).Ref("a").Read(ctx, &reading, "Read"); c != nil {
				defer reading.End(&err)
				if panics {
					panic("boom")
				}
				return object.From(&reading).Caller.ID + " reads " + object.From(&reading).Key.String(), nil
			}
			return "not here", nil
		}
		if got, err := read(false); got != "not here" || err != nil {
			t.Error(got, err)
		}
		w.mustAdd(n, 1, 1)
		if got, err := read(false); got != "bob reads counter/a" || err != nil {
			t.Error(got, err)
		}
		if _, err := read(true); !errors.Is(err, object.ErrPanic) || !strings.Contains(err.Error(), "Read: boom") {
			t.Error(err)
		}
		n.session.Lease().End(errors.New("over"))
		if got, err := read(false); got != "not here" || err != nil {
			t.Error("answered without a lease: ", got, err)
		}
	})
}

func TestEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		items := []int{0, 1, 2, 3, 4, 5, 6}
		done := make([]bool, len(items))
		var running atomic.Int32
		start := time.Now()
		err := object.Each(t.Context(), items, 3, func(ctx context.Context, i int) error {
			if running.Add(1) > 3 {
				t.Error("more than three at once")
			}
			time.Sleep(time.Second)
			running.Add(-1)
			done[i] = true
			return nil
		})
		for i, d := range done {
			if !d {
				t.Error(i, "was left out")
			}
		}
		if err != nil || time.Since(start) != 3*time.Second {
			t.Error(err, time.Since(start))
		}
	})
}

func TestEachEndsAtTheFirstError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boom := errors.New("boom")
		var begun, cancelled atomic.Int32
		err := object.Each(t.Context(), []int{0, 1, 2, 3}, 2, func(ctx context.Context, i int) error {
			begun.Add(1)
			if i == 1 {
				time.Sleep(time.Second)
				return boom
			}
			<-ctx.Done()
			cancelled.Add(1)
			return ctx.Err()
		})
		if err != boom || begun.Load() != 2 || cancelled.Load() != 1 {
			t.Error(err, begun.Load(), cancelled.Load())
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := object.Each(ctx, []int{1}, 2, func(context.Context, int) error { t.Error("begun"); return nil }); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		defer func() {
			if recover() != "bang" {
				t.Error("the panic is lost")
			}
		}()
		object.Each(t.Context(), []int{1, 2}, 2, func(context.Context, int) error { panic("bang") })
	})
}

// A do that calls runtime.Goexit, as testing's FailNow does, has not gone well.
func TestEachEndsAsItsItemsDo(t *testing.T) {
	exited := make(chan bool)
	go func() {
		returned := false
		defer func() { exited <- !returned }()
		object.Each(t.Context(), []int{1, 2}, 0, func(context.Context, int) error { runtime.Goexit(); return nil })
		returned = true
	}()
	if !<-exited {
		t.Error("Each has returned as if all were done")
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	err := object.Each(ctx, []int{1, 2}, -1, func(context.Context, int) error { cancel(errors.New("enough")); return nil })
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "enough") {
		t.Error(err)
	}
}

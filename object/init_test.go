package object_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/highlander-go/highlander/object"
	"github.com/highlander-go/highlander/persist"
)

// legacy is an application's old database.
type legacy struct {
	values map[string]int64
	asked  int
	err    error
}

var imported = &object.Type[counter]{Name: "imported", Default: func() counter { return counter{1} }, Methods: []object.Method[counter]{add}, Idle: time.Minute,
	Init: func(c *counter, ctx context.Context) error {
		db, err := object.Env[*legacy](ctx)
		if err != nil {
			return err
		}
		db.asked++
		if db.err != nil {
			return db.err
		}
		c.Value += db.values[object.From(ctx).Key.ID]
		return nil
	}}

func TestInitMakesWhatWasNeverWritten(t *testing.T) {
	inWorld(t, func(w *world) {
		ctx, db := w.Context(), &legacy{values: map[string]int64{"x": 10}}
		w.env = db
		w.store.Committer = persist.NewClusterRecords(persist.NewMemory(), 1, true) // which purges
		n := w.node("n")
		c := imported.On(n)
		must := func(want int64, version uint64, asked int) {
			t.Helper()
			got, v, err := c.GetVersion(ctx, "x")
			if err != nil || got.Value != want || v != version || db.asked != asked {
				t.Fatalf("%v, version %d, %v, asked %d times; want %d, %d, %d", got, v, err, db.asked, want, version, asked)
			}
		}
		must(11, 0, 1)
		must(11, 0, 1)
		w.letGo()
		must(11, 0, 2) // reads write nothing
		if w.store.count() != 0 {
			t.Error("a read was written")
		}
		if v, err := add.Call(ctx, c.Ref("x"), 5); err != nil || v != 16 {
			t.Fatal(v, err)
		}
		w.letGo()
		must(16, 1, 2)
		if err := c.Delete(ctx, "x"); err != nil {
			t.Fatal(err)
		}
		must(1, 2, 2)
		for range 3 { // the tombstone is not purged
			time.Sleep(10 * time.Minute)
			must(1, 2, 2)
		}
	}, imported)
}

// So does one that is deleted before anything of it was stored.
func TestWhatInitHasNotMadeStaysDeleted(t *testing.T) {
	inWorld(t, func(w *world) {
		db := &legacy{values: map[string]int64{}}
		w.env = db
		c := imported.On(w.node("n"))
		if err := c.Delete(w.Context(), "x"); err != nil {
			t.Fatal(err)
		}
		w.letGo()
		db.values["x"] = 10
		if s, err := c.Get(w.Context(), "x"); s.Value != 1 || err != nil {
			t.Error(s, err)
		}
	}, imported)
}

// An update is compared with what Init has made, not with the defaults.
func TestTheDefaultsAreAChangeOfWhatInitMakes(t *testing.T) {
	inWorld(t, func(w *world) {
		db := &legacy{values: map[string]int64{"x": 10}}
		w.env = db
		n := w.node("n")
		for _, delta := range []int64{0, -10} {
			if _, err := add.Call(w.Context(), imported.On(n).Ref("x"), delta); err != nil {
				t.Fatal(err)
			}
			if written := w.store.count() > 0; written != (delta != 0) {
				t.Errorf("%d was added: written %v", delta, written)
			}
		}
		w.letGo()
		if c, err := imported.On(n).Get(w.Context(), "x"); err != nil || c.Value != 1 || db.asked != 1 {
			t.Error(c, err, db.asked)
		}
	}, imported)
}

func TestAFailedInitIsTheCallsError(t *testing.T) {
	inWorld(t, func(w *world) {
		w.onCall = overTheWire
		db := &legacy{err: errForbidden}
		w.env = db
		w.types = append(w.types, testErrors)
		a, b := w.node("a"), w.node("b")
		imported.On(a).Get(w.Context(), "x")
		for _, n := range []*node{a, b} {
			asked := db.asked
			_, err := imported.On(n).Get(w.Context(), "x")
			if !errors.Is(err, errForbidden) || errors.Is(err, object.ErrUnavailable) || db.asked != asked+1 {
				t.Errorf("%v, asked %d times", err, db.asked-asked)
			}
		}
		db.err = nil
		if c, err := imported.On(b).Get(w.Context(), "x"); err != nil || c.Value != 1 {
			t.Error(c, err)
		}
	}, imported)
}

func TestAnInitThatPanicsOrNeedsItselfFails(t *testing.T) {
	var typ *object.Type[counter]
	typ = &object.Type[counter]{Name: "odd", Methods: []object.Method[counter]{add}, Init: func(_ *counter, ctx context.Context) error {
		if object.From(ctx).Key.ID == "panics" {
			panic("no such table")
		}
		n, _ := object.Env[object.Node](ctx)
		_, err := add.Call(ctx, typ.On(n).Ref(object.From(ctx).Key.ID), 1)
		return err
	}}
	inWorld(t, func(w *world) {
		env := &struct{ object.Node }{}
		w.env = env
		n := w.node("n")
		env.Node = n
		if _, err := typ.On(n).Get(w.Context(), "panics"); !errors.Is(err, object.ErrPanic) {
			t.Error(err)
		}
		at := w.clock()
		_, err := typ.On(n).Get(w.Context(), "itself")
		if !errors.Is(err, object.ErrCycle) || !strings.Contains(err.Error(), "odd/itself -> odd/itself") || w.clock() != at {
			t.Error(err, w.clock()-at)
		}
	}, typ)
}

func TestAnInitThatExitsItsGoroutineFails(t *testing.T) {
	typ := &object.Type[counter]{Name: "exits", Init: func(*counter, context.Context) error { runtime.Goexit(); return nil }}
	inWorld(t, func(w *world) {
		n := w.node("n")
		for range 2 {
			if _, err := typ.On(n).Get(w.Context(), "x"); !errors.Is(err, object.ErrPanic) || errors.Is(err, object.ErrUnavailable) {
				t.Error(err)
			}
		}
	}, typ)
}

func TestAnInitWhoseStateCannotBeEncodedFails(t *testing.T) {
	type state struct{ Value any }
	asked := 0
	typ := &object.Type[state]{Name: "odd", Init: func(s *state, _ context.Context) error { asked++; s.Value = func() {}; return nil }}
	inWorld(t, func(w *world) {
		w.onCall = overTheWire
		a := w.node("a")
		w.node("b")
		_, err := typ.On(a).Get(w.Context(), "x")
		if err == nil || errors.Is(err, object.ErrUnavailable) || asked != 1 {
			t.Errorf("%v, Init has run %d times", err, asked)
		}
	}, typ)
}

// Init has 10 s, whatever its caller has; its context is over when it returns.
func TestInitHasALimit(t *testing.T) {
	var last context.Context
	typ := &object.Type[counter]{Name: "slow", Init: func(c *counter, ctx context.Context) error {
		if last = ctx; object.From(ctx).Key.ID == "fast" {
			return nil
		}
		<-ctx.Done()
		return ctx.Err()
	}}
	inWorld(t, func(w *world) {
		n, at := w.node("n"), w.clock()
		if _, err := typ.On(n).Get(w.Context(), "x"); !errors.Is(err, context.DeadlineExceeded) || w.clock()-at != 10*time.Second {
			t.Error(err, w.clock()-at)
		}
		if _, err := typ.On(n).Get(w.Context(), "fast"); err != nil || last.Err() == nil {
			t.Error(err, last.Err())
		}
	}, typ)
}

// A node that drains lets an Init end that has begun, and what it calls.
func TestADrainWaitsForInit(t *testing.T) {
	var begun, proceed chan struct{}
	var nested error
	typ := &object.Type[counter]{Name: "slow", Init: func(c *counter, ctx context.Context) error {
		begun <- struct{}{}
		<-proceed
		_, nested = counters.On(object.From(ctx)).Get(ctx, "a") // is not awake
		return nil
	}}
	inWorld(t, func(w *world) {
		begun, proceed = make(chan struct{}, 1), make(chan struct{})
		n := w.node("n")
		get := background(func() (int64, error) { _, err := typ.On(n).Get(w.Context(), "x"); return 0, err })
		<-begun
		drain := background(func() (int64, error) { return 0, n.host.Drain(w.Context()) })
		if drain.over() {
			t.Error("the drain has not waited")
		}
		close(proceed)
		if _, err := drain.wait(); err != nil {
			t.Error(err)
		}
		if _, err := get.wait(); nested != nil || err != nil && !errors.Is(err, object.ErrClosed) { // it may be gone again
			t.Error(nested, err)
		}
	}, typ)
}

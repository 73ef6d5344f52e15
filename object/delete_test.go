package object_test

import (
	"context"
	"errors"
	"runtime/debug"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/highlander-go/highlander/object"
	"github.com/highlander-go/highlander/persist"
)

// version is the object's version as the node sees it, and its value.
func (w *world) version(n *node) (value int64, version uint64) {
	w.Helper()
	c, version, err := counters.On(n).GetVersion(w.Context(), "a")
	if err != nil {
		w.Fatal(err)
	}
	return c.Value, version
}

func (w *world) mustDelete(n *node) {
	w.Helper()
	if err := counters.On(n).Delete(w.Context(), "a"); err != nil {
		w.Fatal(err)
	}
}

func TestADeletedObjectHasTheDefaultsAgain(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		w.mustAdd(n, 5, 5)
		w.mustDelete(n)
		if value, version := w.version(n); value != 0 || version != 2 {
			t.Errorf("value %d, version %d", value, version)
		}
		if err := counters.On(n).PutIf(w.Context(), "a", 1, counter{7}); !errors.Is(err, object.ErrVersion) {
			t.Errorf("a PutIf from before the deletion: %v", err)
		}
		n.stop() // the object is released, and another node reads the tombstone
		m := w.node("m")
		if value, version := w.version(m); value != 0 || version != 2 {
			t.Errorf("another owner: value %d, version %d", value, version)
		}
		w.mustDelete(m)
		if w.store.count() != 2 {
			t.Errorf("what is deleted already was deleted again: %d puts", w.store.count())
		}
		w.mustAdd(m, 3, 3)
		if value, version := w.version(m); value != 3 || version != 3 {
			t.Errorf("written again: value %d, version %d", value, version)
		}
	})
}

func TestDeletingWhatDoesNotExistWritesNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		w.mustDelete(n)
		w.mustAdd(n, 1, 1)
		w.mustDelete(n)
		w.mustDelete(n)
		if w.store.count() != 2 {
			t.Errorf("%d puts, want one of the update and one of the deletion", w.store.count())
		}
	})
}

// To write the defaults is not to delete, and the other way round.
func TestAnObjectThatEqualsTheDefaultsExists(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		put := func() {
			if err := counters.On(n).Put(w.Context(), "a", counter{}); err != nil {
				t.Fatal(err)
			}
		}
		put()
		w.mustDelete(n)
		put()
		if _, version := w.version(n); version != 3 || w.store.count() != 3 {
			t.Errorf("version %d after %d puts, want 3 of each", version, w.store.count())
		}
		for i, deleted := range []bool{false, true, false} {
			if w.store.puts[i].record.Deleted != deleted || deleted && len(w.store.puts[i].record.State) > 0 {
				t.Errorf("put %d: %+v", i, w.store.puts[i].record)
			}
		}
	})
}

// What shares a put shares its end: deleted and written again is written, written and deleted is deleted.
func TestADeletionSharesThePut(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		gate := make(chan struct{})
		w.store.onCommit = func(_ context.Context, i int, commit func() (object.Tag, error)) (object.Tag, error) {
			if i == 0 {
				<-gate
			}
			return commit()
		}
		first := n.add(w.Context(), 1)
		deleted := background(func() (int64, error) { return 0, counters.On(n).Delete(w.Context(), "a") })
		synctest.Wait()
		again := n.add(w.Context(), 10)
		close(gate)
		for r, want := range map[*result]int64{first: 1, deleted: 0, again: 10} {
			if value, err := r.wait(); value != want || err != nil {
				t.Errorf("%d, %v; want %d", value, err, want)
			}
		}
		if w.store.count() != 2 || w.store.puts[1].record.Deleted {
			t.Errorf("%d puts, the last %+v", w.store.count(), w.store.puts[1].record)
		}
	})
}

// A tombstone goes when nobody has asked for the object for its idle time, where the store can be trusted with that.
func TestATombstoneIsPurgedWhenItIsIdle(t *testing.T) {
	for _, purges := range []bool{true, false} {
		inWorld(t, func(w *world) {
			blobs := persist.NewMemory()
			w.store.Committer = persist.NewClusterRecords(blobs, 1, purges)
			n := w.node("n")
			w.mustAdd(n, 5, 5)
			w.mustDelete(n)
			time.Sleep(2 * object.DefaultIdle)
			names, err := blobs.List(w.Context(), "", "", 10)
			if err != nil || (len(names) == 0) != purges {
				t.Errorf("purges: %v; the store has %v, %v", purges, names, err)
			}
			want := uint64(2)
			if purges {
				want = 0
			}
			if value, version := w.version(n); value != 0 || version != want {
				t.Errorf("purges: %v; value %d, version %d", purges, value, version)
			}
			w.mustAdd(n, 1, 1)
		})
	}
}

// A purge that lands late, when the next owner has loaded the tombstone, is no alarm: the object begins anew.
func TestALatePurgeIsNoAlarm(t *testing.T) {
	inWorld(t, func(w *world) {
		blobs := persist.NewMemory()
		w.store.Committer = persist.NewClusterRecords(blobs, 1, true)
		a, b := w.node("a"), w.node("b")
		w.mustAdd(a, 5, 5)
		w.mustDelete(a)
		if err := a.host.Drain(w.Context()); err != nil {
			t.Fatal(err)
		}
		w.mustGet(b, 0)
		names, err := blobs.List(w.Context(), "", "", 10)
		if err != nil || len(names) != 1 {
			t.Fatal(names, err)
		}
		_, tag, err := w.store.Committer.Load(w.Context(), object.Key{Type: "counter", ID: "a"})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.store.Committer.Purge(w.Context(), object.Key{Type: "counter", ID: "a"}, tag); err != nil {
			t.Fatal(err)
		}
		w.mustFail(b.add(w.Context(), 1), object.ErrUnavailable)
		w.mustAdd(b, 1, 1)
		if strings.Contains(w.log.String(), "ALARM") {
			t.Error("it was taken for two owners")
		}
	})
}

// An object that is let go early, for want of memory, keeps its tombstone: writes that come late are still to be expected.
func TestATombstoneOutlivesAShortageOfMemory(t *testing.T) {
	inWorld(t, func(w *world) {
		blobs := persist.NewMemory()
		w.store.Committer = persist.NewClusterRecords(blobs, 1, true)
		n := w.node("n")
		w.mustAdd(n, 5, 5)
		w.mustDelete(n)
		defer debug.SetMemoryLimit(debug.SetMemoryLimit(1))
		time.Sleep(object.DefaultIdle / 2)
		synctest.Wait()
		if _, ok, err := w.registry.Owner(w.Context(), object.Key{Type: "counter", ID: "a"}); ok || err != nil {
			t.Fatalf("the scene is not set: it was not let go, %v", err)
		}
		if names, err := blobs.List(w.Context(), "", "", 10); len(names) != 1 || err != nil {
			t.Errorf("the store has %v, %v", names, err)
		}
	})
}

// What exists is not purged.
func TestOnlyTombstonesArePurged(t *testing.T) {
	inWorld(t, func(w *world) {
		w.store.Committer = persist.NewClusterRecords(persist.NewMemory(), 1, true)
		n := w.node("n")
		w.mustAdd(n, 5, 5)
		time.Sleep(2 * object.DefaultIdle)
		w.mustGet(n, 5)
		w.mustDelete(n)
		w.mustAdd(n, 6, 6)
		time.Sleep(2 * object.DefaultIdle)
		w.mustGet(n, 6)
	})
}

func TestAnObjectIsDeletedFromAnotherNode(t *testing.T) {
	inWorld(t, func(w *world) {
		n, m := w.node("n"), w.node("m")
		w.mustAdd(n, 5, 5)
		w.mustDelete(m)
		w.mustGet(n, 0)
		if _, version := w.version(n); version != 2 || !w.store.puts[1].record.Deleted {
			t.Errorf("version %d, %+v", version, w.store.puts[1].record)
		}
	})
}

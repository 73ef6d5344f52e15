package object_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/highlander-go/highlander/object"
)

// An outage is a node's way to the store, which can be cut.
type outage struct {
	object.Committer
	mu    sync.Mutex
	cut   bool
	loads map[string]bool // ids of the objects that were asked for while it was cut
}

func (o *outage) set(cut bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.cut, o.loads = cut, make(map[string]bool)
}

func (o *outage) fails(id string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.cut {
		o.loads[id] = true
		return errors.New("503 Service Unavailable")
	}
	return nil
}

func (o *outage) asked(id string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.loads[id]
}

func (o *outage) Load(ctx context.Context, key object.Key) (*object.Record, object.Tag, error) {
	if err := o.fails(key.ID); err != nil {
		return nil, "", err
	}
	return o.Committer.Load(ctx, key)
}

func (o *outage) Commit(ctx context.Context, key object.Key, r *object.Record, prev object.Tag) (object.Tag, error) {
	if err := o.fails(key.ID); err != nil {
		return "", err
	}
	return o.Committer.Commit(ctx, key, r, prev)
}

// withOutages runs a test on two nodes whose ways to the store can be cut. Objects wake where they are called; the second node serves the
// types named, nil: all.
func withOutages(t *testing.T, serves []string, test func(w *world, nodes []*node, outages []*outage)) {
	inWorld(t, func(w *world) {
		var nodes []*node
		var outages []*outage
		for _, name := range []string{"a", "b"} {
			o := &outage{Committer: w.store}
			w.committer = o
			nodes, outages = append(nodes, w.node(name)), append(outages, o)
			w.serves = serves
		}
		test(w, nodes, outages)
	}, albums)
}

// wake has the node own so many idle counters, and returns their ids.
func (n *node) wake(count int) (ids []string) {
	n.world.Helper()
	for i := range count {
		ids = append(ids, fmt.Sprint(n.id, i))
		n.world.mustAddAt(n, ids[i], 1)
	}
	return ids
}

// owned is how many of the counters the node owns.
func (n *node) owned(nodes []*node, ids []string) (count int) {
	for _, id := range ids {
		if n.world.ownerOf(nodes, id) == n {
			count++
		}
	}
	return count
}

// busy has the node call something every second until the test ends.
func (n *node) busy(call func(ctx context.Context)) {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			call(ctx)
			time.Sleep(time.Second)
		}
	}()
	n.world.Cleanup(func() { stop(); <-done })
}

func (n *node) adds(id string) func(context.Context) {
	return func(ctx context.Context) { add.Call(ctx, counters.On(n).Ref(id), 1) }
}

func TestANodeWhoseStoreFailsLetsObjectsGoWhereItAnswers(t *testing.T) {
	withOutages(t, nil, func(w *world, nodes []*node, outages []*outage) {
		a, b := nodes[0], nodes[1]
		ids := a.wake(2000)
		w.mustAdd(a, 1, 1)
		b.busy(b.adds("at b"))
		time.Sleep(2 * time.Second)
		outages[0].set(true)
		ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
		defer cancel()
		stuck := a.attempt(ctx, 1)
		time.Sleep(5 * time.Second)
		if n := a.owned(nodes, ids); n != len(ids) {
			t.Errorf("after 5 s it owns %d", n)
		}
		time.Sleep(25 * time.Second)
		if n := a.owned(nodes, append(ids, "a")); n > 0 {
			t.Errorf("it still owns %d", n)
		}
		w.mustFail(stuck, object.ErrUnknownOutcome)
		w.mustAddAt(a, "a", 2)
		w.mustAddAt(a, ids[7], 2)

		w.mustAddAt(a, "fresh", 1)
		if outages[0].asked("fresh") || w.ownerOf(nodes, "fresh") != b {
			t.Error("it still claims objects")
		}
		outages[0].set(false)
		time.Sleep(2 * time.Second)
		w.mustAddAt(a, "later", 1)
		if w.ownerOf(nodes, "later") != a {
			t.Error("it claims none although its store answers again")
		}
	})
}

// The caller is told what the store has said; a short failure is none.
func TestANodeWhoseStoreFailsWakesNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		o := &outage{Committer: w.store}
		w.committer = o
		a := w.node("a")
		o.set(true)
		call := func(id string) error {
			ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
			defer cancel()
			_, err := add.Call(ctx, counters.On(a).Ref(id), 1)
			if !errors.Is(err, object.ErrUnavailable) || !strings.Contains(err.Error(), "503") {
				t.Error(err)
			}
			return err
		}
		call("first")
		time.Sleep(5 * time.Second)
		call("second")
		if !o.asked("second") {
			t.Error("a failure of 5 s is taken for a long one")
		}
		time.Sleep(10 * time.Second)
		if err := call("third"); o.asked("third") || !strings.Contains(err.Error(), "wakes no object") {
			t.Errorf("it was loaded: %v", err)
		}
		o.set(false)
		time.Sleep(2 * time.Second)
		w.mustAddAt(a, "third", 1)
	})
}

// When the store fails for all, objects stay where they are: their states can still be read.
func TestObjectsStayWhenTheStoreFailsEverywhere(t *testing.T) {
	withOutages(t, nil, func(w *world, nodes []*node, outages []*outage) {
		ids := [][]string{nodes[0].wake(50), nodes[1].wake(50)}
		for i, n := range nodes {
			n.busy(n.adds(ids[i][0]))
		}
		time.Sleep(5 * time.Second)
		for _, o := range outages {
			o.set(true)
		}
		for i, n := range nodes {
			n.busy(n.adds(ids[i][1])) // these are stuck, too
		}
		time.Sleep(time.Minute)
		for i, n := range nodes {
			if owned := n.owned(nodes, ids[i][2:]); owned != 48 {
				t.Errorf("node %d still owns %d of 48", i, owned)
			}
			if c, err := counters.On(n).Get(w.Context(), ids[i][2]); c.Value != 1 || err != nil {
				t.Error(c.Value, err)
			}
		}
	})
}

// A node that has not used its store for long finds out how it does with one object.
func TestANodeThatHasBeenQuietIsTriedWithOneObject(t *testing.T) {
	withOutages(t, nil, func(w *world, nodes []*node, outages []*outage) {
		a := nodes[0]
		ids := a.wake(50)
		w.mustAdd(a, 1, 1)
		time.Sleep(time.Minute)
		outages[0].set(true)
		ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
		defer cancel()
		// Two are stuck.
		stuck, other := a.attempt(ctx, 1), a.attemptAt(ctx, ids[30], 1)
		released := "a"
		select {
		case <-stuck.done:
			w.mustFail(stuck, object.ErrUnknownOutcome)
		case <-other.done:
			w.mustFail(other, object.ErrUnknownOutcome)
			released = ids[30]
		}
		time.Sleep(5 * time.Second) // the next one may be on its way, which takes 10 s
		synctest.Wait()
		if n := a.owned(nodes, append(ids, "a")); n != 50 {
			t.Errorf("it still owns %d of 51", n)
		}
		w.mustAddAt(a, released, 2)
		time.Sleep(20 * time.Second)
		if n := a.owned(nodes, ids); n > 0 {
			t.Errorf("it still owns %d", n)
		}
	})
}

func TestObjectsStayThatNoOtherNodeServes(t *testing.T) {
	withOutages(t, []string{"album"}, func(w *world, nodes []*node, outages []*outage) {
		a, b := nodes[0], nodes[1]
		ids := a.wake(50)
		w.mustAdd(a, 1, 1)
		b.busy(func(ctx context.Context) { setTitles.Call(ctx, albums.On(b).Ref("x"), []string{time.Now().String()}) })
		outages[0].set(true)
		a.busy(a.adds("a"))
		time.Sleep(time.Minute)
		if n := a.owned(nodes, append(ids, "a")); n != 51 {
			t.Errorf("it owns %d of 51", n)
		}
		outages[0].set(false)
		time.Sleep(2 * time.Second)
		if c, err := counters.On(a).Get(w.Context(), "a"); c.Value < 2 || err != nil {
			t.Error(c.Value, err)
		}
	})
}

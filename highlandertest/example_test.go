package highlandertest_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/highlander-go/highlander/examples/todo/todo"
	"github.com/highlander-go/highlander/highlandertest"
	"github.com/highlander-go/highlander/object"
)

// The tests of this file are examples: of the application in examples/todo.

// What was answered survives the death of the node that has answered.
func TestExampleKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := highlandertest.Start(t, 3, todo.Objects)
		if _, err := todo.Counters(cluster.Node(0)).Ref("visits").Add(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		owner := cluster.Owner("counter", "visits")
		cluster.Kill(owner)
		cluster.Restart(owner)
		for i := range cluster.Len() {
			if c, err := todo.Counters(cluster.Node(i)).Get(t.Context(), "visits"); c.Value != 1 || err != nil {
				t.Errorf("through node %d: %d, %v", i, c.Value, err)
			}
		}
	})
}

// A list is one object: however much an update changes in it, it is one put. Reads cost nothing.
func TestExampleCost(t *testing.T) {
	cluster := highlandertest.Start(t, 2, todo.Objects)
	ann := object.WithCaller(t.Context(), object.Caller{ID: "ann"})
	list := todo.Lists(cluster.Node(0)).Ref("shopping")
	if err := list.Create(ann, "Shopping"); err != nil {
		t.Fatal(err)
	}
	cluster.ResetCost()
	if _, err := list.InsertTodo(ann, todo.NewTodo("milk")); err != nil {
		t.Fatal(err)
	}
	if _, err := list.Open(ann); err != nil {
		t.Fatal(err)
	}
	if got := cluster.Cost(); got != (highlandertest.Cost{PUTs: 1}) {
		t.Errorf("it cost %+v", got)
	}
}

// The store's answer to a put is lost. The owner looks, finds that it has taken effect, and answers.
func TestExampleLoseAnswer(t *testing.T) {
	cluster := highlandertest.Start(t, 2, todo.Objects)
	cluster.Store().Next(1, highlandertest.LoseAnswer())
	if sum, err := todo.Counters(cluster.Node(1)).Ref("visits").Add(t.Context(), 1); sum != 1 || err != nil {
		t.Error(sum, err)
	}
}

// Clients add to a counter through all nodes while one node is killed, one is paused and one cannot reach the store. All that they see is what one counter would have
// answered if they had asked one after the other.
func TestExampleHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := highlandertest.Start(t, 3, todo.Objects)
		history := highlandertest.NewHistory(highlandertest.Model[int64, int64, int64]{
			Step: func(value, delta int64) (next, out int64, err error) {
				if value+delta < value {
					return value, 0, todo.ErrOverflow
				}
				return value + delta, value + delta, nil
			},
		})
		var clients sync.WaitGroup
		for i := range cluster.Len() {
			clients.Go(func() {
				for range 100 {
					ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
					history.Do(i, "visits", 1, func() (int64, error) {
						return todo.Counters(cluster.Node(i)).Ref("visits").Add(ctx, 1)
					})
					cancel()
					time.Sleep(100 * time.Millisecond)
				}
			})
		}
		for _, fault := range []func(){
			func() { cluster.Kill(0) },
			func() { cluster.Pause(1) }, func() { cluster.Resume(1) },
			func() { cluster.Partition(2, highlandertest.Store) }, cluster.Heal,
		} {
			time.Sleep(3 * time.Second)
			fault()
		}
		clients.Wait()
		history.Check(t)
	})
}

// An error of the application's is part of the model. This history says what no counter does: the check fails and has a picture drawn.
func TestExampleHistoryThatIsWrong(t *testing.T) {
	history := highlandertest.NewHistory(highlandertest.Model[int, string, int]{
		Step: func(n int, what string) (next, out int, err error) {
			if what == "add" {
				n++
			}
			return n, n, nil
		},
	})
	history.Do(0, "visits", "add", func() (int, error) { return 1, nil })
	history.Do(0, "visits", "add", func() (int, error) { return 0, fmt.Errorf("lost: %w", object.ErrUnknownOutcome) })
	history.Do(1, "visits", "get", func() (int, error) { return 2, nil })
	history.Do(1, "visits", "get", func() (int, error) { return 1, nil })
	told := &recording{TB: t}
	history.Check(told)
	if told.said.Len() == 0 {
		t.Error("a counter goes back, and nobody is told")
	}
	mustHavePicture(t, told.said.String())
}

package highlandertest_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/highlander-go/highlander/highlandertest"
	"github.com/highlander-go/highlander/object"
)

var errMuch = errors.New("too much")

// A counter that refuses to exceed 100.
var counter = highlandertest.Model[int, int, int]{
	Step: func(n, by int) (int, int, error) {
		if n+by > 100 {
			return n, 0, errMuch
		}
		return n + by, n + by, nil
	},
}

func history() *highlandertest.History[int, int, int] { return highlandertest.NewHistory(counter) }

// call records a call that does what it is told to, and calls meanwhile before it returns.
func call(h *highlandertest.History[int, int, int], key string, in, out int, err error, meanwhile func()) {
	h.Do(0, key, in, func() (int, error) {
		if meanwhile != nil {
			meanwhile()
		}
		return out, err
	})
}

func TestHistories(t *testing.T) {
	unknown := fmt.Errorf("a: %w", object.ErrUnknownOutcome)
	for name, x := range map[string]struct {
		right  bool
		record func(h *highlandertest.History[int, int, int])
	}{
		"one after the other": {true, func(h *highlandertest.History[int, int, int]) {
			call(h, "a", 1, 1, nil, nil)
			call(h, "b", 2, 2, nil, nil)
			call(h, "a", 1, 2, nil, nil)
		}},
		"a lost update": {false, func(h *highlandertest.History[int, int, int]) {
			call(h, "a", 1, 1, nil, nil)
			call(h, "a", 1, 1, nil, nil)
		}},
		"at the same time, either way round": {true, func(h *highlandertest.History[int, int, int]) {
			call(h, "a", 1, 3, nil, func() { call(h, "a", 2, 2, nil, nil) })
		}},
		"a stale read": {false, func(h *highlandertest.History[int, int, int]) {
			call(h, "a", 1, 1, nil, nil)
			call(h, "a", 0, 0, nil, nil)
		}},
		"what was refused, as the model has it": {true, func(h *highlandertest.History[int, int, int]) {
			call(h, "a", 101, 0, fmt.Errorf("as it said: %w", errMuch), nil)
			call(h, "a", 1, 1, nil, nil)
		}},
		"what was refused without a reason": {false, func(h *highlandertest.History[int, int, int]) {
			call(h, "a", 1, 0, errMuch, nil)
		}},
		"what should have been refused": {false, func(h *highlandertest.History[int, int, int]) {
			call(h, "a", 101, 101, nil, nil)
		}},
		"an error that the model does not know": {false, func(h *highlandertest.History[int, int, int]) {
			call(h, "a", 1, 0, object.ErrPanic, nil)
		}},
		"what has not happened": {true, func(h *highlandertest.History[int, int, int]) {
			call(h, "a", 1, 0, object.ErrUnavailable, nil)
			call(h, "a", 1, 1, nil, nil)
		}},
		"what was said not to have happened, and has": {false, func(h *highlandertest.History[int, int, int]) {
			call(h, "a", 1, 0, object.ErrUnavailable, nil)
			call(h, "a", 1, 2, nil, nil)
		}},
		"an unknown outcome that shows": {true, func(h *highlandertest.History[int, int, int]) {
			call(h, "a", 1, 0, unknown, nil)
			call(h, "a", 0, 0, nil, nil)
			call(h, "a", 0, 1, nil, nil)
		}},
		"an unknown outcome that does not": {true, func(h *highlandertest.History[int, int, int]) {
			call(h, "a", 1, 0, unknown, nil)
			call(h, "a", 0, 0, nil, nil)
		}},
		"an unknown outcome that shows twice": {false, func(h *highlandertest.History[int, int, int]) {
			call(h, "a", 1, 0, unknown, nil)
			call(h, "a", 0, 2, nil, nil)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			tb, h := &recording{TB: t}, history()
			x.record(h)
			h.Check(tb)
			said := tb.said.String()
			if right := said == ""; right != x.right {
				t.Errorf("Check says %q", said)
			} else if !right {
				mustHavePicture(t, said)
			}
		})
	}
}

func mustHavePicture(t *testing.T, said string) {
	t.Helper()
	_, path, ok := strings.Cut(said, "\nsee ")
	path, hint, _ := strings.Cut(path, " ")
	page, err := os.ReadFile(path)
	if !ok || err != nil || !strings.Contains(string(page), "<html") || !strings.Contains(hint, "go test -artifacts") {
		t.Errorf("it says %q; the picture: %v", said, err)
	}
	os.RemoveAll(strings.TrimSuffix(path, path[strings.LastIndexByte(path, '/'):]))
}

// What is wrong with a history can be read without the picture.
func TestAHistorySaysWhichCallCannotBe(t *testing.T) {
	h := history()
	h.Do(0, "a", 1, func() (int, error) { return 1, nil })
	h.Do(1, "a", 2, func() (int, error) { return 3, nil })
	h.Do(2, "a", 4, func() (int, error) { return 5, nil }) // of a state in which what client 1 has added is lost
	h.Do(3, "a", 0, func() (int, error) { return 5, nil })
	tb := &recording{TB: t}
	h.Check(tb)
	said := tb.said.String()
	if want := "the calls of \"a\" are not linearizable: the model can follow 2 of 4, until the state is 3, but then not this call of client 2: 4 → 5\n"; !strings.HasPrefix(said, want) {
		t.Errorf("Check says %q, want %q", said, want)
	}
	mustHavePicture(t, said)
}

// What would take for ever to check fails, also where time stands still.
func TestAHistoryThatIsTooLongToCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := highlandertest.NewHistory(highlandertest.Model[int, int, int]{Step: func(n, by int) (int, int, error) { return n + by, n + by, nil }})
		for i := range 40 {
			call(h, "a", 1<<i, 0, object.ErrUnknownOutcome, nil)
		}
		call(h, "a", 0, -1, nil, nil)
		tb := &recording{TB: t}
		if h.Check(tb); !strings.Contains(tb.said.String(), "cannot be checked") {
			t.Errorf("Check says %q", tb.said.String())
		}
	})
}

// A call that has not returned when the history is checked may have happened or not.
func TestACallThatHasNotReturned(t *testing.T) {
	h := history()
	call(h, "a", 1, 1, nil, func() {
		tb := &recording{TB: t}
		call(h, "a", 1, 2, nil, nil)
		if h.Check(tb); tb.said.Len() > 0 {
			t.Error(tb.said.String())
		}
	})
}

// Objects that are called by many while their owners are killed, paused and cut off are linearizable.
func TestObjectsAreLinearizableThroughFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := highlandertest.Start(t, 3, tallies)
		h := highlandertest.NewHistory(highlandertest.Model[int, int, int]{
			Step: func(n, by int) (int, int, error) { return n + by, n + by, nil },
		})
		var clients sync.WaitGroup
		over := make(chan struct{})
		for client := range 3 {
			clients.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-over:
						return
					case <-time.After(100 * time.Millisecond):
					}
					key := fmt.Sprint(i % 4)
					ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
					_, _ = h.Do(client, key, 1, func() (int, error) { // what comes of it is recorded
						return bump.Call(ctx, tallies.On(c.Node(client)).Ref(key), 1)
					})
					cancel()
				}
			})
		}
		faults := []func(){
			func() { c.Kill(0) }, func() { c.Restart(0) },
			func() { c.Cut(1, 2) }, c.Heal,
			func() { c.Pause(1) }, func() { c.Resume(1) },
			func() { c.Expire(2) },
			func() { c.Store().Next(3, highlandertest.LoseAnswer()) },
			func() { c.Partition(2, highlandertest.Registry) }, c.Heal,
			func() { c.Cut(highlandertest.Store, 0) }, c.Heal,
		}
		for _, f := range faults {
			time.Sleep(5 * time.Second)
			f()
		}
		time.Sleep(5 * time.Second)
		close(over)
		clients.Wait()
		h.Check(t)
	})
}

var errOverdrawn = errors.New("overdrawn")

// A call that fails changes nothing, whatever state Step returns beside the error: a zero one is what Go programs return there.
func TestACallThatFailsLeavesTheState(t *testing.T) {
	h := highlandertest.NewHistory(highlandertest.Model[int, int, int]{
		Step: func(state, by int) (int, int, error) {
			if state+by < 0 {
				return 0, 0, errOverdrawn
			}
			return state + by, state + by, nil
		},
	})
	h.Do(0, "a", 5, func() (int, error) { return 5, nil })
	h.Do(0, "a", -6, func() (int, error) { return 0, errOverdrawn })
	h.Do(0, "a", -1, func() (int, error) { return 4, nil })
	h.Check(t)
}

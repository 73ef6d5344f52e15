package object_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/highlander-go/highlander/codec"
	"github.com/highlander-go/highlander/object"
	"github.com/highlander-go/highlander/persist"
)

// lost is how a transport says that it does not know what became of a call.
func lost(to object.Member) error {
	return &object.UnreachableError{Member: to, How: object.Silent, Sent: true, Err: errors.New("reset")}
}

// When an answer is lost, or the call itself, another attempt is told what came of the first one, and it has run once.
func TestALostAnswerIsAskedForAgain(t *testing.T) {
	runs := 0
	count := object.Update("Count", func(_ context.Context, c *counter, delta int64) (string, error) {
		runs++
		if c.Value += delta; c.Value > 5 {
			return "", errAtLeast
		}
		return fmt.Sprint(c.Value, " after ", runs), nil
	})
	counted := &object.Type[counter]{Name: "counted", Methods: []object.Method[counter]{count}}
	for name, c := range map[string]struct {
		lose func(r *object.Request, deliver func() ([]byte, error)) // the first attempt
		by   int64
		want string
		err  error
		runs int
	}{
		"the answer":              {func(_ *object.Request, deliver func() ([]byte, error)) { deliver() }, 2, "2 after 1", nil, 1},
		"the answer, unchanged":   {func(_ *object.Request, deliver func() ([]byte, error)) { deliver() }, 0, "0 after 2", nil, 2}, // it has left no trace: the second run is the one
		"the answer, an error":    {func(_ *object.Request, deliver func() ([]byte, error)) { deliver() }, 6, "", errAtLeast, 2},
		"the call":                {func(*object.Request, func() ([]byte, error)) {}, 2, "2 after 1", nil, 1},
		"the call, unchanged":     {func(*object.Request, func() ([]byte, error)) {}, 0, "0 after 1", nil, 1},
		"the call, for an error":  {func(*object.Request, func() ([]byte, error)) {}, 6, "", errAtLeast, 1},
		"the answer and the next": {nil, 2, "2 after 1", nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			runs = 0
			inWorld(t, func(w *world) {
				a, b := w.node("a"), w.node("b")
				if _, err := counted.On(b).Get(w.Context(), "x"); err != nil {
					t.Fatal(err)
				}
				calls := 0
				w.onCall = func(to object.Member, r *object.Request, deliver func() ([]byte, error)) ([]byte, error) {
					if calls++; calls == 1 && c.lose != nil {
						c.lose(r, deliver)
						return nil, lost(to)
					} else if reply, err := deliver(); calls > 2 || c.lose != nil {
						return reply, err
					}
					return nil, lost(to)
				}
				got, err := count.Call(w.Context(), counted.On(a).Ref("x"), c.by)
				if got != c.want || !errors.Is(err, c.err) || err != nil && c.err == nil {
					t.Errorf("%q, %v; want %q, %v", got, err, c.want, c.err)
				}
				if runs != c.runs {
					t.Errorf("it has run %d times, want %d", runs, c.runs)
				}
				if w.store.count() != 1 {
					t.Errorf("%d puts: what a second attempt comes to is durable, and written once", w.store.count())
				}
			}, object.Set{Types: []object.Definition{counted}, Errors: []object.CrossingError{{Name: "at least", Value: &errAtLeast}}})
		})
	}
}

// A node that is among the members, but has no session yet, calls itself through the transport. What comes of such a call is kept as if another node had made it.
func TestAnAnswerOfTheNodeItselfIsAskedForAgain(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.begin("n")
		n.id = uuid.New()
		s := n.enter(1)
		serves, reset := make(chan struct{}), make(chan struct{})
		w.onCall = func(to object.Member, _ *object.Request, deliver func() ([]byte, error)) ([]byte, error) {
			<-serves
			go deliver()
			<-reset
			return nil, lost(to)
		}
		release := w.store.hold()
		r := n.add(w.Context(), 10)
		w.mustWait(r)
		n.branch = *n.serve(s)
		defer n.stop()
		w.mustWait(r)
		close(serves)
		w.mustWait(r)
		background(func() (int64, error) { return 0, counters.On(n).PutIf(w.Context(), "a", 0, counter{1}) }) // what comes after it is not run before the put is over
		synctest.Wait()
		close(reset)
		w.mustWait(r) // the second attempt is queued
		release()
		if v, err := r.wait(); v != 10 || err != nil {
			t.Errorf("%d, %v", v, err)
		}
		w.mustGet(n, 10)
	})
}

// A client sends its request again while the first one is being put, and the owner's session ends. Nobody is told that nothing was changed.
func TestARequestThatComesAgainDuringThePut(t *testing.T) {
	inWorld(t, func(w *world) {
		a, b := w.node("a"), w.node("b")
		w.mustAdd(a, 1, 1)
		gate, held := make(chan struct{}), w.store.count()
		w.store.onCommit = func(_ context.Context, i int, commit func() (object.Tag, error)) (object.Tag, error) {
			if i != held {
				return commit()
			}
			commit()
			<-gate
			return "", errors.New("503")
		}
		var requests [2]*result
		for i := range requests {
			requests[i] = background(func() (int64, error) {
				return add.Call(object.WithRequestID(w.Context(), "id"), counters.On(b).Ref("a"), 10)
			})
			w.mustWait(requests[i])
		}
		w.registry.Expire(a.id)
		<-a.done
		close(gate)
		a.session.Retire(w.Context())
		for i, r := range requests {
			if v, err := r.wait(); v != 11 || err != nil {
				t.Errorf("request %d: %d, %v", i, v, err)
			}
		}
		w.mustGet(b, 11)
	})
}

// The next owner finds in the record what the lost one has not told.
func TestTheNextOwnerKnowsWhatTheLostOneHasDone(t *testing.T) {
	inWorld(t, func(w *world) {
		a, b := w.node("a"), w.node("b")
		w.mustAdd(a, 1, 1)
		w.mustAdd(b, 1, 2)
		w.onCall = func(to object.Member, r *object.Request, deliver func() ([]byte, error)) ([]byte, error) {
			deliver()
			w.onCall = nil
			w.registry.Expire(a.id)
			<-a.done
			a.host.Close()
			return nil, lost(to)
		}
		w.mustAdd(b, 10, 12)
		w.mustAdd(b, 1, 13)
	})
}

// An owner that loses its session in the middle of a write asks the next session, or another node, what became of it.
func TestAWriteInFlightOutlivesTheSession(t *testing.T) {
	for name, landed := range map[string]bool{"it has landed": true, "it has not": false} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				n := w.node("n")
				w.mustAdd(n, 1, 1)
				gate := make(chan struct{})
				w.store.onCommit = func(_ context.Context, _ int, commit func() (object.Tag, error)) (object.Tag, error) {
					if landed {
						commit()
					}
					<-gate
					return "", errors.New("503")
				}
				r := n.add(w.Context(), 10)
				w.store.onCommit = nil
				w.registry.Expire(n.id)
				<-n.done
				w.mustWait(r)
				close(gate)
				n.session.Retire(w.Context())
				n.join()
				if v, err := r.wait(); v != 11 || err != nil {
					t.Errorf("%d, %v", v, err)
				}
				w.mustAdd(n, 1, 12)
			})
		})
	}
}

// failsLater adds in its first run, and fails in all that follow; or changes nothing then.
func failsLater(runs *atomic.Int64, err error) *object.UpdateMethod[counter, int64, int64] {
	return object.Update("FailsLater", func(_ context.Context, c *counter, delta int64) (int64, error) {
		if runs.Add(1) == 1 {
			c.Value += delta
			return c.Value, nil
		}
		return c.Value, err
	})
}

// Whatever a second attempt comes to is durable before it is told, so that the first one cannot take effect after that: its put finds another record.
func TestWhatASecondAttemptComesToFencesTheFirst(t *testing.T) {
	for name, c := range map[string]struct {
		written bool
		err     error
	}{"an error": {true, errAtLeast}, "an error, of an object without a record": {false, errAtLeast}, "no change": {true, nil}, "no change, without a record": {false, nil}} {
		t.Run(name, func(t *testing.T) {
			var runs atomic.Int64
			m := failsLater(&runs, c.err)
			typ := &object.Type[counter]{Name: "later", Codec: counterCodec, Methods: []object.Method[counter]{m, add}}
			inWorld(t, func(w *world) {
				a, b, client := w.node("a"), w.node("b"), w.node("client")
				ref := func(n *node) object.Ref[counter] { return typ.On(n).Ref("x") }
				want := int64(0)
				if c.written {
					want = 10
					if _, err := add.Call(w.Context(), ref(a), 10); err != nil {
						t.Fatal(err)
					}
				} else if _, err := typ.On(a).Get(w.Context(), "x"); err != nil {
					t.Fatal(err)
				}
				gate, late := make(chan struct{}), make(chan error, 1)
				held := w.store.count()
				w.store.onCommit = func(_ context.Context, n int, commit func() (object.Tag, error)) (object.Tag, error) {
					if n > held {
						return commit()
					}
					<-gate
					_, err := commit()
					late <- err
					return "", errors.New("503")
				}
				var once sync.Once
				w.onCall = func(to object.Member, _ *object.Request, deliver func() ([]byte, error)) ([]byte, error) {
					first := false
					once.Do(func() { first = true })
					if !first {
						return deliver()
					}
					go deliver()
					synctest.Wait()
					w.registry.Expire(a.id)
					<-a.done
					return nil, lost(to)
				}
				got, err := m.Call(w.Context(), ref(client), 5)
				if !errors.Is(err, c.err) || err == nil && got != want {
					t.Fatalf("%d, %v; want %d, %v", got, err, want, c.err)
				}
				close(gate)
				if err := <-late; !errors.Is(err, object.ErrConditionFailed) {
					t.Errorf("the first attempt's put: %v", err)
				}
				if s, err := typ.On(b).Get(w.Context(), "x"); s.Value != want || err != nil {
					t.Errorf("%+v, %v; want %d", s, err, want)
				}
			}, typ)
		})
	}
}

// requests returns how many bytes the counter's record has of recent updates.
func (w *world) requests(id string) int {
	w.Helper()
	r, _, err := w.store.Committer.Load(context.Background(), object.Key{Type: "counter", ID: id})
	if err != nil {
		w.Fatal(err)
	}
	return len(r.Requests)
}

// What a caller has been told is kept only until its next update, and what many callers may still ask for takes little room.
func TestWhatIsKeptIsBounded(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		w.mustAdd(n, 1, 1)
		one := w.requests("a")
		for i := range int64(100) {
			w.mustAdd(n, 1, i+2)
		}
		if now := w.requests("a"); now > one+8 {
			t.Errorf("%d bytes after 1 update, %d after 100 more", one, now)
		}
		var group sync.WaitGroup
		w.store.onCommit = func(_ context.Context, _ int, commit func() (object.Tag, error)) (object.Tag, error) {
			time.Sleep(time.Millisecond)
			return commit()
		}
		for range 256 {
			group.Go(func() {
				for range 20 {
					if _, err := add.Call(w.Context(), counters.On(n).Ref("a"), 1); err != nil {
						t.Error(err)
					}
				}
			})
		}
		most := 0
		for range 20 {
			time.Sleep(time.Millisecond)
			most = max(most, w.requests("a"))
		}
		group.Wait()
		if most > 64<<10 || most < 256 {
			t.Errorf("up to %d bytes with 256 callers", most)
		}
		w.mustAdd(n, 1, 101+256*20+1)
		if now := w.requests("a"); now > one+16 {
			t.Errorf("%d bytes when all are done", now)
		}
	})
}

// Callers that are gone are forgotten after a while, and so is all that is kept of an object that nobody has called for long.
func TestCallersThatAreGoneAreForgotten(t *testing.T) {
	inWorld(t, func(w *world) {
		a, b := w.node("a"), w.node("b")
		w.mustAdd(a, 1, 1)
		w.mustAdd(b, 1, 2)
		both := w.requests("a")
		for i := range int64(30) { // b calls no more; the object stays awake
			time.Sleep(time.Minute)
			w.mustAdd(a, 1, i+3)
			if i < 8 && w.requests("a") < both-2 {
				t.Fatalf("forgotten after %d minutes", i+1)
			}
		}
		one := w.requests("a")
		if one > both-20 {
			t.Errorf("%d bytes for two callers, %d when one has been gone for half an hour", both, one)
		}
		w.mustAdd(b, 1, 33)
		time.Sleep(5 * time.Hour)
		w.mustAdd(a, 1, 34)
		if now := w.requests("a"); now > one+2 {
			t.Errorf("%d bytes of an object that nobody had called for five hours, want %d", now, one)
		}
	})
}

// A call that comes late, when its caller has long gone on, does not run.
func TestAnAttemptThatComesLateDoesNotRun(t *testing.T) {
	inWorld(t, func(w *world) {
		a, b := w.node("a"), w.node("b")
		w.mustAdd(a, 1, 1)
		var late []func() ([]byte, error)
		w.onCall = func(to object.Member, r *object.Request, deliver func() ([]byte, error)) ([]byte, error) {
			if len(late) == 0 {
				first := *r
				late = append(late, func() ([]byte, error) { return a.host.Handle(w.Context(), &first) })
				return nil, lost(to)
			}
			return deliver()
		}
		w.mustAdd(b, 10, 11)
		if reply, err := late[0](); err != nil || reply[len(reply)-1] != 11 {
			t.Errorf("asked again it says %v, %v", reply, err)
		}
		w.mustAdd(b, 1, 12) // says that the caller has done with the one before
		if _, err := late[0](); !errors.Is(err, object.ErrUnknownOutcome) {
			t.Errorf("too late: %v", err)
		}
		w.mustGet(a, 12)
	})
}

// Ids from outside.

func TestWithRequestID(t *testing.T) {
	inWorld(t, func(w *world) {
		a, b := w.node("a"), w.node("b")
		sum := func(n *node, id, key string, delta int64) (int64, error) {
			return add.Call(object.WithRequestID(w.Context(), id), counters.On(n).Ref(key), delta)
		}
		for i, n := range []*node{a, b, a} {
			if v, err := sum(n, "first", "a", 5); v != 5 || err != nil {
				t.Errorf("call %d: %d, %v", i, v, err)
			}
		}
		if v, err := sum(b, "second", "a", 5); v != 10 || err != nil {
			t.Errorf("under another id: %d, %v", v, err)
		}
		if v, err := sum(b, "first", "other", 5); v != 5 || err != nil {
			t.Errorf("of another object: %d, %v", v, err)
		}
		for _, n := range []*node{a, b} {
			if _, err := sum(n, "first", "a", 6); !errors.Is(err, object.ErrReused) || errors.Is(err, object.ErrUnknownOutcome) {
				t.Errorf("with another argument: %v", err)
			}
			ctx := object.WithRequestID(w.Context(), "first")
			for range 2 {
				if _, err := addBelow.Call(ctx, counters.On(n).Ref("a"), 5); !errors.Is(err, object.ErrReused) {
					t.Errorf("of another method: %v", err)
				}
			}
		}
		// Two calls under one id are two, each made once.
		for range 2 {
			ctx := object.WithRequestID(w.Context(), "two")
			for i := range int64(2) {
				if v, err := add.Call(ctx, counters.On(b).Ref("a"), 1); v != 11+i || err != nil {
					t.Errorf("call %d: %d, %v", i, v, err)
				}
			}
		}
		// An error is what the call has come to, too.
		limit := func(n *node) error {
			_, err := addBelow.Call(object.WithRequestID(w.Context(), "limited"), counters.On(n).Ref("a"), 12)
			return err
		}
		if err := limit(a); !errors.Is(err, errAtLeast) {
			t.Error(err)
		}
		if err := counters.On(a).Put(w.Context(), "a", counter{1}); err != nil {
			t.Fatal(err)
		}
		ctx := object.WithRequestID(w.Context(), "limited")
		if _, err := addBelow.Call(ctx, counters.On(b).Ref("a"), 12); err == nil || err.Error() != errAtLeast.Error() {
			t.Errorf("asked again: %v", err)
		}
		if v, err := addBelow.Call(ctx, counters.On(b).Ref("a"), 12); v != 2 || err != nil {
			t.Errorf("the next one, with the same argument: %d, %v", v, err)
		}
		w.mustGet(a, 2)
	})
}

// A call that has failed, and may have been made, is made again in the same context: it is the same call, not the next one.
func TestACallThatIsMadeAgainInItsContextIsTheSame(t *testing.T) {
	loseUntil := func(w *world, end time.Time) {
		w.onCall = func(to object.Member, _ *object.Request, deliver func() ([]byte, error)) ([]byte, error) {
			reply, err := deliver()
			if time.Now().Before(end) {
				return nil, lost(to)
			}
			return reply, err
		}
	}
	addWithin := func(ctx context.Context, on object.Node, delta int64) (int64, error) {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		return add.Call(ctx, counters.On(on).Ref("a"), delta)
	}
	t.Run("with an id from outside", func(t *testing.T) {
		inWorld(t, func(w *world) {
			a, b := w.node("a"), w.node("b")
			w.mustAdd(a, 1, 1)
			loseUntil(w, time.Now().Add(2*time.Second))
			ctx := object.WithRequestID(w.Context(), "id")
			for range 2 {
				if _, err := addWithin(ctx, b, 5); !errors.Is(err, object.ErrUnknownOutcome) {
					t.Fatal(err)
				}
			}
			type sum struct{ delta, want int64 }
			calls := func(ctx context.Context, all ...sum) {
				t.Helper()
				for i, c := range all {
					if v, err := addWithin(ctx, b, c.delta); v != c.want || err != nil {
						t.Errorf("call %d, of %d: %d, %v, want %d", i, c.delta, v, err, c.want)
					}
				}
			}
			calls(ctx, sum{7, 13}, sum{5, 6}, sum{5, 18}) // another call; the one that had failed; one more like it
			calls(object.WithRequestID(w.Context(), "id"), sum{5, 6}, sum{7, 13}, sum{5, 18})
			w.mustGet(b, 18)
		})
	})
	t.Run("from inside an update", func(t *testing.T) {
		attempts := 0
		insist := object.Update("Insist", func(ctx context.Context, c *counter, delta int64) (int64, error) {
			for {
				attempts++
				if v, err := addWithin(ctx, object.From(ctx), delta); !errors.Is(err, object.ErrUnknownOutcome) {
					return v, err
				}
			}
		})
		outer := &object.Type[counter]{Name: "outer", Codec: counterCodec, Methods: []object.Method[counter]{insist}}
		inWorld(t, func(w *world) {
			a, b := w.node("a"), w.node("b")
			w.mustAdd(a, 1, 1)
			loseUntil(w, time.Now().Add(2*time.Second))
			if v, err := insist.Call(w.Context(), outer.On(b).Ref("x"), 5); v != 6 || err != nil || attempts < 3 {
				t.Errorf("%d, %v after %d attempts", v, err, attempts)
			}
			w.mustGet(a, 6)
		}, outer)
	})
	t.Run("whose result was too long to be kept", func(t *testing.T) {
		long := object.Update("Long", func(_ context.Context, c *counter, delta int64) (string, error) {
			c.Value += delta
			return strings.Repeat("x", 5000), nil
		})
		typ := &object.Type[counter]{Name: "counter", Codec: counterCodec, Methods: []object.Method[counter]{long}}
		inWorld(t, func(w *world) {
			w.types = []object.Definition{typ}
			a, b := w.node("a"), w.node("b")
			w.mustGet(a, 0)
			loseUntil(w, time.Now().Add(time.Millisecond))
			ctx := object.WithRequestID(w.Context(), "id")
			for range 2 {
				if _, err := long.Call(ctx, typ.On(b).Ref("a"), 5); !errors.Is(err, object.ErrUnknownOutcome) {
					t.Error(err)
				}
			}
			w.mustGet(a, 5)
		}, typ)
	})
	t.Run("an empty id is none", func(t *testing.T) {
		inWorld(t, func(w *world) {
			n := w.node("n")
			for i := range int64(2) {
				if v, err := add.Call(object.WithRequestID(w.Context(), ""), counters.On(n).Ref("a"), 1); v != i+1 || err != nil {
					t.Errorf("%d, %v", v, err)
				}
			}
		})
	})
}

// Ids from outside are known for as long as promised, also to the next owner, and not for ever.
func TestRequestIDsAreKeptForAsLongAsPromised(t *testing.T) {
	inWorld(t, func(w *world) {
		a, b := w.node("a"), w.node("b")
		once := func(n *node) (int64, error) {
			return add.Call(object.WithRequestID(w.Context(), "id"), counters.On(n).Ref("a"), 5)
		}
		if v, err := once(a); v != 5 || err != nil {
			t.Fatal(v, err)
		}
		for range 9 {
			time.Sleep(object.KeptRequests / 10)
			if _, err := add.Call(w.Context(), counters.On(a).Ref("a"), 0); err != nil {
				t.Fatal(err)
			}
			if _, err := add.Call(w.Context(), counters.On(a).Ref("a"), 1); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(object.KeptRequests/10 - time.Second)
		if err := a.host.Drain(w.Context()); err != nil {
			t.Fatal(err)
		}
		if v, err := once(b); v != 5 || err != nil {
			t.Errorf("%d, %v", v, err)
		}
		for i := range int64(30) {
			time.Sleep(time.Minute)
			w.mustAdd(b, 1, 15+i)
		}
		if now := w.requests("a"); now > 100 {
			t.Errorf("%d bytes when nothing is promised any more", now)
		}
	})
}

// More ids than can be kept are refused; none is forgotten for them.
func TestTooManyRequestIDs(t *testing.T) {
	object.SkipRaced(t)
	inWorld(t, func(w *world) {
		n := w.node("n")
		call := func(i int) error {
			_, err := add.Call(object.WithRequestID(w.Context(), fmt.Sprint(i)), counters.On(n).Ref("a"), 1)
			return err
		}
		i := 0
		for ; ; i++ {
			if err := call(i); errors.Is(err, object.ErrOverloaded) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
		w.mustAdd(n, 0, int64(i)) // other calls are none of it
		if err := call(0); err != nil {
			t.Error(err)
		}
		w.mustGet(n, int64(i))
		if size := w.requests("a"); i < 1000 || size > 300<<10 {
			t.Errorf("%d ids in %d bytes", i, size)
		}
		for range 25 {
			time.Sleep(time.Minute)
			if _, err := add.Call(w.Context(), counters.On(n).Ref("a"), 1); err != nil {
				t.Fatal(err)
			}
		}
		if err := call(i); err != nil {
			t.Error(err)
		}
	})
}

// A tombstone stays while somebody may ask what came of an update, and goes after that.
func TestATombstoneStaysWhileItKeepsResults(t *testing.T) {
	short := &object.Type[counter]{Name: "short", Codec: counterCodec, Idle: time.Second}
	inWorld(t, func(w *world) {
		w.store.Committer = persist.NewClusterRecords(persist.NewMemory(), 1, true)
		n := w.node("n")
		c := short.On(n)
		if err := errors.Join(c.Put(w.Context(), "x", counter{1}), c.Delete(w.Context(), "x")); err != nil {
			t.Fatal(err)
		}
		there := func() bool {
			r, _, err := w.store.Committer.Load(w.Context(), object.Key{Type: "short", ID: "x"})
			if err != nil {
				t.Fatal(err)
			}
			return r != nil
		}
		time.Sleep(object.KeptRequests - time.Second)
		if !there() {
			t.Error("it is gone too soon")
		}
		time.Sleep(time.Minute)
		if there() {
			t.Error("it stays for ever")
		}
	}, short)
}

// Calls that updates make.

// relay adds to the counter that it names, and then to its own. fail, if set, is asked between the two.
func relaying(fail func(ctx context.Context) error) *object.UpdateMethod[counter, string, int64] {
	return object.Update("Relay", func(ctx context.Context, c *counter, to string) (int64, error) {
		if _, err := add.Call(ctx, counters.On(object.From(ctx)).Ref(to), 1); err != nil {
			return 0, err
		}
		if fail != nil {
			if err := fail(ctx); err != nil {
				return 0, err
			}
		}
		c.Value++
		return c.Value, nil
	})
}

// An update that runs again, at whichever node, does not repeat what it has made others do.
func TestANestedCallIsMadeOnce(t *testing.T) {
	for name, die := range map[string]func(w *world, a *node){
		"its owner loses the session": func(w *world, a *node) {
			w.registry.Expire(a.id)
			<-a.done
			a.session.Retire(w.Context())
			a.join()
		},
		"its owner is gone": func(w *world, a *node) {
			w.registry.Expire(a.id)
			<-a.done
			w.mu.Lock()
			delete(w.hosts, a.id)
			w.mu.Unlock()
		},
	} {
		t.Run(name, func(t *testing.T) {
			var between func(context.Context) error
			relay := relaying(func(ctx context.Context) error {
				if f := between; f != nil {
					between = nil
					return f(ctx)
				}
				return nil
			})
			outer := &object.Type[counter]{Name: "outer", Codec: counterCodec, Methods: []object.Method[counter]{relay}}
			inWorld(t, func(w *world) {
				a, b, client := w.node("a"), w.node("b"), w.node("client")
				w.mustAdd(b, 10, 10) // b owns what is called
				if _, err := outer.On(a).Get(w.Context(), "x"); err != nil {
					t.Fatal(err)
				}
				dead := make(chan struct{})
				between = func(ctx context.Context) error {
					go func() { die(w, a); close(dead) }()
					<-ctx.Done() // of a run whose result nobody wants any more
					return ctx.Err()
				}
				if v, err := relay.Call(w.Context(), outer.On(client).Ref("x"), "a"); v != 1 || err != nil {
					t.Errorf("%d, %v", v, err)
				}
				<-dead
				w.mustGet(b, 11)
				if v, err := relay.Call(w.Context(), outer.On(client).Ref("x"), "a"); v != 2 || err != nil {
					t.Errorf("another call: %d, %v", v, err)
				}
				w.mustGet(b, 12)
				w.mustAdd(b, 1, 13)
			}, outer)
		})
	}
}

// An update whose own change is refused by the store, or lost with the session before it is sent, is tried again if it has called others: else who is told that nothing was
// changed would have these called twice.
func TestAnUpdateThatHasCalledOthersIsTriedAgain(t *testing.T) {
	relay := relaying(nil)
	outer := &object.Type[counter]{Name: "outer", Codec: counterCodec, Methods: []object.Method[counter]{relay, add}}
	for name, fail := range map[string]func(w *world, a *node, gate chan struct{}){
		"refused": func(w *world, _ *node, gate chan struct{}) { close(gate) },
		"lost": func(w *world, a *node, gate chan struct{}) {
			w.registry.Expire(a.id)
			<-a.done
			close(gate)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				a, b, client := w.node("a"), w.node("b"), w.node("client")
				w.mustAdd(b, 10, 10)
				if _, err := outer.On(a).Get(w.Context(), "x"); err != nil {
					t.Fatal(err)
				}
				gate := make(chan struct{})
				held := false
				w.store.onCommit = func(_ context.Context, n int, commit func() (object.Tag, error)) (object.Tag, error) {
					if last := w.store.puts[n]; last.key.Type != "outer" || held {
						return commit()
					}
					held = true
					<-gate
					return "", object.ErrRefused
				}
				if name == "lost" { // the update has run, and waits for another one's put, which is held
					background(func() (int64, error) { return add.Call(w.Context(), outer.On(a).Ref("x"), 5) })
					synctest.Wait()
				}
				r := background(func() (int64, error) { return relay.Call(w.Context(), outer.On(client).Ref("x"), "a") })
				synctest.Wait()
				fail(w, a, gate)
				if _, err := r.wait(); err != nil {
					t.Error(err)
				}
				w.mustGet(b, 11)
			}, outer)
		})
	}
}

// Run again with other arguments a call is not made, and nobody is told that it was.
func TestANestedCallThatDiffersIsUnknown(t *testing.T) {
	delta := int64(1)
	var a *node
	relay := object.Update("Relay", func(ctx context.Context, c *counter, to string) (int64, error) {
		_, err := add.Call(ctx, counters.On(object.From(ctx)).Ref(to), delta)
		if delta == 1 {
			delta = 2
			a.world.registry.Expire(a.id)
			<-ctx.Done()
		}
		c.Value++
		return c.Value, err
	})
	outer := &object.Type[counter]{Name: "outer", Codec: counterCodec, Methods: []object.Method[counter]{relay}}
	inWorld(t, func(w *world) {
		a = w.node("a")
		b, client := w.node("b"), w.node("client")
		w.mustAdd(b, 10, 10)
		if _, err := outer.On(a).Get(w.Context(), "x"); err != nil {
			t.Fatal(err)
		}
		_, err := relay.Call(w.Context(), outer.On(client).Ref("x"), "a")
		if !errors.Is(err, object.ErrReused) || !errors.Is(err, object.ErrUnknownOutcome) {
			t.Error(err)
		}
		w.mustGet(b, 11)
	}, outer)
}

// What is kept of nested calls goes when the updates that made them are over.
func TestNestedCallsAreForgotten(t *testing.T) {
	relay := relaying(nil)
	outer := &object.Type[counter]{Name: "outer", Codec: counterCodec, Methods: []object.Method[counter]{relay}}
	inWorld(t, func(w *world) {
		a, b := w.node("a"), w.node("b")
		w.mustAdd(b, 10, 10)
		for i := range 200 {
			from := []*node{a, b}[i%2]
			if _, err := relay.Call(w.Context(), outer.On(from).Ref(fmt.Sprint(i)), "a"); err != nil {
				t.Fatal(err)
			}
		}
		if size := w.requests("a"); size > 300 {
			t.Errorf("%d bytes are kept of 200 nested calls", size)
		}
		w.mustGet(b, 210)
	}, outer)
}

// A call for an incarnation that is over is not run by the next one: it may be as old as the process has been frozen.
func TestACallForAFormerSessionIsRefused(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		w.mustAdd(n, 1, 1)
		w.registry.Disconnect(n.id)
		time.Sleep(leaseLength + time.Second)
		r := n.attempt(w.Context(), 1) // waits for the lease
		w.registry.Expire(n.id)
		w.registry.Reconnect(n.id)
		<-n.done
		n.session.Retire(w.Context())
		n.join()
		var refused *object.NotOwnerError
		if _, err := r.wait(); !errors.As(err, &refused) {
			t.Error(err)
		}
		w.mustGet(n, 1)
	})
	inWorld(t, func(w *world) { // the incarnation is the same, as with nodes
		gate := make(chan struct{})
		w.env = gate
		n := w.node("n")
		running := background(func() (int64, error) { return block.Call(w.Context(), counters.On(n).Ref("a"), object.None{}) })
		w.mustWait(running)
		r := n.attempt(w.Context(), 1) // waits for its turn
		n.another()
		w.registry.ExpireSession(object.Member{Incarnation: n.id, Session: 1})
		var refused *object.NotOwnerError
		if _, err := r.wait(); !errors.As(err, &refused) {
			t.Error(err)
		}
		close(gate)
		running.wait() // it was given up
		w.mustGet(n, 0)
	})
}

func TestRecordsOfOtherProgramsWithoutResults(t *testing.T) {
	inWorld(t, func(w *world) {
		key := object.Key{Type: "counter", ID: "a"}
		r := object.Record{Epoch: 1, Version: 1, WriteID: uuid.New(), Incarnation: uuid.New(), State: counterCodec.Append(nil, counter{3}),
			Requests: codec.AppendString(nil, "nobody knows")}
		if _, err := w.store.Committer.Commit(w.Context(), key, &r, ""); err != nil {
			t.Fatal(err)
		}
		n := w.node("n")
		ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
		defer cancel()
		w.mustFail(n.get(ctx), object.ErrUnavailable)
		if w.store.count() > 0 {
			t.Error("it was written over")
		}
	})
}

package object_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/highlander-go/highlander/object"
)

// Section "write" of the protocol: how updates become durable.

func TestAnUpdateThatFailsChangesNothing(t *testing.T) {
	refused := errors.New("refused")
	spoil := object.Update("Spoil", func(_ context.Context, l *list, _ object.None) (object.None, error) {
		l.Items[0] = "spoiled"
		l.Items = append(l.Items, "more")
		return object.None{}, refused
	})
	lists := &object.Type[list]{Name: "list", Methods: []object.Method[list]{spoil}}
	inWorld(t, func(w *world) {
		n := w.node("n")
		ctx := w.Context()
		if err := lists.On(n).Put(ctx, "l", list{Items: []string{"one"}}); err != nil {
			t.Fatal(err)
		}
		before := w.store.count()
		if _, err := spoil.Call(ctx, lists.On(n).Ref("l"), object.None{}); err != refused {
			t.Fatalf("error %v, want the method's own", err)
		}
		got, err := lists.On(n).Get(ctx, "l")
		if err != nil || len(got.Items) != 1 || got.Items[0] != "one" {
			t.Fatalf("state %v, %v; the failed update has changed it", got, err)
		}
		if w.store.count() != before {
			t.Fatal("an update that failed was written")
		}
	}, lists)
}

type list struct{ Items []string }

func TestAnUpdateThatChangesNothingWritesNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		w.mustAdd(n, 1, 1)
		w.mustAdd(n, 0, 1)
		if w.store.count() != 1 {
			t.Fatalf("%d puts, want 1", w.store.count())
		}
	})
}

func TestRecordsCarryEpochVersionAndWriteID(t *testing.T) {
	inWorld(t, func(w *world) {
		a := w.node("a")
		w.mustAdd(a, 1, 1)
		w.mustAdd(a, 1, 2)
		a.stop()
		b := w.node("b")
		w.mustAdd(b, 1, 3)
		b.stop()
		a.join() // another incarnation of node a
		w.mustAdd(a, 1, 4)

		want := []struct {
			epoch, version uint64
			prev           int // the put whose tag is the condition, -1: none
		}{{1, 1, -1}, {1, 2, 0}, {2, 3, 1}, {3, 4, 2}}
		seen := make(map[[16]byte]bool)
		for i, p := range w.store.puts {
			prev := object.Tag("")
			if want[i].prev >= 0 {
				prev = w.store.puts[want[i].prev].tag
			}
			if p.record.Epoch != want[i].epoch || p.record.Version != want[i].version || p.prev != prev {
				t.Errorf("put %d has epoch %d, version %d, condition %q; want %d, %d, %q", i, p.record.Epoch, p.record.Version, p.prev, want[i].epoch, want[i].version, prev)
			}
			if seen[p.record.WriteID] {
				t.Errorf("put %d has the write id of an earlier one: equal states would have equal tags", i)
			}
			seen[p.record.WriteID] = true
		}
		if len(w.store.puts) != len(want) {
			t.Fatalf("%d puts, want %d", len(w.store.puts), len(want))
		}
	})
}

func TestOnePutInFlightAndTheQueueSharesTheNext(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		w.mustGet(n, 0)
		release := w.store.hold()
		first := n.add(w.Context(), 1)
		var rest []*result
		for range 10 {
			rest = append(rest, n.add(w.Context(), 1))
		}
		w.mustWait(first) // nobody is answered before its put is durable
		for _, r := range rest {
			w.mustWait(r)
		}
		if w.store.count() != 1 {
			t.Fatalf("%d puts in flight at once", w.store.count())
		}
		w.mustGet(n, 0) // and nobody reads what is not durable
		release()
		if v, err := first.wait(); v != 1 || err != nil {
			t.Fatal(v, err)
		}
		for i, r := range rest {
			if v, err := r.wait(); v != int64(i)+2 || err != nil {
				t.Fatalf("update %d: %d, %v", i, v, err)
			}
		}
		if w.store.count() != 2 {
			t.Fatalf("%d puts for a burst behind one in flight; want 2 in all", w.store.count())
		}
	})
}

func TestASlowUpdateDoesNotHoldUpThePutOfAnEarlierOne(t *testing.T) {
	inWorld(t, func(w *world) {
		gate := make(chan struct{})
		w.env = gate
		n := w.node("n")
		w.mustGet(n, 0)
		release := w.store.hold()
		first := n.add(w.Context(), 1) // in flight
		second := n.add(w.Context(), 1)
		slow := background(func() (int64, error) { return block.Call(w.Context(), counters.On(n).Ref("a"), object.None{}) })
		synctest.Wait()
		release()
		if v, err := first.wait(); v != 1 || err != nil {
			t.Fatal(v, err)
		}
		if v, err := second.wait(); v != 2 || err != nil {
			t.Fatal(v, err)
		}
		w.mustWait(slow)
		close(gate)
		if v, err := slow.wait(); v != 3 || err != nil {
			t.Fatal(v, err)
		}
	})
}

// What an update tells that changed nothing must be durable: an error "already exists" that a crash undoes is a lie.
func TestAnErrorIsAnsweredWhenTheStateThatItSawIsDurable(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		w.mustGet(n, 0)
		release := w.store.hold()
		first := n.add(w.Context(), 1)
		fails := background(func() (int64, error) { return addBelow.Call(w.Context(), counters.On(n).Ref("a"), 1) })
		nothing := n.add(w.Context(), 0)
		w.mustWait(first)
		w.mustWait(fails)
		w.mustWait(nothing)
		release()
		if _, err := fails.wait(); err != errAtLeast {
			t.Fatal(err)
		}
		if v, err := nothing.wait(); v != 1 || err != nil {
			t.Fatal(v, err)
		}
		if w.store.count() != 1 {
			t.Fatalf("%d puts, want 1", w.store.count())
		}
	})
}

func TestAnErrorThatNothingIsInTheWayOfIsAnsweredWithoutAPut(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		_, err := addBelow.Call(w.Context(), counters.On(n).Ref("a"), 0)
		if err != errAtLeast || w.store.count() != 0 {
			t.Fatal(err, w.store.count())
		}
	})
}

// Section "what a put can say".

// answers has the store's first puts answered by the functions given.
func (s *store) answers(answers ...func(commit func() (object.Tag, error)) (object.Tag, error)) {
	s.onCommit = func(_ context.Context, n int, commit func() (object.Tag, error)) (object.Tag, error) {
		if n < len(answers) {
			return answers[n](commit)
		}
		return commit()
	}
}

var errTimeout = errors.New("503 slow down")

func durable(commit func() (object.Tag, error)) (object.Tag, error) { return commit() }
func timeout(func() (object.Tag, error)) (object.Tag, error)        { return "", errTimeout }
func lostAnswer(commit func() (object.Tag, error)) (object.Tag, error) {
	commit()
	return "", errTimeout
}
func refuse(func() (object.Tag, error)) (object.Tag, error) {
	return "", fmt.Errorf("403 forbidden: %w", object.ErrRefused)
}

func TestAnUnknownResultIsTriedAgainWithTheSameBytesAndCondition(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		w.store.answers(durable, timeout, timeout, refuse) // a refusal does not settle what became of the two before it
		w.mustAdd(n, 1, 1)
		w.mustAdd(n, 1, 2)
		if w.store.count() != 5 {
			t.Fatalf("%d puts, want 5", w.store.count())
		}
		for i, p := range w.store.puts[2:] {
			first := w.store.puts[1]
			if p.prev != first.prev || fmt.Sprint(p.record) != fmt.Sprint(first.record) {
				t.Errorf("attempt %d differs from the first: %v, %v", i+2, p, first)
			}
		}
		if w.store.stored() != 2 {
			t.Fatalf("stored %d, want 2", w.store.stored())
		}
	})
}

func TestALostAnswerIsFoundByItsWriteID(t *testing.T) {
	for _, first := range []bool{true, false} {
		inWorld(t, func(w *world) {
			n := w.node("n")
			want := int64(1)
			if !first {
				w.mustAdd(n, 1, 1)
				want = 2
			}
			w.store.onCommit = func(_ context.Context, i int, commit func() (object.Tag, error)) (object.Tag, error) {
				if i == int(want)-1 {
					return lostAnswer(commit)
				}
				return commit()
			}
			w.mustAdd(n, 1, want)
			if w.store.stored() != want {
				t.Fatalf("stored %d, want %d: the update was applied twice or not at all", w.store.stored(), want)
			}
			w.mustAdd(n, 1, want+1) // on the right tag
		})
	}
}

func TestAPredecessorsLateWriteIsAdoptedAndTheUpdatesRunAgain(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		w.mustGet(n, 0)
		release := w.store.hold()
		limited := background(func() (int64, error) { return addBelow.Call(w.Context(), counters.On(n).Ref("a"), 10) })
		synctest.Wait()
		more := n.add(w.Context(), 1) // runs while the put is in flight, on a state that is void by then
		w.store.write(10)
		w.store.onCommit = nil
		release()
		if _, err := limited.wait(); err != errAtLeast {
			t.Fatalf("error %v: the update was not run again on the adopted state", err)
		}
		if v, err := more.wait(); v != 11 || err != nil {
			t.Fatal(v, err)
		}
		last := w.store.puts[len(w.store.puts)-1].record
		if w.store.stored() != 11 || last.Epoch != 2 || last.Version != 2 {
			t.Fatalf("stored %d with epoch %d, version %d; want 11, 2, 2", w.store.stored(), last.Epoch, last.Version)
		}
		w.mustGet(n, 11)
	})
}

func TestAnUpdateThatRunsWhileARecordIsAdoptedRunsAgain(t *testing.T) {
	inWorld(t, func(w *world) {
		gate := make(chan struct{})
		w.env = gate
		n := w.node("n")
		w.mustGet(n, 0)
		release := w.store.hold()
		first := n.add(w.Context(), 1)
		slow := background(func() (int64, error) { return block.Call(w.Context(), counters.On(n).Ref("a"), object.None{}) })
		synctest.Wait()
		w.store.write(10)
		release()
		w.mustWait(slow)
		close(gate)
		a, err1 := first.wait()
		b, err2 := slow.wait()
		if err1 != nil || err2 != nil || a+b != 11+12 {
			t.Fatal(a, err1, b, err2)
		}
		if w.store.stored() != 12 {
			t.Fatalf("stored %d, want 12", w.store.stored())
		}
	})
}

func TestARecordThatSomebodyElseWroteAfterOursIsAnAlarm(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		w.mustAdd(n, 1, 1)
		w.store.write(10)
		w.mustFail(n.attempt(w.Context(), 1), object.ErrUnknownOutcome)
		if w.store.stored() != 10 {
			t.Fatalf("stored %d: the foreign record was overwritten", w.store.stored())
		}
		w.mustGet(n, 10) // the next activation starts from what is there
		if !strings.Contains(w.log.String(), "ALARM") {
			t.Fatal("no alarm was raised")
		}
	})
}

func TestAForeignRecordFoundOnALapsedLeaseIsDecidedAfterTheNextRenewal(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		w.mustGet(n, 0)
		release := w.store.hold()
		r := n.add(w.Context(), 1)
		w.store.write(10)
		w.registry.Disconnect(n.id)
		time.Sleep(leaseLength + time.Second)
		loads := 0
		w.store.onLoad = func(_ context.Context, _ object.Key, load func() (*object.Record, object.Tag, error)) (*object.Record, object.Tag, error) {
			loads++
			return load()
		}
		release()
		w.mustWait(r)
		w.store.write(20) // what a later owner would do, had there been one
		w.registry.Reconnect(n.id)
		if v, err := r.wait(); v != 21 || err != nil {
			t.Fatalf("%d, %v: the record read on the lapsed lease was adopted", v, err)
		}
		if loads < 2 {
			t.Fatalf("%d loads: the record was not read again", loads)
		}
	})
}

func TestTheLeaseIsCheckedAfterTheForeignRecordWasRead(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		w.mustGet(n, 0)
		release := w.store.hold()
		r := n.add(w.Context(), 1)
		w.store.write(10)
		w.store.onLoad = func(_ context.Context, _ object.Key, load func() (*object.Record, object.Tag, error)) (*object.Record, object.Tag, error) {
			w.store.onLoad = nil
			record, tag, err := load()
			w.registry.Disconnect(n.id)
			time.Sleep(leaseLength + time.Second)
			return record, tag, err
		}
		release()
		time.Sleep(leaseLength + 2*time.Second)
		w.mustWait(r)
		w.store.write(20)
		w.registry.Reconnect(n.id)
		if v, err := r.wait(); v != 21 || err != nil {
			t.Fatalf("%d, %v: the record was adopted on a lapsed lease", v, err)
		}
	})
}

// An owner that was overtaken learns it from a record that is not its own: that is no alarm, only an end.
func TestAnOvertakenOwnerWaitsForTheWordOfTheRegistry(t *testing.T) {
	inWorld(t, func(w *world) {
		a, b := w.node("a"), w.node("b")
		w.mustAdd(a, 1, 1)
		release := w.store.hold()
		r := a.attempt(w.Context(), 1)
		w.registry.Disconnect(a.id)
		w.registry.Expire(a.id)
		w.store.onCommit = nil
		w.mustAdd(b, 10, 11)
		release()
		w.mustWait(r)
		w.registry.Reconnect(a.id)
		w.mustFail(r, object.ErrUnknownOutcome)
		w.mustGet(b, 11)
		if strings.Contains(w.log.String(), "ALARM") {
			t.Fatal("an ordinary takeover raised an alarm")
		}
	})
}

func TestAForeignRecordFoundOnALapsedLeaseIsUnknownWhenTheSessionEnds(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		w.mustGet(n, 0)
		release := w.store.hold()
		r := n.attempt(w.Context(), 1)
		w.store.write(10)
		w.registry.Disconnect(n.id)
		time.Sleep(leaseLength + time.Second)
		release()
		w.mustWait(r)
		time.Sleep(sessionTimeout)
		w.registry.Reconnect(n.id)
		w.mustFail(r, object.ErrUnknownOutcome)
	})
}

func TestARecordDeletedBehindTheOwnersBackEndsTheActivation(t *testing.T) {
	for name, c := range map[string]struct {
		doubt bool
		want  error
	}{"surely not written": {false, object.ErrUnavailable}, "perhaps written and deleted": {true, object.ErrUnknownOutcome}} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				n := w.node("n")
				w.mustAdd(n, 1, 1)
				gone := func(func() (object.Tag, error)) (object.Tag, error) { return "", object.ErrNoBlob }
				if c.doubt {
					w.store.answers(durable, timeout, gone)
				} else {
					w.store.answers(durable, gone)
				}
				loads := 0
				w.store.onLoad = func(_ context.Context, _ object.Key, load func() (*object.Record, object.Tag, error)) (*object.Record, object.Tag, error) {
					loads++
					return load()
				}
				w.mustFail(n.attempt(w.Context(), 1), c.want)
				w.mustGet(n, 1)
				if loads != 1 || !strings.Contains(w.log.String(), "ALARM") {
					t.Fatalf("%d loads, want 1 and an alarm: the object must begin anew from what is there", loads)
				}
			})
		})
	}
}

func TestARefusedPutFailsItsUpdatesAndTheObjectGoesOn(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		limited := func(limit int64) *result {
			r := background(func() (int64, error) { return addBelow.Call(w.Context(), counters.On(n).Ref("a"), limit) })
			synctest.Wait()
			return r
		}
		gates := w.store.holdEach(2)
		first := n.add(w.Context(), 1)
		refused, together := n.add(w.Context(), 1), limited(2) // the second sees 2, and fails
		w.store.then(1, refuse)
		close(gates[0])
		if v, err := first.wait(); v != 1 || err != nil {
			t.Fatal(v, err)
		}
		behind := limited(3) // runs on the state that is refused
		close(gates[1])
		w.mustFail(refused, object.ErrUnavailable)
		// What saw the refused state runs again: it must not tell of what has not come to be.
		a, err1 := together.wait()
		b, err2 := behind.wait()
		if err1 != nil || err2 != nil || a+b != 2+3 {
			t.Fatal(a, err1, b, err2)
		}
		if w.store.stored() != 3 {
			t.Fatalf("stored %d, want 3", w.store.stored())
		}
	})
}

func TestWhatNobodyWaitsForAnyMoreDoesNotRunAgain(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		w.mustAdd(n, 1, 1)
		gates := w.store.holdEach(1)
		w.store.then(1, refuse)
		refused := n.add(w.Context(), 1)
		ctx, cancel := context.WithCancel(w.Context())
		abandoned := n.add(ctx, 10)
		cancel()
		w.mustFail(abandoned, object.ErrUnknownOutcome, context.Canceled)
		close(gates[0])
		w.mustFail(refused, object.ErrUnavailable)
		w.mustAdd(n, 1, 2)
	})
}

func TestAStoreOutOfReachMeansUnknownAtTheCallersDeadline(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		w.mustAdd(n, 1, 1)
		var out atomic.Bool
		out.Store(true)
		w.store.onCommit = func(_ context.Context, _ int, commit func() (object.Tag, error)) (object.Tag, error) {
			if out.Load() {
				return timeout(nil)
			}
			return commit()
		}
		ctx, cancel := context.WithTimeout(w.Context(), time.Second)
		defer cancel()
		w.mustFail(n.add(ctx, 1), object.ErrUnknownOutcome, context.DeadlineExceeded)
		out.Store(false)
		w.mustAdd(n, 1, 3) // what was in flight became durable before what came later
	})
}

func TestAnOldOrUnreadableRecordInPlaceOfOursIsAnAlarm(t *testing.T) {
	for name, found := range map[string]func(r *object.Record) error{
		"old":        func(r *object.Record) error { r.Version--; return nil },
		"unreadable": func(*object.Record) error { return object.ErrUnreadable },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				n := w.node("n")
				record := w.store.write(5)
				w.mustGet(n, 5)
				w.store.answers(func(func() (object.Tag, error)) (object.Tag, error) { return "", object.ErrConditionFailed })
				w.store.onLoad = func(context.Context, object.Key, func() (*object.Record, object.Tag, error)) (*object.Record, object.Tag, error) {
					old := record
					old.WriteID[0]++
					return &old, "tag", found(&old)
				}
				w.mustFail(n.attempt(w.Context(), 1), object.ErrUnknownOutcome)
				w.store.onLoad = nil
				w.mustAdd(n, 1, 6)
				if !strings.Contains(w.log.String(), "ALARM") {
					t.Fatal("no alarm was raised")
				}
			})
		})
	}
}

// Section "answer".

func TestAnAcknowledgementWaitsForTheLease(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		w.mustGet(n, 0)
		release := w.store.hold()
		r := n.add(w.Context(), 1)
		w.registry.Disconnect(n.id)
		time.Sleep(leaseLength + time.Second)
		release()
		w.mustWait(r)
		if w.store.stored() != 1 {
			t.Fatal("the put was not made")
		}
		w.registry.Reconnect(n.id)
		if v, err := r.wait(); v != 1 || err != nil {
			t.Fatal(v, err)
		}
	})
}

func TestWhenTheSessionEndsAWriteIsUnknownAndAnUpdateThatChangedNothingUnavailable(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		w.mustGet(n, 0)
		gates := w.store.holdEach(2)
		first := n.add(w.Context(), 1)
		written, unchanged := n.attempt(w.Context(), 1), n.attempt(w.Context(), 0) // one batch
		close(gates[0])
		if _, err := first.wait(); err != nil {
			t.Fatal(err)
		}
		w.registry.Disconnect(n.id)
		time.Sleep(leaseLength + time.Second)
		close(gates[1]) // their put lands on a lapsed lease
		w.mustWait(written)
		w.mustWait(unchanged)
		if w.store.stored() != 2 {
			t.Fatal("the put was not made")
		}
		w.registry.Expire(n.id)
		w.registry.Reconnect(n.id)
		w.mustFail(written, object.ErrUnknownOutcome)
		w.mustFail(unchanged, object.ErrUnavailable)
	})
}

func TestAnUpdateOnALapsedLeaseWaitsAndIsNotRun(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		w.mustAdd(n, 1, 1)
		w.registry.Disconnect(n.id)
		time.Sleep(leaseLength + time.Second)
		r := n.add(w.Context(), 1)
		w.mustWait(r)
		if w.store.count() != 1 {
			t.Fatal("it was written on a lapsed lease")
		}
		time.Sleep(sessionTimeout) // and after a session timeout nobody waits
		w.mustFail(r, object.ErrUnavailable)
		if r := n.add(w.Context(), 1); !r.over() {
			t.Fatal("an update waits although there was no renewal for a session timeout")
		}
	})
}

func TestAReadWaitsForALapsedLease(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		w.mustAdd(n, 1, 1)
		w.registry.Disconnect(n.id)
		time.Sleep(leaseLength + time.Second)
		r := n.get(w.Context())
		w.mustWait(r)
		w.registry.Reconnect(n.id)
		if v, err := r.wait(); v != 1 || err != nil {
			t.Fatal(v, err)
		}
	})
}

func TestAfterASessionTimeoutWithoutRenewalReadsAreUnavailableAtOnceAndTheObjectStays(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		w.mustAdd(n, 1, 1)
		loads := 0
		w.store.onLoad = func(_ context.Context, _ object.Key, load func() (*object.Record, object.Tag, error)) (*object.Record, object.Tag, error) {
			loads++
			return load()
		}
		w.registry.Disconnect(n.id)
		time.Sleep(leaseLength + time.Second)
		waiting := n.get(w.Context())
		w.mustWait(waiting)
		time.Sleep(sessionTimeout)
		w.mustFail(waiting, object.ErrUnavailable)
		if r := n.get(w.Context()); !r.over() {
			t.Fatal("a read waits although there was no renewal for a session timeout")
		} else {
			w.mustFail(r, object.ErrUnavailable)
		}
		if loads != 0 {
			t.Fatal("the object was loaded again")
		}
	})
}

// A reader that was held up between its lease check and its sample would answer a state that is not its owner's any
// more. So the state is sampled first: what the owner commits during the lease check is not in the answer.
func TestAReadSamplesTheStateBeforeItChecksTheLease(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		w.mustAdd(n, 1, 1)
		clock := w.clock
		checking, resume := make(chan struct{}), make(chan struct{})
		hold := true
		w.clock = func() time.Duration {
			if hold {
				hold = false
				close(checking)
				<-resume
			}
			return clock()
		}
		r := background(func() (int64, error) {
			c, err := counters.On(n).Get(w.Context(), "a")
			return c.Value, err
		})
		<-checking
		w.mustAdd(n, 1, 2)
		close(resume)
		if v, err := r.wait(); v != 1 || err != nil {
			t.Fatalf("%d, %v: the state was sampled after the lease check", v, err)
		}
	})
}

func TestPutIfRunsOnTheVersionThatItNames(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		ctx, c := w.Context(), counters.On(n)
		if err := c.PutIf(ctx, "a", 0, counter{5}); err != nil {
			t.Fatal(err)
		}
		release := w.store.hold()
		pending := n.add(ctx, 1)
		late := background(func() (int64, error) { return 0, c.PutIf(ctx, "a", 1, counter{7}) })
		w.mustWait(late)
		release()
		if _, err := pending.wait(); err != nil {
			t.Fatal(err)
		}
		w.mustFail(late, object.ErrVersion)
		if _, version, _ := c.GetVersion(ctx, "a"); version != 2 {
			t.Fatalf("version %d, want 2", version)
		}
		if err := c.PutIf(ctx, "a", 2, counter{7}); err != nil {
			t.Fatal(err)
		}
		w.mustGet(n, 7)
	})
}

func TestPuttingTheDefaultsMakesARecord(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		if err := counters.On(n).Put(w.Context(), "a", counter{}); err != nil {
			t.Fatal(err)
		}
		if w.store.stored() != 0 {
			t.Fatalf("stored %d, want a record of 0", w.store.stored())
		}
	})
}
